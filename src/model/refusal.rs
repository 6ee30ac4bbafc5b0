//! A delivery that was turned away, as it is kept: enough to explain why, and to take it in once it would be genuine.
//!
//! Tokens are gone from it: `***` stands in their places, and beside them keyed digests, with which a configured
//! token can be compared. Pure words: the listener writes them, the inbox keeps them, `explain` reads them.

use std::collections::BTreeMap;

use crate::model::request::{Headers, Request, stored_fields};
use crate::support::secret::DigestKey;
use crate::support::time::Millis;

/// Of a body, so many bytes are kept.
pub const MAX_STORED_BODY: usize = 64 << 10;

/// Among the places of tokens: somewhere in the body.
pub const BODY_TOKEN: &str = "body";

/// One refused delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDelivery {
    /// NAME of the source it came to.
    pub source: String,
    /// When.
    pub received_at: Millis,
    /// What was answered.
    pub status: u16,
    /// Why, in words for the operator.
    pub reason: String,
    /// The client's address; `None` where there is none to be told.
    pub remote: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path and query; tokens are `***`.
    pub target: String,
    /// One JSON object; tokens are `***`, a value is a list where a header came with values that differ, and
    /// `{"latin1": "…"}` where it is not UTF-8.
    pub headers: String,
    /// One JSON object: of each `***` its place (`header:authorization`, `query:token`, `body`) and digest.
    pub tokens: String,
    /// The first [`MAX_STORED_BODY`] bytes; nothing when it was not read.
    pub body: Vec<u8>,
    /// How long it was, or was said to be.
    pub body_bytes: u64,
}

/// A token that came, hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenToken {
    /// `header:NAME` in lower case, `query:NAME`, or where else it stood.
    pub location: String,
    digest: String,
}

impl HiddenToken {
    /// Whether this is what stood there.
    #[must_use]
    pub fn is(&self, token: &[u8], key: &DigestKey) -> bool {
        self.digest == key.digest(token)
    }
}

impl RefusedDelivery {
    /// Whether the body is kept from its first byte to its last, as it came.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        u64::try_from(self.body.len()).is_ok_and(|kept| kept == self.body_bytes)
    }

    /// The request, with `***` where tokens stood.
    #[must_use]
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

    /// What stood where `***` stands.
    #[must_use]
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
    fn a_request_comes_back_as_it_was_but_for_its_tokens() {
        let request = refused().request();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/hooks/s", "a=1&token=***"));
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name, value.to_vec())).collect();
        let expected = [("X-B", "1"), ("a", "2"), ("a", "3"), ("X-Token", "***")];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.as_bytes().to_vec())));
        assert_eq!((&request.body[..], request.received_at), (&b"{}"[..], Millis(5)));
    }

    #[test]
    fn a_hidden_token_is_known_by_its_digest_under_the_same_key_alone() {
        let hidden = refused().hidden_tokens().remove(0);
        assert_eq!(hidden.location, "header:x-token");
        assert!(hidden.is(b"hunter2", &DigestKey::new([7; 32])));
        assert!(!hidden.is(b"hunter3", &DigestKey::new([7; 32])));
        assert!(!hidden.is(b"hunter2", &DigestKey::new([8; 32])));
    }

    #[test]
    fn a_body_that_was_cut_is_not_whole() {
        assert!(refused().is_whole());
        assert!(!RefusedDelivery { body_bytes: 3, ..refused() }.is_whole());
    }
}
