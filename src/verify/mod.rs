//! Verifies requests: checks the signature and reads the events that the delivery carries.
//!
//! One engine interprets the scheme of every provider. A body is not parsed before its signature has been verified
//! (unless the signature is inside it), and the timestamp is checked after the signature. Only this module can build a
//! [`VerifiedDelivery`]. The receiver decides what the sender learns of a [`VerifyError`].

mod context;
mod delivery;
mod error;
mod extract;
mod handshake;
mod headers_json;
mod jwt;
mod key;
pub(crate) mod published_keys;
mod redact;
mod remote;
mod signature;
mod signature_header;
mod signed_content;
mod signed_url;
mod signer;
#[cfg(test)]
pub(crate) mod tests;
mod timestamp;

use std::sync::Arc;

use bytes::Bytes;

pub use delivery::{VerifiedDelivery, VerifiedEvent};
pub use error::{ExtractError, HandshakeMismatch, SignatureError, VerifyError};
pub use extract::{BodyHeaders, read_values};
pub use handshake::{ProviderResponse, SecretEnrollment};
pub use redact::RedactedRequest;
pub use remote::{SharedKeys, SubscriptionConfirmation};
pub use signer::{Defect, TestEvent, sign};

use self::extract::json::Pointers;
use self::extract::{EventReader, batch};
use self::handshake::{HandshakeOutcome, HandshakeResponder};
use self::key::{SignatureKey, configured_keys, keys};
use self::remote::RemoteKeys;
use self::signature::SignedMetadata;
use crate::config::Source;
use crate::model::request::{Headers, Request};
use crate::providers::{Handshake, Scheme, SuccessResponse};
use crate::support::secret::{DigestKey, Secret};
use crate::support::time::Millis;

/// Verifies the requests to one source. Built once, shared by all threads.
pub struct Verifier {
    source: Arc<Source>,
    keys: Vec<SignatureKey>,
    /// The source with each alternative of its scheme.
    alternatives: Vec<(Source, Vec<SignatureKey>)>,
    handshakes: HandshakeResponder,
    /// Each secret by itself during a rotation, if responses depend on the secret that signed.
    rotating: Vec<(Vec<SignatureKey>, HandshakeResponder)>,
    remote: Option<RemoteKeys>,
    pointers: Pointers,
    token_headers: Vec<String>,
}

/// A request that was accepted.
#[derive(Debug, Clone)]
pub enum VerifiedRequest {
    Delivery(VerifiedDelivery),
    /// Requires a response before the provider sends events. Nothing is stored.
    Handshake(ProviderResponse),
    /// Contains the source's secret. Not verified: the inbox decides whether to accept it.
    Enrollment(SecretEnrollment),
    /// Asks to confirm a subscription with [`Verifier::confirm`].
    Confirmation(SubscriptionConfirmation),
}

impl Verifier {
    /// Decodes keys and prepares everything that does not depend on a request. A secret that cannot be decoded matches
    /// nothing.
    pub fn new(source: &Source) -> Self {
        Self::with_shared_keys(source, &SharedKeys::default())
    }

    /// Uses the provider's keys that other verifiers of the source have fetched.
    pub fn with_shared_keys(source: &Source, shared: &SharedKeys) -> Self {
        let scheme = &source.scheme;
        let source = Arc::new(source.clone());
        Self {
            keys: configured_keys(&source, scheme),
            alternatives: alternatives(&source),
            handshakes: HandshakeResponder::new(&source, source.secrets.first()),
            rotating: rotating(&source),
            remote: if source.admission.unsigned { None } else { RemoteKeys::new(&source, shared) },
            pointers: extract::pointers(scheme, &handshake::pointers(scheme.handshake)),
            token_headers: scheme.token_headers(),
            source,
        }
    }

    /// Whether the secret comes from a handshake, so that [`Verifier::check_with_secret`] needs it from the inbox.
    pub fn needs_enrollment(&self) -> bool {
        self.handshakes.enrolls_secret() && self.keys.is_empty() && !self.source.admission.unsigned
    }

    /// Whether checking may block on fetching the provider's keys.
    pub fn may_block(&self) -> bool {
        self.remote.is_some()
    }

