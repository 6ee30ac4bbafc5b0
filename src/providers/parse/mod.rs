//! From a row as written to a [`Scheme`]: every word known, keys that belong together, limits in their units.
//!
//! All errors of a row come out at once, each under its key, so that a user mends them in one go. What a
//! row does not say is filled in here; a word nobody knows is an error and never "accept everything".

use std::collections::BTreeMap;
use std::time::Duration;

use crate::providers::handshake::Handshake;
mod auth;
use crate::providers::auth::AuthMethod;
use crate::providers::place::ValueLocation;
use crate::providers::pointer::BatchLocation;
use crate::providers::row::{ProviderRow, RowError};
use crate::providers::scheme::{Scheme, SecretDecoding, SignatureSyntax, SuccessResponse, TimestampUnit};
use crate::providers::selectors::{EventId, header_name, parse_event_id, parse_event_type};
use auth::{is_code, is_signed};

/// The window of a timestamp unless the row or the source says otherwise.
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

const SECRET_DECODINGS: &[(&str, SecretDecoding)] = &[
    ("utf8", SecretDecoding::Utf8),
    ("nfkd", SecretDecoding::Nfkd),
    ("base64", SecretDecoding::Base64),
    ("base64-if-prefixed", SecretDecoding::Base64IfPrefixed),
    ("hex", SecretDecoding::Hex),
    ("sha1", SecretDecoding::Sha1),
    ("pem", SecretDecoding::Pem),
];
const UNITS: &[(&str, TimestampUnit)] = &[
    ("s", TimestampUnit::Seconds),
    ("ms", TimestampUnit::Millis),
    ("rfc3339", TimestampUnit::Rfc3339),
    ("iso8601_naive_utc", TimestampUnit::NaiveUtc),
];

impl Scheme {
    /// Reads a row, into which a source's own settings are put before. A row without `event_id` is let through;
    /// whoever reads the configuration says what it means there.
    ///
    /// # Errors
    /// All of them at once.
    pub fn from_row(row: &ProviderRow) -> Result<Self, Vec<RowError>> {
        if let Some(reason) = &row.unsupported {
            return Err(vec![RowError::new(
                "unsupported",
                format!("hookbox cannot check its deliveries yet: {reason}"),
            )]);
        }
        let mut errors = misfits(row);
        let scheme = read(row, &mut errors);
        match scheme {
            Some(scheme) if errors.is_empty() => Ok(scheme),
            _ => Err(errors),
        }
    }
}

/// Every part is read before any is asked for, so that all errors come to light.
fn read(row: &ProviderRow, errors: &mut Vec<RowError>) -> Option<Scheme> {
    let mut keep = Keep(errors);
    let places = keep.of(places(row));
    let syntax = keep.of(syntax(row));
    let proof = keep.of(auth::proof(row));
    let text = if proof.as_ref().is_some_and(AuthMethod::takes_public_key) { "pem" } else { "utf8" };
    let decoding = keep.of(word("secret_decoding", row.secret_decoding.as_deref(), text, SECRET_DECODINGS));
    let timestamp = keep.of(auth::timestamp(row, UNITS));
    let tolerance = keep.of(tolerance(row));
    let aliases = keep.of(header_aliases(row));
    let private = keep.of(names("private_headers", row.private_headers.iter()));
    let required = keep.of(required_headers(row));
    let key_id = keep.of(row.key_id.as_deref().map(|written| ValueLocation::parse("key_id", written)).transpose());
    let key_name =
        keep.of(row.key_name.as_deref().map(|written| ValueLocation::parse("key_name", written)).transpose());
    let keys = keep.of(auth::keys(row));
    let batch = keep.of(batch(row));
    let event_id = keep.of(event_id(row));
    let event_type = keep.of(parse_event_type(&row.event_type));
    let handshake = keep.of(handshake(row));
    let answer = keep.of(answer(row));
    let max_body = keep.of(max_body(row));
    let (proof, syntax, timestamp) = (proof?, syntax?, timestamp?);
    keep.of(auth::check_timestamp(timestamp.as_ref(), &proof, &syntax));
    let mut places = places?;
    Some(Scheme {
        signature: places.remove(0),
        further_signatures: places,
        syntax,
        set_separator: row.set_separator.clone(),
        repeatable: row.repeatable,
        auth: proof,
        body_unsigned: row.body_unsigned,
        url_default_port: row.url_default_port,
        secret_decoding: decoding?,
        secret_prefixes: row.secret_prefix.each().to_vec(),
        key_id: key_id?,
        keys: keys?,
        key_name: key_name?,
        required_headers: required?,
        timestamp,
        tolerance: tolerance?,
        header_aliases: aliases?,
        batch: batch?,
        event_id: event_id?,
        event_type: event_type?,
        handshake: handshake?,
        success_response: answer?,
        max_body: max_body?,
        further_private: private?,
    })
}

