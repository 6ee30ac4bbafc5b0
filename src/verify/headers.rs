//! Headers as they are stored: one JSON object in the order received, repeated fields joined, tokens masked.
//!
//! Names stay as they came. Bytes that are not UTF-8 are read as Latin-1, so that no value is lost.

use std::fmt::Write;

use crate::request::Headers;
use crate::secret::MASK;

/// The object's text; `tokens` are lower-case names whose values become `***`.
pub(super) fn to_json(headers: &Headers, tokens: &[String]) -> String {
    let mut json = String::with_capacity(1024);
    json.push('{');
    for (place, (name, value)) in headers.iter().enumerate() {
        if headers.iter().take(place).any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push('"');
        push_escaped(&mut json, name.as_bytes());
        json.push_str("\":\"");
        if tokens.iter().any(|token| token.eq_ignore_ascii_case(name)) {
            json.push_str(MASK);
        } else {
            push_escaped(&mut json, value);
            for (_, further) in headers.iter().skip(place + 1).filter(|(later, _)| later.eq_ignore_ascii_case(name)) {
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
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    match std::str::from_utf8(value) {
        Ok(text) if value.iter().all(is_plain) => json.push_str(text),
        Ok(text) => text.chars().for_each(|c| push_char(json, c)),
        Err(_) => value.iter().for_each(|byte| push_char(json, char::from(*byte))),
    }
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
