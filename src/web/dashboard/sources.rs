//! `/sources`: the configured sources, how each verifies deliveries, and when it last received one.
//!
//! Secrets are counted, never shown.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use maud::{Markup, html};

use super::components::format::{badge, count, grouped, shown, size, span, when};
use super::components::layout::{Layout, Tab};
use super::context::{PageContext, PageError};
use super::page;
use crate::config::{ReplayGuard, Source};
use crate::inbox::reader::SourceStats;
use crate::metrics::NO_SOURCE;
use crate::providers;
use crate::web::query::encoded;

/// How long a source may be silent unless `alerts.silence` says otherwise, in seconds.
const DEFAULT_SILENCE: u64 = 86_400;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/sources", web::get().to(show));
}

async fn show(ctx: PageContext) -> HttpResponse {
    page::show(ctx, render).await
}

fn render(ctx: &PageContext) -> Result<Markup, PageError> {
    let stats = ctx.inbox.reader()?.source_stats(ctx.now)?;
    let of = |name: &str| stats.iter().find(|stats| stats.source == name);
    let main = html! {
        h1 { "Sources" }
        @if ctx.config.sources.is_empty() { p.empty { "No source is configured." } }
        @for source in &ctx.config.sources { (card(ctx, source, of(&source.name))) }
        @for stats in stats.iter().filter(|stats| ctx.config.source(&stats.source).is_none()) {
            p.muted { (shown(&stats.source)) " is no longer configured. Its events are still stored." }
        }
        @for path in &ctx.inbox.reader()?.unknown_paths(ctx.now)? {
            p.notice {
                code { (shown(&path.target)) } " (" (grouped(path.count)) " in the last 24 hours): "
                a href={ "/refusals?source=" (encoded(NO_SOURCE)) } { (shown(&path.reason)) }
            }
        }
    };
    Ok(Layout { title: "Sources", tab: Tab::Sources, is_live: true, flash: None }.render(ctx, &main))
}

fn card(ctx: &PageContext, source: &Source, status: Option<&SourceStats>) -> Markup {
    let row = providers::find(&source.provider);
    let link = encoded(&source.name);
    html! {
        article.card.wide id=(source.name) aria-labelledby={ "source-" (source.name) } data-key={ "s-" (source.name) } {
            header.card-head {
                h2 id={ "source-" (source.name) } { (shown(&source.name)) }
                span.muted { (row.map_or("custom scheme", |row| row.title.as_str())) }
                @if source.admission.unsigned { (badge("unsigned")) }
                a href={ "/events?source=" (link) } { "Events" }
                a href={ "/refusals?source=" (link) } { "Refusals" }
            }
            dl.facts {
                dt { "Last delivery" }
                dd { (last_delivery(ctx, source, status)) }
                @if let Some(status) = status {
                    dt { "Last 24 hours" }
                    dd { (grouped(status.accepted)) " accepted, " (grouped(status.duplicate)) " duplicate, " (grouped(status.refused)) " refused" }
                    @if status.deviating > 0 {
                        dt { "Deviating" } dd { "duplicates of " (grouped(status.deviating)) " events had another body, which was not stored" }
                    }
                }
                dt { "Delivers to" } dd { code { (source.path) } }
                dt { "Keys" } dd { (keys(source)) }
                (guards(source))
            }
            details { summary { "Signature" }
                dl.facts { @for (label, text) in &source.scheme_summary { dt { (label) } dd { (shown(text)) } } }
            }
        }
    }
}

fn last_delivery(ctx: &PageContext, source: &Source, status: Option<&SourceStats>) -> Markup {
    let silence = ctx.config.silence.get(&source.name).map_or(DEFAULT_SILENCE, |span| span.as_secs());
    html! {
        @match status.and_then(|status| Some((status, status.last_at?, status.latest_at()?))) {
            Some((status, at, latest)) => {
                @if status.last_at_is_hour { "in the hour from " }
                (when(at, ctx.now))
                @if ctx.now.since(latest).as_secs() > silence { " · " strong { "silent for " (span(ctx.now.since(latest))) } }
            }
            None => span.muted { "never" }
        }
    }
}

/// The keys that verify a delivery.
fn keys(source: &Source) -> String {
    let counted = [(source.secrets.len(), "secret"), (source.public_keys.len(), "public key")];
    let own: Vec<_> = counted.into_iter().filter(|(number, _)| *number > 0).map(|(n, one)| count(n, one)).collect();
    if source.admission.unsigned {
        return "none: deliveries are not verified".to_owned();
    }
    match (own.is_empty(), source.scheme.handshake.is_some_and(|handshake| handshake.teaches)) {
        (true, true) => "a secret from the provider's handshake (`hookbox learn`)".to_owned(),
        (true, false) => "keys fetched from the provider".to_owned(),
        (false, _) => own.join(", "),
    }
}

fn guards(source: &Source) -> Markup {
    let guards = &source.admission;
    html! {
        dt { "Limits" }
        dd {
            "bodies up to " (size(i64::try_from(source.max_body).unwrap_or(i64::MAX)))
            @if guards.allow_ips.is_some() { ", only from the networks in " code { "allow_ips" } }
            @if guards.rate_limit.is_some() { ", at most " code { "rate_limit" } }
            @if guards.replay_guard == ReplayGuard::IdAndBody { ", each body only once" }
        }
    }
}
