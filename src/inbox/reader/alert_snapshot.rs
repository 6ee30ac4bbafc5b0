//! What may want a person, read in a moment however much is stored: dead jobs, pauses, deliveries of the last hours.
//!
//! For whoever looks again and again. DeadJob jobs are counted in their index, the other tables are small.

use rusqlite::{Connection, OptionalExtension, Result};

use super::stats::deliveries;
use crate::support::time::{HOUR_MS, Millis};

/// What one look finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertSnapshot {
    /// Handlers with dead jobs, and how many.
    pub dead: Vec<(String, u64)>,
    /// Handlers that hookbox has paused, and why.
    pub broken: Vec<(String, String)>,
    /// This hour and the last one, per source.
    pub hours: Vec<HourlyCount>,
}

/// One hour of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourlyCount {
    /// NAME of `[sources.NAME]`.
    pub source: String,
    /// Its start.
    pub hour: i64,
    /// Deliveries that were genuine.
    pub genuine: u64,
    /// Deliveries turned away.
    pub refused: u64,
}

/// A job that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// `events.source`
    pub source: String,
    /// `events.event_id`
    pub event_id: String,
    /// `events.type`
    pub event_type: String,
    /// `jobs.reason`
    pub reason: String,
}

/// One look.
pub(super) fn alert_snapshot(connection: &Connection, sources: &[&str], now: Millis) -> Result<AlertSnapshot> {
    let dead = connection
        .prepare_cached(
            "SELECT handler, count(*) FROM jobs INDEXED BY jobs_dead WHERE state = 'dead' GROUP BY handler",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    let broken = connection
        .prepare_cached("SELECT name, coalesce(reason, '') FROM handlers WHERE paused_by = 'hookbox'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    let since = now.0.div_euclid(HOUR_MS) * HOUR_MS - HOUR_MS;
    let mut hours = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT hour, accepted + duplicate, refused FROM hourly_counts WHERE source = ?1 AND hour >= ?2",
    )?;
    for &source in sources {
        let rows = statement.query_map((source, since), |row| {
            Ok(HourlyCount { source: source.to_owned(), hour: row.get(0)?, genuine: row.get(1)?, refused: row.get(2)? })
        })?;
        hours.extend(rows.collect::<Result<Vec<_>>>()?);
    }
    Ok(AlertSnapshot { dead, broken, hours })
}

/// When each source was last heard of: exact where that is known, else the end of the hour, so that no silence is
/// told that may not be one.
pub(super) fn last_heard(connection: &Connection, now: Millis) -> Result<Vec<(String, Millis)>> {
    let sources = deliveries(connection, now)?.into_iter();
    Ok(sources.filter_map(|source| source.latest_at().map(|at| (source.source, at))).collect())
}

/// The newest dead job of a handler.
pub(super) fn newest_dead(connection: &Connection, handler: &str) -> Result<Option<DeadJob>> {
    connection
        .prepare_cached(
            "SELECT e.source, e.event_id, e.type, coalesce(j.reason, '')
             FROM jobs j INDEXED BY jobs_dead JOIN events e ON e.seq = j.event_seq
             WHERE j.state = 'dead' AND j.handler = ? ORDER BY j.event_seq DESC LIMIT 1",
        )?
        .query_row([handler], |row| {
            Ok(DeadJob { source: row.get(0)?, event_id: row.get(1)?, event_type: row.get(2)?, reason: row.get(3)? })
        })
        .optional()
}

/// The handlers of those jobs that are dead, one for each.
pub(super) fn dead_among(connection: &Connection, jobs: &[i64]) -> Result<Vec<String>> {
    let mut find = connection.prepare_cached("SELECT handler FROM jobs WHERE id = ? AND state = 'dead'")?;
    let mut dead = Vec::new();
    for id in jobs {
        dead.extend(find.query_row([id], |row| row.get(0)).optional()?);
    }
    Ok(dead)
}
