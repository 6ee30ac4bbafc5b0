//! Fields of a query string or of a form body (WHATWG URL, 5.1; RFC 7578 for multipart).
//!
//! A field that occurs several times with different values is an error: PHP takes the last, Go the first and others a
//! list, so no choice is safe.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::model::request::{Repeated, Request};

/// All characters except letters, digits and the unreserved ones (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The most parts of a multipart body that are read.
const MAX_PARTS: usize = 1000;

/// The name of a field and its value, decoded.
pub(crate) type FormField<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The format of a body according to its Content-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Json,
    Form,
    Multipart,
    Other,
}

impl BodyFormat {
    pub(crate) fn of(request: &Request) -> Self {
        let value = request.headers.all("content-type").next().unwrap_or_default();
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
        let is_json_suffix = || kind.len() > 5 && kind[kind.len() - 5..].eq_ignore_ascii_case(b"+json");
        if is("application/json") || is("text/json") || is_json_suffix() {
            Self::Json
        } else if is("application/x-www-form-urlencoded") {
            Self::Form
        } else if is("multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

/// The value of a field of the body; `None` if the body is not a form.
pub(crate) fn body_field<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, [u8]>>, Repeated> {
    match BodyFormat::of(request) {
        BodyFormat::Form => field(&request.body, name),
        BodyFormat::Multipart => {
            let mut values = multipart_fields(request).into_iter().filter(|(key, _)| **key == *name.as_bytes());
            let first = values.next().map(|(_, value)| value);
            if values.any(|(_, value)| Some(value) != first) { Err(Repeated) } else { Ok(first) }
        }
        _ => Ok(None),
    }
}

/// Every field of the body, in order; `None` if the body is not a form.
pub(crate) fn body_fields(request: &Request) -> Option<Vec<FormField<'_>>> {
    match BodyFormat::of(request) {
        BodyFormat::Form => Some(pairs(&request.body)),
        BodyFormat::Multipart => Some(multipart_fields(request)),
        _ => None,
    }
}

/// The value of a field, decoded.
pub(crate) fn field<'a>(form: &'a [u8], name: &str) -> Result<Option<Cow<'a, [u8]>>, Repeated> {
    let mut found: Option<Cow<'a, [u8]>> = None;
    for (key, value) in form.split(|byte| *byte == b'&').map(split_pair) {
        if *decode(key) != *name.as_bytes() {
            continue;
        }
        let value = decode(value);
        if found.as_ref().is_some_and(|first| *first != value) {
            return Err(Repeated);
        }
        found = Some(value);
    }
    Ok(found)
}

/// The form with the values of one field replaced.
pub(crate) fn masked(form: &str, name: &str, mask: &str) -> String {
    let pairs = form.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if *decode(key.as_bytes()) == *name.as_bytes() => Cow::Owned(format!("{key}={mask}")),
        _ => Cow::Borrowed(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// The form with a field set: its old values removed, the new one appended.
pub(crate) fn with_field(form: &[u8], name: &str, value: &str) -> String {
    let text = String::from_utf8_lossy(form);
    let is_other = |pair: &&str| !pair.is_empty() && *decode(split_pair(pair.as_bytes()).0) != *name.as_bytes();
    let mut form = text.split('&').filter(is_other).collect::<Vec<_>>().join("&");
    push(&mut form, name, value);
    form
}

pub(crate) fn push(form: &mut String, name: &str, value: &str) {
    let encode = |text| utf8_percent_encode(text, RESERVED);
    let separator = if form.is_empty() { "" } else { "&" };
    form.push_str(&format!("{separator}{}={}", encode(name), encode(value)));
}

pub(crate) fn decode_pair(pair: &[u8]) -> FormField<'_> {
    let (key, value) = split_pair(pair);
    (decode(key), decode(value))
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(place) => (&pair[..place], &pair[place + 1..]),
        None => (pair, &[][..]),
    }
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    for (index, word) in text.split(|byte| *byte == b'+').enumerate() {
        if index > 0 {
            decoded.push(b' ');
        }
        decoded.extend(percent_decode(word));
    }
    Cow::Owned(decoded)
}

/// The parts of a multipart body; files count as fields. Reading stops at the first broken part.
fn multipart_fields(request: &Request) -> Vec<FormField<'_>> {
    let value = request.headers.all("content-type").next().unwrap_or_default();
    let boundary = std::str::from_utf8(value).ok().and_then(|value| parameter(value, "boundary"));
    boundary.map(|boundary| parts(&request.body, &boundary)).unwrap_or_default()
}

