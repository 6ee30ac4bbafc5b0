//! A handler's response to the provider, sent instead of hookbox's own 200.
//!
//! Only 2xx is allowed: any other status would make the provider resend an event that is stored.

use std::ops::RangeInclusive;

/// Longest body, in bytes.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;

const MAX_CONTENT_TYPE_BYTES: usize = 255;

const ALLOWED_STATUS: RangeInclusive<u16> = 200..=299;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerResponse {
    status: u16,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl HandlerResponse {
    /// Checks the parts. The status defaults to 200. The error is a note for the attempt.
    pub fn new(status: Option<u16>, content_type: Option<String>, body: Vec<u8>) -> Result<Self, String> {
        let status = status.unwrap_or(200);
        if !ALLOWED_STATUS.contains(&status) {
            return Err(format!("status {status} is not from 200 to 299"));
        }
        if body.len() > MAX_RESPONSE_BYTES {
            return Err(too_long());
        }
        if let Some(wrong) = content_type.as_deref().filter(|text| !is_content_type(text)) {
            return Err(format!("{wrong:?} is not a content type"));
        }
        // Neither may have a body (RFC 9110, 15.3.5 and 15.3.6).
        let body = if matches!(status, 204 | 205) { Vec::new() } else { body };
        Ok(Self { status, content_type, body })
    }

    /// 200 to 299.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The content type that the handler set.
    pub fn named_content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The content type that the handler set, or one derived from the body: JSON for an object or array, otherwise text.
    pub fn content_type(&self) -> Option<&str> {
        match &self.content_type {
            Some(named) => Some(named),
            None if self.body.is_empty() => None,
            None if is_json(&self.body) => Some("application/json"),
            None => Some("text/plain; charset=utf-8"),
        }
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The note for a body over [`MAX_RESPONSE_BYTES`].
pub fn too_long() -> String {
    format!("the response is longer than {MAX_RESPONSE_BYTES} bytes")
}

/// A bare word or number is more likely text than JSON.
fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
        || body.trim_ascii_start().starts_with(b"[") && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn is_content_type(text: &str) -> bool {
    text.len() <= MAX_CONTENT_TYPE_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_is_set_by_the_handler_or_derived() {
        for (named, body, expected) in [
            (None, "", None),
            (None, "hello", Some("text/plain; charset=utf-8")),
            (None, " {\"a\":1}\n", Some("application/json")),
            (None, "[]", Some("application/json")),
            (None, "{not json", Some("text/plain; charset=utf-8")),
            (None, "42", Some("text/plain; charset=utf-8")),
            (Some("application/xml"), "<Response/>", Some("application/xml")),
            (Some("text/plain"), "{}", Some("text/plain")),
        ] {
            let response = HandlerResponse::new(None, named.map(str::to_owned), body.into()).unwrap();
            assert_eq!((response.content_type(), response.status()), (expected, 200), "{body}");
        }
    }

    #[test]
    fn invalid_response_is_rejected_with_the_reason() {
        let refused = |status, content_type: Option<&str>, length| {
            HandlerResponse::new(status, content_type.map(str::to_owned), vec![b'x'; length]).unwrap_err()
        };
        assert!(refused(Some(404), None, 1).contains("404"));
        assert!(refused(Some(302), None, 1).contains("302"));
        assert!(refused(Some(199), None, 1).contains("199"));
        assert!(refused(None, None, MAX_RESPONSE_BYTES + 1).contains("65536"));
        for wrong in ["json", "a/", "/b", "text/plain\r\nX: y", "text/\u{e9}", &"a/".repeat(200)] {
            assert!(refused(None, Some(wrong), 1).contains("content type"), "{wrong}");
        }
        let most = HandlerResponse::new(Some(299), None, vec![b'x'; MAX_RESPONSE_BYTES]).unwrap();
        assert_eq!((most.status(), most.body().len()), (299, MAX_RESPONSE_BYTES));
        assert_eq!(HandlerResponse::new(Some(204), None, b"x".to_vec()).unwrap().body(), b"");
    }
}
