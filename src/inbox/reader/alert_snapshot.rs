//! What the alerts read twice a second. All of it is indexed or small.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Result};

use super::handler_stats::{dead_jobs, pauses};
use super::source_stats::source_stats;
use crate::support::time::{HOUR_MS, Millis};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertSnapshot {
    /// Dead jobs by handler.
    pub dead: Vec<(String, u64)>,
    /// Handlers that hookbox has paused, with the reason.
    pub broken: Vec<(String, String)>,
    /// The current hour and the one before, per source.
    pub hours: Vec<HourlyCount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourlyCount {
    pub source: String,
    /// Start of the hour.
    pub hour: i64,
    /// Events, new or duplicate.
    pub genuine: u64,
    pub refused: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    pub source: String,
    pub event_id: String,
    pub event_type: String,
    pub reason: String,
}

pub(super) fn alert_snapshot(connection: &Connection, sources: &[&str], now: Millis) -> Result<AlertSnapshot> {
    let dead = dead_jobs(connection, -1)?.into_iter();
    let dead = dead.map(|(handler, jobs)| (handler, u64::try_from(jobs.count).unwrap_or_default())).collect();
    let broken = pauses(connection)?.into_iter().filter(|(_, pause)| pause.paused_by.as_deref() == Some("hookbox"));
    let broken = broken.map(|(handler, pause)| (handler, pause.reason.unwrap_or_default())).collect();
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

/// When each source last received a delivery. Where only the hour is known its end is taken, so that no source is
/// reported as silent too early.
pub(super) fn last_heard(connection: &Connection, now: Millis) -> Result<HashMap<String, Millis>> {
    let sources = source_stats(connection, now)?.into_iter();
    Ok(sources.filter_map(|source| source.latest_at().map(|at| (source.source, at))).collect())
}

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

/// The handlers of those among `jobs` that are dead, once per job.
pub(super) fn dead_among(connection: &Connection, jobs: &[i64]) -> Result<Vec<String>> {
    let mut find = connection.prepare_cached("SELECT handler FROM jobs WHERE id = ? AND state = 'dead'")?;
    let mut dead = Vec::new();
    for id in jobs {
        dead.extend(find.query_row([id], |row| row.get(0)).optional()?);
    }
    Ok(dead)
}
