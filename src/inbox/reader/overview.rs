//! The first look of the day: each source's last 24 hours, each handler's jobs as they stand, what failed last.
//!
//! Everything is read through an index or up to a limit, so that a look costs the same however much is stored. Where a
//! limit was reached, the number says so.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Result};

use super::rows::Job;
use super::stats::{HandlerStats, read_pauses};
use crate::support::time::{HOUR_MS, Millis};

/// Jobs are counted up to here, per handler and state.
pub const COUNTED: i64 = 100_000;
/// Pending jobs of a handler among which the oldest is looked for, from either end of their times.
const AGED: u32 = 1_000;
/// Hours in a day.
pub const HOURS: usize = 24;

/// What came in for a source in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourCounts {
    /// New events.
    pub accepted: i64,
    /// Deliveries of events that were there.
    pub duplicate: i64,
    /// Deliveries turned away.
    pub refused: i64,
}

/// The last day of one source: 24 hours, the newest last.
#[derive(Debug, Clone)]
pub struct SourceDay {
    /// NAME of `[sources.NAME]`.
    pub source: String,
    /// Start of the first hour.
    pub since: Millis,
    /// In order.
    pub hours: [HourCounts; HOURS],
}

impl SourceDay {
    /// All hours together.
    #[must_use]
    pub fn total(&self) -> HourCounts {
        self.hours.iter().fold(HourCounts::default(), |sum, hour| HourCounts {
            accepted: sum.accepted + hour.accepted,
            duplicate: sum.duplicate + hour.duplicate,
            refused: sum.refused + hour.refused,
        })
    }
}

/// Jobs of one handler, and what failed last.
#[derive(Debug, Clone)]
pub struct HandlerOverview {
    /// As in `status`; `succeeded` and `skipped` are not counted, `failing` among the thousand that are due last, the others
    /// up to [`COUNTED`].
    pub status: HandlerStats,
    /// The newest dead job, else one that waits for another try.
    pub last_failure: Option<Job>,
    /// When the newest attempt of that one ended.
    pub last_failed_at: Option<Millis>,
}

/// The last day of every source that has a name here or has received something in that time.
pub(super) fn hourly_counts(connection: &Connection, names: &[String], now: Millis) -> Result<Vec<SourceDay>> {
    let since = (now.0 / HOUR_MS + 1) * HOUR_MS - HOUR_MS * i64::try_from(HOURS).unwrap_or(0);
    let known: BTreeSet<String> = super::stats::distinct(connection, "hourly_counts", "source")?.into_iter().collect();
    let others = known.into_iter().filter(|name| !names.contains(name));
    let mut days = Vec::new();
    for (index, source) in names.iter().cloned().chain(others).enumerate() {
        let day = day(connection, source, since)?;
        if index < names.len() || day.total() != HourCounts::default() {
            days.push(day);
        }
    }
    Ok(days)
}

fn day(connection: &Connection, source: String, since: i64) -> Result<SourceDay> {
    let mut hours = [HourCounts::default(); HOURS];
    let sql =
        "SELECT (hour - ?2) / ?3, accepted, duplicate, refused FROM hourly_counts WHERE source = ?1 AND hour >= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((&source, since, HOUR_MS))?;
    while let Some(row) = rows.next()? {
        let place = row.get::<_, i64>(0).map(usize::try_from)?;
        if let Some(hour) = place.ok().and_then(|place| hours.get_mut(place)) {
            *hour = HourCounts { accepted: row.get(1)?, duplicate: row.get(2)?, refused: row.get(3)? };
        }
    }
    Ok(SourceDay { source, since: Millis(since), hours })
}

