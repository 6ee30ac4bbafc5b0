//! Writes headers as they are stored: one JSON object by name, in the order received, tokens masked.
//!
//! Repeated fields are joined with a comma. Bytes that are not UTF-8 are read as Latin-1, so that no value is lost.
//! This runs for every accepted delivery, so the usual case is fast: nothing to escape and no repeated name.

use std::fmt::Write as _;

use crate::model::request::Headers;
use crate::support::secret::MASK;

/// `tokens` are names in lower case whose values are masked.
pub(super) fn write(headers: &Headers, tokens: &[String]) -> String {
    // One check of all names and values together is faster than one of each.
    let push = if is_plain(headers.text()) { push_plain } else { push_escaped };
    let may_repeat = may_repeat(headers);
    let mut json = Vec::with_capacity(headers.text().len() + 512);
    json.push(b'{');
    let mut before: &[u8] = b"\"";
    for (index, (name, value)) in headers.raw().enumerate() {
        let is_same = |(other, _): &(&[u8], &[u8])| is_named(other, name);
        if may_repeat && headers.raw().take(index).any(|field| is_same(&field)) {
            continue;
        }
        json.extend_from_slice(before);
        before = b"\",\"";
        push(&mut json, name);
        json.extend_from_slice(b"\":\"");
        if tokens.iter().any(|token| is_named(token.as_bytes(), name)) {
            json.extend_from_slice(MASK.as_bytes());
        } else {
            push(&mut json, value);
            if may_repeat {
                for (_, further) in headers.raw().skip(index + 1).filter(is_same) {
                    json.extend_from_slice(b", ");
                    push(&mut json, further);
                }
            }
        }
    }
    json.extend_from_slice(if json.len() > 1 { b"\"}" } else { b"}" });
    // Every part is UTF-8. Checking the whole is faster than checking each part.
    String::from_utf8(json).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Whether a name may occur twice. Marks a bit for each name in one pass; false positives are possible.
fn may_repeat(headers: &Headers) -> bool {
    let mut seen = [0_u64; 16];
    headers.raw().any(|(name, _)| {
        let folded = |place: usize| name.get(place).map_or(0, |byte| usize::from(byte | 0x20));
        let mark = name.len() * 97 + folded(0) * 31 + folded(name.len() / 2) * 7 + folded(name.len().saturating_sub(1));
        let (word, bit) = (mark / 64 % seen.len(), 1 << (mark % 64));
        let was_seen = seen[word] & bit != 0;
        seen[word] |= bit;
        was_seen
    })
}

/// Compares lengths first, which is faster than the call.
fn is_named(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.eq_ignore_ascii_case(other)
}

/// A header's bytes as text: UTF-8, or else Latin-1.
pub(super) fn text(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| value.iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
}

fn push_plain(json: &mut Vec<u8>, value: &[u8]) {
    json.extend_from_slice(value);
}

fn push_escaped(json: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        return json.extend_from_slice(value);
    }
    let mut text = String::with_capacity(value.len() * 2);
    match std::str::from_utf8(value) {
        Ok(value) => value.chars().for_each(|c| push_char(&mut text, c)),
        Err(_) => value.iter().for_each(|byte| push_char(&mut text, char::from(*byte))),
    }
    json.extend_from_slice(text.as_bytes());
}

/// Looks at every byte instead of stopping early, so that the compiler can use vector instructions.
fn is_plain(value: &[u8]) -> bool {
    value.iter().fold(true, |plain, byte| plain & (b' '..=b'~').contains(byte) & (*byte != b'"') & (*byte != b'\\'))
}

fn push_char(json: &mut String, c: char) {
    match c {
        '"' => json.push_str("\\\""),
        '\\' => json.push_str("\\\\"),
        '\0'..='\x1f' | '\x7f' => {
            // Writing to a String cannot fail.
            write!(json, "\\u{:04x}", u32::from(c)).unwrap_or_default();
        }
        _ => json.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &[u8])]) -> Headers {
        let mut headers = Headers::default();
        fields.iter().for_each(|(name, value)| headers.push(name, value));
        headers
    }

    #[test]
    fn order_is_kept_repeats_are_joined_tokens_are_masked() {
        let headers = headers(&[
            ("X-B", b"1"),
            ("Authorization", b"Bearer hunter2"),
            ("x-a", b"2"),
            ("x-b", b"3"),
            ("AUTHORIZATION", b"Basic aHVudGVyMg=="),
        ]);
        let json = write(&headers, &["authorization".to_owned()]);
        assert_eq!(json, r#"{"X-B":"1, 3","Authorization":"***","x-a":"2"}"#);
        assert_eq!(write(&Headers::default(), &[]), "{}");
    }

    #[test]
    fn any_header_bytes_become_valid_json() {
        let every: Vec<u8> = (0..=255).collect();
        let json = write(&headers(&[("x", &every), ("y", "é\u{2028}".as_bytes()), ("z\"", b"\"\\")]), &[]);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            read["x"].as_str().unwrap().chars().map(u32::from).collect::<Vec<_>>(),
            (0..=255).collect::<Vec<_>>()
        );
        assert_eq!(read["y"], "é\u{2028}");
        assert_eq!(read["z\""], "\"\\");
        assert_eq!(text(b"caf\xe9"), "café");
    }
}
