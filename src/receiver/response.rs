//! What the provider hears: one status per case, bodies in JSON.
//!
//! The one place where a status is chosen. Nothing about a failed check goes out: every 401 is the same.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};

use crate::inbox::{NotStored, Receipt};
use crate::metrics::Answered;
use crate::model::response::HandlerResponse;
use crate::providers::SuccessResponse;
use crate::verify::{self, ExtractError, HandshakeMismatch};

/// Seconds after which a provider that was refused for the moment may come again.
const RETRY_AFTER: &str = "5";

/// How a request ends.
#[derive(Debug)]
pub(super) enum DeliveryResponse {
    /// Stored and synced, or stored before.
    Stored(Receipt, Option<SuccessResponse>),
    /// Likewise, in the words of a handler.
    Responded(Receipt, HandlerResponse),
    /// Likewise, in the provider's own words.
    Acknowledged(Receipt, verify::ProviderResponse),
    /// A provider's handshake.
    Handshake(verify::ProviderResponse),
    /// Genuine, but it cannot be told what it is.
    Malformed(ExtractError),
    /// Not proven genuine.
    NotGenuine,
    /// Likewise, where the provider wants the status alone.
    BareNotGenuine,
    /// A handshake that does not fit the configuration.
    Unexpected(HandshakeMismatch),
    NoSuchSource,
    /// The client's address is not on the source's list.
    NotAllowed,
    /// Genuine, but more than the source's rate; there is room again after this.
    TooMany(Duration),
    /// With the methods that are.
    MethodNotAllowed(Vec<&'static str>),
    TooSlow,
    TooLarge,
    HeadersTooLarge,
    /// The client broke off or broke the protocol.
    Broken,
    NotStored(NotStored),
    /// What it takes to verify it cannot be had now.
    Unverifiable(String),
    /// More bytes in flight than `server.max_in_flight`.
    TooMuchInFlight,
    /// The inbox did not answer within `server.request_timeout`.
    InboxTooSlow,
}

impl DeliveryResponse {
    /// Whether it counts as a refusal of the source.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::NotAllowed | Self::TooMany(_) => true,
            Self::Malformed(_) | Self::NotGenuine | Self::BareNotGenuine | Self::Unexpected(_) => true,
            Self::TooLarge | Self::HeadersTooLarge | Self::TooSlow => true,
            Self::Stored(..)
            | Self::Responded(..)
            | Self::Acknowledged(..)
            | Self::Handshake(_)
            | Self::NoSuchSource
            | Self::MethodNotAllowed(_)
            | Self::Broken
            | Self::NotStored(_)
            | Self::Unverifiable(_)
            | Self::TooMuchInFlight
            | Self::InboxTooSlow => false,
        }
    }

    /// What was stored, if anything was.
    pub(super) fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Stored(receipt, _) | Self::Responded(receipt, _) | Self::Acknowledged(receipt, _) => Some(receipt),
            _ => None,
        }
    }

    /// As it is counted.
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
            Self::TooMany(_) => Answered::RateLimit,
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

    /// Why it cannot be stored for the moment, where nothing else tells the operator.
    pub(super) fn trouble(&self) -> Option<String> {
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
            Self::Unexpected(mismatch) => {
                error(StatusCode::from_u16(mismatch.status).unwrap_or(StatusCode::FORBIDDEN), "not as configured")
            }
            Self::NotAllowed => closing(error(StatusCode::FORBIDDEN, "not from here")),
            Self::TooMany(wait) => {
                let mut response = error(StatusCode::TOO_MANY_REQUESTS, "too many deliveries");
                let seconds = wait.as_secs_f64().ceil().max(1.0);
                response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds as u64));
                response
            }
            Self::NoSuchSource => error(StatusCode::NOT_FOUND, "no such source"),
            Self::MethodNotAllowed(methods) => {
                let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "deliveries come by POST");
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
            Self::NotStored(NotStored::Closing) => closing(later("shutting down")),
            Self::NotStored(_) => later("not stored"),
            Self::Unverifiable(_) => later("not verified"),
            Self::TooMuchInFlight => closing(later("not stored")),
            Self::InboxTooSlow => later("not known to be stored"),
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

fn responded(words: &HandlerResponse) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(words.status()).unwrap_or(StatusCode::OK));
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    match words.content_type() {
        Some(content_type) => response.content_type(content_type).body(words.body().to_vec()),
        None => response.finish(),
    }
}

/// Words that came from outside: whatever a browser makes of them, it is no page.
fn reflected(answer: verify::ProviderResponse) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK));
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    for (name, value) in answer.headers {
        // Both were checked to be printable.
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

/// 503: the provider should send it again.
fn later(message: &str) -> HttpResponse {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

/// What is left of the request is not read, so the connection ends.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    response
}
