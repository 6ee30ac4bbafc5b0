//! `/jobs/VERB/ID`: the progress of a bulk change, and its result.
//!
//! The page updates itself; without JavaScript it reloads. After a restart the change is unknown, and the page links to the
//! jobs that still match.

use std::time::Duration;

use maud::{Markup, html};

use crate::inbox::operator::BulkAction;
use crate::support::time::Millis;
use crate::web::bulk::{BulkProgress, BulkState};
use crate::web::dashboard::components::format::{badge, count, grouped, shown, span, when};
use crate::web::dashboard::components::job::{JOBS_PATH, JobAction};
use crate::web::dashboard::components::layout::{Layout, Tab, breadcrumbs, csrf_field};
use crate::web::dashboard::components::list::filter_facts;
use crate::web::dashboard::context::{PageContext, PageError};
use crate::web::query::PageQuery;

pub(super) fn page(ctx: &PageContext, action: JobAction, id: i64, query: &PageQuery) -> Result<Markup, PageError> {
    let progress = ctx.bulk.find(id).filter(|progress| progress.change == action.action);
    if progress.is_none() && !ctx.bulk.is_forgotten(id) {
        return Err(PageError::NotFound(format!("There is no bulk {} with id {id}.", action.name)));
    }
    let filter = query.filter();
    let title = match &progress {
        Some(progress) => title(progress, action),
        None => format!("{} of many jobs", action.label),
    };
    let links = Links { filter: &filter, jobs: &filter.link(JOBS_PATH), rest: &rest_link(action, id, &filter) };
    let main = html! {
        (breadcrumbs(links.jobs, "Jobs", action.label))
        @match &progress {
            Some(progress) => (status(ctx, action, progress, &links)),
            None => {
                h1 { (title) }
                p.lead { "hookbox was restarted after this change started, or has made many others since. Changed jobs stay changed; the others are unchanged." }
                p.confirm { a.button href=(links.rest) { "Show the rest…" } }
            }
        }
        @if filter != PageQuery::default() { (filter_facts(&filter)) }
    };
    Ok(Layout { title: &title, tab: Tab::Jobs, is_live: true, flash: None }.render(ctx, &main))
}

/// A notice for each running change, for the list of jobs.
pub(crate) fn running_changes(ctx: &PageContext) -> Markup {
    let running = ctx.bulk.list().into_iter().filter(|progress| progress.state == BulkState::Running);
    html! {
        @for progress in running {
            p.notice data-key={ "change-" (progress.id) } {
                a href={ "/jobs/" (progress.change.as_str()) "/" (progress.id) } {
                    (progress.change.as_str()) " of " (count(progress.total, "job"))
                }
                " is running: " (percent(&progress)) " % done."
            }
        }
    }
}

fn title(progress: &BulkProgress, action: JobAction) -> String {
    format!("{} of {}", action.label, count(progress.total, "job"))
}

struct Links<'a> {
    filter: &'a PageQuery,
    /// The list of jobs with the same filter.
    jobs: &'a str,
    /// The confirmation for the jobs that are still unchanged.
    rest: &'a str,
}

fn status(ctx: &PageContext, action: JobAction, progress: &BulkProgress, links: &Links<'_>) -> Markup {
    html! {
        @if progress.state == BulkState::Running { noscript { meta http-equiv="refresh" content="2"; } }
        div.title { h1 { (title(progress, action)) } (badge(state_name(progress))) }
        progress.change value=(progress.done) max=(progress.total) aria-label="Processed jobs" { (percent(progress)) " %" }
        p role="status" {
            strong { (number(progress.done)) " of " (count(progress.total, "job")) }
            @if let Some(left) = time_left(ctx.now, progress) { " · about " (span(left)) " left" }
            @if let Some(reason) = &progress.reason { ": " (shown(reason)) }
        }
        (facts(ctx, progress))
        @match progress.state {
            BulkState::Running if progress.is_stopping => p.muted { "Stopping after the current step. Changed jobs stay changed." },
            BulkState::Running => {
                p.muted { "It continues in small steps, whether or not this page is open." }
                form.confirm method="post" action={ (action.path()) "/" (progress.id) "/stop" } {
                    (csrf_field(ctx))
                    @for (name, value) in links.filter.pairs() { input type="hidden" name=(name) value=(value); }
                    button type="submit" { "Stop" }
                    span.muted { "Changed jobs stay changed." }
                }
            }
            BulkState::Done => p.confirm { a.button href=(links.jobs) { "Show jobs" } },
            BulkState::Stopped | BulkState::Failed => {
                p.muted { "Changed jobs stay changed; the others are unchanged." }
                p.confirm { a.button.primary href=(links.rest) { "Show the rest…" } a.button href=(links.jobs) { "Show jobs" } }
            }
        }
    }
}

fn facts(ctx: &PageContext, progress: &BulkProgress) -> Markup {
    html! {
        dl.facts.change-facts {
            dt { "Changed" } dd { (number(progress.changed + progress.made)) }
            @for (reason, jobs) in &progress.left { dt { "Unchanged, " (reason) } dd { (number(*jobs)) } }
            dt { "Started" } dd { (when(progress.started_at, ctx.now)) }
            @if let Some(at) = progress.finished_at { dt { "Finished" } dd { (when(at, ctx.now)) } }
        }
    }
}

fn number(number: usize) -> String {
    grouped(i64::try_from(number).unwrap_or(i64::MAX))
}

fn state_name(progress: &BulkProgress) -> &'static str {
    match progress.state {
        BulkState::Running if progress.is_stopping => "stopping",
        BulkState::Running => "running",
        BulkState::Done => "done",
        BulkState::Stopped => "stopped",
        BulkState::Failed => "failed",
    }
}

fn percent(progress: &BulkProgress) -> usize {
    progress.done * 100 / progress.total.max(1)
}

/// Extrapolates from the time that the processed jobs took.
fn time_left(now: Millis, progress: &BulkProgress) -> Option<Duration> {
    let (done, left) = (u32::try_from(progress.done).ok()?, progress.total - progress.done);
    let is_running = progress.state == BulkState::Running && done > 0;
    let factor = f64::from(u32::try_from(left).ok()?) / f64::from(done.max(1));
    let left = now.since(progress.started_at).mul_f64(factor);
    (is_running && left.as_secs() > 0).then_some(left)
}

/// The confirmation for the unchanged jobs. A replay leaves out the jobs that it has replayed already.
fn rest_link(action: JobAction, started: i64, filter: &PageQuery) -> String {
    let mut filter = filter.clone();
    if action.action == BulkAction::Replay && filter.finished_before.is_empty() {
        filter.finished_before = Millis(started).to_rfc3339();
    }
    filter.link(&action.path())
}
