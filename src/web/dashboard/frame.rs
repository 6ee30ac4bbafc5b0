//! What every page stands in: the head, the way around, what was done just now, the place for the page itself.
//!
//! A page's main part comes in, a whole document goes out. Nothing in it is loaded from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use subtle::ConstantTimeEq as _;

use super::query::Asked;
use super::words::{count, grouped, shown};
use super::{Look, Trouble, assets};

/// Where in the dashboard a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
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
/// Dead jobs that the way around counts.
const DEAD_SHOWN: i64 = 999;

/// What stands around a page.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) tab: Tab,
    /// Whether it follows what happens while it is open.
    pub(super) is_live: bool,
    pub(super) did: Option<Did>,
}

/// What was done just now, as the address says it under our seal: a verb and a number, nothing else.
#[derive(Debug)]
pub(super) struct Did(String);

impl Did {
    pub(super) fn read(look: &Look, asked: &Asked) -> Option<Self> {
        let seal = look.seal(&asked.did, &asked.n);
        if !bool::from(asked.seal.as_bytes().ct_eq(seal.as_bytes())) {
            return None;
        }
        let number: usize = asked.n.parse().ok()?;
        let jobs = count(number, "job");
        Some(Self(match asked.did.as_str() {
            "ask" => format!("Not done yet: by now it is about {jobs}. Look again."),
            _ if number == 0 => {
                "Nothing was left to do: somebody else was faster, or the jobs have moved on.".to_owned()
            }
            "retry" => format!("{jobs} will run again now."),
            "replay" => format!("{jobs} will run once more."),
            "skip" => format!("{jobs} skipped."),
            "pause" => "Paused: it starts no more jobs until it is resumed.".to_owned(),
            "resume" => "Resumed.".to_owned(),
            "probe" => "It is tried again now; if it can be run, it goes on.".to_owned(),
            "run" => format!("{} made: it runs now.", count(number, "new job")),
            "reverify" => format!("Genuine now: taken in with {}.", count(number, "event")),
            _ => return None,
        }))
    }
}

impl Did {
    /// That a refusal stays out, and why.
    pub(super) fn left(why: &str) -> Option<Self> {
        Some(Self(why.to_owned()))
    }
}

impl Frame<'_> {
    /// The whole document.
    pub(super) fn around(&self, look: &Look, main: &Markup) -> Markup {
        let dead = look.inbox.reader().and_then(|reader| reader.count_dead_jobs(DEAD_SHOWN + 1)).unwrap_or_default();
        let style = format!("/assets/hookbox.css?{}", assets::VERSION);
        let script = format!("/assets/hookbox.js?{}", assets::VERSION);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (shown(self.title)) " · hookbox" }
                    link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                    link rel="stylesheet" href=(style);
                    script src=(script) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    (self.head(look, dead))
                    p.visually-hidden #said role="status" aria-live="polite" {}
                    main #main tabindex="-1" data-live=[self.is_live.then_some(look.seen)] {
                        @if let Some(Did(text)) = &self.did { p.notice role="status" { (text) } }
                        (main)
                    }
                    footer.foot { p { "hookbox " (env!("CARGO_PKG_VERSION")) " · times are UTC" span #zone hidden { "; point at one for yours" } } }
                }
            }
        }
    }

    fn head(&self, look: &Look, dead: i64) -> Markup {
        html! {
            header.head {
                div.head-row {
                    a.brand href="/" { (PreEscaped(include_str!("assets/mark.svg"))) span { "hookbox" } }
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
                        @if look.can_log_out {
                            form method="post" action="/logout" {
                                (csrf(look))
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
    if dead > DEAD_SHOWN { format!("{DEAD_SHOWN}+") } else { grouped(dead) }
}

/// The field that shows that a form is ours.
pub(super) fn csrf(look: &Look) -> Markup {
    html! { input type="hidden" name=(crate::web::auth::CSRF_FIELD) value=(look.csrf); }
}

/// A page with a title of its own.
pub(super) fn page(look: &Look, tab: Tab, title: &str, main: &Markup) -> Result<Markup, Trouble> {
    Ok(Frame { title, tab, is_live: true, did: None }.around(look, main))
}
