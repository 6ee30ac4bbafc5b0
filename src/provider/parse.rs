//! From a row as written to a [`Scheme`]: every word known, keys that belong together, limits in their units.
//!
//! All errors of a row come out at once, each under its key, so that a user mends them in one go. What a
//! row does not say is filled in here; a word nobody knows is an error and never "accept everything".

use std::collections::BTreeMap;
use std::time::Duration;

use super::handshake::Handshake;
use super::row::{Row, RowError};
use super::scheme::{Encoding, Hash, Place, Proof, Scheme, Syntax, Timestamp, TimestampPlace, Unit};
use super::selector::{EventId, Selector, header_name, parse_event_id, parse_event_type};
use super::template::{self, Segment};

/// The window of a timestamp unless the row or the source says otherwise.
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

const ALGORITHMS: &[(&str, Option<Hash>)] =
    &[("hmac-sha256", Some(Hash::Sha256)), ("hmac-sha512", Some(Hash::Sha512)), ("token", None)];
const SIGNATURE_ENCODINGS: &[(&str, Encoding)] =
    &[("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];
const SECRET_DECODINGS: &[(&str, Encoding)] =
    &[("utf8", Encoding::Utf8), ("base64", Encoding::Base64), ("hex", Encoding::Hex)];
const UNITS: &[(&str, Unit)] = &[("s", Unit::Seconds), ("ms", Unit::Millis), ("rfc3339", Unit::Rfc3339)];

impl Scheme {
    /// Reads a row, into which a source's own settings are put before. A row without `event_id` is let through;
    /// whoever reads the configuration says what it means there.
    ///
    /// # Errors
    /// All of them at once.
    pub fn from_row(row: &Row) -> Result<Self, Vec<RowError>> {
        let mut errors = misfits(row);
        let mut keep = Keep(&mut errors);
        let proof = keep.of(proof(row));
        let place = keep.of(place("signature", &row.signature));
        let syntax = keep.of(syntax(row));
        let decoding = keep.of(word("secret_decoding", row.secret_decoding.as_deref(), "utf8", SECRET_DECODINGS));
        let timestamp = keep.of(timestamp(row));
        let tolerance = keep.of(tolerance(row));
        let aliases = keep.of(header_aliases(row));
        let private = keep.of(private_headers(row));
        let event_id = keep.of(event_id(row));
        let event_type = keep.of(parse_event_type(&row.event_type));
        let handshake = keep.of(handshake(row));
        let max_body = keep.of(max_body(row));
        let (Some(proof), Some(signature), Some(syntax), Some(secret_decoding)) = (proof, place, syntax, decoding)
        else {
            return Err(errors);
        };
        let (Some(timestamp), Some(tolerance), Some(header_aliases), Some(further_private)) =
            (timestamp, tolerance, aliases, private)
        else {
            return Err(errors);
        };
        let (Some(event_id), Some(event_type), Some(handshake), Some(max_body)) =
            (event_id, event_type, handshake, max_body)
        else {
            return Err(errors);
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let secret_prefix = row.secret_prefix.clone().unwrap_or_default();
        Ok(Self {
            signature,
            syntax,
            proof,
            secret_decoding,
            secret_prefix,
            timestamp,
            tolerance,
            header_aliases,
            event_id,
            event_type,
            handshake,
            max_body,
            further_private,
        })
    }
}

struct Keep<'a>(&'a mut Vec<RowError>);

impl Keep<'_> {
    fn of<T>(&mut self, part: Result<T, RowError>) -> Option<T> {
        part.map_err(|error| self.0.push(error)).ok()
    }
}

fn word<T: Copy>(key: &'static str, written: Option<&str>, default: &str, known: &[(&str, T)]) -> Result<T, RowError> {
    let written = written.unwrap_or(default);
    known.iter().find(|(name, _)| *name == written).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        RowError::new(key, format!("`{written}` is none of {}", names.join(", ")))
    })
}