struct Keep<'a>(&'a mut Vec<RowError>);

impl Keep<'_> {
    fn of<T>(&mut self, part: Result<T, RowError>) -> Option<T> {
        part.map_err(|error| self.0.push(error)).ok()
    }
}

pub(crate) fn word<T: Copy>(
    key: &'static str,
    written: Option<&str>,
    default: &str,
    known: &[(&str, T)],
) -> Result<T, RowError> {
    let written = written.unwrap_or(default);
    known.iter().find(|(name, _)| *name == written).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        RowError::new(key, format!("`{written}` is none of {}", names.join(", ")))
    })
}

/// Where signatures are, at least one place.
fn places(row: &ProviderRow) -> Result<Vec<ValueLocation>, RowError> {
    let places: Vec<_> =
        row.signature.each().iter().map(|text| ValueLocation::parse("signature", text)).collect::<Result<_, _>>()?;
    let of_items = places.iter().filter(|place| matches!(place, ValueLocation::Item(_))).count();
    let wrong = |message: &str| Err(RowError::new("signature", message));
    match places.len() {
        0 => wrong("names no place"),
        1.. if of_items > 0 && row.batch.is_none() => wrong("is in an item, and there is no `batch`"),
        2.. if of_items > 0 => wrong("is in an item, and so in one place alone"),
        _ => Ok(places),
    }
}

fn wanted(key: &'static str, value: Option<&String>, syntax: &str) -> Result<String, RowError> {
    match value {
        Some(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(RowError::new(key, format!("is missing, and syntax `{syntax}` needs it"))),
    }
}

fn syntax(row: &ProviderRow) -> Result<SignatureSyntax, RowError> {
    match row.syntax.as_deref().unwrap_or("plain") {
        "plain" => Ok(SignatureSyntax::Plain),
        name @ "prefixed" => {
            let prefix = wanted("prefix", row.prefix.as_ref(), name)?;
            Ok(SignatureSyntax::Prefixed { prefix, is_optional: row.prefix_optional })
        }
        name @ "kv_list" => Ok(SignatureSyntax::KvList {
            item_separator: wanted("item_separator", row.item_separator.as_ref(), name)?,
            kv_separator: wanted("kv_separator", row.kv_separator.as_ref(), name)?,
            field: wanted("field", row.field.as_ref(), name)?,
            first_only: row.first_only,
        }),
        name @ "positional" => Ok(SignatureSyntax::Positional {
            item_separator: wanted("item_separator", row.item_separator.as_ref(), name)?,
        }),
        other => Err(RowError::new("syntax", format!("`{other}` is none of plain, prefixed, kv_list, positional"))),
    }
}

fn tolerance(row: &ProviderRow) -> Result<Option<Duration>, RowError> {
    let wrong = |message: String| RowError::new("tolerance", message);
    let Some(written) = &row.tolerance else { return Ok(row.timestamp.as_ref().map(|_| DEFAULT_TOLERANCE)) };
    let span = humantime::parse_duration(written)
        .map_err(|why| wrong(format!("`{written}` is no duration: {why}")).hint("such as \"5m\""))?;
    Ok(Some(span))
}

fn names<'a>(key: &'static str, written: impl Iterator<Item = &'a String>) -> Result<Vec<String>, RowError> {
    written
        .map(|name| header_name(name).map(|name| name.to_ascii_lowercase()))
        .collect::<Result<_, _>>()
        .map_err(|why: String| RowError::new(key, why))
}

fn header_aliases(row: &ProviderRow) -> Result<BTreeMap<String, Vec<String>>, RowError> {
    let key = "header_aliases";
    let own = names(key, row.header_aliases.keys())?;
    let others = row.header_aliases.values().map(|others| names(key, others.iter()));
    Ok(own.into_iter().zip(others.collect::<Result<Vec<_>, _>>()?).collect())
}

fn required_headers(row: &ProviderRow) -> Result<Vec<(String, String)>, RowError> {
    let own = names("required_headers", row.required_headers.keys())?;
    Ok(own.into_iter().zip(row.required_headers.values().cloned()).collect())
}

fn batch(row: &ProviderRow) -> Result<Option<BatchLocation>, RowError> {
    row.batch.as_deref().map(BatchLocation::parse).transpose().map_err(|why| RowError::new("batch", why))
}

