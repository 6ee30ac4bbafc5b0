//! From the query of a form to a plan: which jobs an action changes.
//!
//! A request must name a state, an event or jobs: without one it would change more than any page shows.

use std::sync::Arc;

use crate::inbox::operator::{BulkAction, BulkPlan, BulkRequest, MissingJobs};
use crate::model::event::JobState;
use crate::model::filter::JobFilter;
use crate::web::dashboard::components::job::JobAction;
use crate::web::dashboard::context::{PageContext, PageError};
use crate::web::query::PageQuery;

pub(super) fn find_action(name: &str) -> Result<JobAction, PageError> {
    JobAction::find(name).ok_or_else(|| PageError::NotFound(format!("There is no action {name}.")))
}

pub(super) fn bulk_request(action: JobAction, query: &PageQuery) -> Result<BulkRequest, PageError> {
    let filter = query.jobs()?;
    let names_jobs = filter.events.is_some() || filter.jobs.is_some();
    if filter.states.is_empty() && !names_jobs {
        return Err(PageError::BadRequest(format!("Choose a state first, to limit which jobs to {}.", action.name)));
    }
    let revives = filter.states.contains(&JobState::Skipped) || names_jobs;
    Ok(BulkRequest { change: action.action, filter, revives })
}

pub(super) fn plan(ctx: &PageContext, request: &BulkRequest) -> Result<BulkPlan, PageError> {
    Ok(ctx.inbox.reader()?.plan_bulk_update(request, ctx.now, None)?)
}

/// The event and the handler of a query; both must exist.
pub(super) fn event_and_handler<'a>(ctx: &PageContext, query: &'a PageQuery) -> Result<(i64, &'a str), PageError> {
    let seq = query.seq()?.ok_or_else(|| PageError::BadRequest("Choose an event.".to_owned()))?;
    if query.handler.is_empty() {
        return Err(PageError::BadRequest("Choose a handler.".to_owned()));
    }
    if ctx.config.handler(&query.handler).is_none() {
        return Err(PageError::NotFound(format!("There is no handler {}.", query.handler)));
    }
    let event = ctx.inbox.reader()?.event(seq)?;
    event.map(|_| (seq, &*query.handler)).ok_or_else(|| PageError::NotFound(format!("There is no event #{seq}.")))
}

/// Creates a job for a handler that has none for this event, whether or not the handler's filter matches. Returns the
/// number of jobs created.
pub(super) fn create_job(ctx: &PageContext, seq: i64, handler: &str) -> Result<usize, PageError> {
    let filter = JobFilter { handler: Some(handler.to_owned()), events: Some(vec![seq]), ..JobFilter::default() };
    let key = |headers: &str, body: &[u8]| ctx.config.routes.key_for(handler, headers, body);
    let missing = MissingJobs { handler, reads_payload: true, takes: &|_, _, _| true, key: &key };
    let request = BulkRequest { change: BulkAction::Replay, filter, revives: false };
    let mut plan = plan(ctx, &request)?;
    plan.jobs.clear();
    ctx.inbox.reader()?.add_missing_jobs(&mut plan, &request.filter, &missing)?;
    Ok(ctx.inbox.bulk_update(&Arc::new(plan), ctx.now, |_| true)?.made)
}
