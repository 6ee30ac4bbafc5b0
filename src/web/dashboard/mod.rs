//! The dashboard: pages made on the server, for people who look at what came in and what failed.
//!
//! A request that the guard has let through comes in, a page goes out, or after a change the way back to one. Each page
//! reads short and bounded stretches of the inbox, off the server's own thread; all of it works without the script.

mod again;
mod assets;
mod attempts;
mod body;
mod change;
mod chart;
mod confirm;
mod event;
mod events;
mod frame;
mod handlers;
mod jobs;
mod list;
mod overview;
mod progress;
mod query;
mod refusal;
mod refusals;
mod sources;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use actix_web::web::{self, Data, Query, ServiceConfig};
use maud::{Markup, html};
use sha2::{Digest as _, Sha256};

use self::frame::{Frame, Tab};
use self::query::Asked;
pub(super) use self::refusal::taught;
use super::Shared;
use super::auth::Visitor;
use super::changes::{self, Changes};
use super::setup::Setup;
use crate::inbox::reader::ReadError;
use crate::inbox::{Inbox, InboxError};
use crate::model::filter::FilterError;
use crate::support::secret::DigestKey;
use crate::support::time::Millis;

/// How long a list is looked through before it says how far it came.
const PATIENCE: Duration = Duration::from_millis(40);

/// Every page, its forms, and what they need.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .configure(assets::routes)
        .configure(change::routes)
        .route("/", web::get().to(overview))
        .route("/events", web::get().to(all_events))
        .configure(event::routes)
        .route("/jobs", web::get().to(all_jobs))
        .configure(refusals::routes)
        .route("/sources", web::get().to(all_sources))
        .configure(handlers::routes);
}

/// Whoever looks, and at what.
struct Look {
    inbox: Arc<Inbox>,
    setup: Arc<Setup>,
    changes: Arc<Changes>,
    csrf: String,
    can_log_out: bool,
    now: Millis,
    /// Commits seen before anything was read for the page.
    seen: u64,
}

impl Look {
    /// Until when a list may be looked through.
    fn until() -> Instant {
        Instant::now() + PATIENCE
    }

    /// The page that is asked for there, told what was done just now.
    fn told(&self, on: Asked, verb: &str, number: usize) -> Asked {
        Asked { did: verb.to_owned(), n: number.to_string(), seal: self.seal(verb, &number.to_string()), ..on }
    }

    /// What we have said of this visitor's doing, no link of somebody else's can say.
    fn seal(&self, verb: &str, number: &str) -> String {
        DigestKey::new(Sha256::digest(&self.csrf).into()).digest(format!("{verb} {number}").as_bytes())
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("Nothing is at this address.")]
    Nowhere,
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    Asked(String),
    #[error("{} changes of many jobs are under way, so that this one was not begun", changes::MOST)]
    Busy,
    #[error("the inbox cannot be used now: {0}")]
    Inbox(#[from] InboxError),
}

impl From<FilterError> for Trouble {
    fn from(error: FilterError) -> Self {
        Self::Asked(error.to_string())
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Inbox(error.into())
    }
}

impl Trouble {
    fn status(&self) -> StatusCode {
        match self {
            Self::Nowhere | Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Asked(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::CONFLICT,
            Self::Inbox(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Nowhere => "Mind the spelling, or follow one of the links above.",
            Self::Missing(_) => "What was here may have been pruned; the lists show what is kept.",
            Self::Asked(_) => "Go back and change the filter.",
            Self::Busy => "Wait for one of them, or stop it: the page of jobs shows them.",
            Self::Inbox(_) => "Load the page again in a moment; /readyz tells whether deliveries are taken in.",
        }
    }
}

/// Does what takes its time on another thread, and answers with what it comes to.
async fn with<T: Send + 'static>(
    shared: Data<Shared>,
    visitor: Visitor,
    work: impl FnOnce(&Look) -> Result<T, Trouble> + Send + 'static,
    answer: impl FnOnce(T) -> HttpResponse,
) -> HttpResponse {
    let look = Look {
        inbox: shared.inbox.clone(),
        setup: shared.setup(),
        changes: shared.changes.clone(),
        csrf: visitor.csrf().to_owned(),
        can_log_out: visitor.can_log_out(),
        now: Millis::now(),
        seen: shared.inbox.changes(),
    };
    let done = web::block(move || work(&look).map_err(|trouble| (trouble_page(&look, &trouble), trouble.status())));
    match done.await {
        Ok(Ok(made)) => answer(made),
        Ok(Err((page, status))) => html_answer(status, page),
        Err(error) => {
            log::error!("a page could not be made: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// A page.
async fn show(
    shared: Data<Shared>,
    visitor: Visitor,
    page: impl FnOnce(&Look) -> Result<Markup, Trouble> + Send + 'static,
) -> HttpResponse {
    with(shared, visitor, page, |page| html_answer(StatusCode::OK, page)).await
}

/// A change, and the page that shows it.
async fn act(
    shared: Data<Shared>,
    visitor: Visitor,
    work: impl FnOnce(&Look) -> Result<String, Trouble> + Send + 'static,
) -> HttpResponse {
    with(shared, visitor, work, |to| HttpResponse::SeeOther().insert_header((LOCATION, to)).finish()).await
}

fn html_answer(status: StatusCode, page: Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.into_string())
}

/// Bytes from outside, to be saved under a name, never shown as whatever they claim to be.
fn saved(body: Vec<u8>, name: &str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .body(body)
}

/// What a browser sees where nothing is.
pub(super) async fn nothing_here(shared: Data<Shared>, visitor: Visitor) -> HttpResponse {
    let nothing = |_: &Look| Err(Trouble::Nowhere);
    show(shared, visitor, nothing).await
}

fn trouble_page(look: &Look, trouble: &Trouble) -> Markup {
    let title = if trouble.status() == StatusCode::NOT_FOUND { "Not found" } else { "That did not work" };
    let main = html! {
        h1 { (title) }
        p.lead { (words::shown(&trouble.to_string())) }
        p { (trouble.hint()) }
    };
    Frame { title, tab: Tab::None, is_live: false, did: None }.around(look, &main)
}

async fn overview(shared: Data<Shared>, visitor: Visitor) -> HttpResponse {
    show(shared, visitor, overview::page).await
}

async fn all_events(shared: Data<Shared>, visitor: Visitor, asked: Query<Asked>) -> HttpResponse {
    show(shared, visitor, move |look| events::page(look, &asked)).await
}

async fn all_jobs(shared: Data<Shared>, visitor: Visitor, asked: Query<Asked>) -> HttpResponse {
    show(shared, visitor, move |look| jobs::page(look, &asked)).await
}

async fn all_sources(shared: Data<Shared>, visitor: Visitor) -> HttpResponse {
    show(shared, visitor, sources::page).await
}
