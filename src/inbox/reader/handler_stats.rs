//! How the handlers are doing: open jobs, pauses, the last failure.
//!
//! `status` counts all jobs. Pages count up to a limit, so that they take the same time however many jobs are stored.
//! Metrics and alerts count open or dead jobs only, through the indexes of these jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, Result};
use serde::Serialize;

use super::rows::{Job, job_where, parsed};
use super::sql::PENDING_INDEXES;
use crate::inbox::handlers;
use crate::inbox::types::HandlerState;
use crate::metrics::{COUNTED_STATES, HandlerGauges};
use crate::model::event::JobState;
use crate::support::time::Millis;

/// Pages count jobs up to here, per handler and state.
pub const COUNT_LIMIT: i64 = 100_000;
/// Pending jobs among which the oldest is searched, from both ends of their due times.
const SAMPLED: u32 = 1_000;

const PENDING: [&str; 3] = [PENDING_INDEXES[0].1, PENDING_INDEXES[1].1, PENDING_INDEXES[2].1];
/// Pending jobs that are not blocked: those that were not running when hookbox was killed, and those that were.
const RUNNABLE: [&str; 2] = [PENDING[0], PENDING[1]];

/// Jobs and pause of one handler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HandlerStats {
    pub handler: String,
    pub pending: i64,
    /// Pending jobs whose last attempt failed.
    pub failing: i64,
    /// Pending jobs behind another one of their ordering key.
    pub blocked: i64,
    pub running: i64,
    pub dead: i64,
    pub succeeded: i64,
    pub skipped: i64,
    /// When the oldest pending job was created.
    pub oldest_pending_at: Option<Millis>,
    /// When the next pending job is or was due.
    pub next_run_at: Option<Millis>,
    pub paused: bool,
    /// `operator` or `hookbox`.
    pub paused_by: Option<String>,
    pub reason: Option<String>,
    pub paused_at: Option<Millis>,
    /// Failed probes since hookbox paused the handler as broken.
    pub probes: i64,
    pub probe_at: Option<Millis>,
}

impl HandlerStats {
    fn new(handler: String, pause: Option<&HandlerState>) -> Self {
        let stats = Self { handler, ..Self::default() };
        let Some(pause) = pause else { return stats };
        Self {
            paused: true,
            paused_by: pause.paused_by.clone(),
            reason: pause.reason.clone(),
            paused_at: pause.paused_at,
            probes: pause.probes.into(),
            probe_at: pause.probe_at,
            ..stats
        }
    }
}

/// Open jobs of one handler, as pages show them.
#[derive(Debug, Clone)]
pub struct HandlerOverview {
    /// Counted up to [`COUNT_LIMIT`], without succeeded and skipped jobs. `failing` is counted among the jobs that are
    /// due last.
    pub status: HandlerStats,
    /// The newest dead job, or a job that waits for a retry.
    pub last_failure: Option<Job>,
    /// When its latest attempt finished.
    pub last_failed_at: Option<Millis>,
}

/// Dead jobs of one handler.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DeadJobs {
    pub(super) count: i64,
    newest_seq: i64,
}

pub(super) fn handlers(connection: &Connection) -> Result<Vec<String>> {
    connection.prepare("SELECT DISTINCT handler FROM jobs ORDER BY handler")?.query_map([], |row| row.get(0))?.collect()
}

