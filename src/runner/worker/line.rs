//! The line that gives a worker its job: one JSON object, newline at its end.
//!
//! An attempt goes in, bytes go out, written once and in order. The body stands as text where it is UTF-8, else as
//! base64, so that no byte is lost. What answers it is [`super::reply`]'s.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{AttemptInput, idempotency_key, visible_headers};

/// What every worker hears first; the number changes when old workers could not understand new lines.
pub(super) const GREETING: &[u8] = b"{\"hookbox\":1}\n";

/// `{"id":7,"attempt":1,…,"body":"…"}` and a newline.
pub(super) fn job(attempt: &AttemptInput) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(attempt.body.len() + attempt.headers.len() + 512);
    let key = idempotency_key(&attempt.source, &attempt.event_id, &attempt.handler.name, attempt.replays);
    write!(line, "{{\"id\":{},\"attempt\":{}", attempt.job_id, attempt.number)?;
    let texts = [
        ("source", attempt.source.as_str()),
        ("event_id", &attempt.event_id),
        ("type", &attempt.event_type),
        ("received_at", &attempt.received_at.to_rfc3339()),
        ("idempotency_key", &key),
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
    Ok(without_other_line_ends(line))
}

/// U+0085, U+2028 and U+2029 may stand in JSON, and yet Python and JavaScript know functions that end a line there.
fn without_other_line_ends(line: Vec<u8>) -> Vec<u8> {
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
        tried.private_headers = vec!["x-hub-signature".to_owned()];
        tried.headers = r#"{"X-GitHub-Event":"push","X-Hub-Signature":"s","Cookie":"c","n":"a\nb"}"#.to_owned();
        String::from_utf8(job(&tried).unwrap()).unwrap()
    }

    #[test]
    fn a_job_is_one_line_with_all_it_takes() {
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
    fn bytes_that_are_no_text_come_as_base64() {
        assert!(written(b"\xff\x00\n").ends_with(",\"body_base64\":\"/wAK\"}\n"));
    }

    #[test]
    fn nothing_but_its_end_ends_a_line_in_any_language() {
        let line = written("a\u{85}b\u{2028}c\u{2029}d\r\u{2027}é".as_bytes());
        assert!(line.ends_with(",\"body\":\"a\\u0085b\\u2028c\\u2029d\\r\u{2027}é\"}\n"), "{line}");
    }

    proptest::proptest! {
        #[test]
        fn any_body_comes_back_whole_from_one_line(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
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
