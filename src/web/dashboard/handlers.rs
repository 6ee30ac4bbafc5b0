//! `/handlers`: the state and settings of each handler, with buttons to pause and resume it.
//!
//! Of a handler's URL the query is not shown, since it may contain a secret.

use actix_web::HttpResponse;
use actix_web::web::{self, Form, Path, Query, ServiceConfig};
use maud::{Markup, html};
use serde::Deserialize;

use super::components::format::{ago, badge, configured, count, counted, event_type, grouped, shown};
use super::components::job::status_text;
use super::components::layout::{Flash, Layout, Tab, csrf_field};
use super::context::{PageContext, PageError};
use super::page;
use crate::config::{Handler, Mode, OrderingMode};
use crate::inbox::reader::{HandlerOverview, HandlerStats};
use crate::retry::RetryPolicy;
use crate::web::operations::MAX_REASON;
use crate::web::query::{PageQuery, encoded};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PauseForm {
    reason: String,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/handlers", web::get().to(show))
        .route("/handlers/{name}/pause", web::post().to(pause))
        .route("/handlers/{name}/resume", web::post().to(resume));
}

async fn show(ctx: PageContext, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| render(ctx, &query)).await
}

async fn pause(ctx: PageContext, name: Path<String>, form: Form<PauseForm>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        ctx.operations().pause(&name, &form.reason)?.ok_or_else(|| no_handler(&name))?;
        Ok(card_link(ctx, "pause", &name))
    })
    .await
}

async fn resume(ctx: PageContext, name: Path<String>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        let resumed = ctx.operations().resume(&name)?.ok_or_else(|| no_handler(&name))?;
        // A handler that hookbox itself paused stays paused until a probe succeeds.
        let is_probing = resumed.state.is_some_and(|state| state.paused_by.is_some());
        Ok(card_link(ctx, if is_probing { "probe" } else { "resume" }, &name))
    })
    .await
}

fn no_handler(name: &str) -> PageError {
    PageError::NotFound(format!("There is no handler {name}."))
}

/// The handler's card on the page, with a flash message.
fn card_link(ctx: &PageContext, verb: &str, name: &str) -> String {
    format!("{}#{}", ctx.with_flash(PageQuery::default(), verb, 1).link("/handlers"), encoded(name))
}

fn render(ctx: &PageContext, query: &PageQuery) -> Result<Markup, PageError> {
    let handlers = ctx.inbox.reader()?.handler_overview(&ctx.config.handler_names())?;
    let main = html! {
        h1 { "Handlers" }
        @if handlers.is_empty() { p.empty { "No handler is configured: events are stored, and nothing runs." } }
        @for handler in &handlers { (card(ctx, handler, ctx.config.handler(&handler.status.handler).map(AsRef::as_ref))) }
    };
    let flash = Flash::read(ctx, query);
    Ok(Layout { title: "Handlers", tab: Tab::Handlers, is_live: true, flash }.render(ctx, &main))
}

/// The state of a handler as a badge.
pub(super) fn state_badge(status: &HandlerStats, is_known: bool) -> Markup {
    html! {
        @if status.paused && status.paused_by.as_deref() == Some("hookbox") { (badge("broken")) }
        @else if status.paused { (badge("paused")) }
        @else if !is_known { (badge("gone")) }
        @else if status.running > 0 { (badge("running")) }
        @else if status.pending > 0 { (badge("pending")) }
        @else { (badge("idle")) }
    }
}

/// The pending jobs that have failed before: those with a reason.
pub(super) fn failing_link(handler: &str) -> String {
    format!("/jobs?state=pending&handler={}&reason=*", encoded(handler))
}

fn card(ctx: &PageContext, overview: &HandlerOverview, configured: Option<&Handler>) -> Markup {
    let status = &overview.status;
    let title = format!("handler-{}", status.handler);
    let link = encoded(&status.handler);
    let jobs = |state: &str, number: String| html! { a href={ "/jobs?state=" (state) "&handler=" (link) } { (number) " " (state) } };
    html! {
        article.card.wide id=(status.handler) aria-labelledby=(title) data-key={ "h-" (status.handler) } {
            header.card-head {
                h2 id=(title) { (shown(&status.handler)) }
                (state_badge(status, configured.is_some()))
                (buttons(ctx, status))
            }
            (paused(ctx, status))
            dl.facts {
                dt { "Jobs" }
                dd.job-counts {
                    (jobs("pending", counted(status.pending)))
                    @if status.failing > 0 { a href=(failing_link(&status.handler)) { (grouped(status.failing)) " of them failing" } }
                    @if status.blocked > 0 { span.muted { (counted(status.blocked)) " of them blocked by another job with the same ordering key" } }
                    (jobs("running", grouped(status.running)))
                    (jobs("dead", counted(status.dead)))
                }
                @if let Some(at) = status.oldest_pending_at { dt { "Oldest pending" } dd { (ago(at, ctx.now)) } }
                @if let Some(job) = &overview.last_failure {
                    dt { "Last failure" }
                    dd { a href={ "/events/" (job.event_seq) } { (event_type(&job.event_type)) " #" (job.event_seq) } " " (status_text(job, ctx.now)) }
                }
                @match configured {
                    Some(handler) => (settings(handler)),
                    None => { dt { "Configuration" } dd { "No longer configured: its jobs stay pending." } }
                }
            }
        }
    }
}

