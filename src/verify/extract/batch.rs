//! Splits a delivery that carries several events.
//!
//! Items are ranges of the bytes received (or unpacked), never serialized again. A body without the batch's array is one
//! event.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::form;
use crate::model::request::Request;
use crate::providers::BatchLocation;
use crate::verify::error::ExtractError;

/// The most events that one delivery may carry.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// The items, possibly none; `None` if the delivery itself is the one event.
pub(crate) fn split(batch: &BatchLocation, request: &Request) -> Result<Option<Vec<Bytes>>, ExtractError> {
    let document = match &batch.form {
        None => request.body.clone(),
        Some(name) => match form::body_field(request, name) {
            Ok(Some(Cow::Borrowed(value))) => request.body.slice_ref(value),
            Ok(Some(Cow::Owned(value))) => Bytes::from(value),
            Ok(None) | Err(_) => return Ok(None),
        },
    };
    let text = std::str::from_utf8(&document).unwrap_or_default();
    let Ok(whole) = serde_json::from_str::<&RawValue>(text.trim_start_matches('\u{feff}')) else { return Ok(None) };
    let is_array = |value: &&RawValue| value.get().starts_with('[');
    // Some providers have moved to CloudEvents, whose batches are an array at the root.
    let at_root = Some(whole).filter(|value| !batch.steps.is_empty() && batch.inner.is_empty() && is_array(value));
    let Some(array) = below(whole, &batch.steps).filter(is_array).or(at_root) else { return Ok(None) };
    let elements: Vec<&RawValue> = serde_json::from_str(array.get()).map_err(|_| ExtractError::NotJson)?;
    if elements.len() > MAX_ITEMS {
        return Err(ExtractError::InvalidBatch("more than 10,000 events"));
    }
    let item = |element: &&RawValue| {
        let item =
            below(element, &batch.inner).ok_or(ExtractError::InvalidBatch("an element of the array has no event"))?;
        Ok(document.slice_ref(item.get().as_bytes()))
    };
    elements.iter().map(item).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The value that steps lead to. The last of duplicate keys wins.
fn below<'a>(value: &'a RawValue, steps: &[String]) -> Option<&'a RawValue> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    let next: &'a RawValue = match value.get().as_bytes().first() {
        Some(b'{') => {
            let members: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(value.get()).ok()?;
            members.get(step.as_str()).copied()?
        }
        Some(b'[') => {
            let elements: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
            elements.get(step.parse::<usize>().ok()?).copied()?
        }
        _ => return None,
    };
    below(next, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Headers;
    use crate::providers::{ProviderRow, Scheme};
    use crate::support::time::Millis;

    fn items(batch: &str, content_type: &str, body: &str) -> Result<Option<Vec<String>>, ExtractError> {
        let row: ProviderRow =
            toml::from_str(&format!("signature = 'header:X'\nalgorithm = 'token'\nbatch = '{batch}'")).unwrap();
        let mut headers = Headers::default();
        headers.push("content-type", content_type.as_bytes());
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers,
            body: body.to_owned().into(),
            received_at: Millis(0),
        };
        let found = split(&Scheme::from_row(&row).unwrap().batch.unwrap(), &request)?;
        Ok(found.map(|items| items.iter().map(|item| String::from_utf8(item.to_vec()).unwrap()).collect()))
    }

    fn texts(texts: &[&str]) -> Result<Option<Vec<String>>, ExtractError> {
        Ok(Some(texts.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn items_are_the_exact_bytes_received() {
        let json = "application/json";
        assert_eq!(items("", json, "[ {\"a\": 1.50 } ,2]"), texts(&["{\"a\": 1.50 }", "2"]));
        assert_eq!(items("/a/b", json, r#"{"a":{"b":[1,{"x":"\u00e9"}]}}"#), texts(&["1", r#"{"x":"\u00e9"}"#]));
        assert_eq!(items("/a", json, r#"{"a":[1],"\u0061":[2]}"#), texts(&["2"]));
        assert_eq!(items("/a/*/b", json, r#"{"a":[{"b":{"c":1}},{"b":2}]}"#), texts(&[r#"{"c":1}"#, "2"]));
        assert_eq!(items("/a", json, r#"{"a":[]}"#), texts(&[]));
        assert_eq!(items("/a", json, r#"[{"id":1},{"id":2}]"#), texts(&[r#"{"id":1}"#, r#"{"id":2}"#]));
        let form = "application/x-www-form-urlencoded";
        assert_eq!(items("form:e", form, "x=1&e=%5B%7B%22a%22%3A+1%7D%5D"), texts(&["{\"a\": 1}"]));
    }

    #[test]
    fn body_without_the_array_is_one_event() {
        let json = "application/json";
        for (batch, body) in
            [("", "{}"), ("/a", "{}"), ("/a", r#"{"a":{}}"#), ("/a/0", r#"{"a":[1]}"#), ("form:e", "{}")]
        {
            assert_eq!(items(batch, json, body), Ok(None), "{batch} {body}");
        }
    }

    #[test]
    fn invalid_json_is_one_event_and_oversized_batches_are_rejected() {
        let json = "application/json";
        assert_eq!(items("", json, "[1,"), Ok(None));
        assert_eq!(items("/a", json, ""), Ok(None));
        assert_eq!(
            items("/a/*/b", json, r#"{"a":[{}]}"#),
            Err(ExtractError::InvalidBatch("an element of the array has no event"))
        );
        let many = format!("[{}1]", "1,".repeat(MAX_ITEMS));
        assert_eq!(items("", json, &many), Err(ExtractError::InvalidBatch("more than 10,000 events")));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(items("", json, &deep).unwrap().unwrap().len(), 1);
    }
}
