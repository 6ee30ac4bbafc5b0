//! `/api/v1`: the JSON API for programs.
//!
//! Rows have the keys of `--json`, times are unix milliseconds, errors are `{"error", "hint"}`. [`ROUTES`] is the list of all
//! operations: it registers them and generates `openapi.json`. Every read is short and bounded.

mod bulk;
mod context;
mod error;
mod lists;
mod openapi;
mod query;
mod refusals;
mod route;
mod schemas;
mod status;

use std::sync::LazyLock;

use actix_web::web::ServiceConfig;

use self::context::{ApiContext, ApiRequest, Reply};
use self::error::ApiError;
use self::route::{QueryParameter, Route};
use crate::inbox::operator::BulkAction;

static DOCUMENT: LazyLock<Result<String, String>> = LazyLock::new(|| match openapi::document(ROUTES) {
    Ok(document) => Ok(document.to_string()),
    Err(error) => Err(error.to_string()),
});

/// The OpenAPI document.
pub fn openapi_document() -> Result<&'static str, &'static str> {
    DOCUMENT.as_deref().map_err(String::as_str)
}

pub(super) fn routes(config: &mut ServiceConfig) {
    ROUTES.iter().for_each(|route| route.register(config));
}

const SOURCE: QueryParameter = parameter("source", "string", "The exact name of the source.");
const TYPE: QueryParameter = parameter("type", "string", "A type with all types below it, or a glob.");
const SINCE: QueryParameter = parameter("since", "time", "RFC 3339, or a duration before now such as 2h.");
const UNTIL: QueryParameter = parameter("until", "time", "RFC 3339, or a duration before now such as 2h.");
const BEFORE: QueryParameter = parameter("before", "id", "`next` of the previous page.");
const LIMIT: QueryParameter = parameter("limit", "limit", "Rows per page.");

const EVENT_QUERY: &[QueryParameter] = &[
    parameter("state", "event_states", "One state, or several separated by commas."),
    SOURCE,
    TYPE,
    SINCE,
    UNTIL,
    parameter("id", "string", "How the event's id starts."),
    parameter("text", "string", "Text that the body contains, byte for byte."),
    BEFORE,
    LIMIT,
];
const JOB_QUERY: &[QueryParameter] = &[
    parameter("state", "job_states", "One state, or several separated by commas."),
    SOURCE,
    TYPE,
    SINCE,
    UNTIL,
    parameter("handler", "string", "The exact name of the handler."),
    parameter("reason", "string", "The exact reason, or a glob."),
    parameter("event", "id", "The `seq` of the job's event."),
    parameter("finished_before", "time", "Excludes jobs that finished at this time or later."),
    BEFORE,
    LIMIT,
];
const REFUSAL_QUERY: &[QueryParameter] = &[SOURCE, SINCE, UNTIL, BEFORE, LIMIT];

const HANDLER_NAME: &str = "The handler's name, as in `[handlers.NAME]`.";
const EVENT_SEQ: &str = "The event's `seq`, as in `hookbox events`.";
const JOB_ID: &str = "The job's `id`, as in `hookbox jobs`.";
const CHANGE_ID: &str = "The change's `id`, as in the 202 response.";
const REFUSAL_ID: &str = "The refusal's `id`, as in `hookbox refusals`.";

const IN_BACKGROUND: &str = "More than 500 jobs are changed in the background: the response is 202, and /api/v1/changes/{id} \
    reports the progress. If the change is interrupted, the remaining jobs are unchanged: send the same request again.";
const REPLAY_IN_BACKGROUND: &str = "With a handler, and without a state or reason, events that match the handler and have no \
    job for it get one; named events get one even if they do not match. More than 500 jobs are changed in the background: the \
    response is 202, and /api/v1/changes/{id} reports the progress. If the change is interrupted, the remaining jobs are \
    unchanged: send the same request again with `finished_before` set to the change's `started_at`, so that jobs already \
    replayed do not run twice.";

const fn parameter(name: &'static str, kind: &'static str, description: &'static str) -> QueryParameter {
    QueryParameter { name, kind, description }
}

