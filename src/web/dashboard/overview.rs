//! `/`: how it stands, in one look: what is dead or waits, each handler, each source's last day.
//!
//! What needs a person comes first. With an empty inbox it tells how to send a first event.

use maud::{Markup, html};

use super::frame::{self, Tab};
use super::words::{ago, badge, counted, event_type, grouped, shown};
use super::{Look, Trouble, chart, handlers};
use crate::inbox::reader::{HandlerOverview, HandlerStats, SourceDay};

pub(super) fn page(look: &Look) -> Result<Markup, Trouble> {
    let (sources, names) = (look.setup.source_names(), look.setup.handler_names());
    let reader = look.inbox.reader()?;
    let days = reader.hourly_counts(&sources, look.now)?;
    let (now, newest) = (reader.handler_overview(&names)?, reader.newest_seq()?);
    let main = html! {
        h1 { "Overview" }
        (readiness(look))
        @if newest.is_none() { (first_event(look)) }
        (numbers(look, &now))
        section aria-labelledby="handlers" {
            div.section-head { h2 #handlers { "Handlers" } a href="/handlers" { "All about handlers" } }
            @if now.is_empty() {
                p.empty { "No handler is configured: events are stored, and nothing runs." }
            } @else { (handler_table(look, &now)) }
        }
        section aria-labelledby="sources" {
            div.section-head { h2 #sources { "Last 24 hours" } (legend()) }
            @if days.is_empty() { p.empty { "No source is configured." } }
            div.cards { @for (number, day) in days.iter().enumerate() { (source_card(day, number)) } }
        }
    };
    frame::page(look, Tab::Overview, "Overview", &main)
}

/// Whether deliveries are taken in, where they are not.
fn readiness(look: &Look) -> Markup {
    html! {
        @if let Err(why) = look.inbox.is_ready() {
            p.notice.bad role="alert" { strong { "New deliveries get 503: " } (why.to_string()) "." }
        }
    }
}

/// How to send a first event, with the name of a source that is there.
fn first_event(look: &Look) -> Markup {
    let source = look.setup.sources.first();
    html! {
        section.welcome aria-labelledby="first" {
            h2 #first { "Nothing has arrived yet" }
            @match source {
                Some(source) => {
                    p { "Send a test event, signed as the provider signs:" }
                    @let command = format!("hookbox send {} --type test", source.name);
                    div.copyable { code #first-command { (command) } button type="button" data-copy="first-command" hidden { "Copy" } }
                    p.muted { "Or have the provider deliver to " code { (source.path) } " at the address where hookbox listens. This page shows it within a second." }
                }
                None => {
                    p { "Name a source first:" }
                    div.copyable { code #first-command { "hookbox init github" } button type="button" data-copy="first-command" hidden { "Copy" } }
                }
            }
        }
    }
}

fn numbers(look: &Look, now: &[HandlerOverview]) -> Markup {
    let sum = |number: fn(&HandlerOverview) -> i64| now.iter().map(number).sum::<i64>();
    let (dead, pending, running) =
        (sum(|one| one.status.dead), sum(|one| one.status.pending), sum(|one| one.status.running));
    let oldest = now.iter().filter_map(|one| one.status.oldest_pending_at).min();
    let failing = sum(|one| one.status.failing);
    let paused = now.iter().filter(|one| one.status.paused).count();
    html! {
        ul.tiles aria-label="Jobs" {
            (tile("Dead", &counted(dead), "/jobs?state=dead", if dead > 0 { "bad" } else { "" }))
            (tile("Pending", &counted(pending), "/jobs?state=pending", ""))
            @if failing > 0 { (tile("Failing", &counted(failing), "/jobs?state=pending&reason=*", "warn")) }
            (tile("Running", &grouped(running), "/jobs?state=running", ""))
            li.tile {
                span.tile-label { "Oldest pending" }
                span.tile-number { @match oldest { Some(at) => (ago(at, look.now)), None => "none" } }
            }
            @if paused > 0 { (tile("Paused handlers", &grouped(i64::try_from(paused).unwrap_or(0)), "/handlers", "warn")) }
        }
    }
}

fn tile(label: &str, number: &str, href: &str, class: &str) -> Markup {
    html! { li class={ "tile " (class) } { a href=(href) { span.tile-label { (label) } span.tile-number { (number) } } } }
}

fn handler_table(look: &Look, now: &[HandlerOverview]) -> Markup {
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
            tbody role="rowgroup" { @for one in now { (handler_row(look, one)) } }
        }
    }
}

fn handler_row(look: &Look, one: &HandlerOverview) -> Markup {
    let status = &one.status;
    let jobs = |state: &str| format!("/jobs?state={state}&handler={}", super::query::encoded(&status.handler));
    let is_known = look.setup.handlers.iter().any(|handler| *handler.name == status.handler);
    html! {
        tr role="row" data-key={ "h-" (status.handler) } {
            th.lead-cell role="rowheader" scope="row" { a href={ "/handlers#" (status.handler) } { (shown(&status.handler)) } }
            td role="cell" data-label="State" {
                (handlers::state(status, is_known))
                @if let (true, Some(reason)) = (status.paused, &status.reason) { small.under.reason { (shown(reason)) } }
            }
            td.number role="cell" data-label="Pending" {
                (number_link(status.pending, &jobs("pending"), ""))
                @if let Some(at) = status.oldest_pending_at { small.under { "oldest " (ago(at, look.now)) } }
            }
            td.number role="cell" data-label="Failing" { (failing(status)) }
            td.number role="cell" data-label="Running" { (number_link(status.running, &jobs("running"), "")) }
            td.number role="cell" data-label="Dead" { (number_link(status.dead, &jobs("dead"), "bad")) }
            td role="cell" data-label="Last failure" { (last_failure(look, one)) }
        }
    }
}

/// Jobs that have failed and are tried again: those with a reason.
fn failing(status: &HandlerStats) -> Markup {
    number_link(status.failing, &handlers::failing_link(&status.handler), "warn")
}

fn number_link(number: i64, href: &str, class: &str) -> Markup {
    html! { @if number > 0 { a class=(class) href=(href) { (counted(number)) } } @else { span.zero { "0" } } }
}

fn last_failure(look: &Look, one: &HandlerOverview) -> Markup {
    html! {
        @match &one.last_failure {
            Some(job) => {
                a href={ "/events/" (job.event_seq) } { (event_type(&job.event_type)) }
                " " span.reason { (job.reason.as_deref().map(shown).unwrap_or_default()) }
                " " span.muted { @if let Some(at) = one.last_failed_at { (ago(at, look.now)) } }
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
    let link = super::query::encoded(&day.source);
    html! {
        article.card aria-labelledby={ "source-" (number) } data-key={ "s-" (day.source) } {
            header.card-head {
                h3 id={ "source-" (number) } { a href={ "/events?source=" (link) } { (shown(&day.source)) } }
                @if total.refused > 0 {
                    a.refused-link href={ "/refusals?source=" (link) } { (badge("refused")) " " (grouped(total.refused)) }
                }
            }
            p.card-number { strong { (grouped(total.accepted)) } " accepted " span.muted { "· " (grouped(total.duplicate)) " duplicate" } }
            (chart::day(day, number))
            (chart::table(day))
        }
    }
}