/// Every handler that has a name here, or has jobs that are not done, or is paused.
pub(super) fn handler_overview(connection: &Connection, names: &[String]) -> Result<Vec<HandlerOverview>> {
    let mut known = BTreeMap::new();
    read_pauses(connection, &mut known)?;
    for name in names.iter().cloned().chain(with_open_jobs(connection)?) {
        known.entry(name).or_insert_with(HandlerStats::default);
    }
    let dead = dead(connection)?;
    let mut handlers = Vec::new();
    for (name, status) in known {
        let (dead, newest_dead) = dead.get(&name).copied().unwrap_or_default();
        let (oldest_pending_at, next_run_at) = pending_times(connection, &name)?;
        let (pending, blocked) = pending(connection, &name)?;
        let status = HandlerStats {
            pending,
            blocked,
            failing: if pending > 0 { count_failing(connection, &name)? } else { 0 },
            running: running(connection, &name)?,
            dead,
            oldest_pending_at,
            next_run_at,
            handler: name,
            ..status
        };
        let last_failure = match newest_dead {
            Some(seq) => job_of(connection, seq, &status.handler)?,
            None => failing(connection, &status.handler)?,
        };
        let last_failed_at = last_failure.as_ref().map(|job| last_end(connection, job.id)).transpose()?.flatten();
        handlers.push(HandlerOverview { status, last_failure, last_failed_at });
    }
    let place = |handler: &HandlerOverview| names.iter().position(|name| *name == handler.status.handler);
    handlers.sort_by_key(|handler| place(handler).unwrap_or(usize::MAX));
    Ok(handlers)
}

/// Names of handlers with jobs that are pending or running, hopping through their indices.
fn with_open_jobs(connection: &Connection) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let pending = |part: &str| format!("state = 'pending' AND {part}");
    let [due, suspect] = ["lost = 0 AND blocked = 0", "lost > 0 AND blocked = 0"].map(pending);
    for condition in [&due, &suspect, "blocked > 0", "state = 'running'"] {
        let sql = format!("SELECT min(handler) FROM jobs WHERE {condition} AND handler > ?");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut last = String::new();
        while let Some(name) = statement.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
            last.clone_from(&name);
            names.insert(name);
        }
    }
    names.extend(dead(connection)?.into_keys());
    Ok(names)
}

