//! `/handlers`: what runs for which events, and how each handler stands.
//!
//! The configuration and the state of the jobs come in. A handler can be paused and resumed here; how it is configured
//! is only told.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use maud::{Markup, html};

use super::frame::{self, Tab};
use super::words::{ago, badge, count, counted, duration, grouped, shown};
use super::{Look, Shared, Trouble, Visitor, jobs};
use crate::config::Handler;
use crate::inbox::view::{self, HandlerNow, HandlerStatus};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/handlers", web::get().to(all));
}

async fn all(shared: Data<Shared>, visitor: Visitor) -> HttpResponse {
    super::show(shared, visitor, page).await
}

fn page(look: &Look) -> Result<Markup, Trouble> {
    let names = look.setup.handler_names();
    let now = look.inbox.read(|connection| view::handlers_now(connection, &names))?;
    let configured = |name: &str| look.setup.handlers.iter().find(|handler| *handler.name == *name);
    let main = html! {
        h1 { "Handlers" }
        @if now.is_empty() { p.empty { "No handler is configured: events are stored, and nothing runs." } }
        @for one in &now { (card(look, one, configured(&one.status.handler).map(AsRef::as_ref))) }
    };
    frame::page(look, Tab::Handlers, "Handlers", &main)
}

/// How a handler stands, in a word and a shape.
pub(super) fn state(status: &HandlerStatus, is_known: bool) -> Markup {
    html! {
        @if status.paused { (badge("paused")) @if status.paused_by.as_deref() == Some("hookbox") { " " span.muted { "broken" } } }
        @else if !is_known { (badge("gone")) }
        @else if status.running > 0 { (badge("running")) }
        @else if status.pending > 0 { (badge("pending")) }
        @else { (badge("idle")) }
    }
}

fn card(look: &Look, one: &HandlerNow, configured: Option<&Handler>) -> Markup {
    let status = &one.status;
    let title = format!("handler-{}", status.handler);
    let link = super::query::encoded(&status.handler);
    html! {
        article.card.wide id=(status.handler) aria-labelledby=(title) data-key={ "h-" (status.handler) } {
            header.card-head {
                h2 id=(title) { (shown(&status.handler)) }
                (state(status, configured.is_some()))
            }
            (paused(look, status))
            dl.facts {
                dt { "Jobs" }
                dd.job-counts {
                    a href={ "/jobs?state=pending&handler=" (link) } { (counted(status.pending)) " pending" }
                    a href={ "/jobs?state=running&handler=" (link) } { (grouped(status.running)) " running" }
                    a href={ "/jobs?state=dead&handler=" (link) } { (counted(status.dead)) " dead" }
                }
                @if let Some(at) = status.oldest_pending_at { dt { "Oldest pending" } dd { (ago(at, look.now)) } }
                @if let Some(job) = &one.last_failure {
                    dt { "Last failure" }
                    dd { a href={ "/events/" (job.event_seq) } { (super::words::event_type(&job.event_type)) " #" (job.event_seq) } " " (jobs::told(look, job)) }
                }
                @match configured {
                    Some(handler) => (settings(handler)),
                    None => { dt { "Configuration" } dd { "It is no longer there: its jobs stay pending." } }
                }
            }
        }
    }
}

fn paused(look: &Look, status: &HandlerStatus) -> Markup {
    html! {
        @if status.paused {
            p.notice.warn {
                strong { @if status.paused_by.as_deref() == Some("hookbox") { "Paused by hookbox as broken" } @else { "Paused by a person" } }
                @if let Some(at) = status.paused_at { " " (ago(at, look.now)) }
                @if let Some(reason) = &status.reason { ": " (shown(reason)) }
                "."
                @if let Some(at) = status.probe_at { " Next probe " (ago(at, look.now)) "." }
            }
        }
    }
}

fn settings(handler: &Handler) -> Markup {
    let takes = &handler.takes;
    let policy = &handler.policy;
    html! {
        dt { "Runs" } dd { code { (shown(&handler.command.join(" "))) } }
        dt { "Takes" }
        dd {
            @for (index, glob) in takes.events.iter().enumerate() { @if index > 0 { ", " } code { (shown(glob)) } }
            " from " @match &takes.sources { Some(names) => (shown(&names.join(", "))), None => "every source" }
            @for (pointer, values) in &takes.conditions {
                ", where " code { (shown(pointer)) } " is "
                (shown(&values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")))
            }
        }
        dt { "At once" } dd { (count(handler.concurrency, "attempt")) ", each at most " (duration(handler.timeout)) }
        dt { "Retries" } dd { (policy.attempts) " failures, then dead; pauses from " (duration(policy.initial)) " to " (duration(policy.max)) }
    }
}