fn place(key: &'static str, written: &str) -> Result<Place, RowError> {
    match Selector::parse(written) {
        Ok(Selector::Header(name)) => Ok(Place::Header(name)),
        Ok(Selector::Query(name)) => Ok(Place::Query(name)),
        _ => Err(RowError::new(key, format!("`{written}` is no place for it")).hint("write header:NAME or query:NAME")),
    }
}

fn wanted(key: &'static str, value: Option<&String>, syntax: &str) -> Result<String, RowError> {
    match value {
        Some(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(RowError::new(key, format!("is missing, and syntax `{syntax}` needs it"))),
    }
}

fn syntax(row: &Row) -> Result<Syntax, RowError> {
    match row.syntax.as_deref().unwrap_or("plain") {
        "plain" => Ok(Syntax::Plain),
        name @ "prefixed" => wanted("prefix", row.prefix.as_ref(), name).map(Syntax::Prefixed),
        name @ "kv_list" => Ok(Syntax::KvList {
            item_separator: wanted("item_separator", row.item_separator.as_ref(), name)?,
            kv_separator: wanted("kv_separator", row.kv_separator.as_ref(), name)?,
            field: wanted("field", row.field.as_ref(), name)?,
        }),
        other => Err(RowError::new("syntax", format!("`{other}` is none of plain, prefixed, kv_list"))),
    }
}

fn proof(row: &Row) -> Result<Proof, RowError> {
    let Some(hash) = word("algorithm", Some(&row.algorithm), "", ALGORITHMS)? else {
        return Ok(Proof::Token);
    };
    let encoding = word("encoding", row.encoding.as_deref(), "hex", SIGNATURE_ENCODINGS)?;
    let content = template::parse(row.signed_content.as_deref().unwrap_or("{body}"))?;
    match (content.contains(&Segment::Timestamp), &row.timestamp) {
        (true, None) => Err(RowError::new("timestamp", "is missing, and what is signed contains {timestamp}")),
        (false, Some(_)) => Err(RowError::new("signed_content", "leaves out the timestamp, so its age proves nothing")
            .hint("put {timestamp} where the provider has it, or drop `timestamp`")),
        _ => Ok(Proof::Hmac { hash, encoding, content }),
    }
}

fn timestamp(row: &Row) -> Result<Option<Timestamp>, RowError> {
    let unit = word("timestamp_unit", row.timestamp_unit.as_deref(), "s", UNITS)?;
    let Some(written) = &row.timestamp else { return Ok(None) };
    let place = match written.strip_prefix("field:") {
        Some(field) if !field.is_empty() && row.syntax.as_deref() == Some("kv_list") => {
            TimestampPlace::Field(field.to_owned())
        }
        Some(_) => return Err(RowError::new("timestamp", "only a signature of syntax `kv_list` has fields")),
        None => TimestampPlace::At(place("timestamp", written)?),
    };
    Ok(Some(Timestamp { place, unit }))
}

fn tolerance(row: &Row) -> Result<Option<Duration>, RowError> {
    let wrong = |message: String| RowError::new("tolerance", message);
    let Some(written) = &row.tolerance else { return Ok(row.timestamp.as_ref().map(|_| DEFAULT_TOLERANCE)) };
    let span = humantime::parse_duration(written)
        .map_err(|why| wrong(format!("`{written}` is no duration: {why}")).hint("such as \"5m\""))?;
    Ok(Some(span))
}

fn header_aliases(row: &Row) -> Result<BTreeMap<String, Vec<String>>, RowError> {
    let lower = |name: &String| header_name(name).map(|name| name.to_ascii_lowercase());
    let entry = |(name, others): (&String, &Vec<String>)| {
        Ok((lower(name)?, others.iter().map(lower).collect::<Result<_, _>>()?))
    };
    row.header_aliases
        .iter()
        .map(entry)
        .collect::<Result<_, _>>()
        .map_err(|why: String| RowError::new("header_aliases", why))
}

fn private_headers(row: &Row) -> Result<Vec<String>, RowError> {
    let lower = |name: &String| header_name(name).map(|name| name.to_ascii_lowercase());
    row.private_headers.iter().map(lower).collect::<Result<_, _>>().map_err(|why| RowError::new("private_headers", why))
}

fn event_id(row: &Row) -> Result<EventId, RowError> {
    if row.event_id.is_empty() { Ok(EventId::default()) } else { parse_event_id(&row.event_id) }
}

fn handshake(row: &Row) -> Result<Option<&'static Handshake>, RowError> {
    let Some(name) = row.handshake.as_deref() else { return Ok(None) };
    Handshake::find(name).map(Some).ok_or_else(|| {
        let names: Vec<_> = Handshake::all().map(|(name, _)| name).collect();
        RowError::new("handshake", format!("`{name}` is none of {}", names.join(", ")))
    })
}

