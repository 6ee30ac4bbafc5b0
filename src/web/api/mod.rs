//! `/api/v1`: what the dashboard and the command line know and do, in JSON, for programs.
//!
//! A request that the guard has let through comes in; rows go out with the keys of `schema.sql`, instants as unix
//! milliseconds, as with `--json`. What is wrong is told as `{"error", "hint"}`. `openapi.json` describes all of it, and
//! tests hold it to what is answered. Each read is short and bounded, off the server's own thread.

mod ask;
mod bulk;
mod change;
mod lists;
mod standing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard};
use serde::Serialize;
use serde_json::json;

use self::ask::{Events, Jobs, Refusals, Sent, ask, told};
use super::Shared;
use super::changes::{self, Changes};
use super::setup::Setup;
use crate::inbox::operator::BulkAction;
use crate::inbox::reader::ReadError;
use crate::inbox::{Inbox, InboxError};
use crate::model::filter::FilterError;
use crate::support::time::Millis;

/// How long a list is looked through before it says how far it came.
const PATIENCE: Duration = Duration::from_millis(40);

/// Where to look for a name.
const NAMES: &str = "/api/v1/status names the sources and handlers";

/// Everything under `/api/v1`.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(get("/api/v1/openapi.json", document))
        .service(get("/api/v1/status", status))
        .service(get("/api/v1/sources", sources))
        .service(get("/api/v1/hours", hours))
        .service(get("/api/v1/handlers", handlers))
        .service(post("/api/v1/handlers/{name}/pause", pause))
        .service(post("/api/v1/handlers/{name}/resume", resume))
        .service(get("/api/v1/events", events))
        .service(get("/api/v1/events/{seq}", event))
        .service(get("/api/v1/events/{seq}/body", body))
        .service(post("/api/v1/jobs/retry", retry))
        .service(post("/api/v1/jobs/replay", replay))
        .service(post("/api/v1/jobs/skip", skip))
        .service(get("/api/v1/changes", changes))
        .service(get("/api/v1/changes/{id}", change))
        .service(post("/api/v1/changes/{id}/stop", stop))
        .service(get("/api/v1/jobs", jobs))
        .service(get("/api/v1/jobs/{id}", job))
        .service(get("/api/v1/refusals", refusals))
        .service(get("/api/v1/refusals/{id}", refusal))
        .service(get("/api/v1/refusals/{id}/explanation", explanation))
        .service(post("/api/v1/refusals/{id}/reverify", reverify));
}

/// What every answer is made from.
struct Room {
    inbox: Arc<Inbox>,
    setup: Arc<Setup>,
    changes: Arc<Changes>,
    now: Millis,
}

impl Room {
    /// Until when a list may be looked through.
    fn until() -> Instant {
        Instant::now() + PATIENCE
    }
}

impl FromRequest for Room {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shared = request.app_data::<Data<Shared>>();
        let room = shared.map(|shared| Self {
            inbox: shared.inbox.clone(),
            setup: shared.setup(),
            changes: shared.changes.clone(),
            now: Millis::now(),
        });
        std::future::ready(room.ok_or_else(|| actix_web::error::ErrorInternalServerError("there is no inbox")))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Missing(String),
    /// What never was, and where to look instead.
    #[error("{0}")]
    Unknown(String, &'static str),
    #[error("{0}")]
    Asked(String),
    #[error("{}", super::malformed::too_long("body"))]
    Long,
    #[error("{} changes of many jobs are under way", changes::MOST)]
    Busy,
    #[error("the inbox cannot be used now: {0}")]
    Inbox(#[from] InboxError),
}

impl From<FilterError> for Fault {
    fn from(error: FilterError) -> Self {
        Self::Asked(error.to_string())
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Inbox(error.into())
    }
}

impl Fault {
    fn answer(&self) -> HttpResponse {
        let (status, hint) = match self {
            Self::Missing(_) => (StatusCode::NOT_FOUND, "it may have been pruned; the lists show what is kept"),
            Self::Unknown(_, hint) => (StatusCode::NOT_FOUND, *hint),
            Self::Asked(_) => (StatusCode::BAD_REQUEST, "/api/v1/openapi.json says what may be asked"),
            Self::Long => (StatusCode::PAYLOAD_TOO_LARGE, "name fewer events at a time, or filter"),
            Self::Busy => (StatusCode::CONFLICT, "wait for one of them, or stop it: /api/v1/changes lists them"),
            Self::Inbox(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment; /readyz tells how it stands"),
        };
        HttpResponse::build(status).json(json!({ "error": self.to_string(), "hint": hint }))
    }
}

/// Does what takes its time on another thread, and answers with what it comes to.
async fn with<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    answer: impl FnOnce(T) -> HttpResponse,
) -> HttpResponse {
    match web::block(work).await {
        Ok(Ok(made)) => answer(made),
        Ok(Err(fault)) => fault.answer(),
        Err(error) => {
            log::error!("an answer could not be made: {error}");
            HttpResponse::InternalServerError().json(json!({ "error": "it failed", "hint": "the log says why" }))
        }
    }
}

async fn answer<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> HttpResponse {
    with(work, |rows| HttpResponse::Ok().json(rows)).await
}

fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    web::resource(path).route(route.to(handler)).default_service(web::to(|| wrong_method("GET, HEAD")))
}

fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(handler)).default_service(web::to(|| wrong_method("POST")))
}

