//! Chooses the HTTP response of every request. JSON bodies, except where a provider requires another.
//!
//! The response never says why a signature was rejected: every 401 is the same.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};

use crate::inbox::{NotStored, Receipt};
use crate::metrics::Answered;
use crate::model::response::HandlerResponse;
use crate::providers::SuccessResponse;
use crate::support::time::Millis;
use crate::verify::{self, ExtractError, HandshakeMismatch};

/// `Retry-After` of a 503, in seconds.
const RETRY_AFTER: &str = "5";

/// After an outage, deliveries must succeed for this long before it is logged as over.
const OUTAGE_OVER_AFTER: Duration = Duration::from_secs(5);

/// The result of a request.
#[derive(Debug)]
pub(super) enum DeliveryResponse {
    /// Stored and synced, or a duplicate.
    Stored(Receipt, Option<SuccessResponse>),
    /// Stored; the handler chose the response.
    Responded(Receipt, HandlerResponse),
    /// Stored; the provider expects this response.
    Acknowledged(Receipt, verify::ProviderResponse),
    Handshake(verify::ProviderResponse),
    /// Genuine, but its id or type cannot be read.
    Malformed(ExtractError),
    NotGenuine,
    /// Not genuine, and the provider expects a 401 without a body.
    BareNotGenuine,
    /// A handshake that does not match the configuration.
    Unexpected(HandshakeMismatch),
    NoSuchSource,
    /// The client's address is not in the source's `allow_ips`.
    NotAllowed,
    /// Genuine, but over the source's `rate_limit`. Contains the time until there is room again.
    RateLimited(Duration),
    /// Contains the allowed methods.
    MethodNotAllowed(Vec<&'static str>),
    TooSlow,
    TooLarge,
    HeadersTooLarge,
    /// The client disconnected or violated HTTP.
    Broken,
    NotStored(NotStored),
    /// The provider's public keys are unavailable.
    Unverifiable(String),
    /// Over `server.max_in_flight`.
    TooMuchInFlight,
    /// The inbox did not respond within `server.request_timeout`.
    InboxTooSlow,
}

impl DeliveryResponse {
    /// Whether it is recorded as a refusal of the source.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NotAllowed
                | Self::RateLimited(_)
                | Self::Malformed(_)
                | Self::NotGenuine
                | Self::BareNotGenuine
                | Self::Unexpected(_)
                | Self::TooLarge
                | Self::HeadersTooLarge
                | Self::TooSlow
        )
    }

    pub(super) fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Stored(receipt, _) | Self::Responded(receipt, _) | Self::Acknowledged(receipt, _) => Some(receipt),
            _ => None,
        }
    }

    pub(super) fn counted(&self) -> Answered {
        match self {
            Self::Stored(receipt, _) | Self::Responded(receipt, _) | Self::Acknowledged(receipt, _) => {
                if receipt.is_accepted() { Answered::Accepted } else { Answered::Duplicate }
            }
            Self::Handshake(_) => Answered::Handshake,
            Self::Malformed(_) => Answered::Malformed,
            Self::NotGenuine | Self::BareNotGenuine => Answered::NotGenuine,
            Self::Unexpected(_) => Answered::Unexpected,
            Self::NoSuchSource => Answered::NoSuchSource,
            Self::NotAllowed => Answered::NotAllowed,
            Self::RateLimited(_) => Answered::RateLimit,
            Self::MethodNotAllowed(_) => Answered::Method,
            Self::TooSlow => Answered::TooSlow,
            Self::TooLarge => Answered::TooLarge,
            Self::HeadersTooLarge => Answered::HeadersTooLarge,
            Self::Broken => Answered::Broken,
            Self::Unverifiable(_) => Answered::Unverifiable,
            Self::TooMuchInFlight => Answered::InFlight,
            Self::InboxTooSlow => Answered::InboxTooSlow,
            Self::NotStored(why) => match why {
                NotStored::QueueFull => Answered::QueueFull,
                NotStored::Backlog => Answered::Backlog,
                NotStored::DiskLow => Answered::DiskLow,
                NotStored::Busy => Answered::Busy,
                NotStored::Failing(_) => Answered::Failing,
                NotStored::Closing => Answered::Closing,
            },
        }
    }

    /// Why deliveries get 503, unless the inbox already logs it.
    pub(super) fn outage_reason(&self) -> Option<String> {
        match self {
            Self::NotStored(NotStored::Closing | NotStored::Backlog | NotStored::DiskLow) => None,
            Self::NotStored(why) => Some(why.to_string()),
            Self::Unverifiable(why) => Some(why.clone()),
            Self::TooMuchInFlight => Some("too many bytes are in flight (server.max_in_flight)".to_owned()),
            Self::InboxTooSlow => Some("the inbox takes longer than server.request_timeout".to_owned()),
            _ => None,
        }
    }

    pub(super) fn into_response(self) -> HttpResponse {
        match self {
            Self::Stored(receipt, reply) => stored(receipt, reply),
            Self::Responded(_, response) => responded(&response),
            Self::Acknowledged(_, answer) | Self::Handshake(answer) => reflected(answer),
            Self::Malformed(fault) => error(StatusCode::BAD_REQUEST, &fault.to_string()),
            Self::NotGenuine => error(StatusCode::UNAUTHORIZED, "not genuine"),
            Self::BareNotGenuine => HttpResponse::Unauthorized().finish(),
            Self::Unexpected(mismatch) => error(
                StatusCode::from_u16(mismatch.status).unwrap_or(StatusCode::FORBIDDEN),
                "handshake does not match the configuration",
            ),
            Self::NotAllowed => closing(error(StatusCode::FORBIDDEN, "client address not allowed")),
            Self::RateLimited(wait) => {
                let mut response = error(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
                let seconds = wait.as_secs_f64().ceil().max(1.0);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
                response
            }
            Self::NoSuchSource => error(StatusCode::NOT_FOUND, "no such source"),
            Self::MethodNotAllowed(methods) => {
                let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
                if let Ok(allowed) = HeaderValue::from_str(&methods.join(", ")) {
                    response.headers_mut().insert(header::ALLOW, allowed);
                }
                response
            }
            Self::TooSlow => closing(error(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time")),
            Self::TooLarge => closing(error(StatusCode::PAYLOAD_TOO_LARGE, "the body is over the limit")),
            Self::HeadersTooLarge => {
                closing(error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are over the limit"))
            }
            Self::Broken => closing(error(StatusCode::BAD_REQUEST, "the request ended early")),
            Self::NotStored(NotStored::Closing) => closing(unavailable("shutting down")),
            Self::NotStored(_) => unavailable("not stored"),
            Self::Unverifiable(_) => unavailable("not verified"),
            Self::TooMuchInFlight => closing(unavailable("not stored")),
            Self::InboxTooSlow => unavailable("not known to be stored"),
        }
    }
}

fn stored(receipt: Receipt, reply: Option<SuccessResponse>) -> HttpResponse {
    let code = reply.as_ref().and_then(|reply| StatusCode::from_u16(reply.status).ok()).unwrap_or(StatusCode::OK);
    if let Some(SuccessResponse { content_type, body: Some(body), .. }) = reply {
        let mut response = HttpResponse::build(code);
        return if body.is_empty() { response.finish() } else { response.content_type(content_type).body(body) };
    }
    let status = if receipt.is_accepted() { "accepted" } else { "duplicate" };
    let (events, duplicates) = (receipt.events(), receipt.duplicates());
    HttpResponse::build(code)
        .content_type("application/json")
        .body(format!(r#"{{"status":"{status}","events":{events},"duplicates":{duplicates}}}"#))
}

fn responded(chosen: &HandlerResponse) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(chosen.status()).unwrap_or(StatusCode::OK));
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    match chosen.content_type() {
        Some(content_type) => response.content_type(content_type).body(chosen.body().to_vec()),
        None => response.finish(),
    }
}

/// Contains text from the request, so browsers must not guess its type.
fn reflected(answer: verify::ProviderResponse) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK));
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    for (name, value) in answer.headers {
        // `verify` checked that both are printable.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.insert_header((name, value));
        }
    }
    match answer.content_type {
        Some(content_type) => response.content_type(content_type.as_ref()).body(answer.body),
        None => response.finish(),
    }
}

fn error(status: StatusCode, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({ "error": message }))
}

/// 503: the provider should retry.
fn unavailable(message: &str) -> HttpResponse {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

/// Closes the connection, since the rest of the request is not read.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    response
}

/// Logs once when deliveries start to get 503, and once when they are stored again.
#[derive(Debug)]
pub(super) struct OutageLog {
    /// Time of the last 503, in unix milliseconds, or `NO_OUTAGE`.
    last: AtomicI64,
}

const NO_OUTAGE: i64 = i64::MIN;

impl Default for OutageLog {
    fn default() -> Self {
        Self { last: AtomicI64::new(NO_OUTAGE) }
    }
}

impl OutageLog {
    pub(super) fn unavailable(&self, why: &str) {
        if self.last.swap(Millis::now().0, Ordering::Relaxed) == NO_OUTAGE {
            log::warn!("deliveries get 503: {why}");
        }
    }

    pub(super) fn stored(&self) {
        let last = self.last.load(Ordering::Relaxed);
        if last != NO_OUTAGE
            && Millis::now().since(Millis(last)) >= OUTAGE_OVER_AFTER
            && self.last.compare_exchange(last, NO_OUTAGE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            log::info!("deliveries are stored again");
        }
    }
}
