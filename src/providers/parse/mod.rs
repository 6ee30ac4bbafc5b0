//! Turns a row as written into a [`Scheme`].
//!
//! All errors of a row are reported together, each under its key. Missing keys get their defaults here. A key that has no
//! effect is an error, and so is an unknown value; nothing ever means "accept everything".

mod alternatives;
mod auth;
mod identity;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::auth::AuthMethod;
use super::handshake::Handshake;
use super::row::{ProviderRow, RowError};
use super::scheme::{Scheme, SecretDecoding, SignatureSyntax, SuccessResponse, WrittenRow};
use super::selectors::{BatchLocation, ValueLocation, header_name};
use auth::{is_builtin, one_of, signs_template};

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

impl Scheme {
    /// Parses a row that a source's own settings were merged into. A row without `event_id` is accepted; the
    /// configuration decides what that means.
    pub fn from_row(row: &ProviderRow) -> Result<Self, Vec<RowError>> {
        if let Some(reason) = &row.unsupported {
            let message = format!("hookbox cannot verify its deliveries yet: {reason}");
            return Err(vec![RowError::new("unsupported", message)]);
        }
        let mut errors = Errors(ineffective_keys(row));
        match parse(row, &mut errors) {
            Some(scheme) if errors.0.is_empty() => {
                let alternatives = alternatives::read(row)?;
                Ok(Self { alternatives, ..scheme })
            }
            _ => Err(errors.0),
        }
    }
}

struct Errors(Vec<RowError>);

impl Errors {
    fn collect<T>(&mut self, part: Result<T, RowError>) -> Option<T> {
        part.map_err(|error| self.0.push(error)).ok()
    }
}

/// Parses every part before using any, so that all errors are collected.
fn parse(row: &ProviderRow, errors: &mut Errors) -> Option<Scheme> {
    let location = |key, written: &Option<String>| {
        written.as_deref().map(|written| ValueLocation::parse(key, written)).transpose()
    };
    let signatures = errors.collect(signatures(row));
    let syntax = errors.collect(syntax(row));
    let auth = errors.collect(auth::auth_method(row));
    let text = if auth.as_ref().is_some_and(AuthMethod::takes_public_key) { "pem" } else { "utf8" };
    let decoding = row.secret_decoding.as_deref().unwrap_or(text);
    let secret_decoding = errors.collect(one_of("secret_decoding", decoding, SECRET_DECODINGS));
    let timestamp = errors.collect(auth::timestamp(row));
    let tolerance = errors.collect(tolerance(row));
    let header_aliases = errors.collect(header_aliases(row));
    let further_private = errors.collect(header_names("private_headers", row.private_headers.iter()));
    let required_headers = errors.collect(required_headers(row));
    let key_id = errors.collect(location("key_id", &row.key_id));
    let key_name = errors.collect(location("key_name", &row.key_name));
    let keys = errors.collect(auth::key_source(row));
    let batch = row.batch.as_deref().map(BatchLocation::parse).transpose();
    let batch = errors.collect(batch.map_err(|why| RowError::new("batch", why)));
    let event_type = errors.collect(identity::parse_event_type(&row.event_type));
    let event_id = errors.collect(identity::event_id(row, event_type.as_ref()));
    let handshake = errors.collect(handshake(row));
    let success_response = errors.collect(success_response(row));
    let max_body = errors.collect(max_body(row));
    let (auth, syntax, timestamp) = (auth?, syntax?, timestamp?);
    errors.collect(auth::check_timestamp(timestamp.as_ref(), &auth, &syntax));
    let mut signatures = signatures?;
    Some(Scheme {
        alternatives: Vec::new(),
        row: WrittenRow(Arc::new(row.clone())),
        signature: signatures.remove(0),
        further_signatures: signatures,
        syntax,
        set_separator: row.set_separator.clone(),
        repeatable: row.repeatable,
        auth,
        body_unsigned: row.body_unsigned,
        signs_unpacked: row.signs_unpacked,
        secret_decoding: secret_decoding?,
        secret_prefixes: row.secret_prefix.each().to_vec(),
        key_id: key_id?,
        keys: keys?,
        key_name: key_name?,
        required_headers: required_headers?,
        timestamp,
        tolerance: tolerance?,
        header_aliases: header_aliases?,
        batch: batch?,
        event_id: event_id?,
        event_type: event_type?,
        handshake: handshake?,
        success_response: success_response?,
        max_body: max_body?,
        further_private: further_private?,
    })
}

/// Where signatures are; at least one location.
fn signatures(row: &ProviderRow) -> Result<Vec<ValueLocation>, RowError> {
    let locations: Vec<_> =
        row.signature.each().iter().map(|text| ValueLocation::parse("signature", text)).collect::<Result<_, _>>()?;
    let is_in_item = locations.iter().any(|location| matches!(location, ValueLocation::Item(_)));
    let wrong = |message: &str| Err(RowError::new("signature", message));
    match locations.len() {
        0 => wrong("names no location"),
        1.. if is_in_item && row.batch.is_none() => wrong("is in an item, but there is no `batch`"),
        2.. if is_in_item => wrong("is in an item and must be the only location"),
        _ => Ok(locations),
    }
}

