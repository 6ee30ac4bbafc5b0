//! What people ask the inbox: lists, one event or refusal with everything, its body.
//!
//! Every function takes an open connection and reads in one short statement, newest first, with a limit: a
//! reader that stays open would keep the write-ahead log from shrinking. Nothing here changes anything.

mod filter;
mod find;
mod follow;
pub(crate) mod glance;
mod now;
mod refusals;
mod rows;
mod seek;
mod status;
mod walk;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, params_from_iter};
use serde_json::value::RawValue;

pub use filter::{Arrived, EventFilter, JobFilter, Page};
pub(super) use filter::{Conditions, one_of, text};
pub use find::{Found, find};
pub use follow::{Line, Marks, follow};
pub use glance::{Dead, Glance, dead_among, glance, last_heard, newest_dead};
pub(super) use now::pending_times;
pub use now::{COUNTED, Day, HOURS, HandlerNow, Hour, days, dead_jobs, handlers_now, last_deliveries, newest};
pub use refusals::{Kept, Refusal, refusal, refusals, token_key};
pub use rows::{Attempt, Detail, Event, Job, Ledger};
pub use status::{HandlerStatus, SourceStatus, handler_counts, handlers, pauses, sources};
pub use walk::{Reach, SEARCHED_BODY, Walk, walk_events, walk_jobs};

use crate::model::event::EventState;

/// The overall state of `events e`, as the view `inbox` has it.
const STATE: &str = "coalesce((SELECT CASE min(CASE s.state WHEN 'running' THEN 1 WHEN 'dead' THEN 2 WHEN 'pending' THEN 3 \
     WHEN 'succeeded' THEN 4 ELSE 5 END) WHEN 1 THEN 'running' WHEN 2 THEN 'dead' WHEN 3 THEN 'pending' \
     WHEN 4 THEN 'succeeded' WHEN 5 THEN 'skipped' END FROM jobs s WHERE s.event_seq = e.seq), 'unmatched')";

/// Events that pass a filter, newest first.
///
/// # Errors
/// What SQLite says.
pub fn events(connection: &Connection, filter: &EventFilter, page: Page) -> Result<Vec<Event>> {
    let mut conditions = Conditions::default();
    if let Some(before) = page.before {
        conditions.and("e.seq < ?", [Value::Integer(before)]);
    }
    conditions.arrived(&filter.arrived);
    if !filter.states.is_empty() {
        if let [state] = filter.states[..] {
            narrow(&mut conditions, state);
        }
        let words = filter.states.iter().map(|state| text(state.as_str()));
        conditions.and(&one_of(STATE, filter.states.len()), words);
    }
    let sql = format!(
        "SELECT {}, {STATE} AS state FROM events e {} ORDER BY e.seq DESC LIMIT {}",
        Event::COLUMNS,
        conditions.sql(),
        page.limit
    );
    connection.prepare(&sql)?.query_map(params_from_iter(conditions.values), Event::read)?.collect()
}

/// Leads SQLite to the few events of a rare state by way of their jobs, where an index knows them.
fn narrow(conditions: &mut Conditions, state: EventState) {
    let sql = match state {
        EventState::Running => "e.seq IN (SELECT event_seq FROM jobs WHERE state = 'running')",
        EventState::Dead => "e.seq IN (SELECT event_seq FROM jobs WHERE state = 'dead')",
        EventState::Pending => {
            "e.seq IN (SELECT event_seq FROM jobs WHERE state = 'pending' AND lost = 0 AND held = 0 \
             UNION ALL SELECT event_seq FROM jobs WHERE state = 'pending' AND lost > 0 AND held = 0 \
             UNION ALL SELECT event_seq FROM jobs WHERE state = 'pending' AND held > 0)"
        }
        EventState::Skipped => "e.seq IN (SELECT event_seq FROM jobs WHERE state = 'skipped')",
        EventState::Unmatched => "NOT EXISTS (SELECT 1 FROM jobs WHERE event_seq = e.seq)",
        EventState::Succeeded => return,
    };
    conditions.and(sql, []);
}

