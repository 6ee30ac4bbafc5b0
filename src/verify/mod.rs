//! Is this delivery genuine, and what does it carry? One engine interprets every provider's scheme.
//!
//! A [`Request`] comes in; out goes a [`VerifiedDelivery`] with its events, the answer to a provider's handshake, or a
//! [`VerifyError`]. Nothing of the body is parsed before its signature holds, the age is looked at after the
//! signature, and only this room can build a [`VerifiedDelivery`]. What the caller hears of a refusal is the listener's.

mod context;
mod delivery;
mod error;
mod extract;
mod handshake;
mod headers;
mod jwt;
mod key;
mod prove;
pub(crate) mod published_keys;
mod redact;
mod remote;
mod signature;
mod signature_header;
mod signed_content;
mod signer;
mod timestamp;

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use delivery::{VerifiedDelivery, VerifiedEvent};
pub use error::{ExtractError, HandshakeMismatch, SignatureError, VerifyError};
pub use handshake::{ProviderResponse, SecretEnrollment};
pub use remote::{SharedKeys, SubscriptionConfirmation};
pub use signer::{Defect, TestEvent, sign};

use self::context::Own;
use self::extract::json::Wanted;
use self::extract::{Delivery, batch, form, wanted};
use self::handshake::{Handshaker, Heard, Settings};
use self::key::Key;
use self::remote::Remote;
use self::signature::Proven;
use crate::config::Source;
use crate::model::request::{Headers, Request};
use crate::providers::{Algorithm, Scheme, SuccessResponse, ValueLocation};
use crate::support::secret::{MASK, Secret};
use crate::support::time::Millis;

/// Checks the deliveries of one source. Made once, used by many threads.
pub struct Verifier {
    source: Arc<str>,
    scheme: Arc<Scheme>,
    own: Own,
    keys: Vec<(Algorithm, Key)>,
    handshaker: Handshaker,
    /// While secrets rotate: each with its keys, where an answer is made of the secret that signed.
    rotating: Vec<(Vec<(Algorithm, Key)>, Handshaker)>,
    remote: Option<Remote>,
    wanted: Wanted,
    tokens: Vec<String>,
}

/// A request that is the provider's, as far as it can be told.
#[derive(Debug, Clone)]
pub enum VerifiedRequest {
    /// It carries events.
    Delivery(VerifiedDelivery),
    /// It asks for an answer before events are sent; nothing is stored.
    Handshake(ProviderResponse),
    /// It says what the source's secret is. Nothing proves it: the inbox says whether it is believed.
    Enrollment(SecretEnrollment),
    /// A subscription that the source wants confirmed: [`Verifier::confirm`].
    Confirmation(SubscriptionConfirmation),
}

