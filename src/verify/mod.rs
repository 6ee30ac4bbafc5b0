//! Is this delivery genuine, and what does it carry? One engine interprets every provider's scheme.
//!
//! A [`Request`] comes in; out goes a [`Verified`] with its events, the answer to a provider's handshake, or a
//! [`Refusal`]. Nothing of the body is parsed before its signature holds, the age is looked at after the
//! signature, and only this room can build a [`Verified`]. What the caller hears of a refusal is the listener's.

mod age;
mod case;
mod claim;
mod content;
mod document;
mod draft;
mod form;
mod handshake;
mod headers;
mod items;
mod json;
mod jwt;
mod key;
mod maker;
mod mask;
mod multipart;
mod names;
mod proof;
mod refusal;
mod sign;
mod verified;
mod xml;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

pub use mask::Masked;
pub use refusal::{Fault, Name, Refusal, Why};
pub use sign::{Forgery, Unsigned, sign};
pub use verified::{Item, Verified};

use sha2::{Digest, Sha256};

use self::case::{Case, Own};
use self::json::Wanted;
use self::key::Key;
use self::names::Delivery;
use self::proof::Proven;
use crate::clock::Millis;
use crate::config::Source;
use crate::provider::{Algorithm, Batch, Place, Reply, Scheme};
use crate::request::{Headers, Request};
use crate::secret::MASK;

/// Checks the deliveries of one source. Made once, used by many threads.
pub struct Verifier {
    source: Arc<str>,
    scheme: Arc<Scheme>,
    own: Own,
    keys: Vec<(Algorithm, Key)>,
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
    pub content_type: Cow<'static, str>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

impl Verifier {
    /// Keys are decoded and places looked up here, once; a secret that cannot be decoded matches nothing.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        let scheme = Arc::clone(&source.scheme);
        let keys = |secret| scheme.key(secret).map(|bytes| Key::all(&scheme.proof, &bytes)).unwrap_or_default();
        let secrets = if scheme.proof.is_asymmetric() { &source.public_keys } else { &source.secrets };
        Self {
            source: Arc::clone(&source.name),
            own: Own::new(source),
            keys: secrets.iter().flat_map(keys).collect(),
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
        let proven = self.prove(request, now).map_err(Refusal::NotGenuine)?;
        self.read(request, &proven).map_err(Refusal::Malformed)
    }

    fn prove<'a>(&'a self, request: &'a Request, now: Millis) -> Result<Proven<'a>, Why> {
        let case = Case { scheme: &self.scheme, own: &self.own, request, item: None };
        let proven = match (&self.scheme.signature, &self.scheme.batch) {
            (Place::Item(_), Some(batch)) => return self.prove_items(&case, batch, now),
            _ => proof::check(&case, &self.keys, now)?,
        };
        let Some(timestamp) = &self.scheme.timestamp else { return Ok(proven) };
        // Were either missing here, an empty text and no window refuse.
        let text = proven.timestamp.as_deref().unwrap_or_default();
        age::check(text, timestamp.unit, self.scheme.tolerance.unwrap_or_default(), now)?;
        Ok(proven)
    }

    /// Each item has a signature of its own, and none may be without.
    fn prove_items<'a>(&'a self, case: &Case<'a>, batch: &Batch, now: Millis) -> Result<Proven<'a>, Why> {
        let items = items::split(batch, case.request).ok().flatten().filter(|items| !items.is_empty());
        for item in items.ok_or_else(|| Why::Missing(self.scheme.signature.clone()))? {
            let case = Case { scheme: case.scheme, own: case.own, request: case.request, item: Some(&item) };
            proof::check(&case, &self.keys, now)?;
        }
        Ok(Proven::default())
    }

    fn read(&self, request: &Request, proven: &Proven<'_>) -> Result<Genuine, Fault> {
        let claims = proven.claims.as_ref();
        let sha256 = Sha256::digest(&request.body).into();
        let whole = Delivery::new(&self.scheme, request, &self.wanted, sha256).with_claims(claims);
        if let Some(answer) = handshake::answer(self.scheme.handshake, &whole)? {
            return Ok(Genuine::Handshake(answer));
        }
        let batch = self.scheme.batch.as_ref().map(|batch| items::split(batch, request)).transpose()?.flatten();
        let items = match batch {
            None => vec![self.item(&whole, &request.body, None)?],
            Some(items) if items.is_empty() => return Ok(Genuine::Handshake(self.nothing())),
            Some(items) => {
                let item = |(index, body): (usize, &Bytes)| {
                    let sha256 = Sha256::digest(body).into();
                    let delivery = Delivery::new(&self.scheme, request, &self.wanted, sha256).with_claims(claims);
                    self.item(&delivery.item(body, sha256), body, Some(index))
                };
                items.iter().enumerate().map(item).collect::<Result<_, _>>()?
            }
        };
        Ok(Genuine::Event(Verified {
            source: Arc::clone(&self.source),
            received_at: request.received_at,
            content_type: request.headers.all("content-type").next().map(headers::text_of),
            headers_json: self.headers_json(&request.headers),
            items,
        }))
    }

    fn item(&self, delivery: &Delivery<'_>, body: &Bytes, index: Option<usize>) -> Result<Item, Fault> {
        Ok(Item {
            event_id: delivery.event_id(&self.scheme.event_id, index)?,
            event_type: delivery.event_type(&self.scheme.event_type)?,
            body: body.clone(),
            sha256: delivery.sha256(),
        })
    }

    /// A genuine delivery without events: many providers send one to see whether anyone listens.
    fn nothing(&self) -> Answer {
        let own = br#"{"status":"accepted","events":0,"duplicates":0}"#;
        match &self.scheme.answer {
            Some(Reply { status, content_type, body: Some(body) }) => {
                Answer { status: *status, content_type: content_type.clone().into(), body: body.clone().into_bytes() }
            }
            _ => Answer { status: 200, content_type: "application/json".into(), body: own.to_vec() },
        }
    }

    /// All headers as one JSON object by name, tokens as `***`.
    #[must_use]
    pub fn headers_json(&self, headers: &Headers) -> String {
        headers::to_json(headers, &self.tokens)
    }

    /// How the provider wants to hear that its delivery is stored; `None` for hookbox's own words.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.scheme.answer.as_ref()
    }

    /// Path and query as received, tokens as `***`.
    #[must_use]
    pub fn target(&self, request: &Request) -> String {
        let query = match &self.scheme.signature {
            Place::Query(name) => form::masked(&request.query, name, MASK),
            _ => request.query.clone(),
        };
        if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) }
    }
}

#[cfg(test)]
mod tests;
