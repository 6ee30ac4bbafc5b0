//! Reads the ordering key of an event for a handler.
//!
//! A key is a non-empty string, a number as written, or a boolean. Null, lists, objects and redacted tokens are no keys.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::config::{MissingKey, OrderingKey, OrderingRule};
use crate::support::secret::MASK;

/// Longest key in bytes. Longer values are replaced by their digest.
const MAX_KEY_BYTES: usize = 200;
/// The key of events without one under `missing = "together"`. No other key is empty.
const SHARED_KEY: &str = "";

/// The ordering key of an event. `in_body` is called only if the key is in the body; `headers` are one JSON object.
pub(super) fn read<'a>(
    keyed: &OrderingRule,
    headers: &str,
    in_body: impl FnOnce() -> Option<&'a Value>,
) -> Option<String> {
    let found = match &keyed.key {
        OrderingKey::Pointer(_) => in_body().and_then(text),
        OrderingKey::Header(name) => header(headers, name).map(Cow::Owned),
    };
    match (found.filter(|text| !text.is_empty()), keyed.missing) {
        (Some(text), _) => Some(bounded(&text)),
        (None, MissingKey::Together) => Some(SHARED_KEY.to_owned()),
        (None, MissingKey::Alone) => None,
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(is_true) => Some(Cow::Borrowed(if *is_true { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn header(headers: &str, name: &str) -> Option<String> {
    let headers: Map<String, Value> = serde_json::from_str(headers).ok()?;
    let (_, value) = headers.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    match value {
        Value::String(text) if text != MASK => Some(text),
        _ => None,
    }
}

fn bounded(text: &str) -> String {
    if text.len() <= MAX_KEY_BYTES && !text.contains(char::is_control) {
        return text.to_owned();
    }
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OrderingMode;

    fn keyed(key: OrderingKey, missing: MissingKey) -> OrderingRule {
        OrderingRule { key, missing, mode: OrderingMode::InOrder }
    }

    #[test]
    fn strings_numbers_and_booleans_are_keys() {
        let at = |json: &str| {
            let body: Value = serde_json::from_str(json).unwrap();
            read(&keyed(OrderingKey::Pointer("/a/b".into()), MissingKey::Alone), "{}", || body.pointer("/a/b"))
        };
        for (json, expected) in [
            (r#"{"a":{"b":"cus_1"}}"#, Some("cus_1")),
            (r#"{"a":{"b":12345678901234567890123}}"#, Some("12345678901234567890123")),
            (r#"{"a":{"b":1.50}}"#, Some("1.50")),
            (r#"{"a":{"b":false}}"#, Some("false")),
            (r#"{"a":{"b":""}}"#, None),
            (r#"{"a":{"b":null}}"#, None),
            (r#"{"a":{"b":[1]}}"#, None),
            (r#"{"a":{"b":{}}}"#, None),
            (r#"{"a":[1]}"#, None),
            ("7", None),
        ] {
            assert_eq!(at(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn long_keys_and_control_characters_are_replaced_by_a_digest() {
        assert_eq!(bounded(&"x".repeat(200)), "x".repeat(200));
        let [one, other] = [bounded(&"x".repeat(201)), bounded(&"x".repeat(202))];
        assert_eq!((one.len(), one.starts_with("sha256:")), (71, true));
        assert_ne!(one, other);
        assert!(bounded("a\nb").starts_with("sha256:"));
    }

    #[test]
    fn header_key_ignores_case_and_redacted_values() {
        let headers = r#"{"X-Shop":"a, b","X-Token":"***"}"#;
        let at = |name: &str| read(&keyed(OrderingKey::Header(name.into()), MissingKey::Alone), headers, || None);
        assert_eq!(at("x-shop").as_deref(), Some("a, b"));
        assert_eq!((at("X-Token"), at("X-Other")), (None, None));
    }

    #[test]
    fn events_without_a_key_share_one_if_configured() {
        let together = keyed(OrderingKey::Pointer("/k".into()), MissingKey::Together);
        assert_eq!(read(&together, "{}", || None).as_deref(), Some(""));
    }
}
