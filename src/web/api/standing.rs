//! How things stand: sources and what came in, handlers and their jobs.
//!
//! The configuration and bounded reads of the inbox come in. Jobs that are done are not counted, since that would read
//! the whole inbox; the others are counted up to a hundred thousand.

use serde::Serialize;

use super::{Fault, Room};
use crate::config::{Handler, Source};
use crate::inbox::reader::{HOURS, HandlerOverview, Job};
use crate::support::time::{HOUR_MS, Millis};

#[derive(Debug, Serialize)]
pub(super) struct Status {
    /// The file.
    inbox: String,
    ready: bool,
    /// Why it is not.
    reason: Option<String>,
    sources: Vec<SourceRow>,
    handlers: Vec<HandlerRow>,
}

/// A source, and what came in over its last 24 hours.
#[derive(Debug, Serialize)]
pub(super) struct SourceRow {
    source: String,
    /// `None` where the configuration no longer has it.
    provider: Option<String>,
    path: Option<String>,
    configured: bool,
    last_at: Option<Millis>,
    last_at_is_hour: bool,
    accepted: i64,
    duplicate: i64,
    refused: i64,
}

/// What came in for a source in one hour: a row of `hours`.
#[derive(Debug, Serialize)]
pub(super) struct HourRow {
    source: String,
    hour: Millis,
    accepted: i64,
    duplicate: i64,
    refused: i64,
}

/// A handler, and its jobs that are not done.
#[derive(Debug, Serialize)]
pub(super) struct HandlerRow {
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
    /// The newest dead job, else one that waits for another try.
    last_failure: Option<Job>,
}

pub(super) fn status(room: &Room) -> Result<Status, Fault> {
    let why = room.inbox.is_ready().err();
    Ok(Status {
        inbox: room.setup.inbox.display().to_string(),
        ready: why.is_none(),
        reason: why.map(|why| why.to_string()),
        sources: sources(room)?,
        handlers: handlers(room)?,
    })
}

pub(super) fn sources(room: &Room) -> Result<Vec<SourceRow>, Fault> {
    let known = room.inbox.reader()?.source_stats(room.now)?;
    let configured = &room.setup.sources;
    let row = |name: &str, source: Option<&Source>| {
        let status = known.iter().find(|status| status.source == name).cloned().unwrap_or_default();
        SourceRow {
            source: name.to_owned(),
            provider: source.map(|source| source.provider.clone()),
            path: source.map(|source| source.path.clone()),
            configured: source.is_some(),
            last_at: status.last_at,
            last_at_is_hour: status.last_at_is_hour,
            accepted: status.accepted,
            duplicate: status.duplicate,
            refused: status.refused,
        }
    };
    let is_gone = |name: &&str| !configured.iter().any(|source| *source.name == **name);
    let gone = known.iter().map(|status| status.source.as_str()).filter(is_gone);
    let rows = configured.iter().map(|source| row(&source.name, Some(source)));
    Ok(rows.chain(gone.map(|name| row(name, None))).collect())
}

pub(super) fn hours(room: &Room) -> Result<Vec<HourRow>, Fault> {
    let days = room.inbox.reader()?.hourly_counts(&room.setup.source_names(), room.now)?;
    let rows = days.into_iter().flat_map(|day| {
        let starts = (0..HOURS).map(move |index| Millis(day.since.0 + HOUR_MS * i64::try_from(index).unwrap_or(0)));
        starts.zip(day.hours).map(move |(hour, counts)| HourRow {
            source: day.source.clone(),
            hour,
            accepted: counts.accepted,
            duplicate: counts.duplicate,
            refused: counts.refused,
        })
    });
    Ok(rows.collect())
}

pub(super) fn handlers(room: &Room) -> Result<Vec<HandlerRow>, Fault> {
    let names = room.setup.handler_names();
    let now = room.inbox.reader()?.handler_overview(&names)?;
    let configured = |name: &str| room.setup.handlers.iter().find(|handler| *handler.name == *name);
    Ok(now.into_iter().map(|one| handler(configured(&one.status.handler).map(AsRef::as_ref), one)).collect())
}

fn handler(configured: Option<&Handler>, HandlerOverview { status, last_failure, .. }: HandlerOverview) -> HandlerRow {
    HandlerRow {
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
