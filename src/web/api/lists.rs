//! Events and jobs: lists that are paged by key, and single rows with all details.
//!
//! A list that runs out of time says so (`cut_short`), and where to continue (`next`).

use serde::Serialize;

use super::context::{ApiContext, Reply};
use super::error::ApiError;
use super::query::ListQuery;
use crate::inbox::reader::{Event, EventDetail, Job, JobDetail, PagedList};
use crate::model::filter::Page;

#[derive(Debug, Serialize)]
pub(super) struct ListPage<T> {
    pub(super) rows: Vec<T>,
    /// `before` of the next page.
    pub(super) next: Option<i64>,
    pub(super) cut_short: bool,
    pub(super) looked_at: u64,
}

impl<T> ListPage<T> {
    /// A page that was not searched for, but read directly.
    pub(super) fn of_rows(rows: Vec<T>, next: Option<i64>) -> Self {
        let looked_at = rows.len() as u64;
        Self { rows, next, cut_short: false, looked_at }
    }
}

impl<T> From<PagedList<T>> for ListPage<T> {
    fn from(list: PagedList<T>) -> Self {
        Self { rows: list.rows, next: list.next, cut_short: list.is_cut_short, looked_at: list.looked_at }
    }
}

pub(super) fn events(ctx: &ApiContext, query: &ListQuery) -> Result<ListPage<Event>, ApiError> {
    let (filter, limit, before) = (query.events()?, query.limit()?, query.before()?);
    let reader = ctx.inbox.reader()?;
    let Some(prefix) = query.text("id") else {
        let page = Page { before, limit, deadline: ApiContext::deadline() };
        return Ok(reader.events(&filter, page)?.into());
    };
    let mut rows = reader.events_by_id_prefix(prefix, limit)?;
    let arrival = &filter.arrival;
    rows.retain(|event| {
        (filter.states.is_empty() || filter.states.contains(&event.state))
            && arrival.source.as_ref().is_none_or(|source| *source == event.source)
            && arrival.event_type.as_ref().is_none_or(|event_type| *event_type == event.event_type)
            && arrival.since.is_none_or(|since| event.received_at >= since)
            && arrival.until.is_none_or(|until| event.received_at < until)
            && before.is_none_or(|before| event.seq < before)
    });
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(ListPage::of_rows(rows, None))
}

pub(super) fn event(ctx: &ApiContext, seq: i64) -> Result<EventDetail, ApiError> {
    ctx.inbox.reader()?.event_detail(seq)?.ok_or_else(|| ApiError::no_event(seq))
}

pub(super) fn body(ctx: &ApiContext, seq: i64) -> Result<Reply, ApiError> {
    let missing = || ApiError::NotFound(format!("there is no stored body of event {seq}"));
    let body = ctx.inbox.reader()?.body(seq)?.ok_or_else(missing)?;
    Ok(Reply::File { name: format!("event-{seq}"), body })
}

pub(super) fn jobs(ctx: &ApiContext, query: &ListQuery) -> Result<ListPage<Job>, ApiError> {
    let page = Page { before: query.before()?, limit: query.limit()?, deadline: ApiContext::deadline() };
    Ok(ctx.inbox.reader()?.jobs(&query.jobs()?, page)?.into())
}

pub(super) fn job(ctx: &ApiContext, id: i64) -> Result<JobDetail, ApiError> {
    ctx.inbox.reader()?.job(id)?.ok_or_else(|| ApiError::NotFound(format!("there is no job {id}")))
}
