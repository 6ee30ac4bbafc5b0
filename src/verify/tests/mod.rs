//! The engine against published vectors, every provider of the table, and random input.
//!
//! Sources use the embedded provider rows, and the time is fixed. Where providers have published signatures, the tests
//! use those instead of ones made by the engine.

mod batches;
mod extract;
mod hostile;
mod identity;
mod published;
mod quirks;
mod redact;
mod table;
mod tokens;
mod vectors;
pub(crate) mod walk;

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::extract::form;
use super::*;
use crate::config::Admission;
use crate::providers::{ProviderRow, ValueLocation, find};
use crate::support::secret::Secret;

/// 2023-11-14T22:13:20Z
pub(crate) const NOW: Millis = Millis(1_700_000_000_000);

fn source(row: &ProviderRow, secrets: &[&str]) -> Source {
    Source {
        name: "here".into(),
        provider: "custom".to_owned(),
        path: "/hooks/here".to_owned(),
        scheme_summary: vec![],
        scheme: Arc::new(Scheme::from_row(row).unwrap()),
        secrets: secrets.iter().map(|text| Secret::new(*text)).collect(),
        public_keys: Vec::new(),
        key_ids: Vec::new(),
        api_key: None,
        verify_token: None,
        urls: Vec::new(),
        topics: Vec::new(),
        confirm_subscriptions: false,
        keys_url: None,
        max_body: 1 << 20,
        admission: Admission::default(),
    }
}

fn known(provider: &str, secrets: &[&str]) -> Source {
    Source { provider: provider.to_owned(), ..source(find(provider).unwrap(), secrets) }
}

pub(super) fn custom(row: &str, secret: &str) -> Source {
    source(&toml::from_str(row).unwrap(), &[secret])
}

fn request(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Request {
    let mut fields = Headers::default();
    headers.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()));
    Request {
        method: "POST".to_owned(),
        path: "/hooks/here".to_owned(),
        query: String::new(),
        headers: fields,
        body: body.into().into(),
        received_at: NOW,
    }
}

/// A signature with the source's first algorithm.
fn signature_of(source: &Source, secret: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let keys = SignatureKey::all(&source.scheme.auth, secret);
    let pieces: Vec<_> = pieces.iter().map(|piece| Cow::Borrowed(*piece)).collect();
    keys[0].sign(&pieces).unwrap()
}

fn check(source: &Source, request: &Request) -> Result<VerifiedRequest, VerifyError> {
    Verifier::new(source).check(request, NOW)
}

/// The id and type of a delivery that must be genuine and carry one event.
fn event(source: &Source, request: &Request) -> (String, String) {
    match check(source, request) {
        Ok(VerifiedRequest::Delivery(verified)) => {
            let [item] = verified.items() else { panic!("{} events", verified.items().len()) };
            assert_eq!(item.body, request.body);
            (item.event_id.clone(), item.event_type.clone())
        }
        other => panic!("{}: {other:?}", source.provider),
    }
}

fn signature_error(source: &Source, request: &Request) -> SignatureError {
    match check(source, request) {
        Err(VerifyError::NotGenuine(error)) => error,
        other => panic!("{}: {other:?}", source.provider),
    }
}

fn extract_error(source: &Source, request: &Request) -> ExtractError {
    match check(source, request) {
        Err(VerifyError::Malformed(error)) => error,
        other => panic!("{}: {other:?}", source.provider),
    }
}

/// The request with changed headers; `None` removes one.
fn altered(request: &Request, change: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) -> Request {
    let mut headers = Headers::default();
    for (name, value) in request.headers.iter() {
        if let Some(value) = change(name, value) {
            headers.push(name, &value);
        }
    }
    Request { headers, ..request.clone() }
}

fn without(request: &Request, name: &str) -> Request {
    altered(request, |field, value| (!field.eq_ignore_ascii_case(name)).then(|| value.to_vec()))
}

fn replaced(request: &Request, name: &str, change: impl Fn(&str) -> String) -> Request {
    altered(request, |field, value| match field.eq_ignore_ascii_case(name) {
        true => Some(change(std::str::from_utf8(value).unwrap()).into_bytes()),
        false => Some(value.to_vec()),
    })
}

fn with(request: &Request, name: &str, value: &str) -> Request {
    let mut request = request.clone();
    request.headers.push(name, value.as_bytes());
    request
}