const ROUTES: &[Route] = &[
    Route::get("/api/v1/openapi.json", "getOpenApi", "Show this document", document).returns("any", "This document."),
    Route::get("/api/v1/status", "getStatus", "Show the state of inbox, sources and handlers", |ctx, _| {
        Reply::json(&status::status(ctx)?)
    })
    .returns("Status", "The state of the inbox, the sources and the handlers."),
    Route::get("/api/v1/sources", "listSources", "List sources and their deliveries of the last 24 hours", |ctx, _| {
        Reply::json(&status::sources(ctx)?)
    })
    .returns("[Source]", "Every source that is configured or has events."),
    Route::get("/api/v1/hours", "listHours", "List deliveries by source and hour", |ctx, _| {
        Reply::json(&status::hours(ctx)?)
    })
    .returns("[Hour]", "The last 24 hours of each source."),
    Route::get("/api/v1/handlers", "listHandlers", "List handlers and their unfinished jobs", |ctx, _| {
        Reply::json(&status::handlers(ctx)?)
    })
    .returns("[Handler]", "Every handler that is configured or has unfinished jobs."),
    Route::post(
        "/api/v1/handlers/{name}/pause",
        "pauseHandler",
        "Stop starting new jobs of a handler",
        |ctx, request| Reply::json(&status::pause(ctx, request)?),
    )
    .description("Running attempts continue.")
    .parameter(HANDLER_NAME)
    .body("PauseRequest")
    .returns("HandlerPause", "The handler's pause state."),
    Route::post("/api/v1/handlers/{name}/resume", "resumeHandler", "Resume a paused handler", |ctx, request| {
        Reply::json(&status::resume(ctx, request)?)
    })
    .description("A handler that hookbox paused is probed immediately.")
    .parameter(HANDLER_NAME)
    .returns("HandlerPause", "The handler's pause state."),
    Route::get("/api/v1/events", "listEvents", "List events, newest first", |ctx, request| {
        Reply::json(&lists::events(ctx, &request.query)?)
    })
    .query(EVENT_QUERY)
    .returns("EventList", "A page of events."),
    Route::get(
        "/api/v1/events/{seq}",
        "getEvent",
        "Show an event with its headers, jobs and attempts",
        |ctx, request| Reply::json(&lists::event(ctx, request.id()?)?),
    )
    .parameter(EVENT_SEQ)
    .returns("EventDetail", "The event."),
    Route::get("/api/v1/events/{seq}/body", "getEventBody", "Download an event's body", |ctx, request| {
        lists::body(ctx, request.id()?)
    })
    .parameter(EVENT_SEQ)
    .returns("binary", "The body, byte for byte as received."),
    Route::post("/api/v1/jobs/retry", "retryJobs", "Retry dead and waiting jobs now", |ctx, request| {
        bulk::change(ctx, request, BulkAction::Retry)
    })
    .description(IN_BACKGROUND)
    .bulk(),
    Route::post("/api/v1/jobs/replay", "replayJobs", "Run succeeded jobs once more", |ctx, request| {
        bulk::change(ctx, request, BulkAction::Replay)
    })
    .description(REPLAY_IN_BACKGROUND)
    .bulk(),
    Route::post("/api/v1/jobs/skip", "skipJobs", "Cancel pending, running or dead jobs", |ctx, request| {
        bulk::change(ctx, request, BulkAction::Skip)
    })
    .description(IN_BACKGROUND)
    .bulk(),
    Route::get("/api/v1/changes", "listChanges", "List bulk changes since the start, newest first", |ctx, _| {
        Reply::json(&ctx.bulk.list())
    })
    .returns("[BulkChange]", "The last hundred changes, running or not."),
    Route::get("/api/v1/changes/{id}", "getChange", "Show the progress or result of a bulk change", |ctx, request| {
        bulk::progress(ctx, request)
    })
    .description("A restart forgets changes.")
    .parameter(CHANGE_ID)
    .returns("BulkChange", "The change."),
    Route::post("/api/v1/changes/{id}/stop", "stopChange", "Stop a bulk change", |ctx, request| {
        bulk::stop(ctx, request)
    })
    .description("It stops after its current step. Changed jobs stay changed.")
    .parameter(CHANGE_ID)
    .returns("BulkChange", "The change."),
    Route::get("/api/v1/jobs", "listJobs", "List jobs, newest first", |ctx, request| {
        Reply::json(&lists::jobs(ctx, &request.query)?)
    })
    .query(JOB_QUERY)
    .returns("JobList", "A page of jobs."),
    Route::get("/api/v1/jobs/{id}", "getJob", "Show a job with its attempts and output", |ctx, request| {
        Reply::json(&lists::job(ctx, request.id()?)?)
    })
    .parameter(JOB_ID)
    .returns("JobDetail", "The job."),
    Route::get("/api/v1/refusals", "listRefusals", "List rejected deliveries, newest first", |ctx, request| {
        Reply::json(&refusals::list(ctx, &request.query)?)
    })
    .query(REFUSAL_QUERY)
    .returns("RefusalList", "A page of refusals."),
    Route::get("/api/v1/refusals/{id}", "getRefusal", "Show a refusal with its headers and body", |ctx, request| {
        Reply::json(&refusals::detail(ctx, request.id()?)?)
    })
    .parameter(REFUSAL_ID)
    .returns("RefusalDetail", "The refusal."),
    Route::get(
        "/api/v1/refusals/{id}/explanation",
        "explainRefusal",
        "Show which change would have accepted a delivery",
        |ctx, request| Reply::json(&refusals::explanation(ctx, request.id()?)?),
    )
    .parameter(REFUSAL_ID)
    .returns("Explanation", "The causes that were found."),
    Route::post(
        "/api/v1/refusals/{id}/reverify",
        "reverifyRefusal",
        "Verify a refusal again under the current configuration",
        |ctx, request| Reply::json(&refusals::reverify(ctx, request.id()?)?),
    )
    .description("If its signature is valid, it is accepted and its handlers run.")
    .parameter(REFUSAL_ID)
    .returns("Reverification", "Whether it was accepted."),
];

fn document(_: &ApiContext, _: &ApiRequest) -> Result<Reply, ApiError> {
    openapi_document().map(|json| Reply::Json(json.to_owned())).map_err(|error| ApiError::Internal(error.to_owned()))
}