fn event_id(row: &ProviderRow) -> Result<EventId, RowError> {
    if row.event_id.is_empty() { Ok(EventId::default()) } else { parse_event_id(&row.event_id) }
}

fn handshake(row: &ProviderRow) -> Result<Option<&'static Handshake>, RowError> {
    let Some(name) = row.handshake.as_deref() else { return Ok(None) };
    Handshake::find(name).map(Some).ok_or_else(|| {
        let names: Vec<_> = Handshake::all().map(|(name, _)| name).collect();
        RowError::new("handshake", format!("`{name}` is none of {}", names.join(", ")))
    })
}

fn answer(row: &ProviderRow) -> Result<Option<SuccessResponse>, RowError> {
    if row.answer_status.is_none() && row.answer_body.is_none() && row.answer_content_type.is_none() {
        return Ok(None);
    }
    let status = row.answer_status.unwrap_or(200);
    if !(200..300).contains(&status) {
        let message = format!("{status} does not say that a delivery was taken");
        return Err(RowError::new("answer_status", message).hint("from 200 to 299"));
    }
    let content_type = row.answer_content_type.clone().unwrap_or_else(|| "text/plain".to_owned());
    if content_type.is_empty() || !content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(RowError::new("answer_content_type", "is no media type").hint("such as \"text/plain\""));
    }
    Ok(Some(SuccessResponse { status, content_type, body: row.answer_body.clone() }))
}

fn max_body(row: &ProviderRow) -> Result<Option<u64>, RowError> {
    let read = |written: &String| {
        written
            .parse::<bytesize::ByteSize>()
            .map(|size| size.as_u64())
            .map_err(|why| RowError::new("max_body", format!("`{written}` is no size: {why}")).hint("such as \"8MiB\""))
    };
    row.max_body.as_ref().map(read).transpose()
}