/// Pending jobs, and of these those that wait for an earlier job of their value.
fn pending(connection: &Connection, handler: &str) -> Result<(i64, i64)> {
    let sql = format!(
        "SELECT count(*), coalesce(sum(is_held), 0) FROM (
           SELECT 0 AS is_held FROM jobs WHERE state = 'pending' AND lost = 0 AND blocked = 0 AND handler = ?1
           UNION ALL SELECT 0 FROM jobs WHERE state = 'pending' AND lost > 0 AND blocked = 0 AND handler = ?1
           UNION ALL SELECT 1 FROM jobs WHERE state = 'pending' AND blocked > 0 AND handler = ?1 LIMIT {COUNTED})"
    );
    connection.prepare_cached(&sql)?.query_row([handler], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Jobs that have failed and wait for their next try are due last.
fn count_failing(connection: &Connection, handler: &str) -> Result<i64> {
    let part = |part: &str| {
        format!(
            "SELECT * FROM (SELECT failures FROM jobs WHERE state = 'pending' AND {part} AND handler = ?1 \
             ORDER BY run_at DESC LIMIT {AGED})"
        )
    };
    let parts = ["lost = 0 AND blocked = 0", "lost > 0 AND blocked = 0"].map(part).join(" UNION ALL ");
    let sql = format!("SELECT coalesce(sum(failures > 0), 0) FROM ({parts})");
    connection.prepare_cached(&sql)?.query_row([handler], |row| row.get(0))
}

fn running(connection: &Connection, handler: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM jobs WHERE state = 'running' AND handler = ?";
    connection.prepare_cached(sql)?.query_row([handler], |row| row.get(0))
}

/// Dead jobs and the newest event among theirs, by handler; the newest [`COUNTED`] of all.
fn dead(connection: &Connection) -> Result<BTreeMap<String, (i64, Option<i64>)>> {
    let sql = format!(
        "SELECT handler, count(*), max(event_seq) FROM
           (SELECT handler, event_seq FROM jobs WHERE state = 'dead' ORDER BY event_seq DESC LIMIT {COUNTED})
         GROUP BY handler"
    );
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
    connection.prepare_cached(&sql)?.query_map([], read)?.collect()
}

/// When the oldest pending job was made and when the next one is due. With more than [`AGED`] jobs the oldest is
/// looked for among those that are due first and last. What waits for another job of its value is pending like any other,
/// the first of up to [`COUNTED`] is looked for, but due at no time.
pub(in crate::inbox) fn pending_times(
    connection: &Connection,
    handler: &str,
) -> Result<(Option<Millis>, Option<Millis>)> {
    let part = |order: &str, lost: &str| {
        format!(
            "SELECT * FROM (SELECT created_at, run_at FROM jobs WHERE state = 'pending' AND lost {lost} AND blocked = 0 AND handler = ?1 \
             ORDER BY run_at {order} LIMIT {AGED})"
        )
    };
    // By its id, which the index has; what is held so is pending (`schema.sql`).
    let held = format!(
        "SELECT created_at, NULL FROM jobs WHERE id = (SELECT min(id) FROM (SELECT id FROM jobs WHERE blocked > 0 \
         AND blocked = 1 AND handler = ?1 LIMIT {COUNTED}))"
    );
    let unjudged = format!(
        "SELECT * FROM (SELECT created_at, NULL FROM jobs WHERE state = 'pending' AND blocked > 0 AND blocked = 2 \
         AND handler = ?1 LIMIT {AGED})"
    );
    let parts = [part("ASC", "= 0"), part("DESC", "= 0"), part("ASC", "> 0"), held, unjudged].join(" UNION ALL ");
    let sql = format!("SELECT min(created_at), min(run_at) FROM ({parts})");
    let read = |row: &rusqlite::Row<'_>| {
        let instant = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Millis));
        Ok((instant(0)?, instant(1)?))
    };
    connection.prepare_cached(&sql)?.query_row([handler], read)
}

fn job_of(connection: &Connection, seq: i64, handler: &str) -> Result<Option<Job>> {
    let condition = "j.event_seq = ? AND j.handler = ?";
    one_job(connection, condition, (seq, handler))
}

/// A job that has failed and waits for its next try: those are due last.
fn failing(connection: &Connection, handler: &str) -> Result<Option<Job>> {
    let latest = "SELECT id FROM jobs WHERE state = 'pending' AND lost = 0 AND blocked = 0 AND handler = ? \
                  ORDER BY run_at DESC LIMIT 100";
    one_job(connection, &format!("j.failures > 0 AND j.id IN ({latest})"), [handler])
}

fn one_job(connection: &Connection, condition: &str, values: impl rusqlite::Params) -> Result<Option<Job>> {
    let sql = format!(
        "SELECT {} FROM jobs j CROSS JOIN events e ON e.seq = j.event_seq WHERE {condition} ORDER BY j.id DESC LIMIT 1",
        Job::COLUMNS
    );
    connection.prepare_cached(&sql)?.query_row(values, Job::read).optional()
}

/// When the newest attempt of a job that has ended did so.
fn last_end(connection: &Connection, job: i64) -> Result<Option<Millis>> {
    let sql = "SELECT max(finished_at) FROM attempts WHERE job_id = ?";
    connection.prepare_cached(sql)?.query_row([job], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Millis)))
}

/// Dead jobs, counted up to a limit.
pub(super) fn count_dead_jobs(connection: &Connection, limit: i64) -> Result<i64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'dead' LIMIT ?)";
    connection.prepare_cached(sql)?.query_row([limit], |row| row.get(0))
}

/// The newest event's `seq`; `None` in an inbox without events.
pub(super) fn newest_seq(connection: &Connection) -> Result<Option<i64>> {
    connection.prepare_cached("SELECT max(seq) FROM events")?.query_row([], |row| row.get(0))
}
