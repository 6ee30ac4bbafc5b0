//! A request that was read, from its verification to its answer.
//!
//! Whatever may wait for a provider is done apart from the threads that serve; everything else is done at once. SignatureError a
//! request is turned away goes to the operator alone.

use std::sync::Arc;
use std::time::Instant;

use super::ReceiverState;
use super::endpoint::{Endpoint, Endpoints};
use super::response::DeliveryResponse;
use crate::inbox::{Accepted, EnrollmentResult, PendingReply};
use crate::model::request::Request;
use crate::model::response::HandlerResponse;
use crate::support::time::Millis;
use crate::support::trace_context::TraceContext;
use crate::verify::{
    SecretEnrollment, SignatureError, SubscriptionConfirmation, VerifiedDelivery, VerifiedRequest, VerifyError,
};

/// Judges a request, of which the last byte came when it had `arrived`; `reason` is why it is turned away.
pub(super) async fn process_delivery(
    (request, arrived): (&Request, Instant),
    shared: &ReceiverState,
    (endpoints, endpoint): (&Endpoints, &Arc<Endpoint>),
    reason: &mut Option<String>,
) -> DeliveryResponse {
    let now = request.received_at;
    let refusal = match check(request, shared, endpoint).await {
        Ok(VerifiedRequest::Delivery(verified)) => {
            log_trace(request, endpoint);
            return store((verified, arrived), shared, (endpoints, endpoint)).await;
        }
        Ok(VerifiedRequest::Handshake(answer)) => {
            log::info!("{}: answered the provider's handshake", endpoint.source);
            return DeliveryResponse::Handshake(answer);
        }
        Ok(VerifiedRequest::Confirmation(confirmation)) => match confirm(confirmation, now, endpoint).await {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        },
        Ok(VerifiedRequest::Enrollment(lesson)) => match learn(lesson, now, shared, endpoint).await {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        },
        Err(refusal) => refusal,
    };
    *reason = Some(refusal.to_string());
    match refusal {
        VerifyError::NotGenuine(_) if endpoint.verifier.rejects_with_status_only() => DeliveryResponse::BareNotGenuine,
        VerifyError::NotGenuine(_) => DeliveryResponse::NotGenuine,
        VerifyError::Malformed(fault) => DeliveryResponse::Malformed(fault),
        VerifyError::MethodNotAllowed => DeliveryResponse::MethodNotAllowed(endpoint.methods.clone()),
        VerifyError::Handshake(mismatch) => DeliveryResponse::Unexpected(mismatch),
        VerifyError::Unavailable(why) => DeliveryResponse::Unverifiable(why),
    }
}

async fn check(
    request: &Request,
    shared: &ReceiverState,
    endpoint: &Arc<Endpoint>,
) -> Result<VerifiedRequest, VerifyError> {
    let verifier = &endpoint.verifier;
    let now = request.received_at;
    if verifier.needs_enrollment() {
        return verifier.check_with_secret(request, now, shared.inbox.enrolled_secret(&endpoint.source).as_ref());
    }
    if !verifier.may_block() {
        return verifier.check(request, now);
    }
    let (apart, request) = (endpoint.clone(), request.clone());
    let judged = actix_web::web::block(move || apart.verifier.check(&request, now)).await;
    judged.unwrap_or_else(|_| Err(broken_off()))
}

async fn store(
    (verified, arrived): (VerifiedDelivery, Instant),
    shared: &ReceiverState,
    (endpoints, endpoint): (&Endpoints, &Endpoint),
) -> DeliveryResponse {
    if let Err(wait) = endpoint.take_place() {
        return DeliveryResponse::TooMany(wait);
    }
    let acknowledgement = verified.acknowledgement().cloned();
    let stored =
        tokio::time::timeout(endpoints.request_timeout, shared.inbox.accept(endpoints.routes.route(verified))).await;
    if let Ok(Ok(_)) = &stored {
        // Before a handler may add words of its own, in its own time.
        shared.inbox.metrics().acknowledged(arrived.elapsed());
    }
    match stored {
        Ok(Ok(Accepted { receipt, reply })) => match (said(reply).await, acknowledgement) {
            (Some(response), _) => DeliveryResponse::Responded(receipt, response),
            (None, Some(answer)) => DeliveryResponse::Acknowledged(receipt, answer),
            (None, None) => DeliveryResponse::Stored(receipt, endpoint.verifier.reply().cloned()),
        },
        Ok(Err(why)) => {
            log::debug!("{}: a delivery was not stored: {why}", endpoint.source);
            DeliveryResponse::NotStored(why)
        }
        Err(_) => DeliveryResponse::InboxTooSlow,
    }
}

/// What a handler has to say, where one responds and does so in time.
async fn said(answer: Option<PendingReply>) -> Option<HandlerResponse> {
    answer?.wait().await
}

/// Confirms a subscription with the provider, and answers when that is done.
async fn confirm(
    confirmation: SubscriptionConfirmation,
    now: Millis,
    endpoint: &Arc<Endpoint>,
) -> Result<DeliveryResponse, VerifyError> {
    let apart = endpoint.clone();
    let confirmed = actix_web::web::block(move || apart.verifier.confirm(confirmation, now)).await;
    let answer = confirmed.unwrap_or_else(|_| Err(broken_off()))?;
    log::info!("{}: confirmed the subscription", endpoint.source);
    Ok(DeliveryResponse::Handshake(answer))
}

/// Believes a handshake that tells the source's secret, if the inbox does.
async fn learn(
    lesson: SecretEnrollment,
    now: Millis,
    shared: &ReceiverState,
    endpoint: &Endpoint,
) -> Result<DeliveryResponse, VerifyError> {
    let source = &endpoint.source;
    match shared.inbox.enroll(source.clone(), lesson.secret, now).await {
        Ok(EnrollmentResult::Enrolled) => {
            log::info!("{source}: learned its secret from the provider's handshake");
            Ok(DeliveryResponse::Handshake(lesson.response))
        }
        Ok(EnrollmentResult::OtherSecret) => {
            log::warn!("{source}: a handshake would change the secret that is known; it was refused");
            Err(VerifyError::NotGenuine(SignatureError::AlreadyEnrolled))
        }
        Ok(EnrollmentResult::Closed) => Err(VerifyError::NotGenuine(SignatureError::EnrollmentClosed)),
        Err(why) => Ok(DeliveryResponse::NotStored(why)),
    }
}

fn broken_off() -> VerifyError {
    VerifyError::Unavailable("the check was broken off".to_owned())
}

/// For whoever follows a trace through the logs.
fn log_trace(request: &Request, endpoint: &Endpoint) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let fields = request.headers.iter().filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)));
    if let Some(trace) = TraceContext::from_headers(fields) {
        log::debug!("{}: a genuine delivery of trace {}", endpoint.source, trace.id());
    }
}
