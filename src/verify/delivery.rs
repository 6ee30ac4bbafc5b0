//! A delivery whose signature was verified, as the inbox stores it.
//!
//! Only `verify` can build a [`VerifiedDelivery`], so nothing else can be stored. `Debug` shows neither bodies nor
//! headers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::handshake::ProviderResponse;
use crate::providers::IdScope;
use crate::support::time::Millis;

#[derive(Clone)]
pub struct VerifiedDelivery {
    pub(super) source: Arc<str>,
    pub(super) received_at: Millis,
    pub(super) content_type: Option<String>,
    pub(super) headers_json: String,
    pub(super) acknowledgement: Option<ProviderResponse>,
    pub(super) id_scope: IdScope,
    pub(super) items: Vec<VerifiedEvent>,
}

#[derive(Clone)]
pub struct VerifiedEvent {
    /// 1 to 255 bytes without control characters.
    pub event_id: String,
    /// At most 255 bytes without control characters; empty if the provider sends no type.
    pub event_type: String,
    /// The exact bytes received.
    pub body: Bytes,
    /// Of the body.
    pub sha256: [u8; 32],
}

impl VerifiedDelivery {
    /// A delivery of one event, for tests of the inbox.
    #[cfg(test)]
    pub(crate) fn of_test(source: &str, (event_id, event_type): (&str, &str), body: &str, received_at: Millis) -> Self {
        let sha256 = sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(body)).into();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let [event_id, event_type] = [event_id, event_type].map(ToOwned::to_owned);
        Self {
            source: source.into(),
            received_at,
            content_type: None,
            headers_json: "{}".to_owned(),
            acknowledgement: None,
            id_scope: IdScope::Event,
            items: vec![VerifiedEvent { event_id, event_type, body, sha256 }],
        }
    }

    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// When the last byte of the request arrived.
    pub fn received_at(&self) -> Millis {
        self.received_at
    }

    /// The Content-Type as received.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// All headers as one JSON object by name, tokens as `***`.
    pub fn headers_json(&self) -> &str {
        &self.headers_json
    }

    /// The response that the provider expects after the delivery is stored, if it depends on the request.
    pub fn acknowledgement(&self) -> Option<&ProviderResponse> {
        self.acknowledgement.as_ref()
    }

    /// What the ids of its events identify.
    pub fn id_scope(&self) -> IdScope {
        self.id_scope
    }

    /// The events in the order of the body, at least one.
    pub fn items(&self) -> &[VerifiedEvent] {
        &self.items
    }
}

impl fmt::Debug for VerifiedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedDelivery")
            .field("source", &self.source)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VerifiedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_id, event_type, body, .. } = self;
        write!(f, "{event_id} ({event_type}, {} bytes)", body.len())
    }
}
