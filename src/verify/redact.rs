//! Removes tokens from what is stored: the headers of accepted deliveries, and everything of rejected ones.
//!
//! A rejected delivery is not known to be genuine, and may contain a token in an unexpected place. So values whose
//! names sound like a secret are masked, too. For each masked value a keyed digest is kept, never the value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::context::Context;
use super::extract::{batch, form};
use super::headers_json;
use crate::model::refusal::{BODY_TOKEN, MAX_STORED_BODY};
use crate::model::request::{Headers, LATIN1, Request};
use crate::providers::{Scheme, Selector, TemplateSegment, TimestampLocation, ValueLocation};
use crate::support::secret::{DigestKey, MASK};

/// A rejected delivery without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedRequest {
    /// Path and query.
    pub target: String,
    /// A JSON object. A value is a list if the header occurred with different values.
    pub headers: String,
    /// A JSON object: the place and digest of each masked value.
    pub tokens: String,
    pub body: Bytes,
}

/// Parts of names, in lower case, that sound like a secret, and parts that make such a name harmless.
const SECRET_PARTS: [&str; 8] = ["token", "secret", "password", "passwd", "credential", "api-key", "api_key", "apikey"];
const PUBLIC_PARTS: [&str; 8] = ["sign", "hmac", "digest", "hash", "idempotency", "-id", "_id", "time"];

/// `token_headers` are the scheme's headers that must not be stored, in lower case.
pub(super) fn redact(context: Context<'_>, token_headers: &[String], key: &DigestKey) -> RedactedRequest {
    let mut redactor = Redactor { context, token_headers, key, digests: BTreeMap::new() };
    let headers = redactor.headers();
    let target = redactor.target();
    let body = redactor.body();
    let tokens = serde_json::json!(redactor.digests).to_string();
    RedactedRequest { target, headers, tokens, body }
}

struct Redactor<'a> {
    context: Context<'a>,
    token_headers: &'a [String],
    key: &'a DigestKey,
    /// By place: `header:NAME`, `query:NAME` or `body`.
    digests: BTreeMap<String, String>,
}

impl Redactor<'_> {
    fn headers(&mut self) -> String {
        let mut fields: Vec<(&str, Vec<&[u8]>)> = Vec::new();
        for (name, value) in self.context.request.headers.iter() {
            match fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => fields.push((name, vec![value])),
            }
        }
        let mut json = String::from("{");
        for (name, values) in fields {
            let stored = if self.is_token_header(name) {
                let digest = self.key.digest(&values.join(&b", "[..]));
                self.digests.insert(format!("header:{}", name.to_ascii_lowercase()), digest);
                Value::from(MASK)
            } else {
                let mut values: Vec<_> = values.into_iter().map(stored_value).collect();
                if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
            };
            let separator = if json.len() > 1 { "," } else { "" };
            json.push_str(&format!("{separator}{}:{stored}", Value::from(name)));
        }
        json + "}"
    }

    fn target(&mut self) -> String {
        let Context { request, scheme, .. } = self.context;
        let is_signature = |name: &str| {
            scheme.signature_locations().any(|place| matches!(place, ValueLocation::Query(it) if it == name))
        };
        let is_token = |name: &str| if is_signature(name) { scheme.auth.is_token() } else { sounds_secret(name) };
        let pairs = request.query.split('&').map(|pair| {
            let (name, value) = form::decode_pair(pair.as_bytes());
            let name = String::from_utf8_lossy(&name);
            if value.is_empty() || !is_token(&name) {
                return Cow::Borrowed(pair);
            }
            self.digests.insert(format!("query:{name}"), self.key.digest(&value));
            let (written_name, _) = pair.split_once('=').unwrap_or((pair, ""));
            Cow::Owned(format!("{written_name}={MASK}"))
        });
        path_and_query(&request.path, &pairs.collect::<Vec<_>>().join("&"))
    }

    /// Masks every occurrence of a token in the body. If that is impossible, returns an empty body.
    fn body(&mut self) -> Bytes {
        let Context { request, scheme, .. } = self.context;
        let is_in_body = |place: &ValueLocation| {
            !matches!(place, ValueLocation::Header(_) | ValueLocation::Numbered(_) | ValueLocation::Query(_))
        };
        if !scheme.auth.is_token() || !scheme.signature_locations().any(is_in_body) {
            return request.body.clone();
        }
        if request.body.len() > MAX_STORED_BODY {
            return Bytes::new();
        }
        match &self.body_tokens()[..] {
            [] => request.body.clone(),
            [token] => {
                self.digests.insert(BODY_TOKEN.to_owned(), self.key.digest(token));
                let (masked, count) = replace_all(&request.body, token, MASK.as_bytes());
                if count == 0 { Bytes::new() } else { masked.into() }
            }
            _ => Bytes::new(),
        }
    }

    /// The distinct values at every place of the body that may contain the token.
    fn body_tokens(&self) -> Vec<Vec<u8>> {
        let Context { request, scheme, .. } = self.context;
        let batch = scheme.batch.as_ref().and_then(|batch| batch::split(batch, request).ok().flatten());
        let items = batch.unwrap_or_default();
        let mut tokens: Vec<Vec<u8>> = Vec::new();
        for place in scheme
            .signature_locations()
            .filter(|place| !matches!(place, ValueLocation::Header(_) | ValueLocation::Query(_)))
        {
            let with_item = |item| Context { item: Some(item), ..self.context };
            let contexts = std::iter::once(self.context).chain(items.iter().map(|item| with_item(&item[..])));
            tokens.extend(contexts.filter_map(|context| context.value(place).ok().flatten()).map(Cow::into_owned));
        }
        tokens.sort();
        tokens.dedup();
        tokens
    }

    fn is_token_header(&self, name: &str) -> bool {
        let scheme = self.context.scheme;
        let is_listed = self.token_headers.iter().any(|token| token.eq_ignore_ascii_case(name));
        // A signature in `Authorization` that covers the body may be stored, and `explain` needs it to check again.
        let is_needed = reads_header(scheme, name) && (!is_listed || scheme.covers_body());
        (is_listed || sounds_secret(name)) && !is_needed
    }
}

