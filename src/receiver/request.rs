//! Reads a request within the limits of size, time and memory. Nothing is parsed before it is verified.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

use super::limits::InFlightPermit;
use super::response::DeliveryResponse;
use crate::model::request::{Headers, Request};
use crate::support::time::Millis;

/// Limit of the names and values of all headers together.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// How much of a rejected body is still read, and for how long.
const MAX_DISCARDED_BYTES: usize = 1 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn has_oversized_headers(http: &HttpRequest) -> bool {
    let bytes: usize = http.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    bytes > MAX_HEADER_BYTES
}

/// Reads the body and reserves its bytes. If that fails, a part of the rest is read and discarded.
pub(super) async fn read_body(
    http: &HttpRequest,
    mut payload: Payload,
    max_body: u64,
    timeout: Duration,
    mut permit: InFlightPermit,
) -> Result<(Bytes, InFlightPermit), DeliveryResponse> {
    let result = if content_length(http).is_some_and(|length| length > max_body) {
        Err(DeliveryResponse::TooLarge)
    } else {
        let reading = read_chunks(&mut payload, max_body, &mut permit);
        tokio::time::timeout(timeout, reading).await.unwrap_or(Err(DeliveryResponse::TooSlow))
    };
    match result {
        Ok(body) => Ok((body, permit)),
        Err(response) => {
            drop(permit);
            discard(payload).await;
            Err(response)
        }
    }
}

/// A body of a single chunk is not copied.
async fn read_chunks(
    payload: &mut Payload,
    max_body: u64,
    permit: &mut InFlightPermit,
) -> Result<Bytes, DeliveryResponse> {
    let mut first = None;
    let mut rest = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| DeliveryResponse::Broken)?;
        let length = first.as_ref().map_or(0, Bytes::len) + rest.len() + chunk.len();
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if length > max_body {
            return Err(DeliveryResponse::TooLarge);
        }
        if !permit.grow_to(length) {
            return Err(DeliveryResponse::TooMuchInFlight);
        }
        match first.take() {
            None if rest.is_empty() => first = Some(chunk),
            earlier => {
                rest.extend_from_slice(earlier.as_deref().unwrap_or_default());
                rest.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

pub(super) fn content_length(http: &HttpRequest) -> Option<u64> {
    http.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok())
}

/// Keeps reading for a moment: a client that is still sending when the connection closes may never see the response.
async fn discard(mut payload: Payload) {
    let mut left = MAX_DISCARDED_BYTES;
    let reading = async {
        while let Some(Ok(chunk)) = payload.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    if tokio::time::timeout(DISCARD_TIMEOUT, reading).await.is_err() {
        log::debug!("rejected client keeps sending");
    }
}

pub(super) fn to_request(http: &HttpRequest, body: Bytes) -> Request {
    let mut headers = Headers::default();
    // The server yields headers in no particular order.
    let mut fields: Vec<_> = http.headers().iter().collect();
    fields.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    for (name, value) in fields {
        headers.push(name.as_str(), value.as_bytes());
    }
    Request {
        method: http.method().as_str().to_owned(),
        path: http.path().to_owned(),
        query: http.query_string().to_owned(),
        headers,
        body,
        received_at: Millis::now(),
    }
}
