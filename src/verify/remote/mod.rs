//! Deliveries that are proven with keys the provider publishes, fetched when they are needed.
//!
//! Schemes that take code have a file each and one interface: a request comes in, the text of the signed timestamp
//! goes out, or why it is refused. Whoever calls may wait for a fetch. That keys cannot be had now is told apart from
//! a forgery: the provider shall come again.

mod paypal;
mod sent;
mod set;
mod sns;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey as _;

use super::case::Case;
use super::handshake::Answer;
use super::key::Key;
use super::refusal::{Refusal, Why};
use crate::clock::Millis;
use crate::config::Source;
use crate::keys::{Address, KeyError, KeyRing};
use crate::provider::{Algorithm, Code, KeyKind, Place, Proof, PublicKey};
use crate::request::Request;
use crate::secret::Secret;

pub(super) use sent::{complete, signed, wrapped};

/// A subscription that waits to be confirmed; [`super::Verifier::confirm`] does.
#[derive(Debug, Clone)]
pub struct Confirmation {
    pub(super) address: Address,
    pub(super) answer: Answer,
}

/// Fetched keys by source, for verifiers that judge one delivery in many ways.
#[derive(Debug, Default)]
pub struct SharedKeys(Mutex<HashMap<Arc<str>, Arc<KeyRing>>>);

impl SharedKeys {
    fn of(&self, source: &Source) -> Arc<KeyRing> {
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = || Arc::new(KeyRing::new(source.keys_url.clone()));
        Arc::clone(rings.entry(Arc::clone(&source.name)).or_insert_with(ring))
    }
}

/// What a source needs to be verified with remote keys.
pub(super) struct Remote {
    signature: Place,
    /// Where the provider's set of keys is; none for schemes that take code.
    set: String,
    ring: Arc<KeyRing>,
    /// Of these alone deliveries are taken.
    topics: Vec<String>,
    /// Keys that the source has configured, in place of fetched certificates.
    own: Vec<RsaPublicKey>,
    /// What the provider calls the webhook.
    ids: Vec<String>,
    confirms: bool,
}

impl Remote {
    /// `None` for a source whose keys are configured.
    pub(super) fn of(source: &Source, keys: &SharedKeys) -> Option<Self> {
        let is_code = matches!(source.scheme.proof, Proof::Code(_));
        let set = source.scheme.keys.clone().filter(|_| source.public_keys.is_empty());
        (is_code || set.is_some()).then(|| Self {
            set: set.unwrap_or_default(),
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
        })
    }

    /// Whether the provider sent this; out goes the timestamp that it signed.
    pub(super) fn prove(&self, code: Code, request: &Request, now: Millis) -> Result<Vec<u8>, Refusal> {
        match code {
            Code::AwsSns => sns::prove(self, request, now),
            Code::PayPal => paypal::prove(self, request, now),
        }
    }

    /// The keys by which a delivery may be signed, and whether it names its key.
    pub(super) fn keys(&self, case: &Case<'_>, now: Millis) -> Result<(Vec<(Algorithm, Key)>, bool), Refusal> {
        let name = set::key_name(case)?;
        let keys = self.ring.set(&self.set, name.as_deref(), now).map_err(refusal)?;
        Ok((set::usable(case.scheme, &keys), name.is_some()))
    }

    /// Every key of the provider's, as new as may be.
    pub(super) fn newer_keys(&self, case: &Case<'_>, now: Millis) -> Result<Vec<(Algorithm, Key)>, Refusal> {
        let keys = self.ring.newer_set(&self.set, now).map_err(refusal)?;
        Ok(set::usable(case.scheme, &keys))
    }

    /// What to visit, where the source wants that.
    pub(super) fn confirmation(&self, url: &str, answer: Answer) -> Result<Option<Confirmation>, Refusal> {
        if !self.confirms {
            return Ok(None);
        }
        let address = sns::subscribe_address(url, self.ring.base())?;
        Ok(Some(Confirmation { address, answer }))
    }

    pub(super) fn confirm(&self, confirmation: Confirmation, now: Millis) -> Result<Answer, Refusal> {
        self.ring.visit(&confirmation.address, now).map_err(refusal)?;
        Ok(confirmation.answer)
    }

    /// The key of a certificate, unless the source has keys of its own.
    fn certified(&self, address: &Address, now: Millis) -> Result<Vec<RsaPublicKey>, Refusal> {
        if !self.own.is_empty() {
            return Ok(self.own.clone());
        }
        let key = self.ring.certificate(address, now).map_err(refusal)?;
        let key = RsaPublicKey::from_public_key_der(&key.der).map_err(|_| Refusal::NotGenuine(Why::UnknownKey))?;
        Ok(vec![key])
    }
}

fn own_key(source: &Source, key: &Secret) -> Option<RsaPublicKey> {
    match PublicKey::read(KeyKind::Rsa, &source.scheme.key(key).ok()?) {
        Some(PublicKey::Rsa(key)) => Some(key),
        _ => None,
    }
}

pub(super) fn refusal(error: KeyError) -> Refusal {
    match error {
        KeyError::Unknown => Refusal::NotGenuine(Why::UnknownKey),
        KeyError::Unavailable(why) => Refusal::Unavailable(why),
    }
}
