//! `/jobs`: the list of jobs, newest first, with actions on single jobs, selected jobs and all jobs of a filter.
//!
//! Actions on all jobs of a filter require a state, and lead to a confirmation page.

use actix_web::HttpResponse;
use actix_web::web::{self, Query, ServiceConfig};
use maud::{Markup, html};

use super::bulk::progress::running_changes;
use super::components::format::{badge, event_type, shown, when};
use super::components::job::{ActionButton, JOB_ACTIONS, JOBS_PATH as PATH, status_text};
use super::components::layout::{Flash, Layout, Tab};
use super::components::list::{self, FilterForm};
use super::context::{PageContext, PageError};
use super::page;
use crate::inbox::reader::Job;
use crate::model::event::JobState;
use crate::web::query::PageQuery;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route(PATH, web::get().to(show));
}

async fn show(ctx: PageContext, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| render(ctx, &query)).await
}

fn render(ctx: &PageContext, query: &PageQuery) -> Result<Markup, PageError> {
    let filter = query.jobs()?;
    let list = ctx.inbox.reader()?.jobs(&filter, PageContext::list_page(query.before()?))?;
    let form = FilterForm {
        path: PATH,
        query,
        fields: html! {
            (list::select("handler", "Handler", &ctx.config.handler_names(), &query.handler))
            (list::source_field(ctx, query))
            (list::text_field("type", "Type", &query.event_type, "push or invoice.*"))
        },
        more_fields: html! {
            (list::text_field("reason", "Reason", &query.reason, "exit 1 or *timeout*"))
            (list::time_fields(query))
        },
        is_open: !(query.reason.is_empty() && query.since.is_empty() && query.until.is_empty()),
    };
    let main = html! {
        h1 { "Jobs" }
        (list::state_links(PATH, query, JobState::ALL.iter().map(|state| state.as_str())))
        (form.render())
        (running_changes(ctx))
        @if list.rows.is_empty() {
            @if !list.is_cut_short { p.empty { (empty_text(query)) } }
        } @else {
            (bulk_actions(query, &filter.states))
            (table(ctx, &list.rows, &PageQuery { before: query.before.clone(), ..query.filter() }.link(PATH)))
        }
        (list::paging(PATH, query, &list, "job"))
    };
    let flash = Flash::read(ctx, query);
    Ok(Layout { title: "Jobs", tab: Tab::Jobs, is_live: true, flash }.render(ctx, &main))
}

fn empty_text(query: &PageQuery) -> &'static str {
    match query.state.as_str() {
        "dead" => "No dead job matches this filter. There is nothing to do here.",
        _ if query.has_filter() => "No job matches this filter.",
        _ => "No jobs yet. An event creates one for each handler that matches it.",
    }
}

/// Actions on the selected jobs and on all jobs of the filter.
fn bulk_actions(query: &PageQuery, states: &[JobState]) -> Markup {
    let actions: Vec<_> = JOB_ACTIONS.into_iter().filter(|action| action.applies_to(states)).collect();
    html! {
        div.bulk-actions {
            form.inline #selection method="get" action="/jobs/selection" {
                span #selected-count { "Selected:" }
                @for action in &actions { button.small type="submit" name="verb" value=(action.name) { (action.label) "…" } }
            }
            @if states.is_empty() {
                p.muted { "Choose a state to retry, replay or skip all jobs that match the filter." }
            } @else {
                div.inline {
                    span { "All matching jobs:" }
                    @for action in actions {
                        a.button.small href=(query.filter().link(&action.path())) { (action.label) " all…" }
                    }
                }
            }
        }
    }
}

fn table(ctx: &PageContext, jobs: &[Job], list: &str) -> Markup {
    html! {
        table.list.selectable role="table" {
            caption.visually-hidden { "Jobs, newest first" }
            thead role="rowgroup" { tr role="row" {
                th.select role="columnheader" scope="col" {
                    input type="checkbox" data-select-all="selection" aria-label="Select all jobs on this page" hidden;
                    span.visually-hidden { "Selected" }
                }
                th role="columnheader" scope="col" { "Event" }
                th role="columnheader" scope="col" { "State" }
                th role="columnheader" scope="col" { "Handler" }
                th role="columnheader" scope="col" { "Status" }
                th.number role="columnheader" scope="col" { "Attempts" }
                th role="columnheader" scope="col" { "Created" }
                th role="columnheader" scope="col" { span.visually-hidden { "Actions" } }
            } }
            tbody role="rowgroup" { @for job in jobs { (row(ctx, job, list)) } }
        }
    }
}

fn row(ctx: &PageContext, job: &Job, list: &str) -> Markup {
    let label = format!("Select #{} for {}", job.event_seq, shown(&job.handler));
    let button =
        |action| ActionButton { action, seq: job.event_seq, handler: &job.handler, jobs: 1, list, class: "small" };
    html! {
        tr role="row" data-key={ "j-" (job.id) } {
            td.select role="cell" { input type="checkbox" form="selection" name="job" value=(job.id) aria-label=(label); }
            th.lead-cell role="rowheader" scope="row" {
                a href={ "/events/" (job.event_seq) "#job-" (job.id) } { (event_type(&job.event_type)) }
                " " span.seq { "#" (job.event_seq) }
                span.under { (shown(&job.source)) }
            }
            td role="cell" data-label="State" { (badge(job.state.as_str())) }
            td role="cell" data-label="Handler" { (shown(&job.handler)) }
            td.why role="cell" data-label="Status" { (status_text(job, ctx.now)) }
            td.number role="cell" data-label="Attempts" { (job.attempt) }
            td.when role="cell" data-label="Created" { (when(job.created_at, ctx.now)) }
            td.acts role="cell" {
                div.actions { @for action in JOB_ACTIONS { @if action.is_useful(job, true) { (button(action).render(ctx)) } } }
            }
        }
    }
}
