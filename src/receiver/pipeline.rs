//! Processes a request from its first byte to its response: path, client address, size, signature, rate limit, routing,
//! inbox, in this order.
//!
//! Checks that may wait for a provider run on blocking threads. The reason of a rejection is for the operator only.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::http::ConnectionType;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::endpoint::{Endpoint, ReceiverState, RequestContext};
use super::rejections::{self, Rejection};
use super::request::{has_oversized_headers, read_body, to_request};
use super::response::DeliveryResponse;
use super::unknown_path;
use crate::inbox::{Accepted, EnrollmentResult, NotStored};
use crate::metrics::Answered;
use crate::model::request::Request;
use crate::support::locks;
use crate::support::time::Millis;
use crate::support::trace_context::TraceContext;
use crate::verify::{
    SecretEnrollment, SignatureError, SubscriptionConfirmation, VerifiedDelivery, VerifiedRequest, VerifyError,
};

/// The handler of every path.
pub(super) async fn receive(http: HttpRequest, payload: Payload, state: Data<ReceiverState>) -> HttpResponse {
    let endpoints = locks::read(&state.endpoints).clone();
    let Some(endpoint) = endpoints.at(http.path()) else {
        state.unknown_path.answered(Answered::NoSuchSource);
        unknown_path::record(&http, &state, &endpoints);
        return DeliveryResponse::NoSuchSource.into_response();
    };
    let context = RequestContext { http: &http, state: &state, endpoints: &endpoints, endpoint: &endpoint };
    let mut rejection = Rejection::default();
    let result = process_request(context, payload, &mut rejection).await;
    let is_refusal = result.is_refusal();
    endpoint.meter.answered(result.counted());
    if let Some(receipt) = result.receipt() {
        endpoint.meter.events(receipt.events(), receipt.duplicates());
    }
    match (&result, result.outage_reason()) {
        (_, Some(why)) => state.outage_log.unavailable(&why),
        (DeliveryResponse::Stored(..) | DeliveryResponse::Responded(..), None) => state.outage_log.stored(),
        _ => {}
    }
    let mut response = result.into_response();
    if state.is_draining.load(Ordering::Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if is_refusal {
        rejections::record(context, rejection, response.status());
    }
    response
}

async fn process_request(context: RequestContext<'_>, payload: Payload, rejection: &mut Rejection) -> DeliveryResponse {
    let RequestContext { http, state, endpoints, endpoint } = context;
    let methods = &endpoint.methods;
    if !methods.contains(&http.method().as_str()) {
        return DeliveryResponse::MethodNotAllowed(methods.clone());
    }
    if let Some(allowed) = &endpoint.allow_ips {
        let client = endpoints.client_address(http);
        if !client.address().is_some_and(|address| allowed.contain(address)) {
            rejection.reason = Some(format!("{client} is not in the source's `allow_ips`"));
            return DeliveryResponse::NotAllowed;
        }
    }
    if has_oversized_headers(http) {
        return DeliveryResponse::HeadersTooLarge;
    }
    if state.inbox.is_closing() {
        return DeliveryResponse::NotStored(NotStored::Closing);
    }
    let permit = state.in_flight.permit();
    // The permit is kept until the delivery is stored.
    let (body, _permit) = match read_body(http, payload, endpoint.max_body, endpoints.request_timeout, permit).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let received = Instant::now();
    let request = rejection.request.insert(to_request(http, body));
    match process_delivery(context, request, received).await {
        Ok(response) => response,
        Err(error) => {
            rejection.reason = Some(error.to_string());
            rejected(error, endpoint)
        }
    }
}

/// Verifies a request and stores the delivery, or answers the handshake. `received` is when its last byte arrived.
async fn process_delivery(
    context: RequestContext<'_>,
    request: &Request,
    received: Instant,
) -> Result<DeliveryResponse, VerifyError> {
    let now = request.received_at;
    let source = &context.endpoint.source;
    match verify(context, request).await? {
        VerifiedRequest::Delivery(verified) => {
            log_trace(request, source);
            Ok(store(context, verified, received).await)
        }
        VerifiedRequest::Handshake(response) => {
            log::info!("{source}: answered the provider's handshake");
            Ok(DeliveryResponse::Handshake(response))
        }
        VerifiedRequest::Confirmation(confirmation) => confirm(confirmation, now, context.endpoint).await,
        VerifiedRequest::Enrollment(enrollment) => enroll(context, enrollment, now).await,
    }
}

async fn verify(context: RequestContext<'_>, request: &Request) -> Result<VerifiedRequest, VerifyError> {
    let RequestContext { state, endpoint, .. } = context;
    let now = request.received_at;
    if endpoint.verifier.needs_enrollment() {
        let secret = state.inbox.enrolled_secret(&endpoint.source);
        return endpoint.verifier.check_with_secret(request, now, secret.as_ref());
    }
    if !endpoint.verifier.may_block() {
        return endpoint.verifier.check(request, now);
    }
    let (endpoint, request) = (endpoint.clone(), request.clone());
    let checked = actix_web::web::block(move || endpoint.verifier.check(&request, now)).await;
    checked.unwrap_or_else(|_| Err(aborted()))
}

fn rejected(error: VerifyError, endpoint: &Endpoint) -> DeliveryResponse {
    match error {
        VerifyError::NotGenuine(_) if endpoint.verifier.rejects_with_status_only() => DeliveryResponse::BareNotGenuine,
        VerifyError::NotGenuine(_) => DeliveryResponse::NotGenuine,
        VerifyError::Malformed(error) => DeliveryResponse::Malformed(error),
        VerifyError::MethodNotAllowed => DeliveryResponse::MethodNotAllowed(endpoint.methods.clone()),
        VerifyError::Handshake(mismatch) => DeliveryResponse::Unexpected(mismatch),
        VerifyError::Unavailable(why) => DeliveryResponse::Unverifiable(why),
    }
}

async fn store(context: RequestContext<'_>, verified: VerifiedDelivery, received: Instant) -> DeliveryResponse {
    let RequestContext { state, endpoints, endpoint, .. } = context;
    if let Err(wait) = endpoint.check_rate() {
        return DeliveryResponse::RateLimited(wait);
    }
    let acknowledgement = verified.acknowledgement().cloned();
    let routed = endpoints.routes.route(verified);
    let stored = tokio::time::timeout(endpoints.request_timeout, state.inbox.accept(routed)).await;
    if let Ok(Ok(_)) = &stored {
        // Before waiting for a handler's response, which is not part of this duration.
        state.inbox.metrics().acknowledged(received.elapsed());
    }
    let (receipt, pending) = match stored {
        Ok(Ok(Accepted { receipt, reply })) => (receipt, reply),
        Ok(Err(why)) => {
            log::debug!("{}: delivery not stored: {why}", endpoint.source);
            return DeliveryResponse::NotStored(why);
        }
        Err(_) => return DeliveryResponse::InboxTooSlow,
    };
    let handler_response = match pending {
        Some(reply) => reply.wait().await,
        None => None,
    };
    match (handler_response, acknowledgement) {
        (Some(response), _) => DeliveryResponse::Responded(receipt, response),
        (None, Some(response)) => DeliveryResponse::Acknowledged(receipt, response),
        (None, None) => DeliveryResponse::Stored(receipt, endpoint.verifier.reply().cloned()),
    }
}

/// Confirms a subscription with the provider, then responds.
async fn confirm(
    confirmation: SubscriptionConfirmation,
    now: Millis,
    endpoint: &Arc<Endpoint>,
) -> Result<DeliveryResponse, VerifyError> {
    let source = endpoint.source.clone();
    let endpoint = endpoint.clone();
    let confirmed = actix_web::web::block(move || endpoint.verifier.confirm(confirmation, now)).await;
    let response = confirmed.unwrap_or_else(|_| Err(aborted()))?;
    log::info!("{source}: confirmed the subscription");
    Ok(DeliveryResponse::Handshake(response))
}

/// Stores the secret that a handshake contains, if enrollment is open.
async fn enroll(
    context: RequestContext<'_>,
    enrollment: SecretEnrollment,
    now: Millis,
) -> Result<DeliveryResponse, VerifyError> {
    let source = &context.endpoint.source;
    match context.state.inbox.enroll(source.clone(), enrollment.secret, now).await {
        Ok(EnrollmentResult::Enrolled) => {
            log::info!("{source}: learned its secret from the provider's handshake");
            Ok(DeliveryResponse::Handshake(enrollment.response))
        }
        Ok(EnrollmentResult::OtherSecret) => {
            log::warn!("{source}: refused a handshake that would change the known secret");
            Err(VerifyError::NotGenuine(SignatureError::AlreadyEnrolled))
        }
        Ok(EnrollmentResult::Closed) => Err(VerifyError::NotGenuine(SignatureError::EnrollmentClosed)),
        Err(why) => Ok(DeliveryResponse::NotStored(why)),
    }
}

fn aborted() -> VerifyError {
    VerifyError::Unavailable("the check was aborted".to_owned())
}

fn log_trace(request: &Request, source: &str) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let fields = request.headers.iter().filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)));
    if let Some(trace) = TraceContext::from_headers(fields) {
        log::debug!("{source}: delivery verified (trace {})", trace.id());
    }
}
