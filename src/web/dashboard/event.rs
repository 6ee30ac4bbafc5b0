//! `/events/SEQ`: one event with its jobs, every attempt and its output, what came with it, and what can be done.
//!
//! A seq goes in, a page comes out. The body can be fetched as it was received, for saving, never for showing.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use maud::{Markup, html};

use super::frame::{Did, Frame, Tab};
use super::query::Asked;
use super::words::{badge, event_type, grouped, shown, size, when};
use super::{Look, Shared, Trouble, Visitor, again, attempts, body, change};
use crate::inbox::reader::{EventDetail, Job, JobDetail};
use crate::model::event::JobState;
use crate::model::request::stored_headers;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/events/{seq:[0-9]{1,18}}", web::get().to(one))
        .route("/events/{seq:[0-9]{1,18}}/body", web::get().to(download));
}

async fn one(shared: Data<Shared>, visitor: Visitor, seq: Path<i64>, asked: Query<Asked>) -> HttpResponse {
    super::show(shared, visitor, move |look| page(look, *seq, &asked)).await
}

async fn download(shared: Data<Shared>, visitor: Visitor, seq: Path<i64>) -> HttpResponse {
    let seq = seq.into_inner();
    let read = move |look: &Look| {
        let body = look.inbox.reader()?.body(seq)?;
        body.ok_or_else(|| Trouble::Missing(format!("The body of event #{seq} is not kept.")))
    };
    super::with(shared, visitor, read, move |body| super::saved(body, &format!("event-{seq}.body"))).await
}

fn page(look: &Look, seq: i64, asked: &Asked) -> Result<Markup, Trouble> {
    let reader = look.inbox.reader()?;
    let detail = reader.event_detail(seq)?.ok_or_else(|| Trouble::Missing(format!("There is no event #{seq}.")))?;
    let start = reader.body_start(seq, body::limit(asked))?;
    let event = &detail.event;
    let title = format!("{} #{}", event_type(&event.event_type), event.seq);
    let start = start.as_ref().map(|(start, length)| (start.as_slice(), *length));
    let kept = body::Kept { start, page: &format!("/events/{seq}"), download: "Download as received" };
    let main = html! {
        nav.crumbs aria-label="Way back" { a href="/events" { "Events" } span aria-hidden="true" { " / " } (shown(&event.source)) }
        div.title {
            h1 { (event_type(&event.event_type)) }
            (badge(event.state.as_str()))
            (actions(look, &detail))
            p.event-id {
                code #event-id { (shown(&event.event_id)) }
                button.quiet type="button" data-copy="event-id" hidden { "Copy" }
                span.seq { "#" (event.seq) }
                span.muted { (when(event.received_at, look.now)) }
            }
        }
        div.split {
            div.split-main {
                section aria-labelledby="jobs" {
                    h2 #jobs { "Jobs" }
                    @if detail.jobs.is_empty() { p.empty { "No handler took this event." } }
                    @for ledger in by_need(&detail) { (attempts::job(look, ledger)) }
                    (run_another(look, &detail))
                }
                (body::section(&kept, asked))
                @if start.is_some() { (again::section(&detail)) }
            }
            aside.split-side aria-label="About this event" { (facts(&detail)) (headers(&detail)) }
        }
    };
    let did = Did::read(look, asked);
    Ok(Frame { title: &title, tab: Tab::Events, is_live: true, did }.around(look, &main))
}

/// The buttons that can do something to a job of this event.
fn actions(look: &Look, detail: &EventDetail) -> Markup {
    let jobs: Vec<&Job> = detail.jobs.iter().map(|ledger| &ledger.job).collect();
    let has_payload = detail.headers.is_some();
    html! {
        div.actions {
            @for verb in change::VERBS {
                @let number = jobs.iter().filter(|job| can(verb, job, has_payload)).count();
                @if number > 0 {
                    @let all = if number > 1 { " all" } else { "" };
                    (button(look, verb, &Which { seq: detail.event.seq, handler: "", number, list: "" }, main_or_not(verb, &jobs), all))
                }
            }
        }
    }
}

