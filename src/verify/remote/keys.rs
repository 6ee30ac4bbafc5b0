//! The published keys of one source, and the key that a delivery names.
//!
//! Key names come from unverified deliveries: they are bounded in length and only used to look up a key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::config::Source;
use crate::providers::{Algorithm, AuthMethod, KeySource, PublicKey, Scheme};
use crate::support::locks;
use crate::support::time::Millis;
use crate::verify::context::Context;
use crate::verify::error::{SignatureError, SignatureResult, VerifyError, VerifyResult};
use crate::verify::key::SignatureKey;
use crate::verify::published_keys::{Credentials, JwksCache, KeyApi, KeyFetchError, KeyUrl, PublishedKey};
use crate::verify::signature_header;

/// Longest name of a key, in bytes.
const MAX_KEY_NAME: usize = 256;
/// The most keys that are tried if a signature does not name one.
const MAX_KEYS_TRIED: usize = 8;

/// Fetched keys by source, shared by several verifiers.
#[derive(Debug, Default)]
pub struct SharedKeys(Mutex<HashMap<Arc<str>, Arc<JwksCache>>>);

impl SharedKeys {
    fn of(&self, source: &Source) -> Arc<JwksCache> {
        let mut caches = locks::lock(&self.0);
        let new = || Arc::new(JwksCache::new(source.keys_url.clone()));
        Arc::clone(caches.entry(Arc::clone(&source.name)).or_insert_with(new))
    }
}

/// The published keys of a source.
pub(crate) struct RemoteKeys {
    pub(super) cache: Arc<JwksCache>,
    /// Configured keys, used instead of fetched ones by built-in schemes.
    configured: Vec<PublicKey>,
}

impl RemoteKeys {
    /// `None` for a source that needs no fetched keys.
    pub(crate) fn new(source: &Source, shared: &SharedKeys) -> Option<Self> {
        let scheme = &source.scheme;
        let is_builtin = matches!(scheme.auth, AuthMethod::Builtin(_));
        if !is_builtin && (scheme.keys.is_none() || !source.public_keys.is_empty()) {
            return None;
        }
        let read = |key| PublicKey::read(scheme.key_kind()?, &scheme.key(key).ok()?);
        let configured = source.public_keys.iter().filter(|_| is_builtin).filter_map(read).collect();
        Some(Self { cache: shared.of(source), configured })
    }

    /// The keys that may have signed a delivery.
    pub(super) fn keys(&self, source: &Source, name: Option<&str>, now: Millis) -> VerifyResult<Vec<SignatureKey>> {
        let keys = match &source.scheme.keys {
            // plaid.com/docs/api/webhooks/webhook-verification
            Some(KeySource::Plaid) => {
                vec![self.named(source, KeyApi::Plaid, name.ok_or(SignatureError::UnknownKey)?, now)?]
            }
            _ => self.cache.set(set_url(source), name, now).map_err(verify_error)?,
        };
        Ok(usable(&source.scheme, &keys))
    }

    /// All keys of the provider, fetched again unless that happened within a minute.
    pub(super) fn newer_keys(&self, source: &Source, now: Millis) -> VerifyResult<Vec<SignatureKey>> {
        let keys = self.cache.newer_set(set_url(source), now).map_err(verify_error)?;
        Ok(usable(&source.scheme, &keys))
    }

    /// The configured keys, or else the key of this name from the provider's API.
    pub(super) fn configured_or_named(
        &self,
        source: &Source,
        algorithm: Algorithm,
        api: KeyApi,
        name: &str,
        now: Millis,
    ) -> VerifyResult<Vec<SignatureKey>> {
        self.configured_or(algorithm, || self.named(source, api, name, now))
    }

    /// The configured keys, or else the key of the certificate at a URL.
    pub(super) fn configured_or_certified(
        &self,
        algorithm: Algorithm,
        url: &KeyUrl,
        now: Millis,
    ) -> VerifyResult<Vec<SignatureKey>> {
        self.configured_or(algorithm, || self.cache.certificate(url, now).map_err(verify_error))
    }

    fn configured_or(
        &self,
        algorithm: Algorithm,
        fetch: impl FnOnce() -> VerifyResult<PublishedKey>,
    ) -> VerifyResult<Vec<SignatureKey>> {
        let mut keys = self.configured.clone();
        if keys.is_empty() {
            let fetched = fetch()?;
            keys.extend(PublicKey::read(fetched.kind, &fetched.der));
        }
        Ok(keys.into_iter().filter_map(|key| SignatureKey::public(algorithm, key)).collect())
    }

    fn named(&self, source: &Source, api: KeyApi, name: &str, now: Millis) -> VerifyResult<PublishedKey> {
        let (Some(id), Some(secret)) = (&source.api_key, source.secrets.first()) else {
            let reason = "the source has no `api_key` and `secret` to fetch keys with";
            return Err(VerifyError::Unavailable(reason.to_owned()));
        };
        let credentials = Credentials { id: id.clone(), secret: secret.clone() };
        self.cache.named(api, &credentials, name, now).map_err(verify_error)
    }
}

/// The URL of a published set; empty if the source has a `keys_url`.
fn set_url(source: &Source) -> &str {
    match &source.scheme.keys {
        Some(KeySource::Set(url)) => url,
        Some(KeySource::OwnSet | KeySource::Plaid) | None => "",
    }
}

pub(super) fn verify_error(error: KeyFetchError) -> VerifyError {
    match error {
        KeyFetchError::Unknown => SignatureError::UnknownKey.into(),
        KeyFetchError::Unavailable(reason) => VerifyError::Unavailable(reason),
    }
}

#[derive(Deserialize)]
struct TokenHeader {
    #[serde(default)]
    kid: Option<String>,
}

/// The name of the key that signed a delivery, if the delivery says it. A JSON Web Token must.
pub(super) fn key_name(context: &Context<'_>) -> SignatureResult<Option<String>> {
    let name = match (&context.scheme.auth, &context.scheme.key_name) {
        (_, Some(place)) => Some(String::from_utf8_lossy(&context.required(place)?).into_owned()),
        (AuthMethod::Jwt(_), None) => {
            let expected = "a JSON Web Token that names its key";
            let unnamed = || SignatureError::Undecodable(context.signature_place(), expected);
            Some(token_key_name(context)?.ok_or_else(unnamed)?)
        }
        _ => None,
    };
    match name {
        Some(name) if name.len() > MAX_KEY_NAME => Err(SignatureError::UnknownKey),
        name => Ok(name),
    }
}

fn token_key_name(context: &Context<'_>) -> SignatureResult<Option<String>> {
    let value = context.required(&context.scheme.signature)?;
    let Ok(text) = std::str::from_utf8(&value) else { return Ok(None) };
    let header = signature_header::read(context.scheme, text)?;
    let token = header.signatures.first().copied().unwrap_or_default();
    let head = token.rsplit(' ').next().and_then(|token| token.split('.').next()).unwrap_or_default();
    let head = URL_SAFE_NO_PAD.decode(head).ok();
    Ok(head.and_then(|head| serde_json::from_slice::<TokenHeader>(&head).ok()?.kid))
}

/// The keys that the scheme's algorithms can use.
fn usable(scheme: &Scheme, keys: &[PublishedKey]) -> Vec<SignatureKey> {
    let all = keys.iter().flat_map(|key| {
        let is_of_kind = |usable: &SignatureKey| usable.algorithm.key_kind() == Some(key.kind);
        SignatureKey::all(&scheme.auth, &key.der).into_iter().filter(is_of_kind)
    });
    all.take(MAX_KEYS_TRIED).collect()
}
