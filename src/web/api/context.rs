//! What an API operation gets and returns: the context, the parts of the request, the reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, LOCATION};
use actix_web::web::{Bytes, Data};
use serde::Serialize;

use super::error::ApiError;
use super::query::ListQuery;
use crate::inbox::Inbox;
use crate::support::time::Millis;
use crate::web::bulk::BulkChanges;
use crate::web::operations::Operations;
use crate::web::state::{WebConfig, WebState};

/// How long a list may search before it returns what it has found.
const SEARCH_TIME: Duration = Duration::from_millis(40);

pub(super) struct ApiContext {
    pub(super) inbox: Arc<Inbox>,
    pub(super) config: Arc<WebConfig>,
    pub(super) bulk: Arc<BulkChanges>,
    pub(super) now: Millis,
}

impl ApiContext {
    pub(super) fn new(state: &Data<WebState>) -> Self {
        Self { inbox: state.inbox.clone(), config: state.config(), bulk: state.bulk.clone(), now: Millis::now() }
    }

    pub(super) fn operations(&self) -> Operations<'_> {
        Operations { inbox: &self.inbox, config: &self.config, now: self.now }
    }

    pub(super) fn deadline() -> Option<Instant> {
        Some(Instant::now() + SEARCH_TIME)
    }
}

/// The parts of a request that an operation reads.
pub(super) struct ApiRequest {
    /// The variable part of the path.
    pub(super) parameter: String,
    pub(super) query: ListQuery,
    pub(super) body: Bytes,
}

impl ApiRequest {
    /// The variable part of the path as the `seq` or `id` of a row.
    pub(super) fn id(&self) -> Result<i64, ApiError> {
        let not_a_number = || ApiError::Unknown {
            error: format!("{:?} is not a number", self.parameter),
            hint: "use a number from one of the lists",
        };
        self.parameter.parse().map_err(|_| not_a_number())
    }
}

pub(super) enum Reply {
    Json(String),
    /// 202: a bulk change that is running, and where to follow it.
    Accepted {
        location: String,
        json: String,
    },
    /// Bytes from outside, to be saved as a file. Never displayed, whatever type they claim to be.
    File {
        name: String,
        body: Vec<u8>,
    },
}

impl Reply {
    pub(super) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        Ok(Self::Json(to_json(value)?))
    }

    pub(super) fn accepted(location: String, value: &impl Serialize) -> Result<Self, ApiError> {
        Ok(Self::Accepted { location, json: to_json(value)? })
    }

    pub(super) fn into_response(self) -> HttpResponse {
        match self {
            Self::Json(json) => HttpResponse::Ok().content_type("application/json").body(json),
            Self::Accepted { location, json } => {
                HttpResponse::Accepted().insert_header((LOCATION, location)).content_type("application/json").body(json)
            }
            Self::File { name, body } => HttpResponse::Ok()
                .content_type("application/octet-stream")
                .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
                .body(body),
        }
    }
}

fn to_json(value: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(|error| ApiError::Internal(error.to_string()))
}
