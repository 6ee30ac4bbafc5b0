//! The page before many jobs change: how many, which, and what it means.
//!
//! A verb and a filter come in. Counting has its time like everything on a page; where that was over the number says
//! "at least", and can be had in full.

use std::time::Instant;

use maud::{Markup, html};

use super::change::{Verb, wish};
use super::frame::{Frame, Tab, csrf};
use super::query::Asked;
use super::words::{count, shown};
use super::{Look, Trouble};
use crate::inbox::edit::{self, Left, Plan};

pub(super) fn page(look: &Look, verb: Verb, asked: &Asked) -> Result<Markup, Trouble> {
    let wish = wish(verb, asked)?;
    let until: Option<Instant> = if asked.n == "all" { None } else { Some(Look::until()) };
    let (plan, is_whole) = look.inbox.read(|connection| edit::plan_until(connection, &wish, look.now, until))?;
    let filter = asked.filter();
    let title = format!("{} {}?", verb.label, number(&plan, is_whole));
    let main = html! {
        nav.crumbs aria-label="Way back" { a href=(filter.link(super::jobs::PATH)) { "Jobs" } span aria-hidden="true" { " / " } (verb.label) }
        h1 { (title) }
        p.lead { (verb.means) }
        h2 { "Which" }
        dl.facts {
            @for (name, value) in filter.pairs() { dt { (name) } dd { (shown(value)) } }
        }
        @if !plan.left.is_empty() {
            h2 { "Left as they are" }
            ul.plain-list { @for (why, jobs) in &plan.left { li { (count(*jobs, "job")) ": " (because(*why)) } } }
        }
        @if !is_whole {
            p.reach { "Counting took too long and was ended: it is at least this many. "
                a href=(Asked { n: "all".into(), ..filter.clone() }.link(&format!("/jobs/{}", verb.word))) { "Count all of them" } }
        }
        form.confirm method="post" action={ "/jobs/" (verb.word) } {
            (csrf(look))
            @for (name, value) in filter.pairs() { input type="hidden" name=(name) value=(value); }
            @if plan.is_empty() { p.empty { "There is nothing to " (verb.word) "." } }
            @else { button.primary type="submit" { (verb.label) " " (number(&plan, is_whole)) } }
            a.button href=(filter.link(super::jobs::PATH)) { "Cancel" }
        }
    };
    Ok(Frame { title: &title, tab: Tab::Jobs, is_live: false, did: None }.around(look, &main))
}

fn number(plan: &Plan, is_whole: bool) -> String {
    let number = count(plan.len(), "job");
    if is_whole { number } else { format!("at least {number}") }
}

fn because(left: Left) -> &'static str {
    match left {
        Left::Succeeded => "succeeded",
        Left::Dead => "dead; a retry runs them again",
        Left::Pending => "pending; they run anyway",
        Left::Due => "due already",
        Left::Running => "running; skip ends them",
        Left::Skipped => "skipped already",
        Left::Ending => "their last attempt is still ending",
        Left::Pruned => "the body of the event is no longer kept",
        Left::Overtaken => "something else happened to them meanwhile",
    }
}
