//! The read interface of the inbox: [`Reader`], with one method per question and typed rows as answers.
//!
//! The modules above read through nothing else, so that a second database can be added here without changing them. Each
//! method runs short statements with a limit: a long read would keep the write-ahead log from shrinking.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;

use super::alert_snapshot::{self, AlertSnapshot, DeadJob};
use super::connection::{Handle, ReadError, ReadPool};
use super::events::{self, LookupResult, RefusalSummary, StoredRefusal, UnknownPath};
use super::handler_stats::{self, HandlerOverview, HandlerStats};
use super::paged_list::{self, PagedList};
use super::rows::{Event, EventDetail, Job, JobDetail};
use super::source_stats::{self, SourceDay, SourceStats};
use super::sql;
use super::tail::{self, TailCursor, TailLine};
use crate::inbox::enrollment::{self, EnrollmentState};
use crate::inbox::operator::{BulkPlan, BulkRequest, MissingJobs, plan_bulk_update, plan_missing_jobs};
use crate::inbox::types::{HandlerState, Payload};
use crate::inbox::{handlers, schema};
use crate::metrics::HandlerGauges;
use crate::model::filter::{ArrivalFilter, EventFilter, JobFilter, Page};
use crate::support::secret::DigestKey;
use crate::support::time::Millis;

type Result<T> = std::result::Result<T, ReadError>;

/// Reads from an inbox, served by this process or opened as a file. Keep it for one request, not longer.
pub struct Reader<'a> {
    connection: Handle<'a>,
    path: &'a Path,
}

impl<'a> Reader<'a> {
    pub fn pooled(pool: &'a ReadPool) -> Result<Self> {
        Ok(Self { connection: pool.get()?, path: pool.path() })
    }

    pub(in crate::inbox) fn of_file(connection: &'a Connection, path: &'a Path) -> Self {
        Self { connection: Handle::Borrowed(connection), path }
    }

    /// Runs a query of this module's own.
    pub(in crate::inbox) fn run<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        query(&self.connection).map_err(|error| ReadError::new(self.path, &error))
    }
}

/// Events.
impl Reader<'_> {
    /// Lists events, newest first.
    pub fn events(&self, filter: &EventFilter, page: Page) -> Result<PagedList<Event>> {
        self.run(|connection| paged_list::events(connection, filter, page))
    }

    /// The event with this `seq`.
    pub fn event(&self, seq: i64) -> Result<Option<Event>> {
        self.run(|connection| events::event(connection, seq))
    }

    /// The event with its headers, jobs and attempts.
    pub fn event_detail(&self, seq: i64) -> Result<Option<EventDetail>> {
        self.run(|connection| events::event_detail(connection, seq))
    }

    /// Finds the event that a user named by its id, as `source/id` or as `#seq`.
    pub fn lookup(&self, text: &str) -> Result<LookupResult> {
        self.run(|connection| events::lookup(connection, text))
    }

    /// Events whose id starts with `prefix`, newest first, at most `limit` per source.
    pub fn events_by_id_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<Event>> {
        self.run(|connection| events::events_by_id_prefix(connection, prefix, limit))
    }

    /// The body as received; `None` if it is no longer stored.
    pub fn body(&self, seq: i64) -> Result<Option<Vec<u8>>> {
        self.run(|connection| events::body(connection, seq))
    }

    /// Headers, content type and body; `None` if they are no longer stored.
    pub fn payload(&self, seq: i64) -> Result<Option<Payload>> {
        self.run(|connection| events::payload(connection, seq))
    }

    /// The first `limit` bytes of the body and its full length; `None` if it is no longer stored.
    pub fn body_start(&self, seq: i64, limit: usize) -> Result<Option<(Vec<u8>, usize)>> {
        self.run(|connection| events::body_start(connection, seq, limit))
    }

    /// The newest event's `seq`; `None` if the inbox is empty.
    pub fn newest_seq(&self) -> Result<Option<i64>> {
        self.run(events::newest_seq)
    }

    /// A cursor that starts `lines` events before the newest.
    pub fn tail_cursor(&self, lines: u32) -> Result<TailCursor> {
        self.run(|connection| TailCursor::before_last(connection, lines))
    }

    /// Events, finished attempts and refusals since `cursor`, which moves on unless the read fails.
    pub fn tail(&self, filter: &ArrivalFilter, cursor: &mut TailCursor) -> Result<Vec<TailLine>> {
        self.run(|connection| tail::tail(connection, filter, cursor))
    }
}

