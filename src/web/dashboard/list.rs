//! What lists have in common: the filter's form, its states as links, the way to older rows.
//!
//! A filter as it was asked for comes in, pieces of a page go out. A list that was not looked through to its end says
//! how far it came.

use maud::{Markup, html};

use super::Look;
use super::query::Asked;
use super::words::{count, shown};

/// Rows on a page.
pub(super) const ROWS: u32 = 50;

/// The states as links, each with the rest of the filter.
pub(super) fn states<'a>(path: &str, asked: &Asked, states: impl Iterator<Item = &'a str>) -> Markup {
    let with = |state: &str| Asked { state: state.to_owned(), ..asked.filter() }.link(path);
    html! {
        nav.states aria-label="State" {
            ul {
                li { a href=(with("")) aria-current=[asked.state.is_empty().then_some("true")] { "All" } }
                @for state in states {
                    li { a href=(with(state)) aria-current=[(asked.state == state).then_some("true")] { (super::words::badge(state)) } }
                }
            }
        }
    }
}

/// A choice among names, with the one that is asked for even where nobody knows it.
pub(super) fn choice(name: &str, label: &str, names: &[String], chosen: &str) -> Markup {
    let is_unknown = !chosen.is_empty() && !names.iter().any(|name| name == chosen);
    html! {
        div.field {
            label for={ "f-" (name) } { (label) }
            select id={ "f-" (name) } name=(name) {
                option value="" selected[chosen.is_empty()] { "Any" }
                @if is_unknown { option value=(chosen) selected { (shown(chosen)) } }
                @for one in names { option value=(one) selected[one == chosen] { (shown(one)) } }
            }
        }
    }
}

/// A line of text.
pub(super) fn field(name: &str, label: &str, value: &str, example: &str) -> Markup {
    html! {
        div.field {
            label for={ "f-" (name) } { (label) }
            input id={ "f-" (name) } name=(name) value=(value) placeholder=(example) autocomplete="off" spellcheck="false";
        }
    }
}

/// From and until when.
pub(super) fn times(asked: &Asked) -> Markup {
    html! {
        (field("since", "Since (UTC)", &asked.since, "2h or 2026-01-31T12:00"))
        (field("until", "Until (UTC)", &asked.until, "30m or 2026-01-31T13:00"))
    }
}

/// The filter's form: the fields that are always there, and those that open when one of them is used. The state stays as
/// it is.
pub(super) fn filter(path: &str, asked: &Asked, first: &Markup, (more, uses_more): (&Markup, bool)) -> Markup {
    html! {
        form.filter role="search" method="get" action=(path) aria-label="Filter" {
            @if !asked.state.is_empty() { input type="hidden" name="state" value=(asked.state); }
            @if !asked.jobs.is_empty() { input type="hidden" name="jobs" value=(asked.jobs); }
            @if !asked.event.is_empty() { input type="hidden" name="event" value=(asked.event); }
            (first)
            div.filter-end {
                button type="submit" { "Filter" }
                @if asked.is_narrow() { a.quiet href=(path) { "Clear" } }
            }
            details.more open[uses_more] {
                summary { "More filters" }
                div.more-fields { (more) }
            }
        }
    }
}

/// How far a list goes.
pub(super) struct Reached<'a> {
    pub(super) rows: usize,
    pub(super) next: Option<i64>,
    pub(super) is_cut_short: bool,
    pub(super) looked_at: u64,
    /// `event`, `job`
    pub(super) one: &'a str,
}

/// Where the list ends, and the way on.
pub(super) fn end(path: &str, asked: &Asked, reached: &Reached<'_>) -> Markup {
    let filter = asked.filter();
    let on = reached.next.map(|next| Asked { before: next.to_string(), ..filter.clone() }.link(path));
    let looked_at = usize::try_from(reached.looked_at).unwrap_or(usize::MAX);
    html! {
        @if reached.is_cut_short {
            p.reach role="note" {
                "Looked through " (count(looked_at, reached.one)) " so far, " strong { "not to the end" } ": "
                @if reached.rows == 0 { "none of them passes this filter." } @else { (count(reached.rows, reached.one)) " found." }
            }
        }
        nav.pages aria-label="Pages of the list" {
            @if !asked.before.is_empty() { a.button href=(filter.link(path)) { "Newest" } }
            @if let Some(on) = on {
                a.button rel="next" href=(on) { @if reached.is_cut_short { "Look further" } @else { "Older" } }
            } @else if reached.rows > 0 { span.muted { "That is all." } }
        }
    }
}

/// Names that a filter offers: the configured ones.
pub(super) fn sources(look: &Look, asked: &Asked) -> Markup {
    choice("source", "Source", &look.setup.source_names(), &asked.source)
}
