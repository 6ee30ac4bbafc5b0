//! Records rejected deliveries for `hookbox refusals` and `hookbox explain`.
//!
//! The verifier masks tokens. The inbox limits how many are stored.

use actix_web::http::StatusCode;
use actix_web::web::Bytes;

use super::endpoint::{Endpoint, RequestContext};
use super::request::{content_length, to_request};
use crate::model::refusal::{MAX_STORED_BODY, RefusedDelivery};
use crate::model::request::{Headers, Request};

/// What is known about a rejected request.
#[derive(Debug, Default)]
pub(super) struct Rejection {
    /// `None` if it was rejected before its body was read.
    pub(super) request: Option<Request>,
    /// The reason for the operator, if it says more than the status.
    pub(super) reason: Option<String>,
}

/// Counts a rejection, and stores it if the inbox allows one more.
pub(super) fn record(context: RequestContext<'_>, rejection: Rejection, status: StatusCode) {
    let RequestContext { http, state, endpoints, endpoint } = context;
    state.inbox.record_rejection(&endpoint.source, |key| {
        let body_bytes = match &rejection.request {
            Some(request) => u64::try_from(request.body.len()).unwrap_or(u64::MAX),
            None => content_length(http).unwrap_or(0),
        };
        let mut request = rejection.request.unwrap_or_else(|| to_request(http, Bytes::new()));
        if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
            request.headers = Headers::default();
        }
        let masked = endpoint.verifier.redact(&request, key);
        let client = endpoints.client_address(http);
        let reason = rejection.reason.unwrap_or_else(|| reason(status, endpoint));
        // Logged here because stored rows are rate-limited: a flood of requests must not flood the log.
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
            body: masked.body[..masked.body.len().min(MAX_STORED_BODY)].to_vec(),
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