/// Jobs.
impl Reader<'_> {
    /// Lists jobs, newest first.
    pub fn jobs(&self, filter: &JobFilter, page: Page) -> Result<PagedList<Job>> {
        self.run(|connection| paged_list::jobs(connection, filter, page))
    }

    /// The job with its attempts.
    pub fn job(&self, id: i64) -> Result<Option<JobDetail>> {
        self.run(|connection| events::job_detail(connection, id))
    }

    /// Counts dead jobs, up to `limit`.
    pub fn count_dead_jobs(&self, limit: i64) -> Result<i64> {
        self.run(|connection| handler_stats::count_dead_jobs(connection, limit))
    }

    /// Finds the jobs that a bulk update would change, and why it would skip the others. A search that reaches the
    /// deadline returns a plan that is not complete.
    pub fn plan_bulk_update(&self, request: &BulkRequest, now: Millis, deadline: Option<Instant>) -> Result<BulkPlan> {
        self.run(|connection| plan_bulk_update(connection, request, now, deadline))
    }

    /// Adds to a plan the events that match its filter and have no job for the handler.
    pub fn add_missing_jobs(&self, plan: &mut BulkPlan, filter: &JobFilter, missing: &MissingJobs<'_>) -> Result<()> {
        self.run(|connection| plan_missing_jobs(connection, plan, filter, missing))
    }
}

/// Refusals.
impl Reader<'_> {
    /// Lists refusals, newest first. They have no type, so the filter's type is ignored.
    pub fn refusals(&self, filter: &ArrivalFilter, page: Page) -> Result<Vec<RefusalSummary>> {
        self.run(|connection| events::refusals(connection, filter, page))
    }

    /// The refusal with everything that was stored of the delivery.
    pub fn refusal(&self, id: i64) -> Result<Option<StoredRefusal>> {
        self.run(|connection| events::refusal(connection, id))
    }

    /// Paths without a source that requests of the last day had.
    pub fn unknown_paths(&self, now: Millis) -> Result<Vec<UnknownPath>> {
        self.run(|connection| events::unknown_paths(connection, now))
    }

    /// The key with which tokens in refusals were digested; `None` before the inbox is first served.
    pub fn token_key(&self) -> Result<Option<DigestKey>> {
        self.run(schema::token_key)
    }
}

/// Sources, handlers and statistics.
impl Reader<'_> {
    /// Names of the sources that have events, sorted.
    pub fn sources(&self) -> Result<Vec<String>> {
        self.run(sql::sources)
    }

    /// Names of the handlers that have jobs, sorted.
    pub fn handlers(&self) -> Result<Vec<String>> {
        self.run(handler_stats::handlers)
    }

    /// By source: how many stored events had a duplicate with another body.
    pub fn deviating_events(&self) -> Result<BTreeMap<String, i64>> {
        self.run(source_stats::deviating_events)
    }

    /// The last delivery of each source and its counts of the last 24 hours.
    pub fn source_stats(&self, now: Millis) -> Result<Vec<SourceStats>> {
        self.run(|connection| source_stats::source_stats(connection, now))
    }

    /// Hourly counts of the last day for the named sources and for others that received something.
    pub fn hourly_counts(&self, names: &[String], now: Millis) -> Result<Vec<SourceDay>> {
        self.run(|connection| source_stats::hourly_counts(connection, names, now))
    }

    /// Exact counts for every handler with jobs or a pause. Reads all jobs.
    pub fn handler_stats(&self) -> Result<Vec<HandlerStats>> {
        self.run(handler_stats::handler_stats)
    }

    /// Open jobs and the last failure of the named handlers and of others with open jobs or a pause. Counts stop at a
    /// limit, so that the read is fast however many jobs are stored.
    pub fn handler_overview(&self, names: &[String]) -> Result<Vec<HandlerOverview>> {
        self.run(|connection| handler_stats::handler_overview(connection, names))
    }

    /// Pauses and probes of all handlers that were ever paused.
    pub fn handler_states(&self) -> Result<Vec<HandlerState>> {
        self.run(handlers::states)
    }

    /// Whether the source's secret was learned in a handshake, or a handshake is awaited.
    pub fn enrollment(&self, source: &str) -> Result<Option<EnrollmentState>> {
        self.run(|connection| enrollment::state(connection, source))
    }

    /// Open jobs and pauses, for the metrics.
    pub fn handler_gauges(&self, names: &[Arc<str>], now: Millis) -> Result<Vec<HandlerGauges>> {
        self.run(|connection| handler_stats::handler_gauges(connection, names, now))
    }

    /// What the alerts check twice a second.
    pub fn alert_snapshot(&self, sources: &[&str], now: Millis) -> Result<AlertSnapshot> {
        self.run(|connection| alert_snapshot::alert_snapshot(connection, sources, now))
    }

    /// When each source last received a delivery. Where only the hour is known, its end.
    pub fn last_heard(&self, now: Millis) -> Result<HashMap<String, Millis>> {
        self.run(|connection| alert_snapshot::last_heard(connection, now))
    }

    /// The newest dead job of a handler.
    pub fn newest_dead(&self, handler: &str) -> Result<Option<DeadJob>> {
        self.run(|connection| alert_snapshot::newest_dead(connection, handler))
    }

    /// The handlers of those among `jobs` that are dead, once per job.
    pub fn dead_among(&self, jobs: &[i64]) -> Result<Vec<String>> {
        self.run(|connection| alert_snapshot::dead_among(connection, jobs))
    }
}
