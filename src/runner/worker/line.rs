//! The line that gives a worker its job: one JSON object and a newline.
//!
//! The body is text if it is UTF-8, otherwise base64, so that no byte is lost.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::runner::attempt::AttemptInput;
use crate::runner::environment::visible_headers;

/// The first line for every worker. The number changes if old workers could not understand new lines.
pub(super) const GREETING: &[u8] = b"{\"hookbox\":1}\n";

/// Returns `{"id":7,"attempt":1,…,"body":"…"}` and a newline.
pub(super) fn job(attempt: &AttemptInput) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(attempt.body.len() + attempt.headers.len() + 512);
    write!(line, "{{\"id\":{},\"attempt\":{}", attempt.job_id, attempt.number)?;
    let texts = [
        ("source", attempt.source.as_str()),
        ("event_id", &attempt.event_id),
        ("type", &attempt.event_type),
        ("received_at", &attempt.received_at.to_rfc3339()),
        ("idempotency_key", &attempt.idempotency_key()),
    ];
    for (name, text) in texts {
        write!(line, ",\"{name}\":")?;
        serde_json::to_writer(&mut line, text)?;
    }
    line.extend_from_slice(b",\"headers\":");
    line.extend_from_slice(visible_headers(&attempt.headers, &attempt.private_headers).as_bytes());
    match std::str::from_utf8(&attempt.body) {
        Ok(text) => {
            line.extend_from_slice(b",\"body\":");
            serde_json::to_writer(&mut line, text)?;
        }
        Err(_) => write!(line, ",\"body_base64\":\"{}\"", STANDARD.encode(&attempt.body))?,
    }
    line.extend_from_slice(b"}\n");
    Ok(escape_line_separators(line))
}

/// Escapes U+0085, U+2028 and U+2029: JSON allows them, but some functions of Python and JavaScript end a line there.
fn escape_line_separators(line: Vec<u8>) -> Vec<u8> {
    let escape = |at: usize| match line[at..] {
        [0xC2, 0x85, ..] => Some((2, b"\\u0085")),
        [0xE2, 0x80, 0xA8, ..] => Some((3, b"\\u2028")),
        [0xE2, 0x80, 0xA9, ..] => Some((3, b"\\u2029")),
        _ => None,
    };
    let found: Vec<_> = memchr::memchr2_iter(0xC2, 0xE2, &line).filter_map(|at| Some((at, escape(at)?))).collect();
    if found.is_empty() {
        return line;
    }
    let (mut escaped, mut from) = (Vec::with_capacity(line.len() + 6 * found.len()), 0);
    for (at, (length, text)) in found {
        escaped.extend_from_slice(&line[from..at]);
        escaped.extend_from_slice(text);
        from = at + length;
    }
    escaped.extend_from_slice(&line[from..]);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::tests::attempt;

    fn written(body: &[u8]) -> String {
        let mut tried = attempt(&["true"]);
        tried.body = body.to_vec();
        tried.private_headers = ["x-hub-signature".to_owned()].into();
        tried.headers = r#"{"X-GitHub-Event":"push","X-Hub-Signature":"s","Cookie":"c","n":"a\nb"}"#.to_owned();
        String::from_utf8(job(&tried).unwrap()).unwrap()
    }

    #[test]
    fn job_is_one_line() {
        let expected = concat!(
            r#"{"id":7,"attempt":2,"source":"github","event_id":"72d3162e","type":"push","#,
            r#""received_at":"2026-01-31T12:00:00.007Z","idempotency_key":"github/72d3162e/deploy-r1","#,
            r#""headers":{"X-GitHub-Event":"push","n":"a\nb"},"body":"{\"a\":\n\"\\é\"}"}"#,
            "\n"
        );
        assert_eq!(written("{\"a\":\n\"\\é\"}".as_bytes()), expected);
        assert!(written(b"").ends_with(",\"body\":\"\"}\n"));
    }

    #[test]
    fn binary_body_is_base64() {
        assert!(written(b"\xff\x00\n").ends_with(",\"body_base64\":\"/wAK\"}\n"));
    }

    #[test]
    fn no_line_separator_occurs_within_a_line() {
        let line = written("a\u{85}b\u{2028}c\u{2029}d\r\u{2027}é".as_bytes());
        assert!(line.ends_with(",\"body\":\"a\\u0085b\\u2028c\\u2029d\\r\u{2027}é\"}\n"), "{line}");
    }

    proptest::proptest! {
        #[test]
        fn any_body_survives_the_line(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let line = written(&body);
            proptest::prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            let bytes = match object["body_base64"].as_str() {
                Some(text) => STANDARD.decode(text).unwrap(),
                None => object["body"].as_str().unwrap().as_bytes().to_vec(),
            };
            proptest::prop_assert_eq!(bytes, body);
        }
    }
}
