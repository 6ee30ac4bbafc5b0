//! Presents a body in another format as JSON, so that JSON pointers apply to it. JSON itself is never copied.
//!
//! A byte order mark is skipped; declared charsets and UTF-16 are converted; gzip, deflate and brotli are unpacked up to a
//! limit. A form or multipart body becomes an object of its fields: JSON in a field is embedded, and the members of
//! `payload` or `rawRequest` are members of the object itself. XML becomes nested objects, the root element included; of
//! repeated elements the first counts. Formats are recognised by their first bytes if no header names them.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::encoding::{self, MAX_UNPACKED};
use super::{form, xml};
use crate::support::json_paths::{JsonPaths, NotJson};

/// Form fields whose JSON is the whole message: GitHub, Slack and Plex; Jotform.
const MESSAGE_FIELDS: [&str; 2] = ["payload", "rawRequest"];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the headers say about a body.
#[derive(Debug, Clone, Default)]
pub struct BodyHeaders {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
}

impl BodyHeaders {
    /// Reads headers as the inbox stores them: one JSON object by name.
    pub fn stored(headers: &str) -> Self {
        let headers: Map<String, Value> = serde_json::from_str(headers).unwrap_or_default();
        let value = |name: &str| {
            let (_, value) = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
            value.as_str().map(ToOwned::to_owned)
        };
        Self { content_type: value("content-type"), content_encoding: value("content-encoding") }
    }
}

/// Reads the raw JSON values at a few places of a body in any format. `headers` is called unless the body is plain JSON.
pub fn read_values<T>(
    body: &[u8],
    headers: impl FnOnce() -> BodyHeaders,
    places: &JsonPaths,
    each: impl Fn(Option<&str>) -> T,
) -> Result<Vec<T>, NotJson> {
    if let Ok(values) = places.read(body) {
        return Ok(values.into_iter().map(each).collect());
    }
    let json = to_json(body, &headers()).ok_or(NotJson)?;
    Ok(places.read(&json)?.into_iter().map(each).collect())
}

/// The body as JSON; `None` if its format is unknown or broken. The result is not checked to be JSON.
pub(super) fn to_json<'a>(body: &'a [u8], headers: &BodyHeaders) -> Option<Cow<'a, [u8]>> {
    let encoding = headers.content_encoding.as_deref().or_else(|| body.starts_with(b"\x1f\x8b").then_some("gzip"));
    // An item of a batch has the headers of the delivery that contained it, but is plain JSON.
    if let Some(encoding) = encoding.filter(|_| !is_json(body)) {
        let unpacked = encoding::unpack(body, encoding, MAX_UNPACKED).ok()??;
        let headers = BodyHeaders { content_encoding: None, ..headers.clone() };
        return Some(Cow::Owned(unpacked_to_json(&unpacked, &headers)?.into_owned()));
    }
    unpacked_to_json(body, headers)
}

fn unpacked_to_json<'a>(body: &'a [u8], headers: &BodyHeaders) -> Option<Cow<'a, [u8]>> {
    let body = without_mark(body);
    let content_type = headers.content_type.as_deref().unwrap_or_default();
    let text = if body.trim_ascii_start().starts_with(b"--") { Cow::Borrowed(body) } else { utf8(body, content_type) };
    let other = if is_json(&text) {
        return Some(text);
    } else if text.trim_ascii_start().starts_with(b"<") {
        xml::to_json(&text)?
    } else if let Some(fields) = fields(&text, content_type) {
        object(&fields)?
    } else {
        return Some(text);
    };
    Some(Cow::Owned(other))
}

/// The body without a byte order mark.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The text in UTF-8, if its charset is declared or it is in UTF-16 with a byte order mark.
fn utf8<'a>(body: &'a [u8], content_type: &str) -> Cow<'a, [u8]> {
    let marked = encoding_rs::Encoding::for_bom(body).map(|(encoding, _)| encoding);
    let declared = || {
        let label = form::parameter(content_type, "charset")?;
        // Senders declare other charsets and send UTF-8.
        encoding_rs::Encoding::for_label(label.as_bytes()).filter(|_| std::str::from_utf8(body).is_err())
    };
    match marked.or_else(declared) {
        Some(encoding) => match encoding.decode(body).0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        None => Cow::Borrowed(body),
    }
}

fn fields<'a>(body: &'a [u8], content_type: &str) -> Option<Vec<form::FormField<'a>>> {
    if body.starts_with(b"--") || content_type.trim_ascii_start().to_ascii_lowercase().starts_with("multipart/") {
        let declared = form::parameter(content_type, "boundary");
        let first_line = || std::str::from_utf8(body.strip_prefix(b"--")?.split(|byte| *byte == b'\r').next()?).ok();
        let boundary = declared.or_else(|| first_line().map(str::to_owned))?;
        return Some(form::parts(body, &boundary));
    }
    let name = &body[..memchr::memchr(b'=', body)?];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.~+%[]$!*'()&".contains(byte);
    let is_form = content_type.to_ascii_lowercase().contains("form-urlencoded");
    (is_form || (!name.is_empty() && name.iter().all(is_name))).then(|| form::pairs(body))
}

