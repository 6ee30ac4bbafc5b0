//! Sources with their deliveries, handlers with their unfinished jobs, pauses.
//!
//! Finished jobs are not counted, since that would read the whole inbox. The others are counted up to 100,000.

use serde::Serialize;

use super::context::{ApiContext, ApiRequest};
use super::error::ApiError;
use super::query::{PauseRequest, parse_body};
use crate::config::{Handler, Source};
use crate::inbox::PauseResult;
use crate::inbox::reader::{HOURS_PER_DAY, HandlerOverview, Job};
use crate::support::time::{HOUR_MS, Millis};

#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    inbox: String,
    ready: bool,
    reason: Option<String>,
    sources: Vec<SourceStatus>,
    handlers: Vec<HandlerStatus>,
}

/// A source, with its deliveries of the last 24 hours.
#[derive(Debug, Serialize)]
pub(super) struct SourceStatus {
    source: String,
    provider: Option<String>,
    path: Option<String>,
    configured: bool,
    last_at: Option<Millis>,
    last_at_is_hour: bool,
    accepted: i64,
    duplicate: i64,
    refused: i64,
    deviating: i64,
}

/// A row of `hourly_counts`.
#[derive(Debug, Serialize)]
pub(super) struct SourceHour {
    source: String,
    hour: Millis,
    accepted: i64,
    duplicate: i64,
    refused: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct HandlerStatus {
    handler: String,
    configured: bool,
    mode: Option<&'static str>,
    pending: i64,
    failing: i64,
    blocked: i64,
    running: i64,
    dead: i64,
    oldest_pending_at: Option<Millis>,
    next_run_at: Option<Millis>,
    paused: bool,
    paused_by: Option<String>,
    reason: Option<String>,
    paused_at: Option<Millis>,
    probes: i64,
    probe_at: Option<Millis>,
    last_failure: Option<Job>,
}

#[derive(Debug, Serialize)]
pub(super) struct PauseStatus {
    handler: String,
    changed: bool,
    paused: bool,
    paused_by: Option<String>,
    reason: Option<String>,
    paused_at: Option<Millis>,
    probe_at: Option<Millis>,
}

pub(super) fn status(ctx: &ApiContext) -> Result<StatusReport, ApiError> {
    let not_ready = ctx.inbox.is_ready().err();
    Ok(StatusReport {
        inbox: ctx.config.inbox.display().to_string(),
        ready: not_ready.is_none(),
        reason: not_ready.map(|why| why.to_string()),
        sources: sources(ctx)?,
        handlers: handlers(ctx)?,
    })
}

/// The configured sources, then those that only have events.
pub(super) fn sources(ctx: &ApiContext) -> Result<Vec<SourceStatus>, ApiError> {
    let known = ctx.inbox.reader()?.source_stats(ctx.now)?;
    let row = |name: &str, source: Option<&Source>| {
        let stats = known.iter().find(|stats| stats.source == name).cloned().unwrap_or_default();
        SourceStatus {
            source: name.to_owned(),
            provider: source.map(|source| source.provider.clone()),
            path: source.map(|source| source.path.clone()),
            configured: source.is_some(),
            last_at: stats.last_at,
            last_at_is_hour: stats.last_at_is_hour,
            accepted: stats.accepted,
            duplicate: stats.duplicate,
            refused: stats.refused,
            deviating: stats.deviating,
        }
    };
    let others = known.iter().filter(|stats| ctx.config.source(&stats.source).is_none());
    let configured = ctx.config.sources.iter().map(|source| row(&source.name, Some(source)));
    Ok(configured.chain(others.map(|stats| row(&stats.source, None))).collect())
}

pub(super) fn hours(ctx: &ApiContext) -> Result<Vec<SourceHour>, ApiError> {
    let days = ctx.inbox.reader()?.hourly_counts(&ctx.config.source_names(), ctx.now)?;
    let rows = days.into_iter().flat_map(|day| {
        let starts =
            (0..HOURS_PER_DAY).map(move |index| Millis(day.since.0 + HOUR_MS * i64::try_from(index).unwrap_or(0)));
        starts.zip(day.hours).map(move |(hour, counts)| SourceHour {
            source: day.source.clone(),
            hour,
            accepted: counts.accepted,
            duplicate: counts.duplicate,
            refused: counts.refused,
        })
    });
    Ok(rows.collect())
}

pub(super) fn handlers(ctx: &ApiContext) -> Result<Vec<HandlerStatus>, ApiError> {
    let handlers = ctx.inbox.reader()?.handler_overview(&ctx.config.handler_names())?;
    let row =
        |overview: HandlerOverview| handler(ctx.config.handler(&overview.status.handler).map(AsRef::as_ref), overview);
    Ok(handlers.into_iter().map(row).collect())
}

fn handler(configured: Option<&Handler>, overview: HandlerOverview) -> HandlerStatus {
    let HandlerOverview { status, last_failure, .. } = overview;
    HandlerStatus {
        handler: status.handler,
        configured: configured.is_some(),
        mode: configured.map(|handler| handler.mode.as_str()),
        pending: status.pending,
        failing: status.failing,
        blocked: status.blocked,
        running: status.running,
        dead: status.dead,
        oldest_pending_at: status.oldest_pending_at,
        next_run_at: status.next_run_at,
        paused: status.paused,
        paused_by: status.paused_by,
        reason: status.reason,
        paused_at: status.paused_at,
        probes: status.probes,
        probe_at: status.probe_at,
        last_failure,
    }
}

pub(super) fn pause(ctx: &ApiContext, request: &ApiRequest) -> Result<PauseStatus, ApiError> {
    let name = &request.parameter;
    let reason = parse_body::<PauseRequest>(&request.body)?.reason.unwrap_or_default();
    let paused = ctx.operations().pause(name, &reason)?;
    Ok(pause_status(name, paused.ok_or_else(|| ApiError::no_handler(name))?))
}

pub(super) fn resume(ctx: &ApiContext, request: &ApiRequest) -> Result<PauseStatus, ApiError> {
    let name = &request.parameter;
    let resumed = ctx.operations().resume(name)?;
    Ok(pause_status(name, resumed.ok_or_else(|| ApiError::no_handler(name))?))
}

fn pause_status(name: &str, PauseResult { state, has_changed }: PauseResult) -> PauseStatus {
    PauseStatus {
        handler: name.to_owned(),
        changed: has_changed,
        paused: state.as_ref().is_some_and(|state| state.paused_by.is_some()),
        paused_at: state.as_ref().and_then(|state| state.paused_at),
        probe_at: state.as_ref().and_then(|state| state.probe_at),
        reason: state.as_ref().and_then(|state| state.reason.clone()),
        paused_by: state.and_then(|state| state.paused_by),
    }
}
