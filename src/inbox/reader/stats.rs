//! How things stand, in one look: deliveries per source, jobs per handler.
//!
//! Deliveries come from `hourly_counts`, jobs from one pass over `jobs`; both are as cheap as their tables are small.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Result};
use serde::Serialize;

use super::seq_at_time;
use crate::model::event::JobState;
use crate::support::time::{HOUR_MS, Millis};

/// Newest events among which each source's last one is looked for before its hours are asked.
const RECENT: u32 = 10_000;
/// Events of one source up to which all of them are looked at for its last one.
const FEW: u32 = 1000;
/// Events of an hour, those of all sources, among which the last one of a source is looked for.
const LONGEST: u32 = 100_000;

/// What came in for one source over the last 24 hours, by full hours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceStats {
    /// NAME of `[sources.NAME]`.
    pub source: String,
    /// When the last new event came; the start of the hour where only the hour of a later delivery is known.
    pub last_at: Option<Millis>,
    /// Whether `last_at` is no more than the start of an hour.
    pub last_at_is_hour: bool,
    /// New events.
    pub accepted: i64,
    /// Deliveries of events that were there.
    pub duplicate: i64,
    /// Deliveries turned away.
    pub refused: i64,
}

impl SourceStats {
    /// The latest instant at which the last delivery can have come.
    #[must_use]
    pub fn latest_at(&self) -> Option<Millis> {
        self.last_at.map(|at| if self.last_at_is_hour { Millis(at.0.saturating_add(HOUR_MS)) } else { at })
    }
}

/// Where the jobs of one handler stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HandlerStats {
    /// NAME of `[handlers.NAME]`.
    pub handler: String,
    /// Waiting for their time or for a free worker.
    pub pending: i64,
    /// Of these, those whose last try has failed.
    pub failing: i64,
    /// Of these, those that wait for an earlier job of the same value.
    pub blocked: i64,
    /// Under way.
    pub running: i64,
    /// Set aside for a person.
    pub dead: i64,
    /// Done.
    pub succeeded: i64,
    /// Will not run.
    pub skipped: i64,
    /// When the oldest pending job was made.
    pub oldest_pending_at: Option<Millis>,
    /// When the next pending job is due, or the longest waiting one was.
    pub next_run_at: Option<Millis>,
    /// Whether it starts no jobs at present.
    pub paused: bool,
    /// `operator` or `hookbox`.
    pub paused_by: Option<String>,
    /// Why it is paused.
    pub reason: Option<String>,
    /// Since when.
    pub paused_at: Option<Millis>,
    /// Failed probes since it broke.
    pub probes: i64,
    /// The next probe of a broken handler.
    pub probe_at: Option<Millis>,
}

/// Names of all sources that have events, by name.
pub(super) fn sources(connection: &Connection) -> Result<Vec<String>> {
    distinct(connection, "events", "source")
}

/// Names of all handlers that have jobs, by name.
pub(super) fn handlers(connection: &Connection) -> Result<Vec<String>> {
    connection.prepare("SELECT DISTINCT handler FROM jobs ORDER BY handler")?.query_map([], |row| row.get(0))?.collect()
}

/// The values of a column that leads an index: hops from one to the next instead of reading all rows.
pub(super) fn distinct(connection: &Connection, table: &str, column: &str) -> Result<Vec<String>> {
    let sql = format!(
        "WITH RECURSIVE hop(value) AS (
           SELECT min({column}) FROM {table}
           UNION ALL
           SELECT (SELECT min({column}) FROM {table} WHERE {column} > hop.value) FROM hop WHERE hop.value IS NOT NULL
         )
         SELECT value FROM hop WHERE value IS NOT NULL"
    );
    connection.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect()
}

