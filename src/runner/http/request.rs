//! The headers of a request: the event, and signatures by Standard Webhooks.
//!
//! A value that a header cannot carry is left out and noted, so that no event prevents its own request.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use ureq::http::{HeaderName, HeaderValue};

use crate::config::{HttpTarget, standard_webhooks_key};
use crate::runner::attempt::{AttemptInput, AttemptPurpose};
use crate::support::time::Millis;

#[derive(Debug, Default)]
pub(super) struct RequestHeaders {
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// Notes about headers that could not be sent.
    pub(super) omitted: Vec<String>,
}

impl RequestHeaders {
    fn push(&mut self, name: &str, value: &str) {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => self.fields.push((name, value)),
            _ => self.omitted.push(format!("the header `{name}` was left out: its value is not allowed in a header")),
        }
    }
}

pub(super) fn headers(attempt: &AttemptInput, http: &HttpTarget, now: Millis) -> RequestHeaders {
    let mut headers = RequestHeaders::default();
    let id = attempt.idempotency_key();
    headers.push("Content-Type", attempt.content_type.as_deref().unwrap_or("application/octet-stream"));
    headers.push("Hookbox-Source", &attempt.source);
    headers.push("Hookbox-Event-Id", &attempt.event_id);
    headers.push("Hookbox-Event-Type", &attempt.event_type);
    headers.push("Hookbox-Attempt", &attempt.number.to_string());
    if attempt.purpose != AttemptPurpose::Job {
        headers.push("Hookbox-Dry-Run", "1");
    }
    if let Some(trace) = attempt.trace() {
        headers.push("traceparent", &trace.parent);
        trace.state.iter().for_each(|state| headers.push("tracestate", state));
    }
    headers.push("webhook-id", &id);
    let seconds = (now.0 / 1000).to_string();
    headers.push("webhook-timestamp", &seconds);
    let sign = |key: Vec<u8>| signature(&key, &id, &seconds, &attempt.body);
    let signatures: Vec<_> = http.secrets.iter().filter_map(standard_webhooks_key).filter_map(sign).collect();
    if !signatures.is_empty() {
        headers.push("webhook-signature", &signatures.join(" "));
    }
    for (name, value) in &http.headers {
        headers.push(name, value.reveal());
    }
    headers
}

/// Returns `v1,` and the HMAC of `ID.SECONDS.BODY`.
fn signature(key: &[u8], id: &str, seconds: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for piece in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(piece);
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::runner::tests::attempt;
    use crate::support::secret::Secret;
    use std::time::Duration;

    #[test]
    fn signature_matches_the_specification() {
        // The example of the reference libraries.
        let key = standard_webhooks_key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let made = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(made.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn headers_describe_the_event_and_invalid_ones_are_noted() {
        let mut tried = attempt(&["true"]);
        tried.event_type = "a\nb".to_owned();
        tried.event_id = "é".to_owned();
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MDEyMzQ1Njc4OWFiY2RlZg=="].map(Secret::new).to_vec();
        let http = HttpTarget {
            url: "http://a".to_owned(),
            secrets,
            headers: vec![("X-Api-Key".to_owned(), Secret::new("k"))],
            authorities: Vec::new(),
            connect_timeout: Duration::from_secs(1),
        };
        tried.handler_mut().mode = Mode::Http(Box::new(http.clone()));
        let RequestHeaders { fields, omitted } = headers(&tried, &http, Millis(1_614_265_330_999));
        let field = |name: &str| {
            let found: Vec<_> = fields.iter().filter(|(known, _)| known == name).collect();
            found.first().map(|(_, value)| String::from_utf8(value.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(field("content-type").unwrap(), "application/json");
        assert_eq!(field("hookbox-source").unwrap(), "github");
        assert_eq!(field("hookbox-event-id").unwrap(), "é");
        assert_eq!(field("hookbox-event-type"), None);
        assert_eq!(field("hookbox-attempt").unwrap(), "2");
        assert_eq!(field("webhook-timestamp").unwrap(), "1614265330");
        assert_eq!(field("webhook-signature").unwrap().split(' ').count(), 2);
        assert_eq!(field("x-api-key").unwrap(), "k");
        assert!(field("webhook-id").unwrap().ends_with("/deploy-r1"));
        assert_eq!(omitted, ["the header `Hookbox-Event-Type` was left out: its value is not allowed in a header"]);
    }
}
