//! What a page is rendered from, and why it cannot be rendered.
//!
//! Every page function takes a [`PageContext`] and returns markup or a [`PageError`].

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::error::ErrorInternalServerError;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpRequest};
use sha2::{Digest as _, Sha256};

use crate::inbox::reader::ReadError;
use crate::inbox::{Inbox, InboxError};
use crate::model::filter::{FilterError, Page};
use crate::support::secret::DigestKey;
use crate::support::time::Millis;
use crate::web::auth::Principal;
use crate::web::bulk::{BulkChanges, MAX_RUNNING};
use crate::web::operations::Operations;
use crate::web::query::PageQuery;
use crate::web::state::{WebConfig, WebState};

/// How long a list may search before it shows what it has found.
const SEARCH_TIME: Duration = Duration::from_millis(40);
/// Rows per page of a list.
pub(super) const PAGE_ROWS: u32 = 50;

pub(super) struct PageContext {
    pub(super) inbox: Arc<Inbox>,
    pub(super) config: Arc<WebConfig>,
    pub(super) bulk: Arc<BulkChanges>,
    pub(super) csrf: String,
    pub(super) can_log_out: bool,
    pub(super) now: Millis,
    /// The inbox's change counter before anything was read for the page.
    pub(super) changes_seen: u64,
}

impl PageContext {
    pub(super) fn new(state: &WebState, principal: &Principal) -> Self {
        Self {
            inbox: state.inbox.clone(),
            config: state.config(),
            bulk: state.bulk.clone(),
            csrf: principal.csrf().to_owned(),
            can_log_out: principal.can_log_out(),
            now: Millis::now(),
            changes_seen: state.inbox.changes(),
        }
    }

    pub(super) fn operations(&self) -> Operations<'_> {
        Operations { inbox: &self.inbox, config: &self.config, now: self.now }
    }

    pub(super) fn deadline() -> Instant {
        Instant::now() + SEARCH_TIME
    }

    /// A page of a list, with a time limit for its search.
    pub(super) fn list_page(before: Option<i64>) -> Page {
        Page { before, limit: PAGE_ROWS, deadline: Some(Self::deadline()) }
    }

    /// Adds to a link what was just done, to be shown by the page as a `Flash`.
    pub(super) fn with_flash(&self, query: PageQuery, verb: &str, number: usize) -> PageQuery {
        let n = number.to_string();
        PageQuery { did: verb.to_owned(), seal: self.sign_flash(verb, &n), n, ..query }
    }

    /// Signs a flash message with the client's CSRF token, so that no foreign link can make a page claim a change.
    pub(super) fn sign_flash(&self, verb: &str, number: &str) -> String {
        DigestKey::new(Sha256::digest(&self.csrf).into()).digest(format!("{verb} {number}").as_bytes())
    }
}

impl FromRequest for PageContext {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let principal = Principal::from_request(request, payload).into_inner();
        let state = request.app_data::<Data<WebState>>();
        let state = state.ok_or_else(|| ErrorInternalServerError("the server has no state"));
        ready(principal.and_then(|principal| Ok(Self::new(state?, &principal))))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("There is no page at this address.")]
    NoSuchPage,
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{MAX_RUNNING} bulk changes are running already, so this one was not started")]
    TooManyChanges,
    #[error("the inbox is not available: {0}")]
    Inbox(#[from] InboxError),
}

impl From<ReadError> for PageError {
    fn from(error: ReadError) -> Self {
        Self::Inbox(error.into())
    }
}

impl From<FilterError> for PageError {
    fn from(error: FilterError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl PageError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPage | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooManyChanges => StatusCode::CONFLICT,
            Self::Inbox(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchPage => "Check the spelling, or follow one of the links above.",
            Self::NotFound(_) => "It may have been pruned. The lists show what is stored.",
            Self::BadRequest(_) => "Go back and correct the filter.",
            Self::TooManyChanges => "Wait until one of them has finished, or stop it: the jobs page lists them.",
            Self::Inbox(_) => "Reload the page in a moment. /readyz reports whether deliveries are accepted.",
        }
    }
}
