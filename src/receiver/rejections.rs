//! What is kept of a request that was turned away, for `hookbox refusals` and `explain`.
//!
//! The listener says what it saw; the verifier hides the tokens; the inbox decides whether there is room.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;

use super::ReceiverState;
use super::endpoint::{Endpoint, Endpoints};
use super::request::{announced_bytes, request_of};
use crate::model::refusal::{KEPT_BODY, RefusedDelivery};
use crate::model::request::{Headers, Request};

/// What was seen of a request on its way to the answer.
#[derive(Debug, Default)]
pub(super) struct RefusalContext {
    /// Once it was read.
    pub(super) request: Option<Request>,
    /// Why it was turned away, in words for the operator, where more is known than the status.
    pub(super) reason: Option<String>,
}

/// Counts a refusal, and keeps it where it may be.
pub(super) fn record(
    shared: &ReceiverState,
    (endpoints, endpoint): (&Endpoints, &Endpoint),
    http: &HttpRequest,
    seen: RefusalContext,
    status: StatusCode,
) {
    shared.inbox.record_rejection(&endpoint.source, |key| {
        let body_bytes = match &seen.request {
            Some(request) => u64::try_from(request.body.len()).unwrap_or(u64::MAX),
            None => announced_bytes(http).unwrap_or(0),
        };
        let mut request = seen.request.unwrap_or_else(|| request_of(http, Bytes::new()));
        if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
            request.headers = Headers::default();
        }
        let masked = endpoint.verifier.redact(&request, key);
        let client = endpoints.client_of(http);
        let reason = seen.reason.unwrap_or_else(|| reason(status, endpoint));
        // Here, at the pace of the rows: whoever floods us does not flood the log.
        log::info!("{}: refused a delivery: {reason}", endpoint.source);
        RefusedDelivery {
            source: endpoint.source.to_string(),
            received_at: request.received_at,
            status: status.as_u16(),
            reason,
            remote: client.address().map(|address| address.to_string()),
            method: request.method,
            target: masked.target,
            headers: masked.headers,
            tokens: masked.tokens,
            body: masked.body[..masked.body.len().min(KEPT_BODY)].to_vec(),
            body_bytes,
        }
    });
}

fn reason(status: StatusCode, endpoint: &Endpoint) -> String {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body is over the limit of {} bytes", endpoint.max_body),
        StatusCode::REQUEST_TIMEOUT => "the request did not arrive in time".to_owned(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the headers are over the limit".to_owned(),
        StatusCode::TOO_MANY_REQUESTS => "genuine, but over the source's `rate_limit`".to_owned(),
        other => other.canonical_reason().unwrap_or("refused").to_owned(),
    }
}
