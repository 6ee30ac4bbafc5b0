//! Fields of a query string or of a body that is a form (WHATWG URL, 5.1; RFC 7578 for multipart).
//!
//! A field that comes several times with different values is refused: PHP takes the last, Go the first, others
//! a list, so no reading is the right one.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::multipart;
use super::names::Content;
use crate::model::request::{Repeated, Request};

/// What a form writes as it is, beside letters and digits (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name of a field and its value, decoded.
pub(super) type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The value of a field of the body; of a body that is no form, nothing.
pub(super) fn of_body<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, [u8]>>, Repeated> {
    match Content::of(request) {
        Content::Form => field(&request.body, name),
        Content::Multipart => {
            let mut values = multipart::pairs(request).into_iter().filter(|(own, _)| **own == *name.as_bytes());
            let first = values.next().map(|(_, value)| value);
            if values.any(|(_, value)| Some(value) != first) { Err(Repeated) } else { Ok(first) }
        }
        _ => Ok(None),
    }
}

/// Every field of the body, in order; `None` of a body that is no form.
pub(super) fn pairs(request: &Request) -> Option<Vec<Pair<'_>>> {
    match Content::of(request) {
        Content::Form => {
            let pairs = request.body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
            Some(pairs.map(split).map(|(key, value)| (decode(key), decode(value))).collect())
        }
        Content::Multipart => Some(multipart::pairs(request)),
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
pub(super) fn field<'a>(form: &'a [u8], name: &str) -> Result<Option<Cow<'a, [u8]>>, Repeated> {
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
pub(super) fn fields(form: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    form.split(|byte| *byte == b'&').map(split).map(|(key, value)| (decode(key), decode(value)))
}

/// The same form with the values of some fields replaced by a mask.
pub(super) fn masked(form: &str, name: &str, mask: &str) -> String {
    let pairs = form.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if *decode(key.as_bytes()) == *name.as_bytes() => Cow::Owned(format!("{key}={mask}")),
        _ => Cow::Borrowed(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// The same form with a field's value replaced, or the field behind the others.
pub(super) fn replaced(form: &[u8], name: &str, value: &str) -> String {
    let text = String::from_utf8_lossy(form);
    let is_other = |pair: &&str| !pair.is_empty() && *decode(split(pair.as_bytes()).0) != *name.as_bytes();
    let mut form = text.split('&').filter(is_other).collect::<Vec<_>>().join("&");
    push(&mut form, name, value);
    form
}

/// Puts a field behind the others.
pub(super) fn push(form: &mut String, name: &str, value: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