/// Exact counts of every handler with jobs or a pause. Reads all jobs.
pub(super) fn handler_stats(connection: &Connection) -> Result<Vec<HandlerStats>> {
    let pauses = pauses(connection)?;
    let mut handlers: BTreeMap<_, _> =
        pauses.iter().map(|(name, pause)| (name.clone(), HandlerStats::new(name.clone(), Some(pause)))).collect();
    let mut statement = connection.prepare(
        "SELECT handler, state, count(*), min(created_at), min(run_at), sum(failures > 0), sum(blocked > 0)
         FROM jobs GROUP BY handler, state",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let handler = handlers.entry(name.clone()).or_insert_with(|| HandlerStats::new(name, None));
        let count = row.get(2)?;
        match parsed(row, "state")? {
            JobState::Pending => {
                handler.pending = count;
                handler.oldest_pending_at = Some(Millis(row.get(3)?));
                handler.next_run_at = Some(Millis(row.get(4)?));
                handler.failing = row.get(5)?;
                handler.blocked = row.get(6)?;
            }
            JobState::Running => handler.running = count,
            JobState::Succeeded => handler.succeeded = count,
            JobState::Dead => handler.dead = count,
            JobState::Skipped => handler.skipped = count,
        }
    }
    Ok(handlers.into_values().collect())
}

/// The named handlers in this order, then others with open jobs or a pause.
pub(super) fn handler_overview(connection: &Connection, names: &[String]) -> Result<Vec<HandlerOverview>> {
    let (pauses, dead) = (pauses(connection)?, dead_jobs(connection, COUNT_LIMIT)?);
    let running = counts(connection, "state = 'running'")?;
    let mut known: BTreeSet<String> = with_pending_jobs(connection)?;
    known.extend(pauses.keys().chain(dead.keys()).chain(running.keys()).cloned());
    let others = known.into_iter().filter(|name| !names.contains(name));
    let mut handlers = Vec::new();
    for name in names.iter().cloned().chain(others) {
        let (pending, blocked) = count_pending(connection, &name)?;
        let (oldest_pending_at, next_run_at) = pending_times(connection, &name)?;
        let dead = dead.get(&name).copied().unwrap_or_default();
        let status = HandlerStats {
            pending,
            blocked,
            failing: if pending > 0 { count_failing(connection, &name)? } else { 0 },
            running: running.get(&name).copied().unwrap_or_default(),
            dead: dead.count,
            oldest_pending_at,
            next_run_at,
            ..HandlerStats::new(name.clone(), pauses.get(&name))
        };
        let last_failure = match dead.count {
            0 => failing_job(connection, &name)?,
            _ => job_where(connection, "j.event_seq = ? AND j.handler = ?", (dead.newest_seq, &name))?,
        };
        let last_failed_at = last_failure.as_ref().map(|job| last_finish(connection, job.id)).transpose()?.flatten();
        handlers.push(HandlerOverview { status, last_failure, last_failed_at });
    }
    Ok(handlers)
}

/// Open jobs and pauses for the metrics. A million pending jobs take a moment to count.
pub(super) fn handler_gauges(connection: &Connection, names: &[Arc<str>], now: Millis) -> Result<Vec<HandlerGauges>> {
    let mut handlers = BTreeMap::<Arc<str>, HandlerGauges>::new();
    let gauges = |name| HandlerGauges { name, jobs: [0; COUNTED_STATES.len()], oldest_pending: None, is_paused: false };
    handlers.extend(names.iter().map(|name| (name.clone(), gauges(name.clone()))));
    for (index, state) in COUNTED_STATES.into_iter().enumerate() {
        for condition in indexed_conditions(state) {
            for (name, count) in counts(connection, condition)? {
                let name: Arc<str> = name.into();
                let handler = handlers.entry(name.clone()).or_insert_with(|| gauges(name));
                handler.jobs[index] += u64::try_from(count).unwrap_or_default();
            }
        }
    }
    for name in pauses(connection)?.into_keys() {
        let name: Arc<str> = name.into();
        handlers.entry(name.clone()).or_insert_with(|| gauges(name)).is_paused = true;
    }
    for handler in handlers.values_mut().filter(|handler| handler.jobs[0] > 0) {
        let oldest = pending_times(connection, &handler.name)?.0;
        handler.oldest_pending = oldest.map(|oldest| now.since(oldest));
    }
    Ok(handlers.into_values().collect())
}

