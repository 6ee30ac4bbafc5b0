//! Deliveries that are proven with keys the provider publishes, fetched when they are needed.
//!
//! Schemes that take code have a file each and one interface: a request comes in, the text of the signed timestamp
//! goes out, or why it is refused. Whoever calls may wait for a fetch. That keys cannot be had now is told apart from
//! a forgery: the provider shall come again.

pub(super) mod ebay;
mod key_set;
pub(super) mod paypal;
mod plaid;
pub(super) mod sns;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey as _;

use crate::config::Source;
use crate::model::request::Request;
use crate::providers::{Algorithm, AuthMethod, BuiltinScheme, KeySource, PublicKey, ValueLocation};
use crate::support::locks;
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::context::Case;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::handshake::ProviderResponse;
use crate::verify::key::Key;
use crate::verify::published_keys::{Address, Api, Credentials, KeyError, KeyRing};

/// A subscription that waits to be confirmed; [`super::Verifier::confirm`] does.
#[derive(Debug, Clone)]
pub struct SubscriptionConfirmation {
    pub(super) address: Address,
    pub(super) answer: ProviderResponse,
}

/// Fetched keys by source, for verifiers that judge one delivery in many ways.
#[derive(Debug, Default)]
pub struct SharedKeys(Mutex<HashMap<Arc<str>, Arc<KeyRing>>>);

impl SharedKeys {
    fn of(&self, source: &Source) -> Arc<KeyRing> {
        let mut rings = locks::lock(&self.0);
        let ring = || Arc::new(KeyRing::new(source.keys_url.clone()));
        Arc::clone(rings.entry(Arc::clone(&source.name)).or_insert_with(ring))
    }
}

/// What a source needs to be verified with remote keys.
pub(super) struct Remote {
    signature: ValueLocation,
    /// Where the provider's keys are; none for schemes that take code.
    published: Option<KeySource>,
    ring: Arc<KeyRing>,
    /// Of these alone deliveries are taken.
    topics: Vec<String>,
    /// Keys that the source has configured, in place of fetched certificates.
    own: Vec<PublicKey>,
    /// What the provider calls the webhook.
    ids: Vec<String>,
    confirms: bool,
    /// What the provider's API knows the application by.
    credentials: Option<Credentials>,
}

impl Remote {
    /// `None` for a source whose keys are configured.
    pub(super) fn of(source: &Source, keys: &SharedKeys) -> Option<Self> {
        let is_code = matches!(source.scheme.auth, AuthMethod::Builtin(_));
        let published = source.scheme.keys.clone().filter(|_| source.public_keys.is_empty());
        (is_code || published.is_some()).then(|| Self {
            published,
            signature: source.scheme.signature.clone(),
            ring: keys.of(source),
            topics: source.topics.clone(),
            own: if is_code {
                source.public_keys.iter().filter_map(|key| own_key(source, key)).collect()
            } else {
                Vec::new()
            },
            ids: source.key_ids.iter().map(|id| id.reveal().to_owned()).collect(),
            confirms: source.confirm_subscriptions,
            credentials: credentials(source),
        })
    }

    /// Whether the provider sent this; out goes the timestamp that it signed.
    pub(super) fn prove(&self, code: BuiltinScheme, request: &Request, now: Millis) -> Result<Vec<u8>, VerifyError> {
        match code {
            BuiltinScheme::AwsSns => sns::prove(self, request, now),
            BuiltinScheme::PayPal => paypal::prove(self, request, now),
            BuiltinScheme::Ebay => ebay::prove(self, request, now),
        }
    }

    /// The keys by which a delivery may be signed, and whether it names its key.
    pub(super) fn keys(&self, case: &Case<'_>, now: Millis) -> Result<(Vec<(Algorithm, Key)>, bool), VerifyError> {
        let name = key_set::key_name(case)?;
        let keys = match &self.published {
            Some(KeySource::Plaid) => plaid::keys(self, name.as_deref(), now)?,
            published => self.ring.set(address(published), name.as_deref(), now).map_err(refusal)?,
        };
        Ok((key_set::usable(case.scheme, &keys), name.is_some()))
    }

    /// Every key of the provider's, as new as may be.
    pub(super) fn newer_keys(&self, case: &Case<'_>, now: Millis) -> Result<Vec<(Algorithm, Key)>, VerifyError> {
        let keys = self.ring.newer_set(address(&self.published), now).map_err(refusal)?;
        Ok(key_set::usable(case.scheme, &keys))
    }

    /// What to visit, where the source wants that.
    pub(super) fn confirmation(
        &self,
        url: &str,
        answer: ProviderResponse,
    ) -> Result<Option<SubscriptionConfirmation>, VerifyError> {
        if !self.confirms {
            return Ok(None);
        }
        let address = sns::subscribe_address(url, self.ring.base())?;
        Ok(Some(SubscriptionConfirmation { address, answer }))
    }

    pub(super) fn confirm(
        &self,
        confirmation: SubscriptionConfirmation,
        now: Millis,
    ) -> Result<ProviderResponse, VerifyError> {
        self.ring.visit(&confirmation.address, now).map_err(refusal)?;
        Ok(confirmation.answer)
    }

    /// The key of this name, as the provider's API gives it.
    fn named(
        &self,
        api: Api,
        name: &str,
        now: Millis,
    ) -> Result<crate::verify::published_keys::PublishedKey, VerifyError> {
        let without =
            || VerifyError::Unavailable("the source has no `api_key` and `secret` to fetch keys with".to_owned());
        let credentials = self.credentials.as_ref().ok_or_else(without)?;
        self.ring.named((api, credentials), name, now).map_err(refusal)
    }

    /// The key of a certificate, unless the source has keys of its own.
    fn certified(&self, address: &Address, now: Millis) -> Result<Vec<RsaPublicKey>, VerifyError> {
        if !self.own.is_empty() {
            let is_rsa = |key: &PublicKey| if let PublicKey::Rsa(key) = key { Some(key.clone()) } else { None };
            return Ok(self.own.iter().filter_map(is_rsa).collect());
        }
        let key = self.ring.certificate(address, now).map_err(refusal)?;
        let key = RsaPublicKey::from_public_key_der(&key.der)
            .map_err(|_| VerifyError::NotGenuine(SignatureError::UnknownKey))?;
        Ok(vec![key])
    }
}

fn own_key(source: &Source, key: &Secret) -> Option<PublicKey> {
    PublicKey::read(source.scheme.key_kind()?, &source.scheme.key(key).ok()?)
}

/// What the source's application is known by; while secrets rotate, the newest.
fn credentials(source: &Source) -> Option<Credentials> {
    let (id, secret) = (source.api_key.clone()?, source.secrets.first()?.clone());
    source.scheme.required_settings().credentials.then_some(Credentials { id, secret })
}

/// Of a set; empty where the ring has the source's own.
fn address(published: &Option<KeySource>) -> &str {
    match published {
        Some(KeySource::Set(address)) => address,
        Some(KeySource::OwnSet | KeySource::Plaid) | None => "",
    }
}

pub(super) fn refusal(error: KeyError) -> VerifyError {
    match error {
        KeyError::Unknown => VerifyError::NotGenuine(SignatureError::UnknownKey),
        KeyError::Unavailable(why) => VerifyError::Unavailable(why),
    }
}
