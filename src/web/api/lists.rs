//! Events, jobs and refusals: lists that are paged by key, and one of each with everything.
//!
//! A list that could not be looked through in its time says so (`cut_short`) and where to go on (`next`).

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::ask::{Events, Jobs, Refusals};
use super::{Fault, Room};
use crate::config::Source;
use crate::diagnose::{self, Explanation};
use crate::inbox::reader::{Event, EventDetail, Job, JobDetail, PagedList, RefusalSummary, StoredRefusal};
use crate::model::filter::Page;
use crate::support::secret::DigestKey;
use crate::web::dashboard;

/// A page of a list, newest first.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    rows: Vec<T>,
    /// `before` of the next page.
    next: Option<i64>,
    cut_short: bool,
    looked_at: u64,
}

/// A refusal with everything that was kept and can be shown as text.
#[derive(Debug, Serialize)]
pub(super) struct RefusalDetail {
    #[serde(flatten)]
    row: RefusalSummary,
    headers: Option<Box<RawValue>>,
    body: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Explained {
    id: i64,
    source: String,
    status: u16,
    reason: String,
    #[serde(flatten)]
    explanation: Explanation,
}

impl<T> From<PagedList<T>> for List<T> {
    fn from(walk: PagedList<T>) -> Self {
        Self { rows: walk.rows, next: walk.next, cut_short: walk.is_cut_short, looked_at: walk.looked_at }
    }
}

pub(super) fn events(room: &Room, asked: &Events) -> Result<List<Event>, Fault> {
    let (filter, limit) = (asked.filter()?, asked.limit()?);
    if let Some(prefix) = &asked.id {
        let mut rows = room.inbox.reader()?.events_by_id_prefix(prefix, limit)?;
        let arrival = &filter.arrival;
        rows.retain(|event| {
            (filter.states.is_empty() || filter.states.contains(&event.state))
                && arrival.source.as_ref().is_none_or(|source| *source == event.source)
                && arrival.event_type.as_ref().is_none_or(|event_type| *event_type == event.event_type)
                && arrival.since.is_none_or(|since| event.received_at >= since)
                && arrival.until.is_none_or(|until| event.received_at < until)
                && asked.before.is_none_or(|before| event.seq < before)
        });
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let looked_at = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        return Ok(List { rows, next: None, cut_short: false, looked_at });
    }
    let reach = Page { before: asked.before, limit, deadline: Some(Room::until()) };
    Ok(room.inbox.reader()?.events(&filter, reach)?.into())
}

pub(super) fn event(room: &Room, seq: i64) -> Result<EventDetail, Fault> {
    let found = room.inbox.reader()?.event_detail(seq)?;
    found.ok_or_else(|| Fault::Missing(format!("there is no event {seq}")))
}

pub(super) fn body(room: &Room, seq: i64) -> Result<Vec<u8>, Fault> {
    let found = room.inbox.reader()?.body(seq)?;
    found.ok_or_else(|| Fault::Missing(format!("there is no body of an event {seq}")))
}

pub(super) fn jobs(room: &Room, asked: &Jobs) -> Result<List<Job>, Fault> {
    let filter = asked.filter()?;
    let reach = Page { before: asked.before, limit: asked.limit()?, deadline: Some(Room::until()) };
    Ok(room.inbox.reader()?.jobs(&filter, reach)?.into())
}

pub(super) fn job(room: &Room, id: i64) -> Result<JobDetail, Fault> {
    room.inbox.reader()?.job(id)?.ok_or_else(|| Fault::Missing(format!("there is no job {id}")))
}

pub(super) fn refusals(room: &Room, asked: &Refusals) -> Result<List<RefusalSummary>, Fault> {
    let (filter, limit) = (asked.filter()?, asked.limit()?);
    // One more than fits tells whether there is a next page.
    let wanted = Page { before: asked.before, limit: limit + 1, deadline: None };
    let mut rows = room.inbox.reader()?.refusals(&filter, wanted)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| last.id);
    let looked_at = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    Ok(List { rows, next, cut_short: false, looked_at })
}

pub(super) fn refusal(room: &Room, id: i64) -> Result<RefusalDetail, Fault> {
    let (StoredRefusal { row, refused }, _) = kept(room, id)?;
    let body = String::from_utf8_lossy(&refused.body).into_owned();
    Ok(RefusalDetail { row, headers: RawValue::from_string(refused.headers).ok(), body })
}

pub(super) fn explanation(room: &Room, id: i64) -> Result<Explained, Fault> {
    let (StoredRefusal { row, refused }, key) = kept(room, id)?;
    let sources: Vec<Arc<Source>> =
        room.setup.sources.iter().map(|source| dashboard::taught(&room.inbox, source)).collect();
    let explanation = diagnose::diagnose(&refused, &sources, key.as_ref());
    Ok(Explained { id: row.id, source: row.source, status: row.status, reason: row.reason, explanation })
}

/// A refusal, and what its tokens were digested with.
pub(super) fn kept(room: &Room, id: i64) -> Result<(StoredRefusal, Option<DigestKey>), Fault> {
    let reader = room.inbox.reader()?;
    let (kept, key) = (reader.refusal(id)?, reader.token_key()?);
    let missing = || Fault::Missing(format!("there is no refusal {id}; the newest thousand are kept"));
    Ok((kept.ok_or_else(missing)?, key))
}
