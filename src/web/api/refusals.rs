//! Refusals: the list, one with its headers and body, its explanation, and verifying it again.

use serde::Serialize;
use serde_json::value::RawValue;

use super::context::ApiContext;
use super::error::ApiError;
use super::lists::ListPage;
use super::query::ListQuery;
use crate::diagnose::Explanation;
use crate::inbox::reader::{RefusalSummary, StoredRefusal};
use crate::model::filter::Page;
use crate::web::operations::{AcceptResult, RefusalWithKey};

#[derive(Debug, Serialize)]
pub(super) struct RefusalDetail {
    #[serde(flatten)]
    row: RefusalSummary,
    headers: Option<Box<RawValue>>,
    body: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RefusalExplanation {
    id: i64,
    source: String,
    status: u16,
    reason: String,
    #[serde(flatten)]
    explanation: Explanation,
}

#[derive(Debug, Serialize)]
pub(super) struct Reverification {
    id: i64,
    taken: bool,
    events: u32,
    /// Why it was not accepted.
    reason: Option<String>,
}

pub(super) fn list(ctx: &ApiContext, query: &ListQuery) -> Result<ListPage<RefusalSummary>, ApiError> {
    let limit = query.limit()?;
    // One row more than fits shows whether there is another page.
    let page = Page { before: query.before()?, limit: limit + 1, deadline: None };
    let mut rows = ctx.inbox.reader()?.refusals(&query.arrival()?, page)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| last.id);
    Ok(ListPage::of_rows(rows, next))
}

pub(super) fn detail(ctx: &ApiContext, id: i64) -> Result<RefusalDetail, ApiError> {
    let StoredRefusal { row, refused } = find(ctx, id)?.refusal;
    let body = String::from_utf8_lossy(&refused.body).into_owned();
    Ok(RefusalDetail { row, headers: RawValue::from_string(refused.headers).ok(), body })
}

pub(super) fn explanation(ctx: &ApiContext, id: i64) -> Result<RefusalExplanation, ApiError> {
    let stored = find(ctx, id)?;
    let explanation = ctx.operations().diagnose(&stored);
    let RefusalSummary { source, status, reason, .. } = stored.refusal.row;
    Ok(RefusalExplanation { id, source, status, reason, explanation })
}

pub(super) fn reverify(ctx: &ApiContext, id: i64) -> Result<Reverification, ApiError> {
    let (events, reason) = match ctx.operations().accept(id, &find(ctx, id)?)? {
        AcceptResult::Accepted(events) => (events, None),
        AcceptResult::AlreadyAccepted => (0, Some("it was accepted before".to_owned())),
        AcceptResult::Rejected(reason) => (0, Some(reason)),
    };
    Ok(Reverification { id, taken: reason.is_none(), events, reason })
}

fn find(ctx: &ApiContext, id: i64) -> Result<RefusalWithKey, ApiError> {
    let missing = || ApiError::NotFound(format!("there is no refusal {id}; the newest thousand are stored"));
    ctx.operations().refusal(id)?.ok_or_else(missing)
}
