//! Headers as they are stored: one JSON object by name, repeated fields joined, tokens masked.
//!
//! Names stay as they came. Bytes that are not UTF-8 are read as Latin-1, so that no value is lost.

use std::fmt::Write;

use crate::request::Headers;
use crate::secret::MASK;

/// The object's text; `tokens` are lower-case names whose values become `***`.
pub(super) fn to_json(headers: &Headers, tokens: &[String]) -> String {
    let fields: Vec<(&str, &[u8])> = headers.iter().collect();
    let mut json = String::with_capacity(1024);
    json.push('{');
    for (place, (name, value)) in fields.iter().enumerate() {
        let is_same = |(other, _): &&(&str, &[u8])| other.eq_ignore_ascii_case(name);
        if fields[..place].iter().any(|field| is_same(&field)) {
            continue;
        }
        json.push_str(if place == 0 { "\"" } else { ",\"" });
        push_escaped(&mut json, name.as_bytes());
        json.push_str("\":\"");
        if tokens.iter().any(|token| token.eq_ignore_ascii_case(name)) {
            json.push_str(MASK);
        } else {
            push_escaped(&mut json, value);
            for (_, further) in fields[place + 1..].iter().filter(is_same) {
                json.push_str(", ");
                push_escaped(&mut json, further);
            }
        }
        json.push('"');
    }
    json.push('}');
    json
}

/// A header's bytes as text.
pub(super) fn text_of(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| value.iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
}

fn push_escaped(json: &mut String, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) if is_plain(value) => json.push_str(text),
        Ok(text) => text.chars().for_each(|c| push_char(json, c)),
        Err(_) => value.iter().for_each(|byte| push_char(json, char::from(*byte))),
    }
}

/// Folded over every byte rather than left early, which the compiler turns into vector instructions.
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
    fn order_is_kept_repeated_fields_are_joined_and_tokens_are_masked() {
        let headers = headers(&[
            ("X-B", b"1"),
            ("Authorization", b"Bearer hunter2"),
            ("x-a", b"2"),
            ("x-b", b"3"),
            ("AUTHORIZATION", b"Basic aHVudGVyMg=="),
        ]);
        let json = to_json(&headers, &["authorization".to_owned()]);
        assert_eq!(json, r#"{"X-B":"1, 3","Authorization":"***","x-a":"2"}"#);
        assert_eq!(to_json(&Headers::default(), &[]), "{}");
    }

    #[test]
    fn any_bytes_become_valid_json() {
        let every: Vec<u8> = (0..=255).collect();
        let json = to_json(&headers(&[("x", &every), ("y", "é\u{2028}".as_bytes()), ("z\"", b"\"\\")]), &[]);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            read["x"].as_str().unwrap().chars().map(u32::from).collect::<Vec<_>>(),
            (0..=255).collect::<Vec<_>>()
        );
        assert_eq!(read["y"], "é\u{2028}");
        assert_eq!(read["z\""], "\"\\");
        assert_eq!(text_of(b"caf\xe9"), "café");
    }
}
