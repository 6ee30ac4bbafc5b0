//! Retry, replay and skip of jobs by filter.
//!
//! A small request is answered with its result. A larger one continues in the background and is answered with 202 and the
//! path of its progress. A dry run counts and changes nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::context::{ApiContext, ApiRequest, Reply};
use super::error::ApiError;
use super::query::{JobSelection, parse_body};
use crate::inbox::operator::{BulkAction, BulkPlan, BulkRequest, MissingJobs, SkipReason};
use crate::model::event::JobState;
use crate::routing::Routes;
use crate::web::bulk::{BulkProgress, BulkStart, reason_names};

#[derive(Debug, Serialize)]
struct BulkCounts {
    dry_run: bool,
    changed: usize,
    made: usize,
    left: BTreeMap<&'static str, usize>,
}

pub(super) fn change(ctx: &ApiContext, request: &ApiRequest, action: BulkAction) -> Result<Reply, ApiError> {
    let selection: JobSelection = parse_body(&request.body)?;
    let filter = selection.filter()?;
    check_names(ctx, &selection)?;
    let revives = selection.events.is_some() || filter.states.contains(&JobState::Skipped);
    let bulk_request = BulkRequest { change: action, filter, revives };
    let mut plan = ctx.inbox.reader()?.plan_bulk_update(&bulk_request, ctx.now, None)?;
    if action == BulkAction::Replay {
        add_missing_jobs(ctx, &selection, &bulk_request, &mut plan)?;
    }
    let mut left = plan.left.clone();
    if selection.dry_run {
        let (changed, made) = (plan.jobs.len(), plan.events.len());
        return Reply::json(&BulkCounts { dry_run: true, changed, made, left: reason_names(&left) });
    }
    match ctx.bulk.start(&ctx.inbox, plan, ctx.now)? {
        BulkStart::Finished(result) => {
            if result.overtaken > 0 {
                *left.entry(SkipReason::Overtaken).or_default() += result.overtaken;
            }
            let left = reason_names(&left);
            Reply::json(&BulkCounts { dry_run: false, changed: result.changed, made: result.made, left })
        }
        BulkStart::Running(progress) => Reply::accepted(format!("/api/v1/changes/{}", progress.id), &progress),
        BulkStart::TooMany => Err(ApiError::TooManyChanges),
    }
}

pub(super) fn progress(ctx: &ApiContext, request: &ApiRequest) -> Result<Reply, ApiError> {
    found(request, ctx.bulk.find(request.id()?))
}

pub(super) fn stop(ctx: &ApiContext, request: &ApiRequest) -> Result<Reply, ApiError> {
    found(request, ctx.bulk.stop(request.id()?))
}

fn found(request: &ApiRequest, progress: Option<BulkProgress>) -> Result<Reply, ApiError> {
    let unknown = || ApiError::Unknown {
        error: format!("there is no change {} since hookbox started", request.parameter),
        hint: "/api/v1/changes lists them; jobs that an earlier change has changed stay changed",
    };
    Reply::json(&progress.ok_or_else(unknown)?)
}

/// A misspelled name would change nothing and succeed, so names must exist.
fn check_names(ctx: &ApiContext, selection: &JobSelection) -> Result<(), ApiError> {
    let reader = ctx.inbox.reader()?;
    if let Some(name) = &selection.source
        && ctx.config.source(name).is_none()
        && !reader.sources()?.contains(name)
    {
        return Err(ApiError::no_source(name));
    }
    if let Some(name) = &selection.handler
        && ctx.config.handler(name).is_none()
        && !reader.handlers()?.contains(name)
    {
        return Err(ApiError::no_handler(name));
    }
    for seq in selection.events.iter().flatten() {
        if reader.event(*seq)?.is_none() {
            return Err(ApiError::no_event(*seq));
        }
    }
    Ok(())
}

/// Adds jobs for events that have none for the handler: the named events, or those that the handler's filter matches.
fn add_missing_jobs(
    ctx: &ApiContext,
    selection: &JobSelection,
    request: &BulkRequest,
    plan: &mut BulkPlan,
) -> Result<(), ApiError> {
    let by_state = !selection.state.is_empty() || selection.reason.is_some();
    let Some(name) = selection.handler.as_deref().filter(|_| !by_state) else { return Ok(()) };
    let Some(handler) = ctx.config.handler(name) else { return Ok(()) };
    let routes = Routes::new(std::slice::from_ref(handler)).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let is_named = selection.events.is_some();
    let missing = MissingJobs {
        handler: name,
        reads_payload: handler.ordering.is_some() || !handler.filter.conditions.is_empty(),
        takes: &|source, event_type, body| is_named || !routes.matching(source, event_type, body).is_empty(),
        key: &|headers, body| routes.key_for(name, headers, body),
    };
    Ok(ctx.inbox.reader()?.add_missing_jobs(plan, &request.filter, &missing)?)
}
