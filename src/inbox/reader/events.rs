//! Single events: the row, its payload, its jobs with their attempts, and lookup by the text that a user typed.

use rusqlite::{Connection, OptionalExtension, Result};
use serde_json::value::RawValue;

use super::rows::{Attempt, Event, EventDetail, Job, JobDetail};
use super::stats::{distinct, sources};
use crate::support::time::Millis;

/// The overall state of `events e`, as the view `inbox` has it.
pub(super) const STATE: &str = "coalesce((SELECT CASE min(CASE s.state WHEN 'running' THEN 1 WHEN 'dead' THEN 2 WHEN 'pending' THEN 3 \
     WHEN 'succeeded' THEN 4 ELSE 5 END) WHEN 1 THEN 'running' WHEN 2 THEN 'dead' WHEN 3 THEN 'pending' \
     WHEN 4 THEN 'succeeded' WHEN 5 THEN 'skipped' END FROM jobs s WHERE s.event_seq = e.seq), 'unmatched')";

/// One event with its headers, jobs and attempts.
pub(super) fn event_detail(connection: &Connection, seq: i64) -> Result<Option<EventDetail>> {
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
    let jobs = jobs.into_iter().map(|job| Ok(JobDetail { attempts: attempts(connection, job.id)?, job }));
    let headers = headers.and_then(|headers| RawValue::from_string(headers).ok());
    Ok(Some(EventDetail { event, content_type, headers, jobs: jobs.collect::<Result<_>>()? }))
}

pub(super) fn job_detail(connection: &Connection, id: i64) -> Result<Option<JobDetail>> {
    let sql = format!("SELECT {} FROM jobs j JOIN events e ON e.seq = j.event_seq WHERE j.id = ?", Job::COLUMNS);
    let job = connection.prepare_cached(&sql)?.query_row([id], Job::read).optional()?;
    job.map(|job| Ok(JobDetail { attempts: attempts(connection, id)?, job })).transpose()
}

/// The attempts of one job, in order.
pub(super) fn attempts(connection: &Connection, job_id: i64) -> Result<Vec<Attempt>> {
    let sql = format!("SELECT {} FROM attempts a WHERE a.job_id = ? ORDER BY a.number", Attempt::COLUMNS);
    connection.prepare_cached(&sql)?.query_map([job_id], Attempt::read)?.collect()
}

/// The exact bytes received; `None` when there is no such event or its payload is gone.
pub(super) fn body(connection: &Connection, seq: i64) -> Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT body FROM payloads WHERE event_seq = ?")?
        .query_row([seq], |row| row.get(0))
        .optional()
}

/// The first bytes of a body, and how long it is; `None` when its payload is gone.
pub(super) fn body_start(connection: &Connection, seq: i64, limit: usize) -> Result<Option<(Vec<u8>, usize)>> {
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
pub(super) fn events_by_id_prefix(connection: &Connection, prefix: &str, limit: u32) -> Result<Vec<Event>> {
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
pub(super) fn event(connection: &Connection, seq: i64) -> Result<Option<Event>> {
    let sql = format!("SELECT {}, {STATE} AS state FROM events e WHERE e.seq = ?", Event::COLUMNS);
    connection.prepare_cached(&sql)?.query_row([seq], Event::read).optional()
}

/// What a text turned out to mean.
#[derive(Debug)]
pub enum LookupResult {
    /// Exactly one event.
    One(Box<Event>),
    /// Several, in order of arrival.
    Several(Vec<Event>),
    /// Only keys of events that are gone.
    PrunedEvent(Vec<PrunedEvent>),
    /// Nothing.
    Nothing,
}

/// A row of `seen_ids`: an event that was pruned and is still known as a duplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunedEvent {
    /// NAME of `[sources.NAME]`.
    pub source: String,
    /// The provider's id.
    pub event_id: String,
    /// Of the first delivery.
    pub received_at: Millis,
}

/// Finds the event that a person means.
pub(super) fn lookup(connection: &Connection, wanted: &str) -> Result<LookupResult> {
    if let Some(seq) = wanted.strip_prefix('#').and_then(|digits| digits.parse().ok()) {
        return Ok(event(connection, seq)?.map_or(LookupResult::Nothing, |event| LookupResult::One(Box::new(event))));
    }
    let mut events = Vec::new();
    for (source, event_id) in readings(wanted, &sources(connection)?) {
        let sql =
            format!("SELECT {}, {STATE} AS state FROM events e WHERE e.source = ? AND e.event_id = ?", Event::COLUMNS);
        events.extend(connection.prepare_cached(&sql)?.query_row([source, event_id], Event::read).optional()?);
    }
    events.sort_by_key(|event| event.seq);
    match events.pop() {
        None => pruned(connection, wanted),
        Some(event) if events.is_empty() => Ok(LookupResult::One(Box::new(event))),
        Some(event) => {
            events.push(event);
            Ok(LookupResult::Several(events))
        }
    }
}

fn pruned(connection: &Connection, wanted: &str) -> Result<LookupResult> {
    let mut keys = Vec::new();
    for (source, event_id) in readings(wanted, &distinct(connection, "seen_ids", "source")?) {
        let mut statement =
            connection.prepare_cached("SELECT received_at FROM seen_ids WHERE source = ? AND event_id = ?")?;
        let received_at = statement.query_row([source, event_id], |row| row.get(0).map(Millis)).optional()?;
        keys.extend(received_at.map(|received_at| PrunedEvent {
            source: source.to_owned(),
            event_id: event_id.to_owned(),
            received_at,
        }));
    }
    Ok(if keys.is_empty() { LookupResult::Nothing } else { LookupResult::PrunedEvent(keys) })
}

/// Every (source, event id) that a text can mean.
fn readings<'a>(wanted: &'a str, sources: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let plain = sources.iter().map(|source| (source.as_str(), wanted));
    let qualified = wanted.split_once('/').filter(|(source, _)| sources.iter().any(|known| known == source));
    plain.chain(qualified).collect()
}