fn syntax(row: &ProviderRow) -> Result<SignatureSyntax, RowError> {
    let name = row.syntax.as_deref().unwrap_or("plain");
    let required = |key: &'static str, value: &Option<String>| match value {
        Some(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(RowError::new(key, format!("is missing; syntax `{name}` requires it"))),
    };
    match name {
        "plain" => Ok(SignatureSyntax::Plain),
        "prefixed" => {
            let prefix = required("prefix", &row.prefix)?;
            Ok(SignatureSyntax::Prefixed { prefix, is_optional: row.prefix_optional })
        }
        "kv_list" => Ok(SignatureSyntax::KvList {
            item_separator: required("item_separator", &row.item_separator)?,
            kv_separator: required("kv_separator", &row.kv_separator)?,
            field: required("field", &row.field)?,
            first_only: row.first_only,
        }),
        "positional" => {
            Ok(SignatureSyntax::Positional { item_separator: required("item_separator", &row.item_separator)? })
        }
        other => Err(RowError::new("syntax", format!("`{other}` is none of plain, prefixed, kv_list, positional"))),
    }
}

fn tolerance(row: &ProviderRow) -> Result<Option<Duration>, RowError> {
    let Some(written) = &row.tolerance else { return Ok(row.timestamp.as_ref().map(|_| DEFAULT_TOLERANCE)) };
    let wrong =
        |why| RowError::new("tolerance", format!("`{written}` is not a duration: {why}")).hint("such as \"5m\"");
    humantime::parse_duration(written).map(Some).map_err(wrong)
}

fn header_names<'a>(key: &'static str, written: impl Iterator<Item = &'a String>) -> Result<Vec<String>, RowError> {
    written
        .map(|name| header_name(name).map(|name| name.to_ascii_lowercase()))
        .collect::<Result<_, _>>()
        .map_err(|why: String| RowError::new(key, why))
}

fn header_aliases(row: &ProviderRow) -> Result<BTreeMap<String, Vec<String>>, RowError> {
    let key = "header_aliases";
    let own = header_names(key, row.header_aliases.keys())?;
    let others = row.header_aliases.values().map(|others| header_names(key, others.iter()));
    Ok(own.into_iter().zip(others.collect::<Result<Vec<_>, _>>()?).collect())
}

fn required_headers(row: &ProviderRow) -> Result<Vec<(String, String)>, RowError> {
    let own = header_names("required_headers", row.required_headers.keys())?;
    Ok(own.into_iter().zip(row.required_headers.values().cloned()).collect())
}

fn handshake(row: &ProviderRow) -> Result<Option<&'static Handshake>, RowError> {
    let Some(name) = row.handshake.as_deref() else { return Ok(None) };
    Handshake::find(name).map(Some).ok_or_else(|| {
        let names: Vec<_> = Handshake::all().map(|(name, _)| name).collect();
        RowError::new("handshake", format!("`{name}` is none of {}", names.join(", ")))
    })
}

fn success_response(row: &ProviderRow) -> Result<Option<SuccessResponse>, RowError> {
    if row.answer_status.is_none() && row.answer_body.is_none() && row.answer_content_type.is_none() {
        return Ok(None);
    }
    let status = row.answer_status.unwrap_or(200);
    if !(200..300).contains(&status) {
        let message = format!("{status} would tell the provider that the delivery was not accepted");
        return Err(RowError::new("answer_status", message).hint("from 200 to 299"));
    }
    let content_type = row.answer_content_type.clone().unwrap_or_else(|| "text/plain".to_owned());
    if content_type.is_empty() || !content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(RowError::new("answer_content_type", "is not a media type").hint("such as \"text/plain\""));
    }
    // These responses have no body (RFC 9110, 15.3.5 and 15.3.6).
    let is_empty = matches!(status, 204 | 205);
    match &row.answer_body {
        Some(body) if is_empty && !body.is_empty() => {
            Err(RowError::new("answer_body", format!("must be empty, since a {status} has no body")))
        }
        body => Ok(Some(SuccessResponse { status, content_type, body: body.clone().or(is_empty.then(String::new)) })),
    }
}

fn max_body(row: &ProviderRow) -> Result<Option<u64>, RowError> {
    let Some(written) = &row.max_body else { return Ok(None) };
    let wrong = |why| RowError::new("max_body", format!("`{written}` is not a size: {why}")).hint("such as \"8MiB\"");
    written.parse::<bytesize::ByteSize>().map(|size| Some(size.as_u64())).map_err(wrong)
}

