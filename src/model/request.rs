//! An HTTP request as received: method, target, headers and the exact bytes of the body.
//!
//! It is not verified yet. It does not depend on the web framework, so that `send` and tests can build it too.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::support::time::Millis;

#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`; others for handshakes.
    pub method: String,
    /// The path as received, still percent-encoded: `/hooks/github`.
    pub path: String,
    /// The query as received, without `?`; may be empty.
    pub query: String,
    pub headers: Headers,
    pub body: Bytes,
    /// When the last byte arrived.
    pub received_at: Millis,
}

/// Header fields in the order received, in one buffer. Names are case-insensitive (RFC 9110, 5.1).
#[derive(Debug, Clone, Default)]
pub struct Headers {
    text: Vec<u8>,
    fields: Vec<HeaderSpan>,
}

#[derive(Debug, Clone, Copy)]
struct HeaderSpan {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Headers {
    /// Appends a field. Names may repeat.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let name_end = self.text.len();
        self.text.extend_from_slice(value);
        self.fields.push(HeaderSpan { start, name_end, end: self.text.len() });
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            let name = std::str::from_utf8(&self.text[field.start..field.name_end]).unwrap_or_default();
            (name, &self.text[field.name_end..field.end])
        })
    }

    /// As [`Headers::iter`], with names as bytes.
    pub fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (&self.text[field.start..field.name_end], &self.text[field.name_end..field.end]))
    }

    /// All names and values, concatenated.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_named =
            move |field: &&HeaderSpan| self.text[field.start..field.name_end].eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| &self.text[field.name_end..field.end])
    }

    /// The value of a header. Repetitions with the same value count as one; with different values they are an error.
    pub fn one<'a>(&'a self, name: &str) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|value| Some(value) != first) { Err(Repeated) } else { Ok(first) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header came several times with different values")]
pub struct Repeated;

/// A stored value that is not UTF-8 is an object with this one key, whose text has one character per byte.
pub const LATIN1: &str = "latin1";

/// Reads headers as the inbox stores them: one JSON object, in order. A list is several fields. Anything else is empty.
pub fn stored_headers(json: &str) -> Vec<(String, String)> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => latin1(&other).map_or_else(|| other.to_string(), ToOwned::to_owned),
    };
    fields(json).map(|(name, value)| (name, text(value))).collect()
}

/// As [`stored_headers`], with values as the received bytes.
pub fn stored_fields(json: &str) -> Vec<(String, Vec<u8>)> {
    let one_byte = |character: char| u8::try_from(character).unwrap_or(b'?');
    let bytes = |value: Value| match value {
        Value::String(text) => text.into_bytes(),
        other => latin1(&other).map_or_else(|| other.to_string().into(), |text| text.chars().map(one_byte).collect()),
    };
    fields(json).map(|(name, value)| (name, bytes(value))).collect()
}

fn latin1(value: &Value) -> Option<&str> {
    value.get(LATIN1)?.as_str()
}

fn fields(json: &str) -> impl Iterator<Item = (String, Value)> + use<> {
    let each = |(name, value): (String, Value)| {
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        values.into_iter().map(move |value| (name.clone(), value))
    };
    header_pairs(json).into_iter().flat_map(each)
}

/// Names and JSON values of stored headers, in order; empty if they are not an object.
pub fn header_pairs(json: &str) -> Vec<(String, Value)> {
    serde_json::from_str::<Pairs>(json).unwrap_or_default().0
}

#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Pairs {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Pairs, A::Error> {
        while let Some(pair) = map.next_entry()? {
            self.0.push(pair);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive_and_values_keep_their_order() {
        let mut headers = Headers::default();
        headers.push("X-One", b"1");
        headers.push("x-two", b"a");
        headers.push("X-Two", b"b");
        assert_eq!(headers.one("x-ONE"), Ok(Some(&b"1"[..])));
        assert_eq!(headers.one("x-three"), Ok(None));
        assert_eq!(headers.one("x-two"), Err(Repeated));
        assert_eq!(headers.all("X-TWO").collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn stored_headers_keep_their_order_and_lists_are_several_fields() {
        let pairs = |json| stored_headers(json).into_iter().map(|(name, value)| format!("{name}={value}"));
        assert_eq!(pairs(r#"{"b":"1","a":["2","3"],"c":4}"#).collect::<Vec<_>>(), ["b=1", "a=2", "a=3", "c=4"]);
        assert_eq!(pairs("[]").count() + pairs("{").count(), 0);
    }

    #[test]
    fn stored_value_that_is_not_utf8_keeps_its_bytes() {
        let json = r#"{"a":{"latin1":"raw\u00ff"},"b":["\u00ff",{"latin1":"\u00ff"}]}"#;
        let fields: Vec<_> = stored_fields(json).into_iter().map(|(_, value)| value).collect();
        assert_eq!(fields, [&b"raw\xff"[..], "ÿ".as_bytes(), b"\xff"]);
        assert_eq!(stored_headers(json)[0].1, "rawÿ");
    }

    #[test]
    fn header_repeated_with_the_same_value_is_one() {
        let mut headers = Headers::default();
        headers.push("x", b"1");
        headers.push("X", b"1");
        assert_eq!(headers.one("x"), Ok(Some(&b"1"[..])));
    }
}
