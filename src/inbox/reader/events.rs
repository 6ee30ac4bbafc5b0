//! Single events with their payloads, jobs and attempts, lookup by the text that a user typed, and refusals.

use std::sync::LazyLock;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params_from_iter};
use serde::Serialize;
use serde_json::value::RawValue;

use super::rows::{Attempt, Event, EventDetail, Job, JobDetail, job_where};
use super::sql::{WhereClause, distinct, sources};
use crate::inbox::types::Payload;
use crate::metrics::NO_SOURCE;
use crate::model::event::EventState;
use crate::model::filter::{ArrivalFilter, Page};
use crate::model::refusal::RefusedDelivery;
use crate::support::time::{HOUR_MS, Millis};

/// At most this many paths without a source are shown.
const SHOWN_UNKNOWN_PATHS: u32 = 5;

/// The state of `events e`: the first of [`EventState::ALL`] that one of its jobs is in. The view `inbox` has the same.
pub(super) static STATE: LazyLock<String> = LazyLock::new(|| {
    let states = EventState::ALL.iter().filter(|state| **state != EventState::Unmatched);
    let (mut ranks, mut names) = (String::new(), String::new());
    for (rank, state) in states.enumerate() {
        ranks += &format!(" WHEN '{state}' THEN {rank}");
        names += &format!(" WHEN {rank} THEN '{state}'");
    }
    format!(
        "coalesce((SELECT CASE min(CASE s.state{ranks} END){names} END FROM jobs s WHERE s.event_seq = e.seq), '{}')",
        EventState::Unmatched
    )
});

/// What a text names.
#[derive(Debug)]
pub enum LookupResult {
    Event(Box<Event>),
    /// The text is ambiguous; in order of arrival.
    Several(Vec<Event>),
    /// Events that were deleted; their ids are still known.
    Deleted(Vec<DeletedEvent>),
    Nothing,
}

/// A row of `seen_ids`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedEvent {
    pub source: String,
    pub event_id: String,
    pub received_at: Millis,
}

fn event_where(connection: &Connection, condition: &str, values: &[&dyn ToSql]) -> Result<Option<Event>> {
    let sql = format!("SELECT {}, {} AS state FROM events e WHERE {condition}", Event::COLUMNS, *STATE);
    connection.prepare_cached(&sql)?.query_row(values, Event::read).optional()
}

pub(super) fn event(connection: &Connection, seq: i64) -> Result<Option<Event>> {
    event_where(connection, "e.seq = ?", &[&seq])
}

/// Returns the payload of an event; `None` if it is no longer stored.
pub(super) fn payload(connection: &Connection, event_seq: i64) -> Result<Option<Payload>> {
    connection
        .prepare_cached("SELECT headers, content_type, body FROM payloads WHERE event_seq = ?1")?
        .query_row([event_seq], |row| {
            Ok(Payload { headers: row.get(0)?, content_type: row.get(1)?, body: row.get(2)? })
        })
        .optional()
}

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
    let jobs = jobs.into_iter().map(|job| with_attempts(connection, job)).collect::<Result<_>>()?;
    let headers = headers.and_then(|headers| RawValue::from_string(headers).ok());
    Ok(Some(EventDetail { event, content_type, headers, jobs }))
}

pub(super) fn job_detail(connection: &Connection, id: i64) -> Result<Option<JobDetail>> {
    job_where(connection, "j.id = ?", [id])?.map(|job| with_attempts(connection, job)).transpose()
}

fn with_attempts(connection: &Connection, job: Job) -> Result<JobDetail> {
    let sql = format!("SELECT {} FROM attempts a WHERE a.job_id = ? ORDER BY a.number", Attempt::COLUMNS);
    let attempts = connection.prepare_cached(&sql)?.query_map([job.id], Attempt::read)?.collect::<Result<_>>()?;
    Ok(JobDetail { job, attempts })
}

pub(super) fn body(connection: &Connection, seq: i64) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT body FROM payloads WHERE event_seq = ?";
    connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()
}

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

pub(super) fn newest_seq(connection: &Connection) -> Result<Option<i64>> {
    connection.prepare_cached("SELECT max(seq) FROM events")?.query_row([], |row| row.get(0))
}