pub(super) fn deliveries(connection: &Connection, now: Millis) -> Result<Vec<SourceStats>> {
    let since = (now.0 / HOUR_MS - 23) * HOUR_MS;
    let mut statement = connection.prepare(
        "SELECT source,
                max(CASE WHEN accepted + duplicate > 0 THEN hour END),
                sum(CASE WHEN hour >= ?1 THEN accepted ELSE 0 END),
                sum(CASE WHEN hour >= ?1 THEN duplicate ELSE 0 END),
                sum(CASE WHEN hour >= ?1 THEN refused ELSE 0 END)
         FROM hourly_counts GROUP BY source ORDER BY source",
    )?;
    let mut sources = statement
        .query_map([since], |row| {
            Ok(SourceStats {
                source: row.get(0)?,
                last_at: row.get::<_, Option<i64>>(1)?.map(Millis),
                last_at_is_hour: false,
                accepted: row.get(2)?,
                duplicate: row.get(3)?,
                refused: row.get(4)?,
            })
        })?
        .collect::<Result<Vec<_>>>()?;
    let newest = newest_events(connection)?;
    for source in &mut sources {
        let hour = source.last_at;
        let event = match (newest.get(&source.source), hour) {
            (None, Some(hour)) => last_event(connection, &source.source, hour)?,
            (recent, _) => recent.copied(),
        };
        (source.last_at, source.last_at_is_hour) = (hour.max(event), hour > event);
    }
    Ok(sources)
}

fn newest_events(connection: &Connection) -> Result<BTreeMap<String, Millis>> {
    connection
        .prepare(
            "SELECT source, max(received_at) FROM (SELECT source, received_at FROM events ORDER BY seq DESC LIMIT ?)
             GROUP BY source",
        )?
        .query_map([RECENT], |row| Ok((row.get(0)?, Millis(row.get(1)?))))?
        .collect()
}

/// When the last event of a source came that was last heard of in that hour; `None` where it would take long to know.
fn last_event(connection: &Connection, source: &str, hour: Millis) -> Result<Option<Millis>> {
    let few = "SELECT count(*), max(received_at) FROM (SELECT received_at FROM events WHERE source = ? LIMIT ?)";
    let (count, last): (u32, Option<i64>) =
        connection.prepare_cached(few)?.query_row((source, FEW), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if count < FEW {
        return Ok(last.map(Millis));
    }
    let [from, end] = [hour, Millis(hour.0.saturating_add(HOUR_MS))].map(|at| seq_at_time::place_of(connection, at));
    connection
        .prepare_cached(
            "SELECT received_at FROM (SELECT source, received_at FROM events WHERE seq >= ? AND seq < ?
                                      ORDER BY seq DESC LIMIT ?) WHERE source = ? LIMIT 1",
        )?
        .query_row((from?, end?, LONGEST, source), |row| row.get(0).map(Millis))
        .optional()
}

/// Every handler that has jobs or is paused, by name, with exact counts: reads all jobs.
pub(super) fn handler_stats(connection: &Connection) -> Result<Vec<HandlerStats>> {
    let mut handlers = BTreeMap::<String, HandlerStats>::new();
    let mut statement = connection.prepare(
        "SELECT handler, state, count(*), min(created_at), min(run_at), sum(failures > 0), sum(blocked > 0)
                  FROM jobs GROUP BY handler, state",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let handler = handlers.entry(row.get(0)?).or_default();
        let count = row.get(2)?;
        match row.get_ref(1)?.as_str()?.parse() {
            Ok(JobState::Pending) => {
                handler.pending = count;
                handler.oldest_pending_at = Some(Millis(row.get(3)?));
                handler.next_run_at = Some(Millis(row.get(4)?));
                handler.failing = row.get(5)?;
                handler.blocked = row.get(6)?;
            }
            Ok(JobState::Running) => handler.running = count,
            Ok(JobState::Succeeded) => handler.succeeded = count,
            Ok(JobState::Dead) => handler.dead = count,
            Ok(JobState::Skipped) => handler.skipped = count,
            Err(unknown) => {
                let text = rusqlite::types::Type::Text;
                return Err(rusqlite::Error::FromSqlConversionFailure(1, text, Box::new(unknown)));
            }
        }
    }
    read_pauses(connection, &mut handlers)?;
    Ok(handlers.into_iter().map(|(name, status)| HandlerStats { handler: name, ..status }).collect())
}

pub(super) fn read_pauses(connection: &Connection, handlers: &mut BTreeMap<String, HandlerStats>) -> Result<()> {
    let mut statement = connection
        .prepare("SELECT name, paused_by, reason, paused_at, probes, probe_at FROM handlers WHERE paused = 1")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let handler = handlers.entry(row.get(0)?).or_default();
        handler.paused = true;
        handler.paused_by = row.get(1)?;
        handler.reason = row.get(2)?;
        handler.paused_at = row.get::<_, Option<i64>>(3)?.map(Millis);
        handler.probes = row.get(4)?;
        handler.probe_at = row.get::<_, Option<i64>>(5)?.map(Millis);
    }
    Ok(())
}
