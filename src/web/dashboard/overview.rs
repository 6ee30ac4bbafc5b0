//! `/`: the overview: readiness, job counts, handlers, and deliveries of the last 24 hours by source.
//!
//! What needs attention comes first. An empty inbox shows how to send a first event.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use maud::{Markup, html};

use super::components::chart;
use super::components::format::{ago, badge, counted, event_type, grouped, shown};
use super::components::layout::{Layout, Tab};
use super::context::{PageContext, PageError};
use super::handlers::{failing_link, state_badge};
use super::page;
use crate::inbox::reader::{HandlerOverview, SourceDay};
use crate::web::query::encoded;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/", web::get().to(show));
}

async fn show(ctx: PageContext) -> HttpResponse {
    page::show(ctx, render).await
}

fn render(ctx: &PageContext) -> Result<Markup, PageError> {
    let reader = ctx.inbox.reader()?;
    let days = reader.hourly_counts(&ctx.config.source_names(), ctx.now)?;
    let deviating = reader.deviating_events()?;
    let handlers = reader.handler_overview(&ctx.config.handler_names())?;
    let is_empty = reader.newest_seq()?.is_none();
    let main = html! {
        h1 { "Overview" }
        (readiness(ctx))
        (deviating_notice(&deviating))
        @if is_empty { (first_event(ctx)) }
        (tiles(ctx, &handlers))
        section aria-labelledby="handlers" {
            div.section-head { h2 #handlers { "Handlers" } a href="/handlers" { "All handlers" } }
            @if handlers.is_empty() {
                p.empty { "No handler is configured: events are stored, and nothing runs." }
            } @else { (handler_table(ctx, &handlers)) }
        }
        section aria-labelledby="sources" {
            div.section-head { h2 #sources { "Last 24 hours" } (legend()) }
            @if days.is_empty() { p.empty { "No source is configured." } }
            div.cards { @for (number, day) in days.iter().enumerate() { (source_card(day, number)) } }
        }
    };
    Ok(Layout { title: "Overview", tab: Tab::Overview, is_live: true, flash: None }.render(ctx, &main))
}

/// A warning while new deliveries are not accepted.
fn readiness(ctx: &PageContext) -> Markup {
    html! {
        @if let Err(why) = ctx.inbox.is_ready() {
            p.notice.bad role="alert" { strong { "New deliveries get 503: " } (why.to_string()) "." }
        }
    }
}

/// A warning about duplicates whose body was not stored.
fn deviating_notice(deviating: &BTreeMap<String, i64>) -> Markup {
    html! {
        @for (source, events) in deviating {
            p.notice {
                a href={ "/events?source=" (encoded(source)) } { (shown(source)) } ": duplicates of " (counted(*events))
                " events had another body, which was not stored. If the ids are not those of single events, set "
                code { "id_scope = \"object\"" } " for this source."
            }
        }
    }
}

/// How to send a first event to a configured source.
fn first_event(ctx: &PageContext) -> Markup {
    let source = ctx.config.sources.first();
    html! {
        section.welcome aria-labelledby="first" {
            h2 #first { "No event has arrived yet" }
            @match source {
                Some(source) => {
                    p { "Send a test event with a valid signature:" }
                    @let command = format!("hookbox send {} --type test", source.name);
                    div.copyable { code #first-command { (command) } button type="button" data-copy="first-command" hidden { "Copy" } }
                    p.muted { "Or let the provider deliver to " code { (source.path) } " at the address of the receiver. This page shows the event within a second." }
                }
                None => {
                    p { "Add a source first:" }
                    div.copyable { code #first-command { "hookbox init github" } button type="button" data-copy="first-command" hidden { "Copy" } }
                }
            }
        }
    }
}

fn tiles(ctx: &PageContext, handlers: &[HandlerOverview]) -> Markup {
    let sum = |number: fn(&HandlerOverview) -> i64| handlers.iter().map(number).sum::<i64>();
    let (dead, pending, running) =
        (sum(|one| one.status.dead), sum(|one| one.status.pending), sum(|one| one.status.running));
    let oldest = handlers.iter().filter_map(|one| one.status.oldest_pending_at).min();
    let failing = sum(|one| one.status.failing);
    let paused = handlers.iter().filter(|one| one.status.paused).count();
    html! {
        ul.tiles aria-label="Jobs" {
            (tile("Dead", &counted(dead), "/jobs?state=dead", if dead > 0 { "bad" } else { "" }))
            (tile("Pending", &counted(pending), "/jobs?state=pending", ""))
            @if failing > 0 { (tile("Failing", &counted(failing), "/jobs?state=pending&reason=*", "warn")) }
            (tile("Running", &grouped(running), "/jobs?state=running", ""))
            li.tile {
                span.tile-label { "Oldest pending" }
                span.tile-number { @match oldest { Some(at) => (ago(at, ctx.now)), None => "none" } }
            }
            @if paused > 0 { (tile("Paused handlers", &grouped(i64::try_from(paused).unwrap_or(0)), "/handlers", "warn")) }
        }
    }
}

fn tile(label: &str, number: &str, href: &str, class: &str) -> Markup {
    html! { li class={ "tile " (class) } { a href=(href) { span.tile-label { (label) } span.tile-number { (number) } } } }
}

fn handler_table(ctx: &PageContext, handlers: &[HandlerOverview]) -> Markup {
    html! {
        table.list role="table" {
            caption.visually-hidden { "Handlers and their jobs" }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" { "Handler" }
                th role="columnheader" scope="col" { "State" }
                th.number role="columnheader" scope="col" { "Pending" }
                th.number role="columnheader" scope="col" { "Failing" }
                th.number role="columnheader" scope="col" { "Running" }
                th.number role="columnheader" scope="col" { "Dead" }
                th role="columnheader" scope="col" { "Last failure" }
            } }
            tbody role="rowgroup" { @for handler in handlers { (handler_row(ctx, handler)) } }
        }
    }
}

fn handler_row(ctx: &PageContext, one: &HandlerOverview) -> Markup {
    let status = &one.status;
    let jobs = |state: &str| format!("/jobs?state={state}&handler={}", encoded(&status.handler));
    let is_configured = ctx.config.handler(&status.handler).is_some();
    html! {
        tr role="row" data-key={ "h-" (status.handler) } {
            th.lead-cell role="rowheader" scope="row" { a href={ "/handlers#" (status.handler) } { (shown(&status.handler)) } }
            td role="cell" data-label="State" {
                (state_badge(status, is_configured))
                @if let (true, Some(reason)) = (status.paused, &status.reason) { small.under.reason { (shown(reason)) } }
            }
            td.number role="cell" data-label="Pending" {
                (number_link(status.pending, &jobs("pending"), ""))
                @if let Some(at) = status.oldest_pending_at { small.under { "oldest " (ago(at, ctx.now)) } }
            }
            td.number role="cell" data-label="Failing" { (number_link(status.failing, &failing_link(&status.handler), "warn")) }
            td.number role="cell" data-label="Running" { (number_link(status.running, &jobs("running"), "")) }
            td.number role="cell" data-label="Dead" { (number_link(status.dead, &jobs("dead"), "bad")) }
            td role="cell" data-label="Last failure" { (last_failure(ctx, one)) }
        }
    }
}

fn number_link(number: i64, href: &str, class: &str) -> Markup {
    html! { @if number > 0 { a class=(class) href=(href) { (counted(number)) } } @else { span.zero { "0" } } }
}

fn last_failure(ctx: &PageContext, one: &HandlerOverview) -> Markup {
    html! {
        @match &one.last_failure {
            Some(job) => {
                a href={ "/events/" (job.event_seq) } { (event_type(&job.event_type)) }
                " " span.reason { (job.reason.as_deref().map(shown).unwrap_or_default()) }
                " " span.muted { @if let Some(at) = one.last_failed_at { (ago(at, ctx.now)) } }
            }
            None => span.zero { "none" }
        }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend aria-label="Colours of the charts" {
            li { span.swatch.accepted {} "accepted" }
            li { span.swatch.duplicate {} "duplicate" }
            li { span.swatch.refused {} "refused" }
        }
    }
}

fn source_card(day: &SourceDay, number: usize) -> Markup {
    let total = day.total();
    let link = encoded(&day.source);
    html! {
        article.card aria-labelledby={ "source-" (number) } data-key={ "s-" (day.source) } {
            header.card-head {
                h3 id={ "source-" (number) } { a href={ "/events?source=" (link) } { (shown(&day.source)) } }
                @if total.refused > 0 {
                    a.refused-link href={ "/refusals?source=" (link) } { (badge("refused")) " " (grouped(total.refused)) }
                }
            }
            p.card-number { strong { (grouped(total.accepted)) } " accepted " span.muted { "· " (grouped(total.duplicate)) " duplicate" } }
            (chart::svg(day, number))
            (chart::table(day))
        }
    }
}