    /// Confirms a subscription and returns the response to send. Blocks on the provider; fails with
    /// [`VerifyError::Unavailable`] if it does not answer.
    pub fn confirm(
        &self,
        confirmation: SubscriptionConfirmation,
        now: Millis,
    ) -> Result<ProviderResponse, VerifyError> {
        match &self.remote {
            Some(remote) => remote::confirm(remote, confirmation, now),
            None => Ok(confirmation.response),
        }
    }

    /// The HTTP methods that the provider uses, for `Allow`.
    pub fn methods(&self) -> Vec<&'static str> {
        let mut methods = self.delivery_methods().to_vec();
        let further: Vec<_> = self.handshakes.further_methods().collect();
        methods.extend(further.into_iter().filter(|method| !self.delivery_methods().contains(method)));
        methods
    }

    fn delivery_methods(&self) -> &[&'static str] {
        let configured = &self.source.admission.methods;
        if configured.is_empty() { &["POST"] } else { configured }
    }

    /// Whether the provider requires a response without a body for a delivery that is not genuine.
    pub fn rejects_with_status_only(&self) -> bool {
        self.handshakes.rejects_with_status_only()
    }

    pub fn check(&self, request: &Request, now: Millis) -> Result<VerifiedRequest, VerifyError> {
        self.check_with_secret(request, now, None)
    }

    /// As [`Verifier::check`], with the secret that a handshake has enrolled.
    pub fn check_with_secret(
        &self,
        request: &Request,
        now: Millis,
        enrolled: Option<&Secret>,
    ) -> Result<VerifiedRequest, VerifyError> {
        match self.handshakes.before_signature(request)? {
            HandshakeOutcome::Respond(response) => return Ok(VerifiedRequest::Handshake(response)),
            HandshakeOutcome::Enroll(enrollment) => return Ok(VerifiedRequest::Enrollment(enrollment)),
            HandshakeOutcome::None | HandshakeOutcome::Visit { .. } => {}
        }
        if !self.delivery_methods().contains(&request.method.as_str()) {
            return Err(VerifyError::MethodNotAllowed);
        }
        let enrolled = enrolled.map(|secret| keys(&self.source.scheme, secret));
        let unpack = || extract::unpacked(request, self.source.max_body);
        let as_received = self.check_signed(request, enrolled.as_deref(), now, &|signed| {
            let unpacked = unpack()?;
            self.read((request, unpacked.as_ref().unwrap_or(request)), signed, now)
        });
        // Most providers sign the bytes that they send; some sign the body before they compress it.
        let is_forged = self.source.scheme.signs_unpacked && matches!(as_received, Err(VerifyError::NotGenuine(_)));
        let Some(unpacked) = (if is_forged { unpack().ok().flatten() } else { None }) else { return as_received };
        let read = |signed: &SignedMetadata<'_>| self.read((request, &unpacked), signed, now);
        match self.check_signed(&unpacked, enrolled.as_deref(), now, &read) {
            Err(VerifyError::NotGenuine(_)) => as_received,
            checked => checked,
        }
    }

    /// `request` is unpacked, `received` is not.
    fn read(
        &self,
        (received, request): (&Request, &Request),
        signed: &SignedMetadata<'_>,
        now: Millis,
    ) -> Result<VerifiedRequest, VerifyError> {
        let urls = if self.rotating.is_empty() { Vec::new() } else { signed_url::usual(&self.source, request) };
        let signs = |keys: &[SignatureKey]| {
            let mut forms = [received, request].into_iter();
            forms.any(|request| signature::verify(&self.context(request, &urls), keys, now).is_ok())
        };
        let signed_by = self.rotating.iter().find(|(keys, _)| signs(keys));
        let document = redact::query_document(&self.source.scheme, request);
        let (received, request) = document.as_ref().map_or((received, request), |document| (document, document));
        let handshakes = signed_by.map_or(&self.handshakes, |(_, handshakes)| handshakes);
        let (claims, timestamp) = (signed.claims.as_ref(), signed.timestamp.as_deref());
        let whole = EventReader::new(&self.source.scheme, request, &self.pointers, claims, timestamp);
        let whole = whole.received_as(&received.body);
        let json = |pointer: &str| Ok(whole.json(pointer).ok().flatten().map(ToOwned::to_owned));
        match (handshakes.after_signature(request, &json)?, &self.remote) {
            (HandshakeOutcome::Respond(response), _) => return Ok(VerifiedRequest::Handshake(response)),
            (HandshakeOutcome::Visit { url, response }, Some(remote)) if self.source.confirm_subscriptions => {
                return Ok(VerifiedRequest::Confirmation(remote::confirmation(remote, &url, response)?));
            }
            _ => {}
        }
        let batch = self.source.scheme.batch.as_ref().map(|batch| batch::split(batch, request)).transpose()?.flatten();
        let items = match batch {
            None => vec![self.event(&whole, &received.body, None)?],
            Some(items) if items.is_empty() => return Ok(VerifiedRequest::Handshake(self.empty_response(request))),
            Some(items) => {
                let item = |(index, body): (usize, &Bytes)| self.event(&whole.item(body), body, Some(index));
                items.iter().enumerate().map(item).collect::<Result<_, _>>()?
            }
        };
        Ok(VerifiedRequest::Delivery(VerifiedDelivery {
            source: Arc::clone(&self.source.name),
            received_at: request.received_at,
            content_type: request.headers.all("content-type").next().map(headers_json::text),
            headers_json: self.headers_json(&request.headers),
            acknowledgement: self.handshakes.acknowledgement(request),
            id_scope: self.source.scheme.event_id.scope,
            items,
        }))
    }

    fn event(
        &self,
        reader: &EventReader<'_>,
        body: &Bytes,
        index: Option<usize>,
    ) -> Result<VerifiedEvent, ExtractError> {
        Ok(VerifiedEvent {
            event_id: reader.event_id(&self.source.scheme.event_id, index)?,
            event_type: reader.event_type(&self.source.scheme.event_type),
            body: body.clone(),
            sha256: reader.sha256(),
        })
    }

    /// The response to a genuine delivery without events. Many providers send one to test the endpoint.
    fn empty_response(&self, request: &Request) -> ProviderResponse {
        if let Some(response) = self.handshakes.acknowledgement(request) {
            return response;
        }
        match &self.source.scheme.success_response {
            Some(SuccessResponse { status, content_type, body: Some(body) }) => {
                ProviderResponse::new(*status, content_type.clone().into(), body.clone().into_bytes())
            }
            _ => {
                let body = br#"{"status":"accepted","events":0,"duplicates":0}"#;
                ProviderResponse::new(200, "application/json".into(), body.to_vec())
            }
        }
    }

    /// All headers as one JSON object by name, tokens as `***`.
    pub fn headers_json(&self, headers: &Headers) -> String {
        headers_json::write(headers, &self.token_headers)
    }

    /// The response that the provider expects for a stored delivery; `None` for hookbox's own.
    pub fn reply(&self) -> Option<&SuccessResponse> {
        self.source.scheme.success_response.as_ref()
    }

    /// Path and query as received, a token as `***`.
    pub fn target(&self, request: &Request) -> String {
        redact::accepted_target(&self.source.scheme, request)
    }

    /// A rejected request without its tokens.
    pub fn redact(&self, request: &Request, key: &DigestKey) -> RedactedRequest {
        let redacted = redact::redact(self.context(request, &[]), &self.token_headers, key);
        RedactedRequest { body: self.handshakes.redacted_body(&redacted.body), ..redacted }
    }
}

/// The source with each alternative scheme of its row.
fn alternatives(source: &Source) -> Vec<(Source, Vec<SignatureKey>)> {
    let of = |scheme: &Scheme| {
        (Source { scheme: Arc::new(scheme.clone()), ..source.clone() }, configured_keys(source, scheme))
    };
    source.scheme.alternatives.iter().map(of).collect()
}

fn rotating(source: &Arc<Source>) -> Vec<(Vec<SignatureKey>, HandshakeResponder)> {
    let depends_on_secret = source.scheme.handshake.is_some_and(Handshake::needs_signing_key);
    if !depends_on_secret || source.secrets.len() < 2 {
        return Vec::new();
    }
    let one = |secret| (keys(&source.scheme, secret), HandshakeResponder::new(source, Some(secret)));
    source.secrets.iter().map(one).collect()
}