fn max_body(row: &Row) -> Result<Option<u64>, RowError> {
    let read = |written: &String| {
        written
            .parse::<bytesize::ByteSize>()
            .map(|size| size.as_u64())
            .map_err(|why| RowError::new("max_body", format!("`{written}` is no size: {why}")).hint("such as \"8MiB\""))
    };
    row.max_body.as_ref().map(read).transpose()
}

/// Keys that mean nothing beside the others: left in silence they would look as if they did.
fn misfits(row: &Row) -> Vec<RowError> {
    let token = row.algorithm == "token";
    let syntax = row.syntax.as_deref().unwrap_or("plain");
    let belongs = [
        ("prefix", row.prefix.is_some(), syntax == "prefixed", "syntax `prefixed`"),
        ("item_separator", row.item_separator.is_some(), syntax == "kv_list", "syntax `kv_list`"),
        ("kv_separator", row.kv_separator.is_some(), syntax == "kv_list", "syntax `kv_list`"),
        ("field", row.field.is_some(), syntax == "kv_list", "syntax `kv_list`"),
        ("encoding", row.encoding.is_some(), !token, "a signature, and a token is none"),
        ("secret_decoding", row.secret_decoding.is_some(), !token, "a signature, and a token is none"),
        ("secret_prefix", row.secret_prefix.is_some(), !token, "a signature, and a token is none"),
        ("signed_content", row.signed_content.is_some(), !token, "a signature, and a token is none"),
        ("timestamp", row.timestamp.is_some(), !token, "a signature, and a token is none"),
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

    fn errors(toml: &str) -> Vec<String> {
        let row: Row = toml::from_str(toml).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(ToString::to_string).collect(), |_| vec![])
    }

    fn keys(toml: &str) -> Vec<&'static str> {
        let row: Row = toml::from_str(toml).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(|error| error.key).collect(), |_| vec![])
    }

    #[test]
    fn the_shortest_row_signs_the_body_in_hex() {
        let row: Row = toml::from_str("signature = 'header:X-Sig'\nalgorithm = 'hmac-sha256'").unwrap();
        let scheme = Scheme::from_row(&row).unwrap();
        assert_eq!(
            scheme.proof,
            Proof::Hmac { hash: Hash::Sha256, encoding: Encoding::Hex, content: vec![Segment::Body] }
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
            ["`algorithm`: `none` is none of hmac-sha256, hmac-sha512, token"]
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
    fn secrets_are_decoded_as_the_scheme_says() {
        let row: Row = toml::from_str(
            "signature = 'header:X'\nalgorithm = 'hmac-sha256'\nsecret_decoding = 'base64'\nsecret_prefix = 'whsec_'",
        )
        .unwrap();
        let scheme = Scheme::from_row(&row).unwrap();
        let key = |text: &str| scheme.key(&crate::secret::Secret::new(text));
        assert_eq!(key("whsec_YWI="), Ok(b"ab".to_vec()));
        assert_eq!(key("YWI"), Ok(b"ab".to_vec()));
        assert_eq!(key("whsec_"), Err("is empty".to_owned()));
        assert_eq!(key("hunter2!"), Err("is not base64 (after `whsec_`, which may be there or not)".to_owned()));
    }

    #[test]
    fn signatures_and_tokens_are_private_and_tokens_are_masked() {
        let scheme = |name: &str| Scheme::from_row(crate::provider::find(name).unwrap()).unwrap();
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