/// The fields as one object. Files and other fields that are not UTF-8 are left out.
fn object(fields: &[form::FormField<'_>]) -> Option<Vec<u8>> {
    let mut members: Vec<String> = Vec::new();
    let mut message = "";
    for (name, value) in fields {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else { continue };
        let value = value.trim_start_matches('\u{feff}');
        let json = is_json(value.as_bytes()).then(|| serde_json::from_str::<&RawValue>(value).ok()).flatten();
        if let Some(json) = json.filter(|json| MESSAGE_FIELDS.contains(&name) && json.get().starts_with('{')) {
            message = json.get();
        }
        let written = serde_json::to_string(value).ok();
        members.push(format!(
            "{}:{}",
            serde_json::to_string(name).ok()?,
            json.map_or(written?, |raw| raw.get().to_owned())
        ));
    }
    // Of equal names the last counts: those of the message.
    let inner = message.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    if !inner.trim().is_empty() {
        members.push(inner.to_owned());
    }
    Some(format!("{{{}}}", members.join(",")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn at(body: &[u8], content_type: &str, encoding: &str, pointer: &str) -> Option<String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let headers = || BodyHeaders { content_type: some(content_type), content_encoding: some(encoding) };
        let mut places = JsonPaths::default();
        places.add(crate::providers::Pointer::parse(pointer).unwrap().steps());
        read_values(body, headers, &places, |raw| raw.map(ToOwned::to_owned)).ok()?.remove(0)
    }

    #[test]
    fn every_format_is_read_by_pointers() {
        let multipart = "--xx\r\nContent-Disposition: form-data; name=\"payload\"\r\nContent-Type: application/json\r\n\r\n\
            {\"event\":\"media.play\"}\r\n--xx\r\nContent-Disposition: form-data; name=n\r\n\r\n5\r\n--xx--\r\n";
        let utf16: Vec<u8> = "\u{feff}{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (body, content_type, pointer, expected) in [
            (&b"{\"a\":\"x\"}"[..], "", "/a", Some("\"x\"")),
            (b"\xef\xbb\xbf {\"a\":\"x\"}", "application/json", "/a", Some("\"x\"")),
            (b"payload=%7B%22ref%22%3A%22main%22%7D", "", "/ref", Some("\"main\"")),
            (b"payload=%7B%22ref%22%3A%22main%22%7D", "", "/payload/ref", Some("\"main\"")),
            (b"x=1&payload=%7B%22x%22%3A2%7D", "application/x-www-form-urlencoded", "/x", Some("2")),
            (b"payload=%7B%7D&a+b=1%262", "application/x-www-form-urlencoded", "/a b", Some("\"1&2\"")),
            (b"rawRequest=%7B%22q1%22%3A1%7D&formID=7", "", "/q1", Some("1")),
            (b"rawRequest=%7B%22q1%22%3A1%7D&formID=7", "", "/formID", Some("\"7\"")),
            (b"payload=%7Bbroken", "application/x-www-form-urlencoded", "/payload", Some("\"{broken\"")),
            (multipart.as_bytes(), "multipart/form-data; boundary=xx", "/event", Some("\"media.play\"")),
            (multipart.as_bytes(), "", "/n", Some("\"5\"")),
            (b"<?xml version=\"1.0\"?><r><c>x&amp;y</c><c>z</c></r>", "text/xml", "/r/c", Some("\"x&y\"")),
            (b"\xef\xbb\xbf<r><d><e/></d></r>", "", "/r/d/e", Some("\"\"")),
            (b"{\"a\":\"\xe9\"}", "application/json; charset=iso-8859-1", "/a", Some("\"é\"")),
            (b"{\"a\":\"\xe9\"}", "application/json", "/a", None),
            (&utf16, "application/json", "/a", Some("1")),
            (b"hello = world", "text/plain", "/hello", None),
            (b"", "", "/a", None),
            (b"<r>", "", "/r", None),
        ] {
            let found = at(body, content_type, "", pointer);
            assert_eq!(found.as_deref(), expected, "{} {content_type} {pointer}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn packed_bodies_are_unpacked() {
        let json = b"{\"a\":\"x\"}";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(json).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(json).unwrap();
        for (body, encoding) in [
            (&gzip[..], "gzip"),
            (&gzip, "x-gzip"),
            (&gzip, ""),
            (&zlib.finish().unwrap(), "deflate"),
            (json, "gzip"),
            (json, "identity"),
        ] {
            assert_eq!(at(body, "application/json", encoding, "/a").as_deref(), Some("\"x\""), "{encoding}");
        }
        assert_eq!(at(&gzip[..12], "application/json", "gzip", "/a"), None);
    }
}
