//! Fields of a query string or of a body that is a form (WHATWG URL, 5.1; RFC 7578 for multipart).
//!
//! A field that comes several times with different values is refused: PHP takes the last, Go the first, others
//! a list, so no reading is the right one.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::model::request::{Repeated, Request};

/// What a form writes as it is, beside letters and digits (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Most parts that are looked at.
const MAX_PARTS: usize = 1000;

/// The name of a field and its value, decoded.
pub(crate) type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The value of a field of the body; of a body that is no form, nothing.
pub(crate) fn of_body<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, [u8]>>, Repeated> {
    match Content::of(request) {
        Content::Form => field(&request.body, name),
        Content::Multipart => {
            let mut values = multipart_pairs(request).into_iter().filter(|(own, _)| **own == *name.as_bytes());
            let first = values.next().map(|(_, value)| value);
            if values.any(|(_, value)| Some(value) != first) { Err(Repeated) } else { Ok(first) }
        }
        _ => Ok(None),
    }
}

/// Every field of the body, in order; `None` of a body that is no form.
pub(crate) fn pairs(request: &Request) -> Option<Vec<Pair<'_>>> {
    match Content::of(request) {
        Content::Form => {
            let pairs = request.body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
            Some(pairs.map(split).map(|(key, value)| (decode(key), decode(value))).collect())
        }
        Content::Multipart => Some(multipart_pairs(request)),
        _ => None,
    }
}

fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(place) => (&pair[..place], &pair[place + 1..]),
        None => (pair, &[][..]),
    }
}

/// The value of a field, decoded.
pub(crate) fn field<'a>(form: &'a [u8], name: &str) -> Result<Option<Cow<'a, [u8]>>, Repeated> {
    let mut found: Option<Cow<'a, [u8]>> = None;
    for (key, value) in form.split(|byte| *byte == b'&').map(split) {
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

/// Names and values of all fields in order, decoded.
pub(crate) fn fields(form: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    form.split(|byte| *byte == b'&').map(split).map(|(key, value)| (decode(key), decode(value)))
}

/// The same form with the values of some fields replaced by a mask.
pub(crate) fn masked(form: &str, name: &str, mask: &str) -> String {
    let pairs = form.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if *decode(key.as_bytes()) == *name.as_bytes() => Cow::Owned(format!("{key}={mask}")),
        _ => Cow::Borrowed(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// The same form with a field's value replaced, or the field behind the others.
pub(crate) fn replaced(form: &[u8], name: &str, value: &str) -> String {
    let text = String::from_utf8_lossy(form);
    let is_other = |pair: &&str| !pair.is_empty() && *decode(split(pair.as_bytes()).0) != *name.as_bytes();
    let mut form = text.split('&').filter(is_other).collect::<Vec<_>>().join("&");
    push(&mut form, name, value);
    form
}

/// Puts a field behind the others.
pub(crate) fn push(form: &mut String, name: &str, value: &str) {
    let encode = |text| utf8_percent_encode(text, RESERVED);
    let separator = if form.is_empty() { "" } else { "&" };
    form.push_str(&format!("{separator}{}={}", encode(name), encode(value)));
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

/// What Content-Type says of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Form,
    Multipart,
    Other,
}

impl Content {
    pub(crate) fn of(request: &Request) -> Self {
        let written = request.headers.all("content-type").next().unwrap_or_default();
        let kind = written.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_json = |kind: &[u8]| {
            kind.eq_ignore_ascii_case(b"application/json")
                || kind.eq_ignore_ascii_case(b"text/json")
                || kind.len() > 5 && kind[kind.len() - 5..].eq_ignore_ascii_case(b"+json")
        };
        if is_json(kind) {
            Self::Json
        } else if kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Self::Form
        } else if kind.eq_ignore_ascii_case(b"multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

/// Name and value of each part, in order.
fn multipart_pairs(request: &Request) -> Vec<Pair<'_>> {
    let written = request.headers.all("content-type").next().unwrap_or_default();
    let Some(boundary) = std::str::from_utf8(written).ok().and_then(|written| parameter(written, "boundary")) else {
        return Vec::new();
    };
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = match request.body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => match find(&request.body, delimiter.as_bytes()) {
            Some(place) => &request.body[place + delimiter.len()..],
            None => return Vec::new(),
        },
    };
    let mut pairs = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n".as_slice()).filter(|_| pairs.len() < MAX_PARTS) {
        let Some(end) = find(part, delimiter.as_bytes()) else { break };
        if let Some((name, value)) = read_part(&part[..end]) {
            pairs.push((Cow::Owned(name.into_bytes()), Cow::Borrowed(value)));
        }
        rest = &part[end + delimiter.len()..];
    }
    pairs
}

fn read_part(part: &[u8]) -> Option<(String, &[u8])> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let is_disposition = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("content-disposition");
    let (_, value) = head.split("\r\n").filter_map(|line| line.split_once(':')).find(is_disposition)?;
    Some((parameter(value, "name")?, &part[end + 4..]))
}

/// A parameter of a header's value: `; name="value"`.
fn parameter(written: &str, name: &str) -> Option<String> {
    let is_it = |(own, _): &(&str, &str)| own.trim().eq_ignore_ascii_case(name);
    let (_, value) = written.split(';').skip(1).filter_map(|part| part.split_once('=')).find(is_it)?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!value.is_empty() && value.len() <= 200).then(|| value.to_owned())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Headers;
    use crate::support::time::Millis;

    #[test]
    fn what_looks_like_an_escape_and_is_none_is_kept() {
        for (written, meant) in [("%+41", "% 41"), ("%4+1", "%4 1"), ("+%2B+", " + "), ("%", "%"), ("%zz+", "%zz ")] {
            assert_eq!(decode(written.as_bytes()), meant.as_bytes(), "{written}");
        }
    }

    #[test]
    fn fields_are_decoded() {
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
    fn a_field_with_two_values_is_refused_and_the_same_twice_is_one() {
        assert_eq!(field(b"a=1&b=2&a=1", "a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(field(b"a=1&%61=2", "a"), Err(Repeated));
    }

    #[test]
    fn every_value_under_a_name_is_masked_however_it_is_written() {
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
        multipart_pairs(&request).iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn parts_are_read_in_order_and_what_is_broken_ends_it() {
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
        fn any_body_is_read(body in "(--xx|\r\n|name=a|Content-Disposition: form-data; |:|;|\"|é){0,30}") {
            proptest::prop_assert!(read("multipart/form-data; boundary=xx", &body).len() <= body.len());
        }
    }
}
