//! The frame of every page: header with navigation, flash message, footer.
//!
//! The dead-job count in the header is read for each page.

use maud::{Markup, html};
use subtle::ConstantTimeEq as _;

use super::format::{count, grouped};
use crate::web::auth::CSRF_FIELD;
use crate::web::dashboard::context::PageContext;
use crate::web::layout::{brand, document};
use crate::web::query::PageQuery;

/// The navigation entry that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Events,
    Jobs,
    Refusals,
    Sources,
    Handlers,
    None,
}

const TABS: [(Tab, &str, &str); 6] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Events, "/events", "Events"),
    (Tab::Jobs, "/jobs", "Jobs"),
    (Tab::Refusals, "/refusals", "Refusals"),
    (Tab::Sources, "/sources", "Sources"),
    (Tab::Handlers, "/handlers", "Handlers"),
];
/// Dead jobs are counted up to this number.
const MAX_DEAD_SHOWN: i64 = 999;

/// A one-time message about the last change. The verb and number come from the address, with a signature.
#[derive(Debug)]
pub(crate) struct Flash(String);

impl Flash {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// `None` if the query has no flash, or its signature is wrong.
    pub(crate) fn read(ctx: &PageContext, query: &PageQuery) -> Option<Self> {
        let signature = ctx.sign_flash(&query.did, &query.n);
        if !bool::from(query.seal.as_bytes().ct_eq(signature.as_bytes())) {
            return None;
        }
        let number: usize = query.n.parse().ok()?;
        let jobs = count(number, "job");
        Some(Self(match query.did.as_str() {
            "ask" => format!("Not done: {jobs} match by now. Check again."),
            _ if number == 0 => "Nothing to do: the jobs have changed in the meantime.".to_owned(),
            "retry" => format!("{jobs} will run again now."),
            "replay" => format!("{jobs} will run once more."),
            "skip" => format!("{jobs} skipped."),
            "pause" => "Paused: no job starts until you resume the handler.".to_owned(),
            "resume" => "Resumed.".to_owned(),
            "probe" => "Trying again now. If the handler can be run, it continues.".to_owned(),
            "run" => format!("{} created and started.", count(number, "new job")),
            "reverify" => format!("Verified and accepted as {}.", count(number, "event")),
            _ => return None,
        }))
    }
}

pub(crate) struct Layout<'a> {
    pub(crate) title: &'a str,
    pub(crate) tab: Tab,
    /// Whether the page updates itself while it is open.
    pub(crate) is_live: bool,
    pub(crate) flash: Option<Flash>,
}

impl Layout<'_> {
    pub(crate) fn render(&self, ctx: &PageContext, main: &Markup) -> Markup {
        let body = html! {
            a.skip href="#main" { "Skip to content" }
            (self.header(ctx))
            p.visually-hidden #announcement role="status" aria-live="polite" {}
            main #main tabindex="-1" data-live=[self.is_live.then_some(ctx.changes_seen)] {
                @if let Some(Flash(text)) = &self.flash { p.notice role="status" { (text) } }
                (main)
            }
            footer.foot { p { "hookbox " (env!("CARGO_PKG_VERSION")) " · times are UTC" span #zone hidden { "; hover for local time" } } }
        };
        document(self.title, None, true, &body)
    }

    fn header(&self, ctx: &PageContext) -> Markup {
        let dead = ctx.inbox.reader().and_then(|reader| reader.count_dead_jobs(MAX_DEAD_SHOWN + 1)).unwrap_or_default();
        html! {
            header.head {
                div.head-row {
                    (brand())
                    nav.tabs aria-label="Pages" {
                        ul {
                            @for (tab, href, label) in TABS {
                                li { a href=(href) aria-current=[(self.tab == tab).then_some("page")] { (label) } }
                            }
                        }
                    }
                    div.head-end #head-end {
                        @if dead > 0 {
                            a.dead-count href="/jobs?state=dead" {
                                (dead_count(dead)) span.dead-word { " dead" }
                                span.visually-hidden { " jobs" }
                            }
                        }
                        span.live #live hidden { "Live" }
                        @if ctx.can_log_out {
                            form method="post" action="/logout" {
                                (csrf_field(ctx))
                                button.quiet type="submit" { "Log out" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn dead_count(dead: i64) -> String {
    if dead > MAX_DEAD_SHOWN { format!("{MAX_DEAD_SHOWN}+") } else { grouped(dead) }
}

/// The hidden form field with the CSRF token.
pub(crate) fn csrf_field(ctx: &PageContext) -> Markup {
    html! { input type="hidden" name=(CSRF_FIELD) value=(ctx.csrf); }
}

/// The link back to the list or event that a page belongs to.
pub(crate) fn breadcrumbs(href: &str, parent: &str, label: &str) -> Markup {
    html! { nav.crumbs aria-label="Breadcrumb" { a href=(href) { (parent) } span aria-hidden="true" { " / " } (label) } }
}