/// Errors for keys that have no effect in combination with the others. Without these errors they would seem to have one.
fn ineffective_keys(row: &ProviderRow) -> Vec<RowError> {
    let (template, jwt) = (signs_template(row), row.algorithm == "jwt");
    let syntax = row.syntax.as_deref().unwrap_or("plain");
    let (prefixed, list) = (syntax == "prefixed", syntax == "kv_list");
    let items = list || syntax == "positional";
    let signed = "an algorithm that signs";
    let requirements = [
        ("prefix", row.prefix.is_some(), prefixed, "syntax `prefixed`"),
        ("prefix_optional", row.prefix_optional, prefixed, "syntax `prefixed`"),
        ("item_separator", row.item_separator.is_some(), items, "syntax `kv_list` or `positional`"),
        ("kv_separator", row.kv_separator.is_some(), list, "syntax `kv_list`"),
        ("field", row.field.is_some(), list, "syntax `kv_list`"),
        ("first_only", row.first_only, list, "syntax `kv_list`"),
        ("encoding", row.encoding.is_some(), template, signed),
        ("secret_decoding", row.secret_decoding.is_some(), template || jwt, signed),
        ("secret_prefix", !row.secret_prefix.each().is_empty(), template || jwt, signed),
        ("signed_content", !row.signed_content.each().is_empty(), template, signed),
        ("algorithm_choices", !row.algorithm_choices.is_empty(), template || jwt, signed),
        ("algorithm_header", row.algorithm_header.is_some(), template, "an algorithm that signs a template"),
        ("body_unsigned", row.body_unsigned, template || jwt, signed),
        ("signs_unpacked", row.signs_unpacked, template || jwt, signed),
        ("jwt_algorithms", !row.jwt_algorithms.is_empty(), jwt, "algorithm `jwt`"),
        ("claims", !row.claims.is_empty(), jwt, "algorithm `jwt`"),
        ("required_claims", !row.required_claims.is_empty(), jwt, "algorithm `jwt`"),
        ("empty_body_unclaimed", row.empty_body_unclaimed, jwt, "algorithm `jwt`"),
        ("timestamp", row.timestamp.is_some(), template || jwt || is_builtin(row), signed),
        ("timestamp_unit", row.timestamp_unit.is_some(), row.timestamp.is_some(), "`timestamp`"),
        ("answer_content_type", row.answer_content_type.is_some(), row.answer_body.is_some(), "`answer_body`"),
        ("tolerance", row.tolerance.is_some(), row.timestamp.is_some(), "`timestamp`"),
    ];
    let ineffective = requirements.into_iter().filter(|(_, is_written, is_effective, _)| *is_written && !is_effective);
    ineffective.map(|(key, _, _, with)| RowError::new(key, format!("has an effect only with {with}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{Algorithm, AuthMethod, Encoding, EventId, Hash, TemplateSegment, TemplateSignature};

    fn errors(toml: &str) -> Vec<String> {
        let row: ProviderRow = toml::from_str(toml).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(ToString::to_string).collect(), |_| vec![])
    }

    fn keys(toml: &str) -> Vec<&'static str> {
        let row: ProviderRow = toml::from_str(toml).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(|error| error.key).collect(), |_| vec![])
    }

    #[test]
    fn shortest_row_signs_the_body_in_hex() {
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
    fn all_errors_of_a_row_are_reported_together() {
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
    fn unknown_algorithm_error_lists_the_known_ones() {
        assert_eq!(
            errors("signature = 'header:X'\nalgorithm = 'none'"),
            ["`algorithm`: `none` is none of hmac-sha256, hmac-sha1, hmac-sha512, hmac-md5, sha256, sha1, ed25519, \
              ecdsa-p256-sha256, rsa-sha256, rsa-sha1, jwt, token, basic, bearer, aws-sns, paypal, ebay"]
        );
    }

    #[test]
    fn keys_without_effect_are_rejected() {
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
    fn responses_without_a_body_have_none() {
        let plain = "signature = 'header:X'\nalgorithm = 'hmac-sha256'\n";
        let body = |rest: &str| {
            let row: ProviderRow = toml::from_str(&format!("{plain}{rest}")).unwrap();
            Scheme::from_row(&row).unwrap().success_response.unwrap().body
        };
        assert_eq!(body("answer_status = 204"), Some(String::new()));
        assert_eq!(body("answer_status = 202"), None);
        assert_eq!(keys(&format!("{plain}answer_status = 204\nanswer_body = 'OK'")), ["answer_body"]);
        assert_eq!(keys(&format!("{plain}answer_content_type = 'text/xml'")), ["answer_content_type"]);
    }

    #[test]
    fn unsigned_timestamps_are_rejected() {
        let plain = "signature = 'header:X'\nalgorithm = 'hmac-sha256'\n";
        assert_eq!(keys(&format!("{plain}timestamp = 'header:T'")), ["signed_content"]);
        assert_eq!(keys(&format!("{plain}signed_content = '{{timestamp}}{{body}}'")), ["timestamp"]);
        assert_eq!(
            keys(&format!("{plain}timestamp = 'field:t'\nsigned_content = '{{timestamp}}{{body}}'")),
            ["timestamp"]
        );
    }
}