/// The pairs of a form, decoded.
pub(super) fn pairs(form: &[u8]) -> Vec<FormField<'_>> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(decode_pair).collect()
}

/// The parts between the boundaries.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<FormField<'a>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => match find(body, delimiter.as_bytes()) {
            Some(place) => &body[place + delimiter.len()..],
            None => return Vec::new(),
        },
    };
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n".as_slice()).filter(|_| fields.len() < MAX_PARTS) {
        let Some(end) = find(part, delimiter.as_bytes()) else { break };
        if let Some((name, value)) = read_part(&part[..end]) {
            fields.push((Cow::Owned(name.into_bytes()), Cow::Borrowed(value)));
        }
        rest = &part[end + delimiter.len()..];
    }
    fields
}

fn read_part(part: &[u8]) -> Option<(String, &[u8])> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let is_disposition = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("content-disposition");
    let (_, value) = head.split("\r\n").filter_map(|line| line.split_once(':')).find(is_disposition)?;
    Some((parameter(value, "name")?, &part[end + 4..]))
}

/// A parameter of a header's value: `; name="value"`, 1 to 200 bytes.
pub(super) fn parameter(header: &str, name: &str) -> Option<String> {
    let is_named = |(key, _): &(&str, &str)| key.trim().eq_ignore_ascii_case(name);
    let (_, value) = header.split(';').skip(1).filter_map(|part| part.split_once('=')).find(is_named)?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!value.is_empty() && value.len() <= 200).then(|| value.to_owned())
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Headers;
    use crate::support::time::Millis;

    #[test]
    fn invalid_escapes_are_kept() {
        for (written, meant) in [("%+41", "% 41"), ("%4+1", "%4 1"), ("+%2B+", " + "), ("%", "%"), ("%zz+", "%zz ")] {
            assert_eq!(decode(written.as_bytes()), meant.as_bytes(), "{written}");
        }
    }

    #[test]
    fn names_and_values_are_decoded() {
        let form = b"a=1&b+c=x%2By+z&&%61b=%C3%A9&bare&empty=";
        let read = |name: &str| field(form, name).unwrap().map(|value| String::from_utf8(value.into_owned()).unwrap());
        assert_eq!(read("a").as_deref(), Some("1"));
        assert_eq!(read("b c").as_deref(), Some("x+y z"));
        assert_eq!(read("ab").as_deref(), Some("é"));
        assert_eq!(read("bare").as_deref(), Some(""));
        assert_eq!(read("empty").as_deref(), Some(""));
        assert_eq!(read("c"), None);
    }

    #[test]
    fn field_with_two_different_values_is_rejected() {
        assert_eq!(field(b"a=1&b=2&a=1", "a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(field(b"a=1&%61=2", "a"), Err(Repeated));
    }

    #[test]
    fn every_value_of_a_name_is_masked_despite_escapes() {
        assert_eq!(masked("a=1&t%6Fken=x&token=y&token", "token", "***"), "a=1&t%6Fken=***&token=***&token");
    }

    fn read(content_type: &str, body: &str) -> Vec<(String, String)> {
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
        let text = |bytes: &Cow<'_, [u8]>| String::from_utf8(bytes.to_vec()).unwrap();
        multipart_fields(&request).iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn multipart_parts_are_read_until_one_is_broken() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"a\":\r\n1}\r\n--xx\r\n\
            content-disposition: form-data; filename=f; name=file\r\nContent-Type: text/plain\r\n\r\n\r\n--xx--\r\n";
        let expected = [("json".to_owned(), "{\"a\":\r\n1}".to_owned()), ("file".to_owned(), String::new())];
        assert_eq!(read("multipart/form-data; boundary=xx", body), expected);
        assert_eq!(read("multipart/form-data; boundary=\"xx\"", &format!("preamble\r\n{body}")), expected);
        assert_eq!(read("multipart/form-data; boundary=xx", &body[..body.len() - 8]), expected[..1]);
        assert!(read("multipart/form-data", body).is_empty());
        assert!(read("multipart/form-data; boundary=yy", body).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_multipart_body_is_read(body in "(--xx|\r\n|name=a|Content-Disposition: form-data; |:|;|\"|é){0,30}") {
            proptest::prop_assert!(read("multipart/form-data; boundary=xx", &body).len() <= body.len());
        }
    }
}
