//! Follows the inbox: events, finished attempts and refusals since the last read. Each read is a few searches by key.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params_from_iter};
use serde::Serialize;

use super::events::STATE;
use super::sql::WhereClause;
use crate::model::filter::ArrivalFilter;
use crate::support::time::Millis;

/// Lines of one kind per read.
const MAX_LINES: u32 = 1_000;

/// What has been read so far.
#[derive(Debug, Clone, Default)]
pub struct TailCursor {
    seq: i64,
    refusal: i64,
    /// Rowid in `attempts`.
    attempt: i64,
    /// Rowids of attempts that were still running.
    running: Vec<i64>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TailLine {
    Event {
        at: Millis,
        seq: i64,
        source: String,
        #[serde(rename = "type")]
        event_type: String,
        event_id: String,
        state: String,
    },
    /// A finished attempt.
    Attempt {
        at: Millis,
        seq: i64,
        source: String,
        #[serde(rename = "type")]
        event_type: String,
        event_id: String,
        handler: String,
        attempt: i64,
        status: String,
        took_ms: i64,
        /// State and reason of the job now.
        state: String,
        reason: Option<String>,
    },
    Refusal {
        at: Millis,
        id: i64,
        source: String,
        /// Of the response.
        status: u16,
        reason: String,
    },
}

impl TailLine {
    /// The state of the event or job.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        match self {
            Self::Event { state, .. } | Self::Attempt { state, .. } => Some(state),
            Self::Refusal { .. } => None,
        }
    }
}

impl TailCursor {
    /// A cursor before the newest `lines` events.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn before_last(connection: &Connection, lines: u32) -> Result<Self> {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let nth = "SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?";
        let seq = connection.query_row(nth, [lines], |row| row.get(0)).optional()?;
        let running = "SELECT rowid FROM attempts WHERE status IS NULL";
        Ok(Self {
            seq: seq.unwrap_or(0),
            refusal: number("SELECT coalesce(max(id), 0) FROM refusals")?,
            attempt: number("SELECT coalesce(max(rowid), 0) FROM attempts")?,
            running: connection.prepare(running)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?,
        })
    }
}

/// The lines since `cursor`, which moves on if the read succeeds.
pub(super) fn tail(connection: &Connection, filter: &ArrivalFilter, cursor: &mut TailCursor) -> Result<Vec<TailLine>> {
    let mut next = cursor.clone();
    let mut lines = events(connection, filter, &mut next)?;
    lines.extend(attempts(connection, filter, &mut next)?);
    if filter.event_type.is_none() {
        lines.extend(refusals(connection, filter, &mut next)?);
    }
    *cursor = next;
    Ok(lines)
}

fn events(connection: &Connection, filter: &ArrivalFilter, cursor: &mut TailCursor) -> Result<Vec<TailLine>> {
    let newest: i64 = connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
    let mut conditions = WhereClause::default();
    conditions.and("e.seq > ?", [Value::Integer(cursor.seq)]);
    conditions.and("e.seq <= ?", [Value::Integer(newest)]);
    conditions.arrival(filter);
    let sql = format!(
        "SELECT e.received_at, e.seq, e.source, e.type, e.event_id, {} FROM events e {} ORDER BY e.seq LIMIT {MAX_LINES}",
        *STATE,
        conditions.sql()
    );
    let lines: Vec<_> = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(conditions.values), |row| {
            cursor.seq = row.get(1)?;
            Ok(TailLine::Event {
                at: Millis(row.get(0)?),
                seq: row.get(1)?,
                source: row.get(2)?,
                event_type: row.get(3)?,
                event_id: row.get(4)?,
                state: row.get(5)?,
            })
        })?
        .collect::<Result<_>>()?;
    if lines.len() < MAX_LINES as usize {
        cursor.seq = newest.max(cursor.seq);
    }
    Ok(lines)
}

fn attempts(connection: &Connection, filter: &ArrivalFilter, cursor: &mut TailCursor) -> Result<Vec<TailLine>> {
    let started = "SELECT rowid FROM attempts WHERE rowid > ? ORDER BY rowid LIMIT ?";
    let started: Vec<i64> = connection
        .prepare_cached(started)?
        .query_map((cursor.attempt, MAX_LINES), |row| row.get(0))?
        .collect::<Result<_>>()?;
    cursor.attempt = started.last().copied().unwrap_or(cursor.attempt);
    cursor.running.extend(started);
    let mut conditions = WhereClause::default();
    conditions.and("a.rowid = ?", [Value::Integer(0)]);
    conditions.arrival(filter);
    let sql = format!(
        "SELECT a.finished_at, e.seq, e.source, e.type, e.event_id, j.handler, a.number, a.status,
                a.finished_at - a.started_at, j.state, j.reason
         FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN events e ON e.seq = j.event_seq {}",
        conditions.sql()
    );
    let mut is_finished = connection.prepare_cached("SELECT status IS NOT NULL FROM attempts WHERE rowid = ?")?;
    let mut find = connection.prepare_cached(&sql)?;
    let (mut running, mut lines) = (Vec::new(), Vec::new());
    for row in std::mem::take(&mut cursor.running) {
        match is_finished.query_row([row], |found| found.get(0)).optional()? {
            Some(false) => running.push(row),
            None => {}
            Some(true) => {
                conditions.values[0] = Value::Integer(row);
                lines.extend(find.query_row(params_from_iter(conditions.values.iter()), attempt).optional()?);
            }
        }
    }
    cursor.running = running;
    Ok(lines)
}

fn attempt(row: &Row<'_>) -> Result<TailLine> {
    Ok(TailLine::Attempt {
        at: Millis(row.get(0)?),
        seq: row.get(1)?,
        source: row.get(2)?,
        event_type: row.get(3)?,
        event_id: row.get(4)?,
        handler: row.get(5)?,
        attempt: row.get(6)?,
        status: row.get(7)?,
        took_ms: row.get(8)?,
        state: row.get(9)?,
        reason: row.get(10)?,
    })
}

fn refusals(connection: &Connection, filter: &ArrivalFilter, cursor: &mut TailCursor) -> Result<Vec<TailLine>> {
    let sql = "SELECT received_at, id, source, status, reason FROM refusals
               WHERE id > ?1 AND (?2 IS NULL OR source = ?2) ORDER BY id LIMIT ?3";
    connection
        .prepare_cached(sql)?
        .query_map((cursor.refusal, &filter.source, MAX_LINES), |row| {
            cursor.refusal = row.get(1)?;
            Ok(TailLine::Refusal {
                at: Millis(row.get(0)?),
                id: row.get(1)?,
                source: row.get(2)?,
                status: row.get(3)?,
                reason: row.get(4)?,
            })
        })?
        .collect()
}