/// Whether the scheme needs the unchanged value of a header.
fn reads_header(scheme: &Scheme, name: &str) -> bool {
    let is_named = |own: &str| own.eq_ignore_ascii_case(name);
    let is_header = |place: &ValueLocation| match place {
        ValueLocation::Header(own) => scheme.header_names(own).any(is_named),
        _ => false,
    };
    let timestamp = match scheme.timestamp.as_ref().map(|timestamp| &timestamp.location) {
        Some(TimestampLocation::At(place)) => Some(place),
        _ => None,
    };
    let mut segments = scheme.template_signature().into_iter().flat_map(|signed| signed.contents.iter().flatten());
    let mut selectors = scheme.event_id.alternatives.iter().chain(&scheme.event_type.alternatives).flatten();
    scheme.signature_locations().chain(timestamp).chain(&scheme.key_id).any(is_header)
        || segments.any(|segment| {
            segment.flatten().iter().any(|part| matches!(part, TemplateSegment::Header(own) if is_named(own)))
        })
        || selectors.any(|part| matches!(part, Selector::Header(own) if is_named(own)))
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    has(&SECRET_PARTS) && !has(&PUBLIC_PARTS)
}

/// A value that is not UTF-8 is marked, so that checking it again sees the same bytes.
fn stored_value(value: &[u8]) -> Value {
    let text = Value::from(headers_json::text(value));
    if std::str::from_utf8(value).is_ok() { text } else { serde_json::json!({ LATIN1: text }) }
}

/// The bytes with every occurrence of `old` replaced, and the number of occurrences.
fn replace_all(bytes: &[u8], old: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
    let (mut replaced, mut rest, mut count) = (Vec::with_capacity(bytes.len()), bytes, 0);
    while let Some(place) = rest.windows(old.len()).position(|window| window == old) {
        replaced.extend_from_slice(&rest[..place]);
        replaced.extend_from_slice(new);
        rest = &rest[place + old.len()..];
        count += 1;
    }
    replaced.extend_from_slice(rest);
    (replaced, count)
}

/// The target of an accepted delivery: path and query, with a token in the query masked.
pub(super) fn accepted_target(scheme: &Scheme, request: &Request) -> String {
    match &scheme.signature {
        ValueLocation::Query(name) => path_and_query(&request.path, &form::masked(&request.query, name, MASK)),
        _ => path_and_query(&request.path, &request.query),
    }
}

/// A GET has no body: its query is the document, as a form without the token.
pub(super) fn query_document(scheme: &Scheme, request: &Request) -> Option<Request> {
    const FORM: &str = "application/x-www-form-urlencoded";
    if request.method != "GET" || !request.body.is_empty() {
        return None;
    }
    let target = accepted_target(scheme, request);
    let query = target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
    let mut headers = Headers::default();
    let others = request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    others.for_each(|(name, value)| headers.push(name, value));
    headers.push("content-type", FORM.as_bytes());
    Some(Request { body: query.into(), headers, ..request.clone() })
}

fn path_and_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