fn buttons(ctx: &PageContext, status: &HandlerStats) -> Markup {
    let (name, field) = (encoded(&status.handler), format!("reason-{}", status.handler));
    let is_broken = status.paused_by.as_deref() == Some("hookbox");
    html! {
        div.actions {
            @if status.paused {
                form method="post" action={ "/handlers/" (name) "/resume" } {
                    (csrf_field(ctx))
                    button.small type="submit" { @if is_broken { "Try now" } @else { "Resume" } span.visually-hidden { " " (shown(&status.handler)) } }
                }
            } @else {
                form.inline method="post" action={ "/handlers/" (name) "/pause" } {
                    (csrf_field(ctx))
                    label.visually-hidden for=(field) { "Reason for pausing " (shown(&status.handler)) }
                    input.small id=(field) name="reason" maxlength=(MAX_REASON) placeholder="Reason (optional)" autocomplete="off";
                    button.small type="submit" { "Pause" span.visually-hidden { " " (shown(&status.handler)) } }
                }
            }
        }
    }
}

fn paused(ctx: &PageContext, status: &HandlerStats) -> Markup {
    html! {
        @if status.paused {
            p.notice.warn {
                strong { @if status.paused_by.as_deref() == Some("hookbox") { "Paused by hookbox: the handler cannot be run" } @else { "Paused by an operator" } }
                @if let Some(at) = status.paused_at { " " (ago(at, ctx.now)) }
                @if let Some(reason) = &status.reason { ": " (shown(reason)) }
                "."
                @if let Some(at) = status.probe_at { " Next probe " (ago(at, ctx.now)) "." }
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
        dt { "Events" } dd { (filter(handler)) }
        @if let Some(ordering) = &handler.ordering {
            dt { @if ordering.mode == OrderingMode::InOrder { "Order" } @else { "Bursts" } }
            dd {
                @match ordering.mode {
                    OrderingMode::InOrder => "one at a time, in order, for each value of ",
                    OrderingMode::Coalesce { quiet, max } => { "the newest event runs after " (configured(quiet)) " without another, at the latest after " (configured(max)) ", for each value of " }
                }
                code { (shown(&ordering.key.to_string())) }
            }
        }
        @if let Some(rate) = &handler.rate_limit {
            dt { "Rate limit" } dd { "at most " (count(rate.count as usize, "start")) " per " (configured(rate.per)) }
        }
        @if let Some(timeout) = handler.respond {
            dt { "Responds" } dd { "to the provider, within " (configured(timeout)) }
        }
        dt { "Concurrency" } dd { (count(handler.concurrency, "attempt")) ", each at most " (configured(handler.timeout)) }
        dt { "Retries" }
        dd { (retries(policy)) ", then dead" }
    }
}

fn retries(policy: &RetryPolicy) -> String {
    let over = configured(policy.span());
    match policy.attempts {
        0 | 1 => "1 attempt".to_owned(),
        2 => format!("2 attempts, with a delay of {over}"),
        attempts => {
            let longest = configured(policy.backoff(attempts - 1, 0.0));
            format!("{attempts} attempts over {over}, with delays from {} to {longest}", configured(policy.initial))
        }
    }
}

/// The URL without its query, which may contain a secret.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(address, _)| address)
}

fn filter(handler: &Handler) -> Markup {
    let filter = &handler.filter;
    html! {
        @for (index, glob) in filter.events.iter().enumerate() { @if index > 0 { ", " } code { (shown(glob)) } }
        " from " @match &filter.sources { Some(names) => (shown(&names.join(", "))), None => "every source" }
        @for (pointer, values) in &filter.conditions {
            ", where " code { (shown(pointer)) } " is "
            (shown(&values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")))
        }
    }
}
