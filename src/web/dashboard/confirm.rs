//! The page before many jobs change: how many, which, and what it means.
//!
//! A verb and a filter come in; the form goes out bound to what it says: the number, and the newest job of them. Counting
//! has its time like everything on a page; where that was over the number says "at least", and has to be had in full first.

use std::time::Instant;

use maud::{Markup, html};

use super::change::{self, Verb, wish};
use super::frame::{Did, Frame, Tab, csrf};
use super::query::Asked;
use super::words::{count, shown};
use super::{Look, Trouble};
use crate::inbox::operator::{BulkAction, BulkPlan, SkipReason};
use crate::model::filter::{JobFilter, Page};

pub(super) fn page(look: &Look, verb: Verb, asked: &Asked) -> Result<Markup, Trouble> {
    let wish = wish(verb, asked)?;
    let until: Option<Instant> = if asked.n == "all" { None } else { Some(Look::until()) };
    let plan = look.inbox.reader()?.plan_bulk_update(&wish, look.now, until)?;
    let filter = asked.filter();
    let title = format!("{} {}?", verb.label, number(&plan));
    let back = back(asked)?;
    let main = html! {
        (crumbs(&back, verb.label))
        h1 { (title) }
        p.lead { (verb.means) }
        @if verb.change != BulkAction::Skip { (waiting(&paused_among(look, asked)?)) }
        (which(&filter))
        @if !plan.left.is_empty() {
            h2 { "Left as they are" }
            ul.plain-list { @for (why, jobs) in &plan.left { li { (count(*jobs, "job")) ": " (because(*why)) } } }
        }
        @if !plan.is_complete {
            p.reach { "Counting took too long and was ended: it is at least this many. "
                a href=(Asked { n: "all".into(), ..filter.clone() }.link(&format!("/jobs/{}", verb.word))) { "Count all of them" } }
        }
        form.confirm method="post" action={ "/jobs/" (verb.word) } {
            (csrf(look))
            @for (name, value) in filter.pairs() { input type="hidden" name=(name) value=(value); }
            @match plan.jobs.iter().max().filter(|_| plan.is_complete) {
                Some(newest) => {
                    input type="hidden" name="newest" value=(newest);
                    input type="hidden" name="count" value=(plan.len());
                    button.primary type="submit" { (verb.label) " " (number(&plan)) }
                }
                None => @if plan.is_complete { p.muted { "There is nothing to " (verb.word) "." } },
            }
            a.button href=(back.0) { "Cancel" }
        }
    };
    let did = Did::read(look, asked);
    Ok(Frame { title: &title, tab: Tab::Jobs, is_live: false, did }.around(look, &main))
}

/// The page before one event is given to a handler that has no job for it.
pub(super) fn run(look: &Look, asked: &Asked) -> Result<Markup, Trouble> {
    change::event_and_handler(look, asked)?;
    let filter = asked.filter();
    let back = back(asked)?;
    let title = format!("Run {} on 1 event?", shown(&asked.handler));
    let main = html! {
        (crumbs(&back, "Run"))
        h1 { (title) }
        p.lead { "It gets a new job for this event and runs now, whatever its own conditions say." }
        (waiting(&paused(look, &asked.handler)?))
        (which(&filter))
        form.confirm method="post" action="/jobs/run" {
            (csrf(look))
            @for (name, value) in filter.pairs() { input type="hidden" name=(name) value=(value); }
            button.primary type="submit" { "Run 1 new job" }
            a.button href=(back.0) { "Cancel" }
        }
    };
    Ok(Frame { title: &title, tab: Tab::Jobs, is_live: false, did: None }.around(look, &main))
}

/// The handlers that start no jobs: this one, or any.
fn paused(look: &Look, handler: &str) -> Result<Vec<String>, Trouble> {
    let all = look.inbox.reader()?.handler_states()?;
    let is_wanted = |name: &str| handler.is_empty() || handler == name;
    let paused = all.iter().filter(|one| one.paused_by.is_some() && is_wanted(&one.name));
    Ok(paused.map(|one| one.name.to_string()).collect())
}

/// Those of them that have jobs which pass the filter, as far as a moment tells.
fn paused_among(look: &Look, asked: &Asked) -> Result<Vec<String>, Trouble> {
    let until = Look::until();
    let mut found = Vec::new();
    for name in paused(look, &asked.handler)? {
        let filter = JobFilter { handler: Some(name.clone()), ..asked.jobs()? };
        let reach = Page { before: None, limit: 1, deadline: Some(until) };
        let walk = look.inbox.reader()?.jobs(&filter, reach)?;
        if !walk.rows.is_empty() {
            found.push(name);
        }
    }
    Ok(found)
}

fn waiting(paused: &[String]) -> Markup {
    html! {
        @for name in paused {
            p.notice.warn { "Handler " strong { (shown(name)) } " is paused: its jobs wait until it is resumed." }
        }
    }
}

/// Where a person came from, and what it is called.
fn back(asked: &Asked) -> Result<(String, String), Trouble> {
    Ok(match asked.seq()? {
        Some(seq) => (format!("/events/{seq}"), format!("Event #{seq}")),
        None => (asked.filter().link(super::jobs::PATH), "Jobs".to_owned()),
    })
}

pub(super) fn crumbs((href, name): &(String, String), label: &str) -> Markup {
    html! { nav.crumbs aria-label="Way back" { a href=(href) { (name) } span aria-hidden="true" { " / " } (label) } }
}

pub(super) fn which(filter: &Asked) -> Markup {
    html! {
        h2 { "Which" }
        dl.facts {
            @for (name, value) in filter.pairs() {
                @if name == "jobs" { dt { "ticked" } dd { (count(value.split(',').count(), "job")) } }
                @else { dt { (name.replace('_', " ")) } dd { (shown(value)) } }
            }
        }
    }
}

fn number(plan: &BulkPlan) -> String {
    let number = count(plan.len(), "job");
    if plan.is_complete { number } else { format!("at least {number}") }
}

fn because(left: SkipReason) -> &'static str {
    match left {
        SkipReason::Succeeded => "succeeded",
        SkipReason::Dead => "dead; a retry runs them again",
        SkipReason::Pending => "pending; they run anyway",
        SkipReason::Due => "due already",
        SkipReason::Blocked => "blocked by another job of the same value",
        SkipReason::Running => "running; skip ends them",
        SkipReason::Skipped => "skipped already",
        SkipReason::Ending => "their last attempt is still ending",
        SkipReason::Pruned => "the body of the event is no longer kept",
        SkipReason::Overtaken => "something else happened to them meanwhile",
    }
}
