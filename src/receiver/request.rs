//! One request from its first byte to its answer: route, address, size, signature, rate, inbox, in
//! that order.
//!
//! Bodies are read here, within the limits of size, time and room; nothing parses them before they are verified.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix_web::http::ConnectionType;
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;

use crate::inbox::NotStored;
use crate::metrics::Answered;
use crate::model::request::{Headers, Request};
use crate::support::locks;
use crate::support::time::Millis;

use super::ReceiverState;
use super::endpoint::{Endpoint, Endpoints};
use super::limits::InFlightPermit;
use super::pipeline;
use super::rejections::{self, RefusalContext};
use super::response::DeliveryResponse;

/// Names and values of all headers together.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Bytes of a refused body that are still read, and for how long.
const MAX_THROWN_AWAY: usize = 1 << 20;
const THROWING_AWAY_ENDS_AFTER: Duration = Duration::from_secs(1);

/// The service of every path.
pub(super) async fn receive(http: HttpRequest, payload: Payload, shared: Data<ReceiverState>) -> HttpResponse {
    let endpoints = locks::read(&shared.endpoints).clone();
    let Some(endpoint) = endpoints.at(http.path()) else {
        shared.elsewhere.answered(Answered::NoSuchSource);
        return DeliveryResponse::NoSuchSource.into_response();
    };
    let mut seen = RefusalContext::default();
    let answer = answer(&http, payload, &shared, (&endpoints, &endpoint), &mut seen).await;
    let is_refusal = answer.is_refusal();
    endpoint.meter.answered(answer.counted());
    if let Some(receipt) = answer.receipt() {
        endpoint.meter.events(receipt.events(), receipt.duplicates());
    }
    match (&answer, answer.trouble()) {
        (_, Some(why)) => shared.trouble.turned_away(&why),
        (DeliveryResponse::Stored(..) | DeliveryResponse::Responded(..), None) => shared.trouble.stored(),
        _ => {}
    }
    let mut response = answer.into_response();
    if shared.is_draining.load(Ordering::Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if is_refusal {
        rejections::record(&shared, (&endpoints, &endpoint), &http, seen, response.status());
    }
    response
}

async fn answer(
    http: &HttpRequest,
    payload: Payload,
    shared: &ReceiverState,
    (endpoints, endpoint): (&Endpoints, &Arc<Endpoint>),
    seen: &mut RefusalContext,
) -> DeliveryResponse {
    let methods = &endpoint.methods;
    if !methods.contains(&http.method().as_str()) {
        return DeliveryResponse::MethodNotAllowed(methods.clone());
    }
    if let Some(allowed) = &endpoint.allow_ips {
        let client = endpoints.client_of(http);
        if !client.address().is_some_and(|address| allowed.contain(address)) {
            seen.reason = Some(format!("{client} is not in the source's `allow_ips`"));
            return DeliveryResponse::NotAllowed;
        }
    }
    if header_bytes(http) > MAX_HEADER_BYTES {
        return DeliveryResponse::HeadersTooLarge;
    }
    if shared.inbox.is_closing() {
        return DeliveryResponse::NotStored(NotStored::Closing);
    }
    let mut share = shared.in_flight.share();
    let mut payload = payload;
    let limits = (endpoint.max_body, endpoints.request_timeout);
    let body = match read_in_time(http, &mut payload, limits, &mut share).await {
        Ok(body) => body,
        Err(answer) => {
            drop(share);
            throw_away(payload).await;
            return answer;
        }
    };
    let arrived = Instant::now();
    let request = seen.request.insert(request_of(http, body));
    pipeline::process_delivery((request, arrived), shared, (endpoints, endpoint), &mut seen.reason).await
}

async fn read_in_time(
    http: &HttpRequest,
    payload: &mut Payload,
    (max_body, time_limit): (u64, Duration),
    share: &mut InFlightPermit,
) -> Result<Bytes, DeliveryResponse> {
    let announced = announced_bytes(http);
    if announced.is_some_and(|length| length > max_body) {
        return Err(DeliveryResponse::TooLarge);
    }
    tokio::time::timeout(time_limit, read(payload, max_body, share)).await.unwrap_or(Err(DeliveryResponse::TooSlow))
}

async fn read(payload: &mut Payload, max_body: u64, share: &mut InFlightPermit) -> Result<Bytes, DeliveryResponse> {
    let mut first = None;
    let mut rest = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| DeliveryResponse::Broken)?;
        let length = first.as_ref().map_or(0, Bytes::len) + rest.len() + chunk.len();
        if u64::try_from(length).is_ok_and(|length| length > max_body) {
            return Err(DeliveryResponse::TooLarge);
        }
        if !share.grow_to(u64::try_from(length).unwrap_or(u64::MAX)) {
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

/// How long the body is said to be.
pub(super) fn announced_bytes(http: &HttpRequest) -> Option<u64> {
    http.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok())
}

/// Reads on for a moment: a client that is still sending when the connection ends may never see the answer.
async fn throw_away(mut payload: Payload) {
    let mut left = MAX_THROWN_AWAY;
    let reading = async {
        while let Some(Ok(chunk)) = payload.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    if tokio::time::timeout(THROWING_AWAY_ENDS_AFTER, reading).await.is_err() {
        log::debug!("a client that was turned away goes on sending");
    }
}

fn header_bytes(http: &HttpRequest) -> usize {
    http.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

pub(super) fn request_of(http: &HttpRequest, body: Bytes) -> Request {
    let mut headers = Headers::default();
    // The server hands them out in no order at all.
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
