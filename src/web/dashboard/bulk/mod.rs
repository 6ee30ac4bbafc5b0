//! Actions on jobs: the forms behind the buttons, and the pages before and after them.
//!
//! A retry of one job is carried out immediately. Every other action shows a confirmation first, and one on many jobs runs
//! in the background and shows its progress.

mod confirm;
pub(super) mod progress;
mod request;

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{self, Form, Path, Query, ServiceConfig};
use serde::Deserialize;

use super::components::job::JOBS_PATH;
use super::context::{PageContext, PageError};
use super::page;
use crate::web::bulk::BulkStart;
use crate::web::query::PageQuery;

/// The form of a retry button.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RetryForm {
    /// Empty for all handlers of the event.
    handler: String,
    /// The list that the button was in, if it was in one.
    list: String,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/events/{seq:[0-9]{1,18}}/retry", web::post().to(retry_event))
        .route("/jobs/run", web::get().to(confirm_run))
        .route("/jobs/run", web::post().to(run))
        .route("/jobs/selection", web::get().to(select))
        .route("/jobs/{verb}", web::get().to(confirm))
        .route("/jobs/{verb}", web::post().to(apply))
        .route("/jobs/{verb}/{id:[0-9]{1,18}}", web::get().to(show_progress))
        .route("/jobs/{verb}/{id:[0-9]{1,18}}/stop", web::post().to(stop));
}

async fn confirm(ctx: PageContext, verb: Path<String>, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| confirm::page(ctx, request::find_action(&verb)?, &query)).await
}

async fn confirm_run(ctx: PageContext, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| confirm::run_page(ctx, &query)).await
}

async fn show_progress(ctx: PageContext, path: Path<(String, i64)>, query: Query<PageQuery>) -> HttpResponse {
    let (verb, id) = path.into_inner();
    page::show(ctx, move |ctx| progress::page(ctx, request::find_action(&verb)?, id, &query)).await
}

/// Redirects from the selected rows of a list to the confirmation for these jobs.
async fn select(ctx: PageContext, query: Query<Vec<(String, String)>>) -> HttpResponse {
    page::redirect(ctx, move |_| {
        let values = |name: &str| -> Vec<&str> {
            query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
        };
        let (verbs, jobs) = (values("verb"), values("job"));
        let verb = verbs.first().filter(|verb| !verb.is_empty());
        let verb = verb.ok_or_else(|| PageError::BadRequest("Choose an action for the selected jobs.".to_owned()))?;
        let action = request::find_action(verb)?;
        if jobs.is_empty() {
            return Err(PageError::BadRequest(format!("No job is selected: select the jobs to {}.", action.name)));
        }
        Ok(PageQuery { jobs: jobs.join(","), ..PageQuery::default() }.link(&action.path()))
    })
    .await
}

async fn stop(ctx: PageContext, path: Path<(String, i64)>, query: Form<PageQuery>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        let (verb, id) = path.into_inner();
        let progress_page = format!("{}/{id}", request::find_action(&verb)?.path());
        let link = ctx.bulk.stop(id).map(|_| query.filter().link(&progress_page));
        link.ok_or_else(|| PageError::NotFound("This change is no longer known.".to_owned()))
    })
    .await
}

/// Retries without a confirmation: the operator asked for one job, and a retry repeats no effect.
async fn retry_event(ctx: PageContext, seq: Path<i64>, form: Form<RetryForm>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        let RetryForm { handler, list } = form.into_inner();
        let query = PageQuery { event: seq.to_string(), handler, ..PageQuery::default() };
        let action = request::find_action("retry")?;
        let plan = request::plan(ctx, &request::bulk_request(action, &query)?)?;
        if plan.len() > 1 {
            return Ok(query.link("/jobs/retry"));
        }
        let changed = ctx.inbox.bulk_update(&Arc::new(plan), ctx.now, |_| true)?.changed;
        // Parsed and rebuilt, so that a forged value cannot redirect to another site.
        let list = list.strip_prefix(JOBS_PATH).map(|query| query.trim_start_matches('?'));
        let list = list.and_then(|query| Query::<PageQuery>::from_query(query).ok());
        Ok(match list {
            Some(list) => ctx.with_flash(list.into_inner(), action.name, changed).link(JOBS_PATH),
            None => ctx.with_flash(PageQuery::default(), action.name, changed).link(&format!("/events/{seq}")),
        })
    })
    .await
}

/// Changes only the jobs that the confirmation showed: newer ones are left out, and if more match by now, it asks again.
async fn apply(ctx: PageContext, verb: Path<String>, query: Form<PageQuery>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        let action = request::find_action(&verb)?;
        let request = request::bulk_request(action, &query)?;
        let Some(confirmed) = query.confirmation()? else { return Ok(query.filter().link(&action.path())) };
        let mut plan = request::plan(ctx, &request)?;
        plan.jobs.retain(|id| *id <= confirmed.newest);
        if plan.len() > confirmed.count {
            return Ok(ctx.with_flash(query.filter(), "ask", plan.len()).link(&action.path()));
        }
        let changed = match ctx.bulk.start(&ctx.inbox, plan, ctx.now)? {
            BulkStart::Finished(result) => result.changed,
            BulkStart::Running(progress) => {
                return Ok(query.filter().link(&format!("{}/{}", action.path(), progress.id)));
            }
            BulkStart::TooMany => return Err(PageError::TooManyChanges),
        };
        Ok(match query.seq()? {
            Some(seq) => ctx.with_flash(PageQuery::default(), action.name, changed).link(&format!("/events/{seq}")),
            None => ctx.with_flash(query.filter(), action.name, changed).link(JOBS_PATH),
        })
    })
    .await
}

async fn run(ctx: PageContext, query: Form<PageQuery>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        let (seq, handler) = request::event_and_handler(ctx, &query)?;
        let created = request::create_job(ctx, seq, handler)?;
        Ok(ctx.with_flash(PageQuery::default(), "run", created).link(&format!("/events/{seq}")))
    })
    .await
}
