//! Rejected deliveries are stored without tokens, but otherwise completely.

use super::*;
use crate::model::refusal::RefusedDelivery;
use crate::support::secret::DigestKey;
use crate::verify::redact::RedactedRequest;

fn empty() -> Request {
    Request {
        method: "POST".to_owned(),
        path: "/in".to_owned(),
        query: String::new(),
        headers: Headers::default(),
        body: Bytes::new(),
        received_at: Millis(1),
    }
}

fn redacted(source: &Source, target: &str, fields: &[(&str, &str)]) -> RedactedRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Headers::default();
    fields.iter().for_each(|(name, value)| headers.push(name, value.as_bytes()));
    let request = Request { path: path.to_owned(), query: query.to_owned(), headers, body: "{}".into(), ..empty() };
    Verifier::new(source).redact(&request, &DigestKey::new([1; 32]))
}

#[test]
fn tokens_are_masked_and_recognized_by_digest() {
    let key = DigestKey::new([1; 32]);
    let gitlab = known("gitlab", &["hunter2"]);
    let fields = [
        ("X-Gitlab-Token", "hunter2"),
        ("Authorization", "Bearer hunter2"),
        ("x-api-secret", "hunter2"),
        ("Cookie", "a=hunter2"),
        ("cookie", "b=hunter2"),
        ("X-Id", "7"),
    ];
    let redacted = redacted(&gitlab, "/in?a=1&access_token=hunter2&token%5F=hunter2", &fields);
    assert!(!format!("{redacted:?}").contains("hunter2"), "{redacted:?}");
    assert_eq!(redacted.target, "/in?a=1&access_token=***&token%5F=***");
    let headers = r#"{"X-Gitlab-Token":"***","Authorization":"***","x-api-secret":"***","Cookie":"***","X-Id":"7"}"#;
    assert_eq!(redacted.headers, headers);
    let refused = RefusedDelivery {
        source: "gitlab".into(),
        received_at: Millis(1),
        status: 401,
        reason: String::new(),
        remote: None,
        method: "POST".into(),
        target: redacted.target,
        headers: redacted.headers,
        tokens: redacted.tokens,
        body: vec![],
        body_bytes: 0,
    };
    let known: Vec<_> = refused.hidden_tokens().into_iter().filter(|hidden| hidden.is(b"hunter2", &key)).collect();
    let places: Vec<_> = known.iter().map(|hidden| hidden.location.as_str()).collect();
    assert_eq!(places, ["header:x-api-secret", "header:x-gitlab-token", "query:access_token", "query:token_"]);
}

#[test]
fn token_in_the_body_is_masked_everywhere() {
    let row = "signature = 'json:/passcode'\nalgorithm = 'token'\nevent_id = ['body']";
    let source = custom(row, "hunter2");
    let mask = |body: &str| {
        let mut request = Request { body: body.to_owned().into(), ..empty() };
        request.headers.push("content-type", b"application/json");
        Verifier::new(&source).redact(&request, &DigestKey::new([1; 32]))
    };
    let redacted = mask(r#"{"passcode":"hunter2","again":"a hunter2"}"#);
    assert_eq!(redacted.body, r#"{"passcode":"***","again":"a ***"}"#);
    assert!(redacted.tokens.starts_with(r#"{"body":""#), "{}", redacted.tokens);
    assert_eq!(mask(r#"{"passcode":"hunter\u0032"}"#).body, "", "what cannot be found is not kept");
    assert_eq!(mask(r#"{"other":"hunter2"}"#).body, r#"{"other":"hunter2"}"#);
}

#[test]
fn signatures_and_signed_values_are_kept_unchanged() {
    let fields = [
        ("X-Hub-Signature-256", "sha256=00"),
        ("x-hub-signature-256", "sha256=01"),
        ("I-Twilio-Idempotency-Token", "t"),
        ("X-Token-Timestamp", "1"),
        ("X-Same", "1"),
        ("x-same", "1"),
        ("X-Quote", "\"\\\u{1}é"),
    ];
    let redacted = redacted(&known("github", &["s"]), "/in", &fields);
    let expected = "{\"X-Hub-Signature-256\":[\"sha256=00\",\"sha256=01\"],\"I-Twilio-Idempotency-Token\":\"t\",\
                    \"X-Token-Timestamp\":\"1\",\"X-Same\":\"1\",\"X-Quote\":\"\\\"\\\\\\u0001é\"}";
    assert_eq!(
        (redacted.headers.as_str(), redacted.tokens.as_str(), redacted.target.as_str()),
        (expected, "{}", "/in")
    );
}
