//! Is this delivery genuine, and what does it carry? One engine interprets every provider's scheme.
//!
//! A [`Request`] comes in; out goes a [`Verified`] with its events, the answer to a provider's handshake, or a
//! [`Refusal`]. Nothing of the body is parsed before its signature holds, the age is looked at after the
//! signature, and only this room can build a [`Verified`]. What the caller hears of a refusal is the listener's.

mod age;
mod claim;
mod draft;
mod form;
mod handshake;
mod headers;
mod json;
mod names;
mod proof;
mod refusal;
mod remote;
mod sign;
mod verified;

use std::borrow::Cow;
use std::sync::Arc;

pub use handshake::{Answer, Lesson};
pub use refusal::{Fault, Mismatch, Name, Refusal, Why};
pub use remote::Confirmation;
pub use sign::{Forgery, Unsigned, sign};
pub use verified::{Item, Verified};

use sha2::{Digest, Sha256};

use self::handshake::{Handshaker, Heard, Settings};
use self::json::Wanted;
use self::names::Delivery;
use self::proof::Key;
use self::remote::Remote;
use crate::clock::Millis;
use crate::config::Source;
use crate::provider::{Place, Reply, Scheme};
use crate::request::{Headers, Request};
use crate::secret::{MASK, Secret};

/// Checks the deliveries of one source. Made once, used by many threads.
pub struct Verifier {
    source: Arc<str>,
    scheme: Arc<Scheme>,
    keys: Vec<Key>,
    handshaker: Handshaker,
    remote: Option<Remote>,
    wanted: Wanted,
    tokens: Vec<String>,
}

/// A request that is the provider's, as far as it can be told.
#[derive(Debug, Clone)]
pub enum Genuine {
    /// It carries events.
    Event(Verified),
    /// It asks for an answer before events are sent; nothing is stored.
    Handshake(Answer),
    /// It says what the source's secret is. Nothing proves it: the inbox says whether it is believed.
    Lesson(Lesson),
    /// A subscription that the source wants confirmed: [`Verifier::confirm`].
    Confirmation(Confirmation),
}

