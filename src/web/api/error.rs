//! The errors of the API, each with its status and a hint.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;

use crate::inbox::InboxError;
use crate::inbox::reader::ReadError;
use crate::model::filter::FilterError;
use crate::web::bulk::MAX_RUNNING;
use crate::web::errors;

/// Where to find the names of sources and handlers.
const NAMES_HINT: &str = "/api/v1/status lists the sources and handlers";

#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// A row that does not exist, or no longer.
    #[error("{0}")]
    NotFound(String),
    /// A name that never existed.
    #[error("{error}")]
    Unknown { error: String, hint: &'static str },
    #[error("{0}")]
    BadRequest(String),
    #[error("{}", errors::too_large("body"))]
    TooLarge,
    #[error("{MAX_RUNNING} bulk changes are running already")]
    TooManyChanges,
    #[error("the inbox is not available: {0}")]
    Inbox(#[from] InboxError),
    #[error("internal error")]
    Internal(String),
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::Inbox(error.into())
    }
}

impl ApiError {
    pub(super) fn no_source(name: &str) -> Self {
        Self::Unknown { error: format!("there is no source {name:?}"), hint: NAMES_HINT }
    }

    pub(super) fn no_handler(name: &str) -> Self {
        Self::Unknown { error: format!("there is no handler {name:?}"), hint: NAMES_HINT }
    }

    pub(super) fn no_event(seq: i64) -> Self {
        Self::NotFound(format!("there is no event {seq}"))
    }

    pub(super) fn response(&self) -> HttpResponse {
        let (status, hint) = match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "it may have been pruned; the lists show what is stored"),
            Self::Unknown { hint, .. } => (StatusCode::NOT_FOUND, *hint),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "/api/v1/openapi.json describes valid requests"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "name fewer events at a time, or use a filter"),
            Self::TooManyChanges => {
                (StatusCode::CONFLICT, "wait until one has finished, or stop it: /api/v1/changes lists them")
            }
            Self::Inbox(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment; /readyz reports the reason"),
            Self::Internal(error) => {
                log::error!("api request failed: {error}");
                (StatusCode::INTERNAL_SERVER_ERROR, "the log says why")
            }
        };
        HttpResponse::build(status).json(json!({ "error": self.to_string(), "hint": hint }))
    }
}
