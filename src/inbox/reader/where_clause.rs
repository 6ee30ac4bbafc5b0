//! Filters as SQL conditions. Every value is bound, none is written into the SQL.

use rusqlite::types::Value;

use crate::model::filter::{ArrivalFilter, JobFilter};

/// The indexes over pending jobs with their conditions. Each pending job is in one of them. `jobs_blocked` can contain
/// other jobs too, so their state must be compared; to do so here would read each row.
pub(super) const PENDING_INDEXES: [(&str, &str); 3] = [
    ("jobs_due", "state = 'pending' AND lost = 0 AND blocked = 0"),
    ("jobs_suspect", "state = 'pending' AND lost > 0 AND blocked = 0"),
    ("jobs_blocked", "blocked > 0"),
];

/// Conditions joined by AND, with their values.
#[derive(Debug, Default)]
pub(in crate::inbox) struct WhereClause {
    sql: String,
    pub(in crate::inbox) values: Vec<Value>,
}

impl WhereClause {
    /// `WHERE …`, or empty.
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

    /// Conditions on `events e`.
    pub(in crate::inbox) fn arrival(&mut self, arrival: &ArrivalFilter) {
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
    pub(in crate::inbox) fn job(&mut self, filter: &JobFilter) {
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
pub(in crate::inbox) fn one_of(column: &str, count: usize) -> String {
    format!("{column} IN ({})", vec!["?"; count].join(", "))
}

pub(in crate::inbox) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}
