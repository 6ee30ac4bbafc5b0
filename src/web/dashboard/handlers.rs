//! `/handlers`: what runs for which events, and how each handler stands; pausing and resuming.
//!
//! The configuration and the state of the jobs come in. How a handler is configured is only told, and of a URL nothing
//! that may be a secret.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Form, Path, Query, ServiceConfig};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Did, Frame, Tab, csrf};
use super::query::{Asked, encoded};
use super::words::{ago, badge, configured, count, counted, event_type, grouped, shown};
use super::{Look, Shared, Trouble, Visitor, jobs};
use crate::config::{Handler, Mode, OrderingMode};
use crate::inbox::reader::{HandlerOverview, HandlerStats};
use crate::retry::RetryPolicy;

/// Longest reason for a pause.
const LONGEST_REASON: usize = 500;

/// Why a handler is paused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: String,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/handlers", web::get().to(all))
        .route("/handlers/{name}/pause", web::post().to(pause))
        .route("/handlers/{name}/resume", web::post().to(resume));
}

async fn all(shared: Data<Shared>, visitor: Visitor, asked: Query<Asked>) -> HttpResponse {
    super::show(shared, visitor, move |look| page(look, &asked)).await
}

async fn pause(shared: Data<Shared>, visitor: Visitor, name: Path<String>, reason: Form<Reason>) -> HttpResponse {
    super::act(shared, visitor, move |look| {
        check_name(look, &name)?;
        let reason: String = reason.reason.trim().chars().take(LONGEST_REASON).collect();
        let reason = Some(reason.as_str()).filter(|reason| !reason.is_empty());
        look.inbox.pause(&name, reason, look.now)?;
        Ok(on_card(look, "pause", &name))
    })
    .await
}

async fn resume(shared: Data<Shared>, visitor: Visitor, name: Path<String>) -> HttpResponse {
    super::act(shared, visitor, move |look| {
        check_name(look, &name)?;
        let resumed = look.inbox.resume(&name, look.now)?;
        let did = if resumed.state.is_some_and(|state| state.paused_by.is_some()) { "probe" } else { "resume" };
        Ok(on_card(look, did, &name))
    })
    .await
}

/// The handler on the page, with what was done.
fn on_card(look: &Look, verb: &str, name: &str) -> String {
    format!("{}#{}", look.told(Asked::default(), verb, 1).link("/handlers"), encoded(name))
}

/// A name that nobody knows is a slip, and would stay in the inbox.
fn check_name(look: &Look, name: &str) -> Result<(), Trouble> {
    let known = look.inbox.reader()?.handler_overview(&look.setup.handler_names())?;
    let is_known = known.iter().any(|one| one.status.handler == name);
    if is_known { Ok(()) } else { Err(Trouble::Missing(format!("There is no handler {name}."))) }
}

fn page(look: &Look, asked: &Asked) -> Result<Markup, Trouble> {
    let names = look.setup.handler_names();
    let now = look.inbox.reader()?.handler_overview(&names)?;
    let configured = |name: &str| look.setup.handlers.iter().find(|handler| *handler.name == *name);
    let main = html! {
        h1 { "Handlers" }
        @if now.is_empty() { p.empty { "No handler is configured: events are stored, and nothing runs." } }
        @for one in &now { (card(look, one, configured(&one.status.handler).map(AsRef::as_ref))) }
    };
    let did = Did::read(look, asked);
    Ok(Frame { title: "Handlers", tab: Tab::Handlers, is_live: true, did }.around(look, &main))
}

/// How a handler stands, in a word and a shape.
pub(super) fn state(status: &HandlerStats, is_known: bool) -> Markup {
    html! {
        @if status.paused && status.paused_by.as_deref() == Some("hookbox") { (badge("broken")) }
        @else if status.paused { (badge("paused")) }
        @else if !is_known { (badge("gone")) }
        @else if status.running > 0 { (badge("running")) }
        @else if status.pending > 0 { (badge("pending")) }
        @else { (badge("idle")) }
    }
}

/// The list of its jobs that have failed and are tried again: those have a reason.
pub(super) fn failing_link(handler: &str) -> String {
    format!("/jobs?state=pending&handler={}&reason=*", encoded(handler))
}

