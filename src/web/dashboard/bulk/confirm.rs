//! The confirmation before an action: which jobs, how many, and what happens to them.
//!
//! The form carries the number of jobs and the newest of them, so that it changes no more than the page shows. Counting
//! has a time limit. When it is reached, the page says "at least" and has to count to the end before it offers the action.

use maud::{Markup, html};

use super::request::{bulk_request, event_and_handler};
use crate::inbox::operator::{BulkAction, BulkPlan, SkipReason};
use crate::model::filter::{JobFilter, Page};
use crate::web::dashboard::components::format::{count, shown};
use crate::web::dashboard::components::job::{JOBS_PATH, JobAction};
use crate::web::dashboard::components::layout::{Flash, Layout, Tab, breadcrumbs, csrf_field};
use crate::web::dashboard::components::list::filter_facts;
use crate::web::dashboard::context::{PageContext, PageError};
use crate::web::query::PageQuery;

pub(super) fn page(ctx: &PageContext, action: JobAction, query: &PageQuery) -> Result<Markup, PageError> {
    let request = bulk_request(action, query)?;
    let deadline = (query.n != "all").then(PageContext::deadline);
    let plan = ctx.inbox.reader()?.plan_bulk_update(&request, ctx.now, deadline)?;
    let filter = query.filter();
    let title = format!("{} {}?", action.label, job_count(&plan));
    let parent = Parent::of(query)?;
    let main = html! {
        (breadcrumbs(&parent.href, &parent.label, action.label))
        h1 { (title) }
        p.lead { (action.effect) }
        @if action.action != BulkAction::Skip { (paused_notices(&paused_with_matches(ctx, query)?)) }
        (filter_facts(&filter))
        @if !plan.left.is_empty() {
            h2 { "Unchanged" }
            ul.plain-list { @for (reason, jobs) in &plan.left { li { (count(*jobs, "job")) ": " (explain(*reason)) } } }
        }
        @if !plan.is_complete {
            p.reach { "Counting took too long and was stopped. At least this many jobs match. "
                a href=(PageQuery { n: "all".into(), ..filter.clone() }.link(&action.path())) { "Count all of them" } }
        }
        form.confirm method="post" action=(action.path()) {
            (csrf_field(ctx))
            @for (name, value) in filter.pairs() { input type="hidden" name=(name) value=(value); }
            @match plan.jobs.iter().max().filter(|_| plan.is_complete) {
                Some(newest) => {
                    input type="hidden" name="newest" value=(newest);
                    input type="hidden" name="count" value=(plan.len());
                    button.primary type="submit" { (action.label) " " (job_count(&plan)) }
                }
                None => @if plan.is_complete { p.muted { "There is nothing to " (action.name) "." } },
            }
            a.button href=(parent.href) { "Cancel" }
        }
    };
    let flash = Flash::read(ctx, query);
    Ok(Layout { title: &title, tab: Tab::Jobs, is_live: false, flash }.render(ctx, &main))
}

/// The confirmation before a handler runs on an event that it has no job for.
pub(super) fn run_page(ctx: &PageContext, query: &PageQuery) -> Result<Markup, PageError> {
    event_and_handler(ctx, query)?;
    let filter = query.filter();
    let parent = Parent::of(query)?;
    let title = format!("Run {} on 1 event?", shown(&query.handler));
    let main = html! {
        (breadcrumbs(&parent.href, &parent.label, "Run"))
        h1 { (title) }
        p.lead { "The handler gets a new job for this event and runs now, whether or not its filter matches." }
        (paused_notices(&paused(ctx, &query.handler)?))
        (filter_facts(&filter))
        form.confirm method="post" action="/jobs/run" {
            (csrf_field(ctx))
            @for (name, value) in filter.pairs() { input type="hidden" name=(name) value=(value); }
            button.primary type="submit" { "Run 1 new job" }
            a.button href=(parent.href) { "Cancel" }
        }
    };
    Ok(Layout { title: &title, tab: Tab::Jobs, is_live: false, flash: None }.render(ctx, &main))
}

/// Names of the paused handlers; all, or only `handler` unless it is empty.
fn paused(ctx: &PageContext, handler: &str) -> Result<Vec<String>, PageError> {
    let states = ctx.inbox.reader()?.handler_states()?;
    let is_asked = |name: &str| handler.is_empty() || handler == name;
    let paused = states.iter().filter(|state| state.paused_by.is_some() && is_asked(&state.name));
    Ok(paused.map(|state| state.name.to_string()).collect())
}

/// The paused handlers that have matching jobs, as far as the time limit allows.
fn paused_with_matches(ctx: &PageContext, query: &PageQuery) -> Result<Vec<String>, PageError> {
    let deadline = Some(PageContext::deadline());
    let mut found = Vec::new();
    for name in paused(ctx, &query.handler)? {
        let filter = JobFilter { handler: Some(name.clone()), ..query.jobs()? };
        let list = ctx.inbox.reader()?.jobs(&filter, Page { before: None, limit: 1, deadline })?;
        if !list.rows.is_empty() {
            found.push(name);
        }
    }
    Ok(found)
}

fn paused_notices(handlers: &[String]) -> Markup {
    html! {
        @for name in handlers {
            p.notice.warn { "Handler " strong { (shown(name)) } " is paused: its jobs wait until it is resumed." }
        }
    }
}

/// The page that led here.
struct Parent {
    href: String,
    label: String,
}

impl Parent {
    fn of(query: &PageQuery) -> Result<Self, PageError> {
        Ok(match query.seq()? {
            Some(seq) => Self { href: format!("/events/{seq}"), label: format!("Event #{seq}") },
            None => Self { href: query.filter().link(JOBS_PATH), label: "Jobs".to_owned() },
        })
    }
}

fn job_count(plan: &BulkPlan) -> String {
    let number = count(plan.len(), "job");
    if plan.is_complete { number } else { format!("at least {number}") }
}

fn explain(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Succeeded => "succeeded",
        SkipReason::Dead => "dead; a retry runs them again",
        SkipReason::Pending => "pending; they run anyway",
        SkipReason::Due => "already due",
        SkipReason::Blocked => "blocked by another job with the same ordering key",
        SkipReason::Running => "running; skip stops them",
        SkipReason::Skipped => "already skipped",
        SkipReason::Ending => "their last attempt is still ending",
        SkipReason::Pruned => "the body of the event is no longer stored",
        SkipReason::Overtaken => "changed in the meantime",
    }
}
