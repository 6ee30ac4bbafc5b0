//! Which events or jobs a person means: filters, and the conditions they become.
//!
//! WhereClause are built from what was asked and from nothing else; every value is bound, never written into SQL.

use rusqlite::types::Value;

use crate::model::filter::{ArrivalFilter, JobFilter};

/// Conditions joined by AND, with their values.
#[derive(Debug, Default)]
pub(in crate::inbox) struct WhereClause {
    sql: String,
    pub(in crate::inbox) values: Vec<Value>,
}

impl WhereClause {
    /// `WHERE …`, or nothing at all.
    pub(in crate::inbox) fn sql(&self) -> &str {
        &self.sql
    }

    pub(in crate::inbox) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        self.sql.push('(');
        self.sql.push_str(condition);
        self.sql.push(')');
        self.values.extend(values);
    }

    /// WhereClause on `events e`.
    pub(in crate::inbox) fn arrival(&mut self, arrival: &ArrivalFilter) {
        if let Some(source) = &arrival.source {
            // The index on source would have its rows sorted by arrival first; newest first ends at the limit.
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

    /// WhereClause on `jobs j` and `events e`.
    pub(in crate::inbox) fn job(&mut self, filter: &JobFilter) {
        if let Some(ids) = &filter.jobs {
            self.and(&one_of("j.id", ids.len()), ids.iter().copied().map(Value::Integer));
        }
        if let Some(seqs) = &filter.events {
            self.and(&one_of("j.event_seq", seqs.len()), seqs.iter().copied().map(Value::Integer));
        }
        if let Some(since) = filter.arrival.since {
            // Only spares looking at older jobs; the clock may have jumped, so the instant itself is compared as well.
            let first = "j.event_seq >= (SELECT seq FROM events WHERE received_at >= ? ORDER BY seq LIMIT 1)";
            self.and(first, [Value::Integer(since.0)]);
        }
        match filter.states[..] {
            [] => {}
            // Written out, since only then SQLite sees that an index over this state alone will do.
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
pub(in crate::inbox) fn one_of(column: &str, count: usize) -> String {
    format!("{column} IN ({})", vec!["?"; count].join(", "))
}

pub(in crate::inbox) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}