impl Verifier {
    /// Keys are decoded and places looked up here, once; a secret that cannot be decoded matches nothing.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        Self::sharing(source, &SharedKeys::default())
    }

    /// As of [`Verifier::new`], with keys that others of the same source have fetched.
    #[must_use]
    pub fn sharing(source: &Source, keys: &SharedKeys) -> Self {
        let scheme = Arc::clone(&source.scheme);
        let secrets = if scheme.auth.is_asymmetric() { &source.public_keys } else { &source.secrets };
        Self {
            source: Arc::clone(&source.name),
            own: Own::new(source),
            keys: secrets.iter().flat_map(|secret| self::keys(&scheme, secret)).collect(),
            handshaker: Handshaker::new(scheme.handshake, Settings::of(source, source.secrets.first())),
            rotating: rotating(source),
            remote: Remote::of(source, keys),
            wanted: wanted(&scheme, &handshake::pointers(scheme.handshake)),
            tokens: scheme.token_headers(),
            scheme,
        }
    }

    /// Whether the source's secret comes from a handshake, and so from the inbox: see [`Verifier::check_with_secret`].
    #[must_use]
    pub fn needs_enrollment(&self) -> bool {
        self.handshaker.teaches() && self.keys.is_empty()
    }

    /// Whether judging may wait for the provider's keys: then it must not be done where others wait.
    #[must_use]
    pub fn may_block(&self) -> bool {
        self.remote.is_some()
    }

    /// Confirms a subscription, and says what to answer then. It waits for the provider.
    ///
    /// # Errors
    /// [`VerifyError::Unavailable`] where the provider does not answer.
    pub fn confirm(
        &self,
        confirmation: SubscriptionConfirmation,
        now: Millis,
    ) -> Result<ProviderResponse, VerifyError> {
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
    pub fn rejects_with_status_only(&self) -> bool {
        self.handshaker.rejects_with_status_only()
    }

    /// Judges one request.
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong, in words for the operator alone.
    pub fn check(&self, request: &Request, now: Millis) -> Result<VerifiedRequest, VerifyError> {
        self.check_with_secret(request, now, None)
    }

    /// Judges one request, knowing the secret that a handshake has taught.
    ///
    /// # Errors
    /// As of [`Verifier::check`].
    pub fn check_with_secret(
        &self,
        request: &Request,
        now: Millis,
        learned: Option<&Secret>,
    ) -> Result<VerifiedRequest, VerifyError> {
        match self.handshaker.before_signature(request)? {
            Heard::Respond(answer) => return Ok(VerifiedRequest::Handshake(answer)),
            Heard::SecretEnrollment(lesson) => return Ok(VerifiedRequest::Enrollment(lesson)),
            Heard::Nothing | Heard::Visit(..) => {}
        }
        if request.method != "POST" {
            return Err(VerifyError::MethodNotAllowed);
        }
        let proven = match (&self.remote, learned) {
            (Some(remote), _) => self.prove_remotely(remote, request, now)?,
            (None, Some(secret)) => self.prove(request, &keys(&self.scheme, secret), now)?,
            (None, None) if self.needs_enrollment() => {
                return Err(VerifyError::NotGenuine(SignatureError::NotEnrolled));
            }
            (None, None) => self.prove(request, &self.keys, now)?,
        };
        self.read(request, &proven, now)
    }

    fn read(&self, request: &Request, proven: &Proven<'_>, now: Millis) -> Result<VerifiedRequest, VerifyError> {
        let signed_by = self.rotating.iter().find(|(keys, _)| self.prove(request, keys, now).is_ok());
        let handshaker = signed_by.map_or(&self.handshaker, |(_, handshaker)| handshaker);
        let claims = proven.claims.as_ref();
        let sha256 = Sha256::digest(&request.body).into();
        let whole = Delivery::new(&self.scheme, request, &self.wanted, sha256).with_claims(claims);
        let json = |pointer: &str| Ok(whole.json(pointer)?.map(ToOwned::to_owned));
        match (handshaker.after_signature(request, &json)?, &self.remote) {
            (Heard::Respond(answer), _) => return Ok(VerifiedRequest::Handshake(answer)),
            (Heard::Visit(url, answer), Some(remote)) => {
                if let Some(confirmation) = remote.confirmation(&url, answer)? {
                    return Ok(VerifiedRequest::Confirmation(confirmation));
                }
            }
            _ => {}
        }
        let batch = self.scheme.batch.as_ref().map(|spec| batch::split(spec, request)).transpose()?.flatten();
        let items = match batch {
            None => vec![self.item(&whole, &request.body, None)?],
            Some(items) if items.is_empty() => return Ok(VerifiedRequest::Handshake(self.nothing(request))),
            Some(items) => {
                let item = |(index, body): (usize, &Bytes)| {
                    let sha256 = Sha256::digest(body).into();
                    let delivery = Delivery::new(&self.scheme, request, &self.wanted, sha256).with_claims(claims);
                    self.item(&delivery.item(body, sha256), body, Some(index))
                };
                items.iter().enumerate().map(item).collect::<Result<_, _>>()?
            }
        };
        Ok(VerifiedRequest::Delivery(VerifiedDelivery {
            source: Arc::clone(&self.source),
            received_at: request.received_at,
            content_type: request.headers.all("content-type").next().map(headers::text_of),
            headers_json: self.headers_json(&request.headers),
            acknowledgement: self.handshaker.acknowledgement(request),
            items,
        }))
    }

    fn item(&self, delivery: &Delivery<'_>, body: &Bytes, index: Option<usize>) -> Result<VerifiedEvent, ExtractError> {
        Ok(VerifiedEvent {
            event_id: delivery.event_id(&self.scheme.event_id, index)?,
            event_type: delivery.event_type(&self.scheme.event_type)?,
            body: body.clone(),
            sha256: delivery.sha256(),
        })
    }

    /// A genuine delivery without events: many providers send one to see whether anyone listens.
    fn nothing(&self, request: &Request) -> ProviderResponse {
        if let Some(answer) = self.handshaker.acknowledgement(request) {
            return answer;
        }
        let own = br#"{"status":"accepted","events":0,"duplicates":0}"#;
        match &self.scheme.success_response {
            Some(SuccessResponse { status, content_type, body: Some(body) }) => {
                ProviderResponse::new(*status, content_type.clone().into(), body.clone().into_bytes())
            }
            _ => ProviderResponse::new(200, "application/json".into(), own.to_vec()),
        }
    }

    /// All headers as one JSON object by name, tokens as `***`.
    #[must_use]
    pub fn headers_json(&self, headers: &Headers) -> String {
        headers::to_json(headers, &self.tokens)
    }

    /// How the provider wants to hear that its delivery is stored; `None` for hookbox's own words.
    #[must_use]
    pub fn reply(&self) -> Option<&SuccessResponse> {
        self.scheme.success_response.as_ref()
    }

    /// Path and query as received, tokens as `***`.
    #[must_use]
    pub fn target(&self, request: &Request) -> String {
        let query = match &self.scheme.signature {
            ValueLocation::Query(name) => form::masked(&request.query, name, MASK),
            _ => request.query.clone(),
        };
        if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) }
    }
}

fn rotating(source: &Source) -> Vec<(Vec<(Algorithm, Key)>, Handshaker)> {
    let handshake =
        source.scheme.handshake.filter(|handshake| handshake.needs_signing_key() && source.secrets.len() > 1);
    let one = |secret| (keys(&source.scheme, secret), Handshaker::new(handshake, Settings::of(source, Some(secret))));
    handshake.into_iter().flat_map(|_| source.secrets.iter().map(one)).collect()
}

fn keys(scheme: &Scheme, secret: &Secret) -> Vec<(Algorithm, Key)> {
    scheme.key(secret).map(|bytes| Key::all(&scheme.auth, &bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