/// Jobs of one event that something can be done to.
pub(super) struct Which<'a> {
    pub(super) seq: i64,
    /// Empty is any.
    pub(super) handler: &'a str,
    pub(super) number: usize,
    /// The list to come back to; empty is the event.
    pub(super) list: &'a str,
}

/// One job is retried at once; whatever else it is, a page in between tells how many and what it means.
pub(super) fn button(look: &Look, verb: change::Verb, which: &Which<'_>, class: &str, more: &str) -> Markup {
    let asked = Asked { event: which.seq.to_string(), handler: which.handler.to_owned(), ..Asked::default() };
    let on = if which.list.is_empty() { String::new() } else { format!(" on #{}", which.seq) };
    let name = (!which.handler.is_empty()).then(|| format!("{} {}{on}", verb.label, shown(which.handler)));
    html! {
        @if verb.word == "retry" && which.number == 1 {
            form method="post" action={ "/events/" (which.seq) "/retry" } {
                (super::frame::csrf(look))
                @if !which.handler.is_empty() { input type="hidden" name="handler" value=(which.handler); }
                @if !which.list.is_empty() { input type="hidden" name="list" value=(which.list); }
                button class=(class) type="submit" aria-label=[name] { (verb.label) (more) }
            }
        } @else {
            a class={ "button " (class) } aria-label=[name] href=(asked.link(&format!("/jobs/{}", verb.word))) { (verb.label) (more) "…" }
        }
    }
}

/// Jobs that need a person first.
fn by_need(detail: &EventDetail) -> Vec<&JobDetail> {
    let mut jobs: Vec<&JobDetail> = detail.jobs.iter().collect();
    jobs.sort_by_key(|ledger| match ledger.job.state {
        JobState::Dead => 0,
        JobState::Pending | JobState::Running if ledger.job.failures > 0 => 1,
        JobState::Running => 2,
        JobState::Pending => 3,
        JobState::Succeeded | JobState::Skipped => 4,
    });
    jobs
}

/// Handlers that have no job for this event.
fn run_another(look: &Look, detail: &EventDetail) -> Markup {
    let has_job = |name: &String| detail.jobs.iter().any(|ledger| ledger.job.handler == *name);
    let others: Vec<_> = look.setup.handler_names().into_iter().filter(|name| !has_job(name)).collect();
    html! {
        @if !others.is_empty() && detail.headers.is_some() {
            form.inline.another method="get" action="/jobs/run" {
                input type="hidden" name="event" value=(detail.event.seq);
                label for="another" { "Run another handler on it" }
                select #another.small name="handler" { @for name in others { option value=(name) { (shown(&name)) } } }
                button.small type="submit" { "Run…" }
            }
        }
    }
}

/// Whether it makes sense to offer this. What is due runs anyway.
pub(super) fn can(verb: change::Verb, job: &Job, has_payload: bool) -> bool {
    let runs_anyway = verb.word == "retry" && job.state == JobState::Pending && job.failures + job.deferrals == 0;
    verb.takes(job.state) && !runs_anyway && (has_payload || verb.word == "skip")
}

fn main_or_not(verb: change::Verb, jobs: &[&Job]) -> &'static str {
    let is_main = verb.word == "retry" && jobs.iter().any(|job| job.state == JobState::Dead);
    if is_main { "primary" } else { "" }
}

fn facts(detail: &EventDetail) -> Markup {
    let event = &detail.event;
    html! {
        dl.facts {
            dt { "Source" } dd { a href={ "/events?source=" (super::query::encoded(&event.source)) } { (shown(&event.source)) } }
            dt { "Delivered" } dd { @if event.deliveries == 1 { "once" } @else { (grouped(event.deliveries)) " times" } }
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
                None => p.empty { "No longer kept." },
                Some(headers) => (header_list(headers.get())),
            }
        }
    }
}

/// Names and values as they were stored.
pub(super) fn header_list(json: &str) -> Markup {
    html! {
        dl.headers {
            @for (name, value) in stored_headers(json) {
                dt { (shown(&name)) }
                dd { @if value == crate::support::secret::MASK { span.masked { "*** " span.muted { "(masked)" } } } @else { (shown(&value)) } }
            }
        }
    }
}
