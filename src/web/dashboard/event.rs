//! `/events/SEQ`: one event with its jobs, attempts, output, headers and body.
//!
//! The body is displayed as text and can be downloaded as received.

use actix_web::HttpResponse;
use actix_web::web::{self, Path, Query, ServiceConfig};
use maud::{Markup, html};

use super::components::body::{StoredBody, display_limit};
use super::components::format::{badge, event_type, grouped, header_list, shown, size, when};
use super::components::job::{ActionButton, JOB_ACTIONS, JobAction};
use super::components::layout::{Flash, Layout, Tab, breadcrumbs};
use super::components::{attempts, reproduce};
use super::context::{PageContext, PageError};
use super::page;
use crate::inbox::operator::BulkAction;
use crate::inbox::reader::{EventDetail, Job, JobDetail};
use crate::model::event::JobState;
use crate::web::query::{PageQuery, encoded};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/events/{seq:[0-9]{1,18}}", web::get().to(show))
        .route("/events/{seq:[0-9]{1,18}}/body", web::get().to(download));
}

async fn show(ctx: PageContext, seq: Path<i64>, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| render(ctx, *seq, &query)).await
}

async fn download(ctx: PageContext, seq: Path<i64>) -> HttpResponse {
    let seq = seq.into_inner();
    page::download(ctx, format!("event-{seq}.body"), move |ctx| {
        let body = ctx.inbox.reader()?.body(seq)?;
        body.ok_or_else(|| PageError::NotFound(format!("The body of event #{seq} is not stored.")))
    })
    .await
}

fn render(ctx: &PageContext, seq: i64, query: &PageQuery) -> Result<Markup, PageError> {
    let reader = ctx.inbox.reader()?;
    let not_found = || PageError::NotFound(format!("There is no event #{seq}."));
    let detail = reader.event_detail(seq)?.ok_or_else(not_found)?;
    let start = reader.body_start(seq, display_limit(query))?;
    let event = &detail.event;
    let title = format!("{} #{}", event_type(&event.event_type), event.seq);
    let body = StoredBody {
        start: start.as_ref().map(|(start, length)| (start.as_slice(), *length)),
        page: &format!("/events/{seq}"),
        download: "Download as received",
    };
    let main = html! {
        (breadcrumbs("/events", "Events", &shown(&event.source)))
        div.title {
            h1 { (event_type(&event.event_type)) }
            (badge(event.state.as_str()))
            (actions(ctx, &detail))
            p.event-id {
                code #event-id { (shown(&event.event_id)) }
                button.quiet type="button" data-copy="event-id" hidden { "Copy" }
                span.seq { "#" (event.seq) }
                span.muted { (when(event.received_at, ctx.now)) }
            }
        }
        div.split {
            div.split-main {
                section aria-labelledby="jobs" {
                    h2 #jobs { "Jobs" }
                    @if detail.jobs.is_empty() { p.empty { "No handler matched this event." } }
                    @for job in by_urgency(&detail) { (attempts::job(ctx, job)) }
                    (run_another(ctx, &detail))
                }
                (body.render(query))
                @if start.is_some() { (reproduce::section(&detail)) }
            }
            aside.split-side aria-label="About this event" { (facts(&detail)) (headers(&detail)) }
        }
    };
    let flash = Flash::read(ctx, query);
    Ok(Layout { title: &title, tab: Tab::Events, is_live: true, flash }.render(ctx, &main))
}

/// Buttons for the actions that are useful for some of the event's jobs.
fn actions(ctx: &PageContext, detail: &EventDetail) -> Markup {
    let jobs: Vec<&Job> = detail.jobs.iter().map(|detail| &detail.job).collect();
    let has_payload = detail.headers.is_some();
    let button = |action: JobAction| {
        let count = jobs.iter().filter(|job| action.is_useful(job, has_payload)).count();
        let is_primary = action.action == BulkAction::Retry && jobs.iter().any(|job| job.state == JobState::Dead);
        let class = if is_primary { "primary" } else { "" };
        (count > 0).then_some(ActionButton { action, seq: detail.event.seq, handler: "", jobs: count, list: "", class })
    };
    html! { div.actions { @for button in JOB_ACTIONS.into_iter().filter_map(button) { (button.render(ctx)) } } }
}

/// Jobs that need attention come first.
fn by_urgency(detail: &EventDetail) -> Vec<&JobDetail> {
    let mut jobs: Vec<&JobDetail> = detail.jobs.iter().collect();
    jobs.sort_by_key(|detail| match detail.job.state {
        JobState::Dead => 0,
        JobState::Pending | JobState::Running if detail.job.failures > 0 => 1,
        JobState::Running => 2,
        JobState::Pending => 3,
        JobState::Succeeded | JobState::Skipped => 4,
    });
    jobs
}

/// A form to run a handler that has no job for this event.
fn run_another(ctx: &PageContext, detail: &EventDetail) -> Markup {
    let has_job = |name: &String| detail.jobs.iter().any(|detail| detail.job.handler == *name);
    let others: Vec<_> = ctx.config.handler_names().into_iter().filter(|name| !has_job(name)).collect();
    html! {
        @if !others.is_empty() && detail.headers.is_some() {
            form.inline.another method="get" action="/jobs/run" {
                input type="hidden" name="event" value=(detail.event.seq);
                label for="another" { "Run another handler" }
                select #another.small name="handler" { @for name in others { option value=(name) { (shown(&name)) } } }
                button.small type="submit" { "Run…" }
            }
        }
    }
}

fn facts(detail: &EventDetail) -> Markup {
    let event = &detail.event;
    html! {
        dl.facts {
            dt { "Source" } dd { a href={ "/events?source=" (encoded(&event.source)) } { (shown(&event.source)) } }
            dt { "Delivered" } dd { @if event.deliveries == 1 { "once" } @else { (grouped(event.deliveries)) " times" }
                @if event.deviating_deliveries > 0 {
                    ", " strong { (grouped(event.deviating_deliveries)) " with another body" }
                    " that was not stored. If the id is not that of one event, set " code { "id_scope" } " of the source."
                }
            }
            dt { "Body" } dd { (size(event.body_bytes)) ", " (detail.content_type.as_deref().map_or_else(|| "no content type".to_owned(), shown)) }
            dt { "SHA-256" } dd { code.hash { (hex::encode(&event.body_sha256)) } }
        }
    }
}

fn headers(detail: &EventDetail) -> Markup {
    html! {
        section aria-labelledby="headers" {
            h2 #headers { "Headers" }
            @match &detail.headers {
                None => p.empty { "No longer stored." },
                Some(headers) => (header_list(headers.get())),
            }
        }
    }
}
