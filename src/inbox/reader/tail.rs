//! What is new since the last look: events, attempts that have ended, refusals, for whoever follows along.
//!
//! TailCursor go in and move on; lines come out in the order in which they are to be read. Each look is a few short reads by
//! key, however much is stored.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, params_from_iter};
use serde::Serialize;

use super::events::STATE;
use super::where_clause::WhereClause;
use crate::model::filter::ArrivalFilter;
use crate::support::time::Millis;

/// Lines of one kind at one look.
const MOST: u32 = 1_000;

/// How far has been read.
#[derive(Debug, Clone, Default)]
pub struct TailCursor {
    seq: i64,
    refusal: i64,
    attempt: i64,
    /// Attempts that had not ended, by row.
    open: Vec<i64>,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TailLine {
    /// An event has come.
    Event {
        /// When.
        at: Millis,
        /// `events.seq`
        seq: i64,
        /// `events.source`
        source: String,
        /// `events.type`
        #[serde(rename = "type")]
        event_type: String,
        /// `events.event_id`
        event_id: String,
        /// Its overall state.
        state: String,
    },
    /// An attempt has ended.
    Attempt {
        /// When.
        at: Millis,
        /// `events.seq`
        seq: i64,
        /// `events.source`
        source: String,
        /// `events.type`
        #[serde(rename = "type")]
        event_type: String,
        /// `events.event_id`
        event_id: String,
        /// `jobs.handler`
        handler: String,
        /// `attempts.number`
        attempt: i64,
        /// `attempts.status`
        status: String,
        /// How long it took, in milliseconds.
        took_ms: i64,
        /// The job's state now.
        state: String,
        /// The job's reason now.
        reason: Option<String>,
    },
    /// A delivery was turned away.
    Refusal {
        /// When.
        at: Millis,
        /// `refusals.id`
        id: i64,
        /// `refusals.source`
        source: String,
        /// What was answered.
        status: u16,
        /// Why.
        reason: String,
    },
}

impl TailLine {
    /// The state of the event or job; none of a refusal.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        match self {
            Self::Event { state, .. } | Self::Attempt { state, .. } => Some(state),
            Self::Refusal { .. } => None,
        }
    }
}

impl TailCursor {
    /// Behind everything but the last `lines` events.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn before_last(connection: &Connection, lines: u32) -> Result<Self> {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let nth = "SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?";
        let seq = connection.query_row(nth, [lines], |row| row.get(0)).optional()?;
        let open = "SELECT rowid FROM attempts WHERE status IS NULL";
        Ok(Self {
            seq: seq.unwrap_or(0),
            refusal: number("SELECT coalesce(max(id), 0) FROM refusals")?,
            attempt: number("SELECT coalesce(max(rowid), 0) FROM attempts")?,
            open: connection.prepare(open)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?,
        })
    }
}

/// What is new of this source and type; the marks move on.
pub(super) fn tail(connection: &Connection, arrival: &ArrivalFilter, marks: &mut TailCursor) -> Result<Vec<TailLine>> {
    let mut next = marks.clone();
    let mut lines = events(connection, arrival, &mut next)?;
    lines.extend(attempts(connection, arrival, &mut next)?);
    if arrival.event_type.is_none() {
        lines.extend(refusals(connection, arrival, &mut next)?);
    }
    *marks = next;
    Ok(lines)
}

fn events(connection: &Connection, arrival: &ArrivalFilter, marks: &mut TailCursor) -> Result<Vec<TailLine>> {
    let newest: i64 = connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
    let mut conditions = WhereClause::default();
    conditions.and("e.seq > ?", [Value::Integer(marks.seq)]);
    conditions.and("e.seq <= ?", [Value::Integer(newest)]);
    conditions.arrival(arrival);
    let sql = format!(
        "SELECT e.received_at, e.seq, e.source, e.type, e.event_id, {STATE} FROM events e {} ORDER BY e.seq LIMIT {MOST}",
        conditions.sql()
    );
    let lines: Vec<_> = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(conditions.values), |row| {
            marks.seq = row.get(1)?;
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
    if lines.len() < MOST as usize {
        marks.seq = newest.max(marks.seq);
    }
    Ok(lines)
}

fn attempts(connection: &Connection, arrival: &ArrivalFilter, marks: &mut TailCursor) -> Result<Vec<TailLine>> {
    let started = "SELECT rowid FROM attempts WHERE rowid > ? ORDER BY rowid LIMIT ?";
    let started: Vec<i64> = connection
        .prepare_cached(started)?
        .query_map((marks.attempt, MOST), |row| row.get(0))?
        .collect::<Result<_>>()?;
    marks.attempt = started.last().copied().unwrap_or(marks.attempt);
    marks.open.extend(started);
    let mut conditions = WhereClause::default();
    conditions.and("a.rowid = ?", [Value::Integer(0)]);
    conditions.arrival(arrival);
    let sql = format!(
        "SELECT a.finished_at, e.seq, e.source, e.type, e.event_id, j.handler, a.number, a.status,
                a.finished_at - a.started_at, j.state, j.reason
         FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN events e ON e.seq = j.event_seq {}",
        conditions.sql()
    );
    let mut ending = connection.prepare_cached("SELECT status IS NOT NULL FROM attempts WHERE rowid = ?")?;
    let mut find = connection.prepare_cached(&sql)?;
    let (mut open, mut lines) = (Vec::new(), Vec::new());
    for row in std::mem::take(&mut marks.open) {
        match ending.query_row([row], |found| found.get(0)).optional()? {
            Some(false) => open.push(row),
            None => {}
            Some(true) => {
                conditions.values[0] = Value::Integer(row);
                lines.extend(find.query_row(params_from_iter(conditions.values.iter()), attempt).optional()?);
            }
        }
    }
    marks.open = open;
    Ok(lines)
}

fn attempt(row: &rusqlite::Row<'_>) -> Result<TailLine> {
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

fn refusals(connection: &Connection, arrival: &ArrivalFilter, marks: &mut TailCursor) -> Result<Vec<TailLine>> {
    let sql = "SELECT received_at, id, source, status, reason FROM refusals
               WHERE id > ?1 AND (?2 IS NULL OR source = ?2) ORDER BY id LIMIT ?3";
    connection
        .prepare_cached(sql)?
        .query_map((marks.refusal, &arrival.source, MOST), |row| {
            marks.refusal = row.get(1)?;
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