/// Keys that mean nothing beside the others: left in silence they would look as if they did.
fn misfits(row: &ProviderRow) -> Vec<RowError> {
    let (signed, jwt) = (is_signed(row), row.algorithm == "jwt");
    let syntax = row.syntax.as_deref().unwrap_or("plain");
    let (prefixed, list) = (syntax == "prefixed", syntax == "kv_list");
    let items = list || syntax == "positional";
    let template = "a signature over a template";
    let keyed = "a signature, and a token is none";
    let belongs = [
        ("prefix", row.prefix.is_some(), prefixed, "syntax `prefixed`"),
        ("prefix_optional", row.prefix_optional, prefixed, "syntax `prefixed`"),
        ("item_separator", row.item_separator.is_some(), items, "syntax `kv_list` or `positional`"),
        ("kv_separator", row.kv_separator.is_some(), list, "syntax `kv_list`"),
        ("field", row.field.is_some(), list, "syntax `kv_list`"),
        ("first_only", row.first_only, list, "syntax `kv_list`"),
        ("encoding", row.encoding.is_some(), signed, keyed),
        ("secret_decoding", row.secret_decoding.is_some(), signed || jwt, keyed),
        ("secret_prefix", !row.secret_prefix.each().is_empty(), signed || jwt, keyed),
        ("signed_content", !row.signed_content.each().is_empty(), signed, keyed),
        ("algorithm_choices", !row.algorithm_choices.is_empty(), signed || jwt, keyed),
        ("algorithm_header", row.algorithm_header.is_some(), signed, template),
        ("url_default_port", row.url_default_port, signed, template),
        ("body_unsigned", row.body_unsigned, signed || jwt, keyed),
        ("jwt_algorithms", !row.jwt_algorithms.is_empty(), jwt, "algorithm `jwt`"),
        ("claims", !row.claims.is_empty(), jwt, "algorithm `jwt`"),
        ("required_claims", !row.required_claims.is_empty(), jwt, "algorithm `jwt`"),
        ("empty_body_unclaimed", row.empty_body_unclaimed, jwt, "algorithm `jwt`"),
        ("timestamp", row.timestamp.is_some(), signed || jwt || is_code(row), keyed),
        ("timestamp_unit", row.timestamp_unit.is_some(), row.timestamp.is_some(), "`timestamp`"),
        ("tolerance", row.tolerance.is_some(), row.timestamp.is_some(), "`timestamp`"),
    ];
    let misfit = |(_, written, fits, _): &(&'static str, bool, bool, &str)| *written && !fits;
    let error = |(key, _, _, with): (&'static str, bool, bool, &str)| {
        RowError::new(key, format!("means something only with {with}"))
    };
    belongs.into_iter().filter(misfit).map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{Algorithm, AuthMethod, Encoding, Hash, TemplateSegment, TemplateSignature};

    fn errors(toml: &str) -> Vec<String> {
        let row: ProviderRow = toml::from_str(toml).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(ToString::to_string).collect(), |_| vec![])
    }

    fn keys(toml: &str) -> Vec<&'static str> {
        let row: ProviderRow = toml::from_str(toml).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(|error| error.key).collect(), |_| vec![])
    }

    #[test]
    fn the_shortest_row_signs_the_body_in_hex() {
        let row: ProviderRow = toml::from_str("signature = 'header:X-Sig'\nalgorithm = 'hmac-sha256'").unwrap();
        let scheme = Scheme::from_row(&row).unwrap();
        let (algorithm, encoding) = (Algorithm::Hmac(Hash::Sha256), Encoding::Hex);
        let contents = vec![vec![TemplateSegment::Body]];
        assert_eq!(
            scheme.auth,
            AuthMethod::Signature(TemplateSignature { algorithm, by_header: None, encoding, contents })
        );
        assert_eq!((scheme.timestamp, scheme.tolerance), (None, None));
        assert_eq!(scheme.event_id, EventId::default());
    }

    #[test]
    fn all_errors_of_a_row_come_at_once() {
        let row = "signature = 'X-Sig'
            algorithm = 'hmac-sha255'
            syntax = 'kv_list'
            secret_decoding = 'rot13'
            timestamp = 'field:'
            timestamp_unit = 'h'
            tolerance = 'soon'
            event_id = ['id']
            event_type = ['body']
            handshake = 'wave'
            private_headers = ['a b']
            header_aliases = { a = ['b c'] }
            max_body = 'much'";
        let found = keys(row);
        for key in [
            "signature",
            "algorithm",
            "item_separator",
            "secret_decoding",
            "timestamp_unit",
            "tolerance",
            "event_id",
            "event_type",
            "handshake",
            "private_headers",
            "header_aliases",
            "max_body",
        ] {
            assert!(found.contains(&key), "{key} is not in {found:?}");
        }
    }

    #[test]
    fn an_unknown_algorithm_is_refused_with_the_known_ones() {
        assert_eq!(
            errors("signature = 'header:X'\nalgorithm = 'none'"),
            ["`algorithm`: `none` is none of hmac-sha256, hmac-sha1, hmac-sha512, hmac-md5, sha256, sha1, ed25519, \
              ecdsa-p256-sha256, rsa-sha256, rsa-sha1, jwt, token, basic, bearer, aws-sns, paypal, ebay"]
        );
    }

    #[test]
    fn keys_without_meaning_beside_the_others_are_refused() {
        let token = "signature = 'header:X'\nalgorithm = 'token'\n";
        for (key, value) in [("encoding", "hex"), ("secret_decoding", "hex"), ("signed_content", "{body}")] {
            assert_eq!(keys(&format!("{token}{key} = '{value}'")), [key]);
        }
        let plain = "signature = 'header:X'\nalgorithm = 'hmac-sha256'\n";
        for key in ["prefix", "item_separator", "kv_separator", "field"] {
            assert_eq!(keys(&format!("{plain}{key} = 'x'")), [key]);
        }
        assert_eq!(keys(&format!("{plain}tolerance = '5m'")), ["tolerance"]);
    }

    #[test]
    fn a_timestamp_is_signed_or_there_is_none() {
        let plain = "signature = 'header:X'\nalgorithm = 'hmac-sha256'\n";
        assert_eq!(keys(&format!("{plain}timestamp = 'header:T'")), ["signed_content"]);
        assert_eq!(keys(&format!("{plain}signed_content = '{{timestamp}}{{body}}'")), ["timestamp"]);
        assert_eq!(
            keys(&format!("{plain}timestamp = 'field:t'\nsigned_content = '{{timestamp}}{{body}}'")),
            ["timestamp"]
        );
    }

    #[test]
    fn signatures_and_tokens_are_private_and_tokens_are_masked() {
        let scheme = |name: &str| Scheme::from_row(crate::providers::find(name).unwrap()).unwrap();
        let gitlab = scheme("gitlab");
        assert!(gitlab.token_headers().contains(&"x-gitlab-token".to_owned()));
        let github = scheme("github");
        assert_eq!(github.token_headers(), ["authorization", "cookie", "proxy-authorization", "x-api-key"]);
        assert!(github.private_headers().contains(&"x-hub-signature".to_owned()));
        let svix = scheme("svix").private_headers();
        for name in ["svix-signature", "webhook-signature", "authorization", "cookie"] {
            assert!(svix.contains(&name.to_owned()), "{name}");
        }
    }
}
