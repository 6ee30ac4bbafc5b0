//! Filters as SQL conditions, and searches that jump through an index instead of reading all rows.
//!
//! Every value is bound, none is written into the SQL.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result};

use crate::inbox::schema::{BLOCKED, DUE, SUSPECT};
use crate::model::filter::{ArrivalFilter, JobFilter};
use crate::support::time::{HOUR_MS, Millis};

/// The indexes over pending jobs with their conditions. Each pending job is in one of them. `jobs_blocked` can contain
/// other jobs too, so their state must be compared; to do so here would read each row.
pub(super) const PENDING_INDEXES: [(&str, &str); 3] =
    [("jobs_due", DUE), ("jobs_suspect", SUSPECT), ("jobs_blocked", BLOCKED)];

/// Conditions joined by AND, with their values.
#[derive(Debug, Default)]
pub struct WhereClause {
    sql: String,
    pub values: Vec<Value>,
}

impl WhereClause {
    /// `WHERE …`, or empty.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    pub fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        self.sql.push('(');
        self.sql.push_str(condition);
        self.sql.push(')');
        self.values.extend(values);
    }

    /// Conditions on `events e`.
    pub fn arrival(&mut self, arrival: &ArrivalFilter) {
        if let Some(source) = &arrival.source {
            // The unary plus disables the index on source: its rows would have to be sorted before the limit applies.
            self.and("+e.source = ?", [text(source)]);
        }
        if let Some(pattern) = &arrival.event_type {
            if is_glob(pattern) {
                self.and("e.type GLOB ?", [text(pattern)]);
            } else {
                self.and("e.type = ? OR e.type GLOB ? || '.*'", [text(pattern), text(pattern)]);
            }
        }
        if let Some(since) = arrival.since {
            self.and("e.received_at >= ?", [Value::Integer(since.0)]);
        }
        if let Some(until) = arrival.until {
            self.and("e.received_at < ?", [Value::Integer(until.0)]);
        }
    }

    /// Conditions on `jobs j` and `events e`.
    pub fn job(&mut self, filter: &JobFilter) {
        if let Some(ids) = &filter.jobs {
            self.and(&one_of("j.id", ids.len()), ids.iter().copied().map(Value::Integer));
        }
        if let Some(seqs) = &filter.events {
            self.and(&one_of("j.event_seq", seqs.len()), seqs.iter().copied().map(Value::Integer));
        }
        if let Some(since) = filter.arrival.since {
            // This only skips older jobs. The clock may have been stepped, so the time is compared below as well.
            let first = "j.event_seq >= (SELECT seq FROM events WHERE received_at >= ? ORDER BY seq LIMIT 1)";
            self.and(first, [Value::Integer(since.0)]);
        }
        match filter.states[..] {
            [] => {}
            // A literal, so that SQLite can use the index over this state.
            [state] => self.and(&format!("j.state = '{state}'"), []),
            _ => self.and(&one_of("j.state", filter.states.len()), filter.states.iter().map(|s| text(s.as_str()))),
        }
        if let Some(handler) = &filter.handler {
            self.and("j.handler = ?", [text(handler)]);
        }
        if let Some(reason) = &filter.reason {
            self.and(if is_glob(reason) { "j.reason GLOB ?" } else { "j.reason = ?" }, [text(reason)]);
        }
        if let Some(instant) = filter.finished_before {
            self.and("j.finished_at IS NULL OR j.finished_at < ?", [Value::Integer(instant.0)]);
        }
        self.arrival(&filter.arrival);
    }
}

/// `column IN (?, ?)`
pub fn one_of(column: &str, count: usize) -> String {
    format!("{column} IN ({})", vec!["?"; count].join(", "))
}

pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// How far the clock may have been stepped back without [`lower_bound`] and [`upper_bound`] missing an event.
const CLOCK_MARGIN: i64 = HOUR_MS;

/// The distinct values of a column that is the first of an index, sorted.
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

/// Sources that have events.
pub(super) fn sources(connection: &Connection) -> Result<Vec<String>> {
    distinct(connection, "events", "source")
}

/// A `seq` below which no event arrived since this time.
pub(super) fn lower_bound(connection: &Connection, since: Millis) -> Result<i64> {
    seq_at_time(connection, Millis(since.0.saturating_sub(CLOCK_MARGIN)))
}

/// A `seq` from which on no event arrived before this time.
pub(super) fn upper_bound(connection: &Connection, until: Millis) -> Result<i64> {
    seq_at_time(connection, Millis(until.0.saturating_add(CLOCK_MARGIN)))
}

/// The `seq` of the first event at this time or later, or one above the newest. A binary search, exact if the clock was
/// never stepped back: there is no index on the time.
pub(super) fn seq_at_time(connection: &Connection, Millis(instant): Millis) -> Result<i64> {
    let mut next =
        connection.prepare_cached("SELECT seq, received_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1")?;
    let sql = "SELECT coalesce((SELECT min(seq) FROM events), 0), coalesce((SELECT max(seq) FROM events), 0)";
    let (mut low, newest): (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut high = newest + 1;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((seq, at)) if at < instant => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
