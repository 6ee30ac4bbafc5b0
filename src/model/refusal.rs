//! A rejected delivery as it is stored: enough to explain the rejection, and to accept the delivery later.
//!
//! Tokens are replaced by `***`. A keyed digest of each is stored, so that a configured token can be compared with it.

use std::collections::BTreeMap;

use crate::model::request::{Headers, Request, stored_fields};
use crate::support::secret::DigestKey;
use crate::support::time::Millis;

/// Bytes of a body that are stored.
pub const MAX_STORED_BODY: usize = 64 << 10;

/// The location of a token somewhere in the body.
pub const BODY_TOKEN: &str = "body";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDelivery {
    /// NAME of `[sources.NAME]`.
    pub source: String,
    pub received_at: Millis,
    /// Status of the response.
    pub status: u16,
    /// Why it was rejected, for the operator.
    pub reason: String,
    /// The client's address; `None` through a Unix socket.
    pub remote: Option<String>,
    pub method: String,
    /// Path and query, with `***` in place of tokens.
    pub target: String,
    /// One JSON object, with `***` in place of tokens. A repeated header with different values is a list, a value that is not
    /// UTF-8 is `{"latin1": "…"}`.
    pub headers: String,
    /// One JSON object: location (`header:authorization`, `query:token`, `body`) and digest of each `***`.
    pub tokens: String,
    /// The first [`MAX_STORED_BODY`] bytes; empty if the body was not read.
    pub body: Vec<u8>,
    /// Length of the body as received or announced.
    pub body_bytes: u64,
}

/// A redacted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenToken {
    /// `header:NAME` in lower case, `query:NAME`, `body` or another location.
    pub location: String,
    digest: String,
}

impl HiddenToken {
    /// Whether the redacted token equals `token`.
    pub fn is(&self, token: &[u8], key: &DigestKey) -> bool {
        self.digest == key.digest(token)
    }
}

impl RefusedDelivery {
    /// Whether the whole body is stored.
    pub fn is_whole(&self) -> bool {
        u64::try_from(self.body.len()).is_ok_and(|kept| kept == self.body_bytes)
    }

    /// The request, with `***` in place of tokens.
    pub fn request(&self) -> Request {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut headers = Headers::default();
        for (name, value) in stored_fields(&self.headers) {
            headers.push(&name, &value);
        }
        Request {
            method: self.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: self.body.clone().into(),
            received_at: self.received_at,
        }
    }

    pub fn hidden_tokens(&self) -> Vec<HiddenToken> {
        let stored: BTreeMap<String, String> = serde_json::from_str(&self.tokens).unwrap_or_default();
        stored.into_iter().map(|(location, digest)| HiddenToken { location, digest }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> RefusedDelivery {
        let key = DigestKey::new([7; 32]);
        RefusedDelivery {
            source: "s".into(),
            received_at: Millis(5),
            status: 401,
            reason: "not genuine".into(),
            remote: None,
            method: "POST".into(),
            target: "/hooks/s?a=1&token=***".into(),
            headers: r#"{"X-B":"1","a":["2","3"],"X-Token":"***"}"#.into(),
            tokens: format!(r#"{{"header:x-token":"{}"}}"#, key.digest(b"hunter2")),
            body: b"{}".to_vec(),
            body_bytes: 2,
        }
    }

    #[test]
    fn request_is_restored_except_for_tokens() {
        let request = refused().request();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/hooks/s", "a=1&token=***"));
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name, value.to_vec())).collect();
        let expected = [("X-B", "1"), ("a", "2"), ("a", "3"), ("X-Token", "***")];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.as_bytes().to_vec())));
        assert_eq!((&request.body[..], request.received_at), (&b"{}"[..], Millis(5)));
    }

    #[test]
    fn hidden_token_matches_only_under_the_same_key() {
        let hidden = refused().hidden_tokens().remove(0);
        assert_eq!(hidden.location, "header:x-token");
        assert!(hidden.is(b"hunter2", &DigestKey::new([7; 32])));
        assert!(!hidden.is(b"hunter3", &DigestKey::new([7; 32])));
        assert!(!hidden.is(b"hunter2", &DigestKey::new([8; 32])));
    }

    #[test]
    fn truncated_body_is_not_whole() {
        assert!(refused().is_whole());
        assert!(!RefusedDelivery { body_bytes: 3, ..refused() }.is_whole());
    }
}