/// Events whose id starts with `prefix`, newest first; of each source the first `limit` by id.
pub(super) fn events_by_id_prefix(connection: &Connection, prefix: &str, limit: u32) -> Result<Vec<Event>> {
    let sql = format!(
        "SELECT {}, {} AS state FROM events e WHERE e.source = ?1 AND e.event_id >= ?2 \
         AND e.event_id < ?2 || char(1114111) ORDER BY e.event_id LIMIT {limit}",
        Event::COLUMNS,
        *STATE
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

/// Finds an event by its id, as `source/id` or as `#seq`. Ids may contain slashes and hashes: all readings are tried,
/// except that `#` and digits always mean the seq.
pub(super) fn lookup(connection: &Connection, text: &str) -> Result<LookupResult> {
    if let Some(seq) = text.strip_prefix('#').and_then(|digits| digits.parse().ok()) {
        return Ok(event(connection, seq)?.map_or(LookupResult::Nothing, |event| LookupResult::Event(Box::new(event))));
    }
    let mut events = Vec::new();
    for (source, event_id) in readings(text, &sources(connection)?) {
        events.extend(event_where(connection, "e.source = ? AND e.event_id = ?", &[&source, &event_id])?);
    }
    events.sort_by_key(|event| event.seq);
    match events.pop() {
        None => deleted(connection, text),
        Some(event) if events.is_empty() => Ok(LookupResult::Event(Box::new(event))),
        Some(event) => {
            events.push(event);
            Ok(LookupResult::Several(events))
        }
    }
}

fn deleted(connection: &Connection, text: &str) -> Result<LookupResult> {
    let mut deleted = Vec::new();
    let mut find = connection.prepare_cached("SELECT received_at FROM seen_ids WHERE source = ? AND event_id = ?")?;
    for (source, event_id) in readings(text, &distinct(connection, "seen_ids", "source")?) {
        let received_at = find.query_row([source, event_id], |row| row.get(0).map(Millis)).optional()?;
        deleted.extend(received_at.map(|received_at| DeletedEvent {
            source: source.to_owned(),
            event_id: event_id.to_owned(),
            received_at,
        }));
    }
    Ok(if deleted.is_empty() { LookupResult::Nothing } else { LookupResult::Deleted(deleted) })
}

/// Every source and event id that the text can mean.
fn readings<'a>(text: &'a str, sources: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let plain = sources.iter().map(|source| (source.as_str(), text));
    let qualified = text.split_once('/').filter(|(source, _)| sources.iter().any(|known| known == source));
    plain.chain(qualified).collect()
}

/// A row of `refusals` without headers and body.
#[derive(Debug, Clone, Serialize)]
pub struct RefusalSummary {
    pub id: i64,
    pub source: String,
    pub received_at: Millis,
    /// Of the response.
    pub status: u16,
    pub reason: String,
    /// The client's address, if it is known.
    pub remote: Option<String>,
    pub method: String,
    /// Path and query; tokens are `***`.
    pub target: String,
    /// Length of the body, or the announced length if the body was not read.
    pub body_bytes: i64,
    /// When it was stored as an event after all.
    pub taken_at: Option<Millis>,
}

#[derive(Debug, Clone)]
pub struct StoredRefusal {
    pub row: RefusalSummary,
    pub refused: RefusedDelivery,
}

const REFUSAL_COLUMNS: &str =
    "e.id, e.source, e.received_at, e.status, e.reason, e.remote, e.method, e.target, e.body_bytes, e.taken_at";

impl RefusalSummary {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            source: row.get("source")?,
            received_at: Millis(row.get("received_at")?),
            status: row.get("status")?,
            reason: row.get("reason")?,
            remote: row.get("remote")?,
            method: row.get("method")?,
            target: row.get("target")?,
            body_bytes: row.get("body_bytes")?,
            taken_at: row.get::<_, Option<i64>>("taken_at")?.map(Millis),
        })
    }
}

pub(super) fn refusals(connection: &Connection, arrival: &ArrivalFilter, page: Page) -> Result<Vec<RefusalSummary>> {
    let mut conditions = WhereClause::default();
    if let Some(before) = page.before {
        conditions.and("e.id < ?", [Value::Integer(before)]);
    }
    conditions.arrival(&ArrivalFilter { event_type: None, ..arrival.clone() });
    let (conditions, values) = (conditions.sql().to_owned(), conditions.values);
    let sql = format!("SELECT {REFUSAL_COLUMNS} FROM refusals e {conditions} ORDER BY e.id DESC LIMIT {}", page.limit);
    connection.prepare(&sql)?.query_map(params_from_iter(values), RefusalSummary::read)?.collect()
}

pub(super) fn refusal(connection: &Connection, id: i64) -> Result<Option<StoredRefusal>> {
    let sql = format!("SELECT {REFUSAL_COLUMNS}, e.headers, e.tokens, e.body FROM refusals e WHERE e.id = ?");
    let read = |row: &Row<'_>| {
        let refusal = RefusalSummary::read(row)?;
        let refused = RefusedDelivery {
            source: refusal.source.clone(),
            received_at: refusal.received_at,
            status: refusal.status,
            reason: refusal.reason.clone(),
            remote: refusal.remote.clone(),
            method: refusal.method.clone(),
            target: refusal.target.clone(),
            headers: row.get("headers")?,
            tokens: row.get("tokens")?,
            body: row.get("body")?,
            body_bytes: u64::try_from(refusal.body_bytes).unwrap_or(0),
        };
        Ok(StoredRefusal { row: refusal, refused })
    };
    connection.prepare(&sql)?.query_row([id], read).optional()
}

/// Requests of the last day to a path that no source has.
#[derive(Debug, Clone, Serialize)]
pub struct UnknownPath {
    /// Path and query; tokens are `***`.
    pub target: String,
    /// Contains the path that was probably meant.
    pub reason: String,
    /// Of the stored requests; a flood is not stored completely.
    pub count: i64,
    pub last_at: Millis,
}

/// Those with a suggestion first, then the latest.
pub(super) fn unknown_paths(connection: &Connection, now: Millis) -> Result<Vec<UnknownPath>> {
    let sql = "SELECT target, reason, count(*) AS count, max(received_at) AS last_at FROM refusals
               WHERE source = ? AND received_at >= ? GROUP BY target, reason
               ORDER BY instr(reason, 'did you mean') = 0, last_at DESC, max(id) DESC LIMIT ?";
    let read = |row: &Row<'_>| {
        Ok(UnknownPath {
            target: row.get("target")?,
            reason: row.get("reason")?,
            count: row.get("count")?,
            last_at: Millis(row.get("last_at")?),
        })
    };
    let since = now.0.saturating_sub(HOUR_MS * 24);
    connection.prepare(sql)?.query_map((NO_SOURCE, since, SHOWN_UNKNOWN_PATHS), read)?.collect()
}
