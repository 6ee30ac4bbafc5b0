//! What may be kept of a delivery that was refused: everything but tokens.
//!
//! Nothing is known to be genuine here, and a token may stand where nobody asked for one, so names that sound like a
//! secret are masked too. Of each masked value a keyed digest goes out beside, never the value.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Verifier, form, headers};
use crate::provider::Place;
use crate::request::Request;
use crate::secret::{DigestKey, MASK};

/// A refused delivery without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// Path and query.
    pub target: String,
    /// One JSON object; a value is a list where a header came with values that differ.
    pub headers: String,
    /// One JSON object: of each `***` its place and digest.
    pub tokens: String,
    /// The body.
    pub body: bytes::Bytes,
}

/// Parts of names, in lower case, that sound like a secret, and those that say otherwise.
const SECRET: [&str; 8] = ["token", "secret", "password", "passwd", "credential", "api-key", "api_key", "apikey"];
const PUBLIC: [&str; 8] = ["sign", "hmac", "digest", "hash", "idempotency", "-id", "_id", "time"];

impl Verifier {
    /// What may be kept of a request.
    #[must_use]
    pub fn mask(&self, request: &Request, key: &DigestKey) -> Masked {
        let mut tokens = BTreeMap::new();
        let headers = self.mask_headers(request, key, &mut tokens);
        let target = self.mask_target(request, key, &mut tokens);
        let tokens = Value::Object(tokens.into_iter().map(|(place, digest)| (place, Value::String(digest))).collect());
        Masked { target, headers, tokens: tokens.to_string(), body: self.handshaker.masked(&request.body) }
    }

    fn mask_headers(&self, request: &Request, key: &DigestKey, tokens: &mut BTreeMap<String, String>) -> String {
        let mut fields: Vec<(&str, Vec<&[u8]>)> = Vec::new();
        for (name, value) in request.headers.iter() {
            match fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => fields.push((name, vec![value])),
            }
        }
        let mut json = String::from("{");
        for (name, values) in fields {
            let shown = if self.is_token_header(name) {
                tokens.insert(format!("header:{}", name.to_ascii_lowercase()), key.digest(&values.join(&b", "[..])));
                Value::from(MASK)
            } else {
                let mut texts: Vec<_> = values.into_iter().map(headers::text_of).map(Value::from).collect();
                if texts.len() == 1 { texts.remove(0) } else { Value::Array(texts) }
            };
            let separator = if json.len() > 1 { "," } else { "" };
            json.push_str(&format!("{separator}{}:{shown}", Value::from(name)));
        }
        json + "}"
    }

    fn mask_target(&self, request: &Request, key: &DigestKey, tokens: &mut BTreeMap<String, String>) -> String {
        let own = |name: &str| self.scheme.signatures().any(|place| matches!(place, Place::Query(own) if own == name));
        let is_token = |name: &str| if own(name) { self.scheme.proof.is_token() } else { sounds_secret(name) };
        let mut query = request.query.clone();
        for (name, value) in form::fields(request.query.as_bytes()) {
            let name = String::from_utf8_lossy(&name);
            if is_token(&name) {
                query = form::masked(&query, &name, MASK);
                tokens.insert(format!("query:{name}"), key.digest(&value));
            }
        }
        if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) }
    }

    fn is_token_header(&self, name: &str) -> bool {
        self.tokens.iter().any(|token| token.eq_ignore_ascii_case(name)) || sounds_secret(name)
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    has(&SECRET) && !has(&PUBLIC)
}