/// The conditions of the indexes that hold the jobs in a state.
fn indexed_conditions(state: JobState) -> &'static [&'static str] {
    match state {
        JobState::Pending => &PENDING,
        JobState::Running => &["state = 'running'"],
        JobState::Dead => &["state = 'dead'"],
        JobState::Succeeded | JobState::Skipped => &[],
    }
}

/// Handlers that are paused now.
pub(super) fn pauses(connection: &Connection) -> Result<BTreeMap<String, HandlerState>> {
    let states = handlers::states(connection)?.into_iter();
    Ok(states.filter(|state| state.paused_by.is_some()).map(|state| (state.name.to_string(), state)).collect())
}

fn counts(connection: &Connection, condition: &str) -> Result<BTreeMap<String, i64>> {
    let sql = format!("SELECT handler, count(*) FROM jobs WHERE {condition} GROUP BY handler");
    connection.prepare_cached(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Dead jobs by handler, counting the newest `limit` of all; -1 counts all.
pub(super) fn dead_jobs(connection: &Connection, limit: i64) -> Result<BTreeMap<String, DeadJobs>> {
    let sql = "SELECT handler, count(*), max(event_seq) FROM
                 (SELECT handler, event_seq FROM jobs WHERE state = 'dead' ORDER BY event_seq DESC LIMIT ?)
               GROUP BY handler";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, DeadJobs { count: row.get(1)?, newest_seq: row.get(2)? }));
    connection.prepare_cached(sql)?.query_map([limit], read)?.collect()
}

pub(super) fn count_dead_jobs(connection: &Connection, limit: i64) -> Result<i64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'dead' LIMIT ?)";
    connection.prepare_cached(sql)?.query_row([limit], |row| row.get(0))
}

fn with_pending_jobs(connection: &Connection) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for condition in indexed_conditions(JobState::Pending) {
        let sql = format!("SELECT min(handler) FROM jobs WHERE {condition} AND handler > ?");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut last = String::new();
        while let Some(name) = statement.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
            last.clone_from(&name);
            names.insert(name);
        }
    }
    Ok(names)
}

/// Pending jobs, and how many of them are blocked.
fn count_pending(connection: &Connection, handler: &str) -> Result<(i64, i64)> {
    let [first, again] = RUNNABLE;
    let sql = format!(
        "SELECT count(*), coalesce(sum(is_blocked), 0) FROM (
           SELECT 0 AS is_blocked FROM jobs WHERE {first} AND handler = ?1
           UNION ALL SELECT 0 FROM jobs WHERE {again} AND handler = ?1
           UNION ALL SELECT 1 FROM jobs WHERE state = 'pending' AND blocked > 0 AND handler = ?1 LIMIT {COUNT_LIMIT})"
    );
    connection.prepare_cached(&sql)?.query_row([handler], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Pending jobs that have failed. Those that wait for a retry are due last.
fn count_failing(connection: &Connection, handler: &str) -> Result<i64> {
    let last_due = |condition: &str| {
        format!(
            "SELECT * FROM (SELECT failures FROM jobs WHERE {condition} AND handler = ?1 \
             ORDER BY run_at DESC LIMIT {SAMPLED})"
        )
    };
    let sql = format!("SELECT coalesce(sum(failures > 0), 0) FROM ({})", RUNNABLE.map(last_due).join(" UNION ALL "));
    connection.prepare_cached(&sql)?.query_row([handler], |row| row.get(0))
}

/// When the oldest pending job was created, and when the next one is due. With more than [`SAMPLED`] jobs, the oldest is
/// searched among those that are due first and last. Of blocked jobs it is the one with the lowest id.
pub(super) fn pending_times(connection: &Connection, handler: &str) -> Result<(Option<Millis>, Option<Millis>)> {
    let sample = |condition: &str, order: &str| {
        format!(
            "SELECT * FROM (SELECT created_at, run_at FROM jobs WHERE {condition} AND handler = ?1 \
             ORDER BY run_at {order} LIMIT {SAMPLED})"
        )
    };
    let [first, again] = RUNNABLE;
    // By id, which is in the index. A job with blocked = 1 is pending, by a CHECK of the table.
    let blocked = format!(
        "SELECT created_at, NULL FROM jobs WHERE id = (SELECT min(id) FROM (SELECT id FROM jobs WHERE blocked > 0 \
         AND blocked = 1 AND handler = ?1 LIMIT {COUNT_LIMIT}))"
    );
    let undecided = format!(
        "SELECT * FROM (SELECT created_at, NULL FROM jobs WHERE state = 'pending' AND blocked > 0 AND blocked = 2 \
         AND handler = ?1 LIMIT {SAMPLED})"
    );
    let parts = [sample(first, "ASC"), sample(first, "DESC"), sample(again, "ASC"), blocked, undecided];
    let sql = format!("SELECT min(created_at), min(run_at) FROM ({})", parts.join(" UNION ALL "));
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, Option<i64>>(0)?.map(Millis), row.get::<_, Option<i64>>(1)?.map(Millis)))
    };
    connection.prepare_cached(&sql)?.query_row([handler], read)
}

