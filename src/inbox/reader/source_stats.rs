//! What arrived per source: the counts of the last day and the time of the last delivery.
//!
//! The table `hourly_counts` has the numbers. The exact time of a delivery comes from `events`, where it can be found
//! without reading many of them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Result};
use serde::Serialize;

use super::sql::{distinct, seq_at_time};
use crate::support::time::{HOUR_MS, Millis};

pub const HOURS_PER_DAY: usize = 24;
/// The newest events, among which the last one of each source is looked for first.
const RECENT_EVENTS: u32 = 10_000;
/// If a source has fewer events, all of them are read.
const FEW_EVENTS: u32 = 1000;
/// At most this many events of an hour are read, of all sources.
const EVENTS_OF_AN_HOUR: u32 = 100_000;

/// Counts at most this many events with deviating duplicates, of all sources.
const MAX_DEVIATING: u32 = 100_000;

/// The last 24 hours of one source, by full hours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceStats {
    pub source: String,
    /// When the last event arrived. If a duplicate came later, the start of its hour.
    pub last_at: Option<Millis>,
    /// Whether `last_at` is the start of an hour.
    pub last_at_is_hour: bool,
    pub accepted: i64,
    pub duplicate: i64,
    pub refused: i64,
    /// Stored events, whenever they arrived, of which a duplicate had another body. Counted up to 100,000 over all sources.
    pub deviating: i64,
}

impl SourceStats {
    /// The latest time at which the last delivery can have arrived.
    #[must_use]
    pub fn latest_at(&self) -> Option<Millis> {
        self.last_at.map(|at| if self.last_at_is_hour { Millis(at.0.saturating_add(HOUR_MS)) } else { at })
    }
}

/// What arrived in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourCounts {
    pub accepted: i64,
    pub duplicate: i64,
    pub refused: i64,
}

/// The last 24 hours of one source, hour by hour.
#[derive(Debug, Clone)]
pub struct SourceDay {
    pub source: String,
    /// Start of the first hour.
    pub since: Millis,
    /// Oldest first.
    pub hours: [HourCounts; HOURS_PER_DAY],
}

impl SourceDay {
    #[must_use]
    pub fn total(&self) -> HourCounts {
        self.hours.iter().fold(HourCounts::default(), |sum, hour| HourCounts {
            accepted: sum.accepted + hour.accepted,
            duplicate: sum.duplicate + hour.duplicate,
            refused: sum.refused + hour.refused,
        })
    }
}

/// Start of the first of the 24 hours that end with the current one.
fn day_start(now: Millis) -> i64 {
    (now.0 / HOUR_MS - 23) * HOUR_MS
}

/// One day for each name, then for every other source that received something.
pub(super) fn hourly_counts(connection: &Connection, names: &[String], now: Millis) -> Result<Vec<SourceDay>> {
    let known: BTreeSet<String> = distinct(connection, "hourly_counts", "source")?.into_iter().collect();
    let others = known.into_iter().filter(|name| !names.contains(name));
    let mut days = Vec::new();
    for (index, source) in names.iter().cloned().chain(others).enumerate() {
        let day = source_day(connection, source, day_start(now))?;
        if index < names.len() || day.total() != HourCounts::default() {
            days.push(day);
        }
    }
    Ok(days)
}

fn source_day(connection: &Connection, source: String, since: i64) -> Result<SourceDay> {
    let mut hours = [HourCounts::default(); HOURS_PER_DAY];
    let sql =
        "SELECT (hour - ?2) / ?3, accepted, duplicate, refused FROM hourly_counts WHERE source = ?1 AND hour >= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((&source, since, HOUR_MS))?;
    while let Some(row) = rows.next()? {
        let index = row.get::<_, i64>(0).map(usize::try_from)?;
        if let Some(hour) = index.ok().and_then(|index| hours.get_mut(index)) {
            *hour = HourCounts { accepted: row.get(1)?, duplicate: row.get(2)?, refused: row.get(3)? };
        }
    }
    Ok(SourceDay { source, since: Millis(since), hours })
}

pub(super) fn source_stats(connection: &Connection, now: Millis) -> Result<Vec<SourceStats>> {
    let mut statement = connection.prepare(
        "SELECT source,
                max(CASE WHEN accepted + duplicate > 0 THEN hour END),
                sum(CASE WHEN hour >= ?1 THEN accepted ELSE 0 END),
                sum(CASE WHEN hour >= ?1 THEN duplicate ELSE 0 END),
                sum(CASE WHEN hour >= ?1 THEN refused ELSE 0 END)
         FROM hourly_counts GROUP BY source ORDER BY source",
    )?;
    let mut sources = statement
        .query_map([day_start(now)], |row| {
            Ok(SourceStats {
                source: row.get(0)?,
                last_at: row.get::<_, Option<i64>>(1)?.map(Millis),
                last_at_is_hour: false,
                accepted: row.get(2)?,
                duplicate: row.get(3)?,
                refused: row.get(4)?,
                deviating: 0,
            })
        })?
        .collect::<Result<Vec<_>>>()?;
    let recent = recent_events(connection)?;
    let deviating = deviating_events(connection)?;
    for source in &mut sources {
        source.deviating = deviating.get(&source.source).copied().unwrap_or_default();
        let hour = source.last_at;
        let event = match (recent.get(&source.source), hour) {
            (None, Some(hour)) => last_event(connection, &source.source, hour)?,
            (recent, _) => recent.copied(),
        };
        (source.last_at, source.last_at_is_hour) = (hour.max(event), hour > event);
    }
    Ok(sources)
}

/// By source: how many stored events had a duplicate with another body. Sources without any are left out.
pub(super) fn deviating_events(connection: &Connection) -> Result<BTreeMap<String, i64>> {
    connection
        .prepare_cached(
            "SELECT source, count(*) FROM (SELECT source FROM events WHERE deviating_deliveries > 0 LIMIT ?)
             GROUP BY source",
        )?
        .query_map([MAX_DEVIATING], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The newest event of each source among the newest events of all.
fn recent_events(connection: &Connection) -> Result<BTreeMap<String, Millis>> {
    connection
        .prepare(
            "SELECT source, max(received_at) FROM (SELECT source, received_at FROM events ORDER BY seq DESC LIMIT ?)
             GROUP BY source",
        )?
        .query_map([RECENT_EVENTS], |row| Ok((row.get(0)?, Millis(row.get(1)?))))?
        .collect()
}

/// The newest event of a source whose last delivery came in `hour`; `None` if the search would take long.
fn last_event(connection: &Connection, source: &str, hour: Millis) -> Result<Option<Millis>> {
    let few = "SELECT count(*), max(received_at) FROM (SELECT received_at FROM events WHERE source = ? LIMIT ?)";
    let (count, last): (u32, Option<i64>) =
        connection.prepare_cached(few)?.query_row((source, FEW_EVENTS), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if count < FEW_EVENTS {
        return Ok(last.map(Millis));
    }
    let start = seq_at_time(connection, hour)?;
    let end = seq_at_time(connection, Millis(hour.0.saturating_add(HOUR_MS)))?;
    connection
        .prepare_cached(
            "SELECT received_at FROM (SELECT source, received_at FROM events WHERE seq >= ? AND seq < ?
                                      ORDER BY seq DESC LIMIT ?) WHERE source = ? LIMIT 1",
        )?
        .query_row((start, end, EVENTS_OF_AN_HOUR, source), |row| row.get(0).map(Millis))
        .optional()
}
