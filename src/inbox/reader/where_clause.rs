//! Which events or jobs a person means: filters, and the conditions they become.
//!
//! WhereClause are built from what was asked and from nothing else; every value is bound, never written into SQL.

use std::time::Instant;

use rusqlite::types::Value;

use crate::model::event::{EventState, JobState};
use crate::support::time::Millis;

/// Which events, by how they arrived.
#[derive(Debug, Clone, Default)]
pub struct ArrivalFilter {
    /// Exactly this source.
    pub source: Option<String>,
    /// This type and all below it (`push`, `pull_request` for `pull_request.opened`), or a glob with `*`, `?`, `[…]`.
    pub event_type: Option<String>,
    /// Received at this instant or later.
    pub since: Option<Millis>,
    /// Received before this instant.
    pub until: Option<Millis>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// How they arrived.
    pub arrived: ArrivalFilter,
    /// In one of these states; empty is any.
    pub states: Vec<EventState>,
    /// Bytes that the body contains; only bodies up to [`super::SEARCHED_BODY`] are searched.
    pub body_text: Option<String>,
}

/// Which jobs to list or change.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// How their events arrived.
    pub arrived: ArrivalFilter,
    /// In one of these states; empty is any.
    pub states: Vec<JobState>,
    /// Exactly this handler.
    pub handler: Option<String>,
    /// This reason, or a glob.
    pub reason: Option<String>,
    /// Only jobs of these events (`seq`).
    pub events: Option<Vec<i64>>,
    /// Only these jobs (`id`).
    pub jobs: Option<Vec<i64>>,
    /// Not those that have finished at this instant or later.
    pub finished_before: Option<Millis>,
}

/// A stretch of a list, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only rows older than this `seq` or `id`: the last one of the page before.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: u32,
    /// The search stops at the first opportunity after this.
    pub deadline: Option<Instant>,
}

/// WhereClause joined by AND, with their values.
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
    pub(in crate::inbox) fn arrived(&mut self, arrived: &ArrivalFilter) {
        if let Some(source) = &arrived.source {
            // The index on source would have its rows sorted by arrival first; newest first ends at the limit.
            self.and("+e.source = ?", [text(source)]);
        }
        if let Some(pattern) = &arrived.event_type {
            if is_glob(pattern) {
                self.and("e.type GLOB ?", [text(pattern)]);
            } else {
                self.and("e.type = ? OR e.type GLOB ? || '.*'", [text(pattern), text(pattern)]);
            }
        }
        if let Some(since) = arrived.since {
            self.and("e.received_at >= ?", [Value::Integer(since.0)]);
        }
        if let Some(until) = arrived.until {
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
        if let Some(since) = filter.arrived.since {
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
        self.arrived(&filter.arrived);
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
