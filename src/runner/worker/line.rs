//! The line that gives a worker its job: one JSON object and a newline.
//!
//! The body is text if it is UTF-8, otherwise base64, so that no byte is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::runner::attempt::AttemptInput;
use crate::runner::environment::visible_headers;

/// The first line for every worker. The number changes if old workers could not understand new lines.
pub(super) const GREETING: &[u8] = b"{\"hookbox\":1}\n";

/// Escapes for characters that JSON allows, but that end a line for some functions of Python and JavaScript.
const LINE_SEPARATORS: [(char, &str); 3] = [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];

/// Returns `{"id":7,"attempt":1,…,"body":"…"}` and a newline.
pub(super) fn job(attempt: &AttemptInput) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let headers = visible_headers(&attempt.headers, &attempt.private_headers);
    let body = match std::str::from_utf8(&attempt.body) {
        Ok(text) => format!("\"body\":{}", quoted(text)),
        Err(_) => format!("\"body_base64\":\"{}\"", STANDARD.encode(&attempt.body)),
    };
    let mut line = format!("{{\"id\":{},\"attempt\":{}", attempt.job_id, attempt.number);
    let texts = [
        ("source", attempt.source.as_str()),
        ("event_id", &attempt.event_id),
        ("type", &attempt.event_type),
        ("received_at", &attempt.received_at.to_rfc3339()),
        ("idempotency_key", &attempt.idempotency_key()),
    ];
    line.extend(texts.iter().map(|(name, text)| format!(",\"{name}\":{}", quoted(text))));
    line.push_str(&format!(",\"headers\":{headers},{body}}}\n"));
    for (separator, escape) in LINE_SEPARATORS {
        if line.contains(separator) {
            line = line.replace(separator, escape);
        }
    }
    line
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
        job(&tried)
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