async fn wrong_method(allowed: &'static str) -> HttpResponse {
    let error = json!({ "error": "this is asked by another method", "hint": format!("by {allowed}") });
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).json(error)
}

/// A part of the path that counts rows. What is no number is the name of nothing.
fn number(path: &str) -> Result<i64, Fault> {
    path.parse()
        .map_err(|_| Fault::Unknown(format!("{path:?} is not a number"), "write a number, as the lists tell it"))
}

async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(include_str!("openapi.json"))
}

async fn status(room: Room) -> HttpResponse {
    answer(move || standing::status(&room)).await
}

async fn sources(room: Room) -> HttpResponse {
    answer(move || standing::sources(&room)).await
}

async fn hours(room: Room) -> HttpResponse {
    answer(move || standing::hours(&room)).await
}

async fn handlers(room: Room) -> HttpResponse {
    answer(move || standing::handlers(&room)).await
}

async fn pause(room: Room, name: Path<String>, body: Sent) -> HttpResponse {
    answer(move || change::pause(&room, &name, &told(&body.0)?)).await
}

async fn resume(room: Room, name: Path<String>) -> HttpResponse {
    answer(move || change::resume(&room, &name)).await
}

async fn events(room: Room, request: HttpRequest) -> HttpResponse {
    answer(move_query(request, move |query| lists::events(&room, &ask::<Events>(query)?))).await
}

async fn event(room: Room, seq: Path<String>) -> HttpResponse {
    answer(move || lists::event(&room, number(&seq)?)).await
}

async fn body(room: Room, seq: Path<String>) -> HttpResponse {
    let name = format!("attachment; filename=\"event-{}\"", seq.parse::<i64>().unwrap_or_default());
    with(
        move || lists::body(&room, number(&seq)?),
        move |body| {
            let mut answer = HttpResponse::Ok();
            // Whatever it claims to be, nobody's browser is to make a page of it.
            answer.content_type("application/octet-stream").insert_header(("content-disposition", name)).body(body)
        },
    )
    .await
}

async fn jobs(room: Room, request: HttpRequest) -> HttpResponse {
    answer(move_query(request, move |query| lists::jobs(&room, &ask::<Jobs>(query)?))).await
}

async fn job(room: Room, id: Path<String>) -> HttpResponse {
    answer(move || lists::job(&room, number(&id)?)).await
}

async fn retry(room: Room, body: Sent) -> HttpResponse {
    with(move || bulk::change(&room, &told(&body.0)?, BulkAction::Retry), bulk::Answer::answer).await
}

async fn replay(room: Room, body: Sent) -> HttpResponse {
    with(move || bulk::change(&room, &told(&body.0)?, BulkAction::Replay), bulk::Answer::answer).await
}

async fn skip(room: Room, body: Sent) -> HttpResponse {
    with(move || bulk::change(&room, &told(&body.0)?, BulkAction::Skip), bulk::Answer::answer).await
}

async fn changes(room: Room) -> HttpResponse {
    answer(move || Ok(room.changes.all())).await
}

async fn change(room: Room, id: Path<String>) -> HttpResponse {
    answer(move || bulk::found(&id, room.changes.find(number(&id)?))).await
}

async fn stop(room: Room, id: Path<String>) -> HttpResponse {
    answer(move || bulk::found(&id, room.changes.stop(number(&id)?))).await
}

async fn refusals(room: Room, request: HttpRequest) -> HttpResponse {
    answer(move_query(request, move |query| lists::refusals(&room, &ask::<Refusals>(query)?))).await
}

async fn refusal(room: Room, id: Path<String>) -> HttpResponse {
    answer(move || lists::refusal(&room, number(&id)?)).await
}

async fn explanation(room: Room, id: Path<String>) -> HttpResponse {
    answer(move || lists::explanation(&room, number(&id)?)).await
}

async fn reverify(room: Room, id: Path<String>) -> HttpResponse {
    answer(move || change::reverify(&room, number(&id)?)).await
}

/// The request itself belongs to its thread; its query may leave.
#[expect(clippy::needless_pass_by_value, reason = "handlers own their request")]
fn move_query<T>(
    request: HttpRequest,
    work: impl FnOnce(&str) -> Result<T, Fault> + Send,
) -> impl FnOnce() -> Result<T, Fault> + Send {
    let query = request.query_string().to_owned();
    move || work(&query)
}