/// Jobs that pass a filter, newest first.
///
/// # Errors
/// What SQLite says.
pub fn jobs(connection: &Connection, filter: &JobFilter, page: Page) -> Result<Vec<Job>> {
    let mut conditions = Conditions::default();
    if let Some(before) = page.before {
        conditions.and("j.id < ?", [Value::Integer(before)]);
    }
    conditions.job(filter);
    let sql = format!(
        "SELECT {} FROM jobs j CROSS JOIN events e ON e.seq = j.event_seq {} ORDER BY j.id DESC LIMIT {}",
        Job::COLUMNS,
        conditions.sql(),
        page.limit
    );
    connection.prepare(&sql)?.query_map(params_from_iter(conditions.values), Job::read)?.collect()
}

/// One event with its headers, jobs and attempts.
///
/// # Errors
/// What SQLite says.
pub fn detail(connection: &Connection, seq: i64) -> Result<Option<Detail>> {
    let Some(event) = event(connection, seq)? else { return Ok(None) };
    let payload = connection
        .prepare_cached("SELECT content_type, headers FROM payloads WHERE event_seq = ?")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    let (content_type, headers) = payload.map_or((None, None), |(content_type, headers)| (content_type, Some(headers)));
    let sql = format!(
        "SELECT {} FROM jobs j JOIN events e ON e.seq = j.event_seq WHERE j.event_seq = ? ORDER BY j.id",
        Job::COLUMNS
    );
    let jobs = connection.prepare(&sql)?.query_map([seq], Job::read)?.collect::<Result<Vec<_>>>()?;
    let jobs = jobs.into_iter().map(|job| Ok(Ledger { attempts: attempts(connection, job.id)?, job }));
    let headers = headers.and_then(|headers| RawValue::from_string(headers).ok());
    Ok(Some(Detail { event, content_type, headers, jobs: jobs.collect::<Result<_>>()? }))
}

/// The attempts of one job, in order.
///
/// # Errors
/// What SQLite says.
pub fn attempts(connection: &Connection, job_id: i64) -> Result<Vec<Attempt>> {
    let sql = format!("SELECT {} FROM attempts a WHERE a.job_id = ? ORDER BY a.number", Attempt::COLUMNS);
    connection.prepare_cached(&sql)?.query_map([job_id], Attempt::read)?.collect()
}

/// The exact bytes received; `None` when there is no such event or its payload is gone.
///
/// # Errors
/// What SQLite says.
pub fn body(connection: &Connection, seq: i64) -> Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT body FROM payloads WHERE event_seq = ?")?
        .query_row([seq], |row| row.get(0))
        .optional()
}

/// The first bytes of a body, and how long it is; `None` when its payload is gone.
///
/// # Errors
/// What SQLite says.
pub fn body_start(connection: &Connection, seq: i64, limit: usize) -> Result<Option<(Vec<u8>, usize)>> {
    let sql = "SELECT length(body) FROM payloads WHERE event_seq = ?";
    let Some(length) = connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()? else {
        return Ok(None);
    };
    let mut start = vec![0; limit.min(length)];
    let body = connection.blob_open("main", "payloads", "body", seq, true)?;
    body.read_at_exact(&mut start, 0)?;
    Ok(Some((start, length)))
}

/// Events of which the id begins so, the newest of each source first; at most so many of each.
///
/// # Errors
/// What SQLite says.
pub fn by_id(connection: &Connection, prefix: &str, limit: u32) -> Result<Vec<Event>> {
    let sql = format!(
        "SELECT {}, {STATE} AS state FROM events e WHERE e.source = ?1 AND e.event_id >= ?2 \
         AND e.event_id < ?2 || char(1114111) ORDER BY e.event_id LIMIT {limit}",
        Event::COLUMNS
    );
    let mut found = Vec::new();
    for source in sources(connection)? {
        let mut statement = connection.prepare_cached(&sql)?;
        let events = statement.query_map([source.as_str(), prefix], Event::read)?;
        found.extend(events.collect::<Result<Vec<_>>>()?);
    }
    found.sort_by_key(|event| std::cmp::Reverse(event.seq));
    Ok(found)
}

/// One event by its `seq`.
///
/// # Errors
/// What SQLite says.
pub fn event(connection: &Connection, seq: i64) -> Result<Option<Event>> {
    let sql = format!("SELECT {}, {STATE} AS state FROM events e WHERE e.seq = ?", Event::COLUMNS);
    connection.prepare_cached(&sql)?.query_row([seq], Event::read).optional()
}

#[cfg(test)]
mod tests;
