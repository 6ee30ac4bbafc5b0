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
mod mask;
mod names;
mod proof;
mod refusal;
mod sign;
mod verified;

use std::sync::Arc;

pub use mask::Masked;
pub use refusal::{Fault, Name, Refusal, Why};
pub use sign::{Forgery, Unsigned, sign};
pub use verified::{Item, Verified};

use sha2::{Digest, Sha256};

use self::json::Wanted;
use self::names::Delivery;
use self::proof::Key;
use crate::clock::Millis;
use crate::config::Source;
use crate::provider::{Place, Scheme};
use crate::request::{Headers, Request};
use crate::secret::MASK;

/// Checks the deliveries of one source. Made once, used by many threads.
pub struct Verifier {
    source: Arc<str>,
    scheme: Arc<Scheme>,
    keys: Vec<Key>,
    wanted: Wanted,
    tokens: Vec<String>,
}

/// A delivery that the provider did send.
#[derive(Debug, Clone)]
pub enum Genuine {
    /// It carries events.
    Event(Verified),
    /// It asks for an answer before events are sent; nothing is stored.
    Handshake(Answer),
}

/// What a provider's handshake is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content-Type of the body.
    pub content_type: &'static str,
    /// The exact bytes.
    pub body: Vec<u8>,
}

impl Verifier {
    /// Keys are decoded and places looked up here, once; a secret that cannot be decoded matches nothing.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        let scheme = Arc::clone(&source.scheme);
        let key = |secret| scheme.key(secret).ok().and_then(|bytes| Key::new(&scheme.proof, &bytes));
        Self {
            source: Arc::clone(&source.name),
            keys: source.secrets.iter().filter_map(key).collect(),
            wanted: names::wanted(&scheme, &handshake::pointers(scheme.handshake)),
            tokens: scheme.token_headers(),
            scheme,
        }
    }

    /// Judges one delivery.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong, in words for the operator alone.
    pub fn check(&self, request: &Request, now: Millis) -> Result<Genuine, Refusal> {
        self.prove(request, now).map_err(Refusal::NotGenuine)?;
        self.read(request).map_err(Refusal::Malformed)
    }

    fn prove(&self, request: &Request, now: Millis) -> Result<(), Why> {
        let text = proof::check(&self.scheme, &self.keys, request)?;
        let Some(timestamp) = &self.scheme.timestamp else { return Ok(()) };
        // Were either missing here, an empty text and no window refuse.
        age::check(&text.unwrap_or_default(), timestamp.unit, self.scheme.tolerance.unwrap_or_default(), now)
    }

    fn read(&self, request: &Request) -> Result<Genuine, Fault> {
        let sha256 = Sha256::digest(&request.body).into();
        let delivery = Delivery::new(&self.scheme, request, &self.wanted, sha256);
        if let Some(answer) = handshake::answer(self.scheme.handshake, &delivery)? {
            return Ok(Genuine::Handshake(answer));
        }
        let event_id = delivery.event_id(&self.scheme.event_id)?;
        let event_type = delivery.event_type(&self.scheme.event_type)?;
        Ok(Genuine::Event(Verified {
            source: Arc::clone(&self.source),
            received_at: request.received_at,
            content_type: request.headers.all("content-type").next().map(headers::text_of),
            headers_json: self.headers_json(&request.headers),
            items: vec![Item { event_id, event_type, body: request.body.clone(), sha256 }],
        }))
    }

    /// All headers as one JSON object in the order received, tokens as `***`.
    #[must_use]
    pub fn headers_json(&self, headers: &Headers) -> String {
        headers::to_json(headers, &self.tokens)
    }

    /// Path and query as received, tokens as `***`.
    #[must_use]
    pub fn target(&self, request: &Request) -> String {
        let query = match &self.scheme.signature {
            Place::Query(name) => form::masked(&request.query, name, MASK),
            Place::Header(_) => request.query.clone(),
        };
        if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) }
    }
}

#[cfg(test)]
mod tests;
