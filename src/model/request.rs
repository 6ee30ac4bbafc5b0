//! A delivery as it came over the wire: method, target, headers and the exact bytes of the body.
//!
//! The listener fills it in and nothing has judged it yet. Free of the web framework, so that verification,
//! signing (`send`) and tests speak of the same thing.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::support::time::Millis;

/// One HTTP request, complete.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, and `GET` or others for handshakes.
    pub method: String,
    /// The path as received, percent-encoding kept: `/hooks/github`.
    pub path: String,
    /// What stands behind the `?`, as received; empty without one.
    pub query: String,
    /// All headers, by name.
    pub headers: Headers,
    /// The exact bytes.
    pub body: Bytes,
    /// When the request was complete.
    pub received_at: Millis,
}

/// Header fields in the order given, all in one buffer. Names compare without regard to case (RFC 9110, 5.1).
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
    /// Adds a field behind the others; a name may come several times.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let name_end = self.text.len();
        self.text.extend_from_slice(value);
        self.fields.push(HeaderSpan { start, name_end, end: self.text.len() });
    }

    /// Name and value of every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            let name = std::str::from_utf8(&self.text[field.start..field.name_end]).unwrap_or_default();
            (name, &self.text[field.name_end..field.end])
        })
    }

    /// Likewise, names as the bytes they came in.
    pub fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (&self.text[field.start..field.name_end], &self.text[field.name_end..field.end]))
    }

    /// All names and values, one behind the other.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Every value under a name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_named =
            move |field: &&HeaderSpan| self.text[field.start..field.name_end].eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| &self.text[field.name_end..field.end])
    }

    /// The value under a name. Repeated with the same value it still counts as one.
    ///
    /// # Errors
    /// [`Repeated`] when the name came with values that differ: which one was meant is not guessed at.
    pub fn one<'a>(&'a self, name: &str) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|value| Some(value) != first) { Err(Repeated) } else { Ok(first) }
    }
}

/// A header came several times with values that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header came several times with different values")]
pub struct Repeated;

/// Among stored headers stands for a value that is not UTF-8: an object with this one key, and a character for each byte.
pub const LATIN1: &str = "latin1";

/// Names and values of headers as the inbox stores them: one JSON object, in its own order. A list is as many fields;
/// anything but an object is no headers.
#[must_use]
pub fn stored_headers(json: &str) -> Vec<(String, String)> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => latin1(&other).map_or_else(|| other.to_string(), ToOwned::to_owned),
    };
    fields(json).map(|(name, value)| (name, text(value))).collect()
}

/// Likewise, values as the bytes that came.
#[must_use]
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

/// Names and values of stored headers as they are in the JSON object, in its order; none if it is not an object.
#[must_use]
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
    fn names_compare_without_regard_to_case_and_values_keep_their_order() {
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
    fn stored_headers_keep_their_order_and_a_list_is_as_many_fields() {
        let pairs = |json| stored_headers(json).into_iter().map(|(name, value)| format!("{name}={value}"));
        assert_eq!(pairs(r#"{"b":"1","a":["2","3"],"c":4}"#).collect::<Vec<_>>(), ["b=1", "a=2", "a=3", "c=4"]);
        assert_eq!(pairs("[]").count() + pairs("{").count(), 0);
    }

    #[test]
    fn a_stored_value_that_is_not_utf8_comes_back_as_its_bytes() {
        let json = r#"{"a":{"latin1":"raw\u00ff"},"b":["\u00ff",{"latin1":"\u00ff"}]}"#;
        let fields: Vec<_> = stored_fields(json).into_iter().map(|(_, value)| value).collect();
        assert_eq!(fields, [&b"raw\xff"[..], "ÿ".as_bytes(), b"\xff"]);
        assert_eq!(stored_headers(json)[0].1, "rawÿ");
    }

    #[test]
    fn a_header_repeated_with_the_same_value_is_one() {
        let mut headers = Headers::default();
        headers.push("x", b"1");
        headers.push("X", b"1");
        assert_eq!(headers.one("x"), Ok(Some(&b"1"[..])));
    }
}
