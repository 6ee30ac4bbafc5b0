//! `/sources`: who may deliver, how each signs, and when it last did.
//!
//! The configuration and its providers' rows come in, words go out; a secret is only counted.

use maud::{Markup, html};

use super::frame::{self, Tab};
use super::words::{count, grouped, shown, size, span, when};
use super::{Look, Trouble};
use crate::config::{ReplayGuard, Source};
use crate::inbox::reader::SourceStats;
use crate::providers;

/// Where the configuration does not say how long a source may be silent: seconds.
const A_DAY: u64 = 86_400;

pub(super) fn page(look: &Look) -> Result<Markup, Trouble> {
    let last = look.inbox.reader()?.source_stats(look.now)?;
    let of = |name: &str| last.iter().find(|status| status.source == name);
    let main = html! {
        h1 { "Sources" }
        @if look.setup.sources.is_empty() { p.empty { "No source is configured." } }
        @for source in &look.setup.sources { (card(look, source, of(&source.name))) }
        @let gone = last.iter().filter(|status| !look.setup.sources.iter().any(|source| *source.name == status.source));
        @for status in gone {
            p.muted { (shown(&status.source)) " is no longer in the configuration; its events are kept." }
        }
    };
    frame::page(look, Tab::Sources, "Sources", &main)
}

fn card(look: &Look, source: &Source, status: Option<&SourceStats>) -> Markup {
    let row = providers::find(&source.provider);
    let link = super::query::encoded(&source.name);
    html! {
        article.card.wide id=(source.name) aria-labelledby={ "source-" (source.name) } data-key={ "s-" (source.name) } {
            header.card-head {
                h2 id={ "source-" (source.name) } { (shown(&source.name)) }
                span.muted { (row.map_or("custom scheme", |row| row.title.as_str())) }
                a href={ "/events?source=" (link) } { "Events" }
                a href={ "/refusals?source=" (link) } { "Refusals" }
            }
            dl.facts {
                dt { "Last delivery" }
                dd { (last_delivery(look, source, status)) }
                @if let Some(status) = status {
                    dt { "Last 24 hours" }
                    dd { (grouped(status.accepted)) " accepted, " (grouped(status.duplicate)) " duplicate, " (grouped(status.refused)) " refused" }
                }
                dt { "Delivers to" } dd { code { (source.path) } }
                dt { "Proof" } dd { (keys(source)) }
                (guards(source))
            }
            details { summary { "How it signs" }
                dl.facts { @for (label, text) in &source.scheme_summary { dt { (label) } dd { (shown(text)) } } }
            }
        }
    }
}

fn last_delivery(look: &Look, source: &Source, status: Option<&SourceStats>) -> Markup {
    let silence = look.setup.silence.get(&source.name).map_or(A_DAY, |span| span.as_secs());
    html! {
        @match status.and_then(|status| Some((status, status.last_at?, status.latest_at()?))) {
            Some((status, at, latest)) => {
                @if status.last_at_is_hour { "in the hour that began " }
                (when(at, look.now))
                @if look.now.since(latest).as_secs() > silence { " · " strong { "silent for " (span(look.now.since(latest))) } }
            }
            None => span.muted { "never" }
        }
    }
}

/// What proves a delivery, counted.
fn keys(source: &Source) -> String {
    let counted = [(source.secrets.len(), "secret"), (source.public_keys.len(), "public key")];
    let own: Vec<_> = counted.into_iter().filter(|(number, _)| *number > 0).map(|(n, one)| count(n, one)).collect();
    match (own.is_empty(), source.scheme.handshake.is_some_and(|handshake| handshake.teaches)) {
        (true, true) => "a secret that the provider's handshake teaches (`hookbox learn`)".to_owned(),
        (true, false) => "keys that are fetched from the provider".to_owned(),
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
            @if guards.rate_limit.is_some() { ", no faster than " code { "rate_limit" } }
            @if guards.replay_guard == ReplayGuard::IdAndBody { ", the same body only once" }
        }
    }
}