impl Verifier {
    /// Keys are decoded and places looked up here, once; a secret that cannot be decoded matches nothing.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        let scheme = Arc::clone(&source.scheme);
        Self {
            source: Arc::clone(&source.name),
            keys: source.secrets.iter().filter_map(|secret| key(&scheme, secret)).collect(),
            handshaker: Handshaker::new(scheme.handshake, Settings::of(source)),
            remote: Remote::of(source),
            wanted: names::wanted(&scheme, &handshake::pointers(scheme.handshake)),
            tokens: scheme.token_headers(),
            scheme,
        }
    }

    /// Whether the source's secret comes from a handshake, and so from the inbox: see [`Verifier::check_knowing`].
    #[must_use]
    pub fn is_taught(&self) -> bool {
        self.handshaker.teaches() && self.keys.is_empty()
    }

    /// Whether judging may wait for the provider's keys: then it must not be done where others wait.
    #[must_use]
    pub fn may_fetch(&self) -> bool {
        self.remote.is_some()
    }

    /// Confirms a subscription, and says what to answer then. It waits for the provider.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the provider does not answer.
    pub fn confirm(&self, confirmation: Confirmation, now: Millis) -> Result<Answer, Refusal> {
        match &self.remote {
            Some(remote) => remote.confirm(confirmation, now),
            None => Ok(confirmation.answer),
        }
    }

    /// The methods that may come, for `Allow`.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static str> {
        std::iter::once("POST").chain(self.handshaker.further_methods()).collect()
    }

    /// Whether the provider wants nothing but the status where a delivery is not genuine.
    #[must_use]
    pub fn has_bare_refusals(&self) -> bool {
        self.handshaker.has_bare_refusals()
    }

    /// Judges one request.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong, in words for the operator alone.
    pub fn check(&self, request: &Request, now: Millis) -> Result<Genuine, Refusal> {
        self.check_knowing(request, now, None)
    }

    /// Judges one request, knowing the secret that a handshake has taught.
    ///
    /// # Errors
    /// As of [`Verifier::check`].
    pub fn check_knowing(&self, request: &Request, now: Millis, learned: Option<&Secret>) -> Result<Genuine, Refusal> {
        match self.handshaker.before_signature(request)? {
            Heard::Answer(answer) => return Ok(Genuine::Handshake(answer)),
            Heard::Lesson(lesson) => return Ok(Genuine::Lesson(lesson)),
            Heard::Nothing | Heard::Visit(..) => {}
        }
        if request.method != "POST" {
            return Err(Refusal::Method);
        }
        let learned: Option<Key> = learned.and_then(|secret| key(&self.scheme, secret));
        if self.keys.is_empty() && learned.is_none() && self.is_taught() {
            return Err(Refusal::NotGenuine(Why::NothingLearned));
        }
        let keys = learned.as_ref().map_or(&self.keys[..], std::slice::from_ref);
        self.prove(request, keys, now)?;
        self.read(request)
    }

    fn prove(&self, request: &Request, keys: &[Key], now: Millis) -> Result<(), Refusal> {
        let text = match &self.remote {
            Some(remote) => Some(Cow::Owned(remote.prove(request, now)?)),
            None => proof::check(&self.scheme, keys, request).map_err(Refusal::NotGenuine)?,
        };
        let Some(timestamp) = &self.scheme.timestamp else { return Ok(()) };
        // Were either missing here, an empty text and no window refuse.
        let window = self.scheme.tolerance.unwrap_or_default();
        age::check(&text.unwrap_or_default(), timestamp.unit, window, now).map_err(Refusal::NotGenuine)
    }

    fn read(&self, request: &Request) -> Result<Genuine, Refusal> {
        let sha256 = Sha256::digest(&request.body).into();
        let delivery = Delivery::new(&self.scheme, request, &self.wanted, sha256);
        let json = |pointer: &str| Ok(delivery.json(pointer)?.map(ToOwned::to_owned));
        match (self.handshaker.after_signature(request, &json)?, &self.remote) {
            (Heard::Answer(answer), _) => return Ok(Genuine::Handshake(answer)),
            (Heard::Visit(url, answer), Some(remote)) => {
                if let Some(confirmation) = remote.confirmation(&url, answer)? {
                    return Ok(Genuine::Confirmation(confirmation));
                }
            }
            _ => {}
        }
        let event_id = delivery.event_id(&self.scheme.event_id).map_err(Refusal::Malformed)?;
        let event_type = delivery.event_type(&self.scheme.event_type).map_err(Refusal::Malformed)?;
        Ok(Genuine::Event(Verified {
            source: Arc::clone(&self.source),
            received_at: request.received_at,
            content_type: request.headers.all("content-type").next().map(headers::text_of),
            headers_json: self.headers_json(&request.headers),
            acknowledgement: self.handshaker.acknowledgement(request),
            items: vec![Item { event_id, event_type, body: request.body.clone(), sha256 }],
        }))
    }

    /// All headers as one JSON object in the order received, tokens as `***`: for what is stored of a refusal.
    #[must_use]
    pub fn headers_json(&self, headers: &Headers) -> String {
        headers::to_json(headers, &self.tokens)
    }

    /// How the provider wants to hear that its delivery is stored; `None` for hookbox's own words.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.scheme.answer.as_ref()
    }

    /// Path and query as received, tokens as `***`: for what is stored of a refusal, and for logs.
    #[must_use]
    pub fn target(&self, request: &Request) -> String {
        let query = match &self.scheme.signature {
            Place::Query(name) => form::masked(&request.query, name, MASK),
            _ => request.query.clone(),
        };
        if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) }
    }
}

fn key(scheme: &Scheme, secret: &Secret) -> Option<Key> {
    scheme.key(secret).ok().and_then(|bytes| Key::new(&scheme.proof, &bytes))
}

#[cfg(test)]
mod tests;
