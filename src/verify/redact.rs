//! What may be kept of a delivery that was refused: everything but tokens.
//!
//! Nothing is known to be genuine here, and a token may stand where nobody asked for one, so names that sound like a
//! secret are masked too. Of each masked value a keyed digest goes out beside, never the value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::extract::{batch as items, form};
use super::{Verifier, headers};
use crate::model::refusal::{BODY_PLACE, KEPT_BODY};
use crate::model::request::{LATIN1, Request};
use crate::providers::{Selector, TemplateSegment, TimestampLocation, ValueLocation};
use crate::support::secret::{DigestKey, MASK};
use crate::verify::context::Case;

/// A refused delivery without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedRequest {
    /// Path and query.
    pub target: String,
    /// One JSON object; a value is a list where a header came with values that differ.
    pub headers: String,
    /// One JSON object: of each `***` its place and digest.
    pub tokens: String,
    /// The body.
    pub body: Bytes,
}

/// Parts of names, in lower case, that sound like a secret, and those that say otherwise.
const SECRET: [&str; 8] = ["token", "secret", "password", "passwd", "credential", "api-key", "api_key", "apikey"];
const PUBLIC: [&str; 8] = ["sign", "hmac", "digest", "hash", "idempotency", "-id", "_id", "time"];

/// Judged again, what is not UTF-8 must not have become so.
fn stored(value: &[u8]) -> Value {
    let text = Value::from(headers::text_of(value));
    if std::str::from_utf8(value).is_ok() { text } else { serde_json::json!({ LATIN1: text }) }
}

impl Verifier {
    /// What may be kept of a request.
    #[must_use]
    pub fn redact(&self, request: &Request, key: &DigestKey) -> RedactedRequest {
        let mut tokens = BTreeMap::new();
        let headers = self.mask_headers(request, key, &mut tokens);
        let target = self.mask_target(request, key, &mut tokens);
        let body = self.mask_body(request, key, &mut tokens);
        let tokens = Value::Object(tokens.into_iter().map(|(place, digest)| (place, Value::String(digest))).collect());
        RedactedRequest { target, headers, tokens: tokens.to_string(), body: self.handshaker.masked(&body) }
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
                let mut texts: Vec<_> = values.into_iter().map(stored).collect();
                if texts.len() == 1 { texts.remove(0) } else { Value::Array(texts) }
            };
            let separator = if json.len() > 1 { "," } else { "" };
            json.push_str(&format!("{separator}{}:{shown}", Value::from(name)));
        }
        json + "}"
    }

    fn mask_target(&self, request: &Request, key: &DigestKey, tokens: &mut BTreeMap<String, String>) -> String {
        let own = |name: &str| {
            self.scheme.signature_locations().any(|place| matches!(place, ValueLocation::Query(own) if own == name))
        };
        let is_token = |name: &str| if own(name) { self.scheme.auth.is_token() } else { sounds_secret(name) };
        let pairs = request.query.split('&').map(|pair| {
            let (key_text, _) = pair.split_once('=').unwrap_or((pair, ""));
            let Some((name, value)) = form::fields(pair.as_bytes()).next() else { return Cow::Borrowed(pair) };
            let name = String::from_utf8_lossy(&name);
            if value.is_empty() || !is_token(&name) {
                return Cow::Borrowed(pair);
            }
            tokens.insert(format!("query:{name}"), key.digest(&value));
            Cow::Owned(format!("{key_text}={MASK}"))
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) }
    }

    /// A token within the body is replaced wherever it stands; where that cannot be, nothing of the body is kept.
    fn mask_body(&self, request: &Request, key: &DigestKey, tokens: &mut BTreeMap<String, String>) -> Bytes {
        let is_within = |place: &ValueLocation| {
            !matches!(place, ValueLocation::Header(_) | ValueLocation::Numbered(_) | ValueLocation::Query(_))
        };
        if !self.scheme.auth.is_token() || !self.scheme.signature_locations().any(is_within) {
            return request.body.clone();
        }
        if request.body.len() > KEPT_BODY {
            return Bytes::new();
        }
        match &self.body_tokens(request)[..] {
            [] => request.body.clone(),
            [token] => {
                let (masked, count) = replaced(&request.body, token, MASK.as_bytes());
                tokens.insert(BODY_PLACE.to_owned(), key.digest(token));
                if count == 0 { Bytes::new() } else { masked.into() }
            }
            _ => Bytes::new(),
        }
    }

    /// The values in every place of the body that may hold the token, each once.
    fn body_tokens(&self, request: &Request) -> Vec<Vec<u8>> {
        let whole = Case { scheme: &self.scheme, own: &self.own, request, item: None };
        let batch = self.scheme.batch.as_ref().and_then(|batch| items::split(batch, request).ok().flatten());
        let items = batch.unwrap_or_default();
        let mut found: Vec<Vec<u8>> = Vec::new();
        for place in self
            .scheme
            .signature_locations()
            .filter(|place| !matches!(place, ValueLocation::Header(_) | ValueLocation::Query(_)))
        {
            let cases = std::iter::once(whole).chain(items.iter().map(|item| Case { item: Some(item), ..whole }));
            found.extend(cases.filter_map(|case| case.value(place).ok().flatten()).map(Cow::into_owned));
        }
        found.sort();
        found.dedup();
        found
    }

    fn is_token_header(&self, name: &str) -> bool {
        let is_listed = self.tokens.iter().any(|token| token.eq_ignore_ascii_case(name));
        // A signature in `Authorization` that is bound to its body can be kept, and is needed to judge it again.
        let is_needed = self.reads_header(name) && (!is_listed || self.scheme.covers_body());
        (is_listed || sounds_secret(name)) && !is_needed
    }

    /// Whether the scheme needs the header as it came.
    fn reads_header(&self, name: &str) -> bool {
        let scheme = &self.scheme;
        let is_it = |place: &ValueLocation| match place {
            ValueLocation::Header(own) => scheme.header_names(own).any(|own| own.eq_ignore_ascii_case(name)),
            _ => false,
        };
        let timestamp = match scheme.timestamp.as_ref().map(|timestamp| &timestamp.place) {
            Some(TimestampLocation::At(place)) => Some(place),
            _ => None,
        };
        let mut segments = scheme.template_signature().into_iter().flat_map(|signed| signed.contents.iter().flatten());
        let mut selectors = scheme.event_id.alternatives.iter().chain(&scheme.event_type.alternatives).flatten();
        let is_named = |own: &str| own.eq_ignore_ascii_case(name);
        scheme.signature_locations().chain(timestamp).chain(&scheme.key_id).any(is_it)
            || segments.any(|segment| {
                segment.flat().iter().any(|part| matches!(part, TemplateSegment::Header(own) if is_named(own)))
            })
            || selectors.any(|part| matches!(part, Selector::Header(own) if is_named(own)))
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    has(&SECRET) && !has(&PUBLIC)
}

/// The bytes with every occurrence of some replaced, and how many there were.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
    let (mut made, mut rest, mut count) = (Vec::with_capacity(bytes.len()), bytes, 0);
    while let Some(place) = rest.windows(old.len()).position(|window| window == old) {
        made.extend_from_slice(&rest[..place]);
        made.extend_from_slice(new);
        rest = &rest[place + old.len()..];
        count += 1;
    }
    made.extend_from_slice(rest);
    (made, count)
}
