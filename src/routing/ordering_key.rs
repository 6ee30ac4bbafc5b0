//! The value by which jobs of a handler belong together, read out of an event.
//!
//! Pure: a rule and the event's parts go in, a text of bounded length comes out, or none. Strings, numbers (as they were
//! written) and booleans are values; an empty string, null, a list, a table and a masked token are none.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::config::{MissingKey, OrderingKey, OrderingRule};
use crate::support::secret::MASK;

/// Bytes of a value that are kept as they are; of a longer one its digest stands for it.
const LONGEST: usize = 200;
/// Stands for the missing value where those without one belong together; no value is empty.
const TOGETHER: &str = "";

/// The value of one event. `in_body` is asked only where the value is in the body; `headers` are one JSON object.
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
        (None, MissingKey::Together) => Some(TOGETHER.to_owned()),
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
    if text.len() <= LONGEST && !text.contains(char::is_control) {
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
    fn texts_numbers_and_booleans_are_values_and_the_rest_is_none() {
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
    fn long_values_and_those_with_control_characters_are_stood_for_by_their_digest() {
        assert_eq!(bounded(&"x".repeat(200)), "x".repeat(200));
        let [one, other] = [bounded(&"x".repeat(201)), bounded(&"x".repeat(202))];
        assert_eq!((one.len(), one.starts_with("sha256:")), (71, true));
        assert_ne!(one, other);
        assert!(bounded("a\nb").starts_with("sha256:"));
    }

    #[test]
    fn a_header_is_found_in_any_case_and_a_masked_one_is_no_value() {
        let headers = r#"{"X-Shop":"a, b","X-Token":"***"}"#;
        let at = |name: &str| read(&keyed(OrderingKey::Header(name.into()), MissingKey::Alone), headers, || None);
        assert_eq!(at("x-shop").as_deref(), Some("a, b"));
        assert_eq!((at("X-Token"), at("X-Other")), (None, None));
    }

    #[test]
    fn those_without_a_value_belong_together_where_they_shall() {
        let together = keyed(OrderingKey::Pointer("/k".into()), MissingKey::Together);
        assert_eq!(read(&together, "{}", || None).as_deref(), Some(""));
    }
}