/// A job that has failed and waits for a retry.
fn failing_job(connection: &Connection, handler: &str) -> Result<Option<Job>> {
    let last_due = format!("SELECT id FROM jobs WHERE {} AND handler = ? ORDER BY run_at DESC LIMIT 100", RUNNABLE[0]);
    job_where(connection, &format!("j.failures > 0 AND j.id IN ({last_due})"), [handler])
}

fn last_finish(connection: &Connection, job: i64) -> Result<Option<Millis>> {
    let sql = "SELECT max(finished_at) FROM attempts WHERE job_id = ?";
    connection.prepare_cached(sql)?.query_row([job], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Millis)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::inbox::tests::Sample;

    #[test]
    fn metrics_count_through_the_indexes_of_open_and_dead_jobs() {
        let sample = Sample::new();
        for condition in COUNTED_STATES.into_iter().flat_map(indexed_conditions) {
            let sql =
                format!("EXPLAIN QUERY PLAN SELECT handler, count(*) FROM jobs WHERE {condition} GROUP BY handler");
            let plan: String = sample.connection.query_row(&sql, [], |row| row.get("detail")).unwrap();
            assert!(plan.contains("INDEX jobs_"), "{condition}: {plan}");
        }
    }

    #[test]
    fn metrics_count_jobs_by_handler_and_state() {
        let sample = Sample::new();
        let jobs = [
            ("a", "pending", 0, 0),
            ("a", "pending", 1, 0),
            ("a", "pending", 0, 1),
            ("a", "running", 0, 0),
            ("b", "dead", 0, 0),
            ("b", "dead", 0, 0),
            ("b", "succeeded", 0, 0),
        ];
        for (number, (handler, state, lost, blocked)) in jobs.into_iter().enumerate() {
            let seq = sample.event("s", &number.to_string(), "t", 0);
            let job = sample.job(seq, handler, state);
            let set = "UPDATE jobs SET lost = ?2, blocked = ?3, created_at = ?4 WHERE id = ?1";
            sample.connection.execute(set, (job, lost, blocked, 1000 * number)).unwrap();
        }
        sample.run("INSERT INTO handlers (name, paused, paused_by) VALUES ('p', 1, 'operator')");
        let counted = handler_gauges(&sample.connection, &["c".into(), "a".into()], Millis(5000)).unwrap();
        let shown: Vec<_> = counted
            .iter()
            .map(|handler| (&*handler.name, handler.jobs, handler.oldest_pending, handler.is_paused))
            .collect();
        let oldest = Some(Duration::from_secs(5));
        assert_eq!(
            shown,
            [
                ("a", [3, 1, 0], oldest, false),
                ("b", [0, 0, 2], None, false),
                ("c", [0, 0, 0], None, false),
                ("p", [0, 0, 0], None, true)
            ]
        );
    }
}