fn card(look: &Look, one: &HandlerOverview, configured: Option<&Handler>) -> Markup {
    let status = &one.status;
    let title = format!("handler-{}", status.handler);
    let link = encoded(&status.handler);
    let jobs = |state: &str, number: String| html! { a href={ "/jobs?state=" (state) "&handler=" (link) } { (number) " " (state) } };
    html! {
        article.card.wide id=(status.handler) aria-labelledby=(title) data-key={ "h-" (status.handler) } {
            header.card-head {
                h2 id=(title) { (shown(&status.handler)) }
                (state(status, configured.is_some()))
                (buttons(look, status))
            }
            (paused(look, status))
            dl.facts {
                dt { "Jobs" }
                dd.job-counts {
                    (jobs("pending", counted(status.pending)))
                    @if status.failing > 0 { a href=(failing_link(&status.handler)) { (grouped(status.failing)) " of them failing" } }
                    @if status.blocked > 0 { span.muted { (counted(status.blocked)) " of them behind another of their value" } }
                    (jobs("running", grouped(status.running)))
                    (jobs("dead", counted(status.dead)))
                }
                @if let Some(at) = status.oldest_pending_at { dt { "Oldest pending" } dd { (ago(at, look.now)) } }
                @if let Some(job) = &one.last_failure {
                    dt { "Last failure" }
                    dd { a href={ "/events/" (job.event_seq) } { (event_type(&job.event_type)) " #" (job.event_seq) } " " (jobs::told(look, job)) }
                }
                @match configured {
                    Some(handler) => (settings(handler)),
                    None => { dt { "Configuration" } dd { "It is no longer there: its jobs stay pending." } }
                }
            }
        }
    }
}

fn buttons(look: &Look, status: &HandlerStats) -> Markup {
    let (name, field) = (encoded(&status.handler), format!("reason-{}", status.handler));
    let is_broken = status.paused_by.as_deref() == Some("hookbox");
    html! {
        div.actions {
            @if status.paused {
                form method="post" action={ "/handlers/" (name) "/resume" } {
                    (csrf(look))
                    button.small type="submit" { @if is_broken { "Try it now" } @else { "Resume" } span.visually-hidden { " " (shown(&status.handler)) } }
                }
            } @else {
                form.inline method="post" action={ "/handlers/" (name) "/pause" } {
                    (csrf(look))
                    label.visually-hidden for=(field) { "Reason for pausing " (shown(&status.handler)) }
                    input.small id=(field) name="reason" maxlength=(LONGEST_REASON) placeholder="Reason (optional)" autocomplete="off";
                    button.small type="submit" { "Pause" span.visually-hidden { " " (shown(&status.handler)) } }
                }
            }
        }
    }
}

fn paused(look: &Look, status: &HandlerStats) -> Markup {
    html! {
        @if status.paused {
            p.notice.warn {
                strong { @if status.paused_by.as_deref() == Some("hookbox") { "Paused by hookbox: it cannot be run" } @else { "Paused by a person" } }
                @if let Some(at) = status.paused_at { " " (ago(at, look.now)) }
                @if let Some(reason) = &status.reason { ": " (shown(reason)) }
                "."
                @if let Some(at) = status.probe_at { " Next probe " (ago(at, look.now)) "." }
            }
        }
    }
}

fn settings(handler: &Handler) -> Markup {
    let policy = &handler.policy;
    html! {
        dt { "Mode" } dd { (handler.mode.as_str()) }
        dt { "Runs" }
        dd {
            @match &handler.mode {
                Mode::Http(http) => { code { "POST " (shown(without_query(&http.url))) } @if http.secrets.is_empty() { ", unsigned" } @else { ", signed" } }
                Mode::Command | Mode::Worker { .. } => code { (shown(&handler.command.join(" "))) },
            }
        }
        dt { "Takes" } dd { (takes(handler)) }
        @if let Some(keyed) = &handler.ordering {
            dt { @if keyed.mode == OrderingMode::InOrder { "Order" } @else { "Bursts" } }
            dd {
                @match keyed.mode {
                    OrderingMode::InOrder => "one at a time, in order, for each value of ",
                    OrderingMode::Coalesce { quiet, max } => { "the newest runs once " (configured(quiet)) " were quiet, after " (configured(max)) " at the latest, for each value of " }
                }
                code { (shown(&keyed.key.to_string())) }
            }
        }
        @if let Some(rate) = &handler.rate_limit {
            dt { "Pace" } dd { "at most " (count(rate.count as usize, "start")) " each " (configured(rate.per)) }
        }
        @if let Some(patience) = handler.respond {
            dt { "Answers" } dd { "the provider in its own words, within " (configured(patience)) }
        }
        dt { "At once" } dd { (count(handler.concurrency, "attempt")) ", each at most " (configured(handler.timeout)) }
        dt { "Retries" }
        dd { (retries(policy)) ", then dead" }
    }
}

fn retries(policy: &RetryPolicy) -> String {
    let over = configured(policy.span());
    match policy.attempts {
        0 | 1 => "1 attempt".to_owned(),
        2 => format!("2 attempts, with a pause of {over}"),
        attempts => {
            let longest = configured(policy.backoff(attempts - 1, 0.0));
            format!("{attempts} attempts over {over}, with pauses from {} to {longest}", configured(policy.initial))
        }
    }
}

/// A query may be how the receiver knows us.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(address, _)| address)
}

fn takes(handler: &Handler) -> Markup {
    let takes = &handler.filter;
    html! {
        @for (index, glob) in takes.events.iter().enumerate() { @if index > 0 { ", " } code { (shown(glob)) } }
        " from " @match &takes.sources { Some(names) => (shown(&names.join(", "))), None => "every source" }
        @for (pointer, values) in &takes.conditions {
            ", where " code { (shown(pointer)) } " is "
            (shown(&values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")))
        }
    }
}
