//! Parts of a list page: filter form, links by state, paging.
//!
//! A list whose search ran out of time says how far it came and links to the rest.

use maud::{Markup, html};

use super::format::{badge, count, shown};
use crate::inbox::reader::PagedList;
use crate::web::dashboard::context::PageContext;
use crate::web::query::PageQuery;

/// Links for each state, with the rest of the filter unchanged.
pub(crate) fn state_links<'a>(path: &str, query: &PageQuery, states: impl Iterator<Item = &'a str>) -> Markup {
    let link = |state: &str| PageQuery { state: state.to_owned(), ..query.filter() }.link(path);
    html! {
        nav.states aria-label="State" {
            ul {
                li { a href=(link("")) aria-current=[query.state.is_empty().then_some("true")] { "All" } }
                @for state in states {
                    li { a href=(link(state)) aria-current=[(query.state == state).then_some("true")] { (badge(state)) } }
                }
            }
        }
    }
}

/// A select field. The chosen value is offered even if it is not among the names.
pub(crate) fn select(name: &str, label: &str, names: &[String], chosen: &str) -> Markup {
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

pub(crate) fn source_field(ctx: &PageContext, query: &PageQuery) -> Markup {
    select("source", "Source", &ctx.config.source_names(), &query.source)
}

pub(crate) fn text_field(name: &str, label: &str, value: &str, placeholder: &str) -> Markup {
    html! {
        div.field {
            label for={ "f-" (name) } { (label) }
            input id={ "f-" (name) } name=(name) value=(value) placeholder=(placeholder) autocomplete="off" spellcheck="false";
        }
    }
}

pub(crate) fn time_fields(query: &PageQuery) -> Markup {
    html! {
        (text_field("since", "Since (UTC)", &query.since, "2h or 2026-01-31T12:00"))
        (text_field("until", "Until (UTC)", &query.until, "30m or 2026-01-31T13:00"))
    }
}

/// The filter form. The fields under "More filters" open if one of them is used.
pub(crate) struct FilterForm<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a PageQuery,
    pub(crate) fields: Markup,
    pub(crate) more_fields: Markup,
    pub(crate) is_open: bool,
}

impl FilterForm<'_> {
    pub(crate) fn render(&self) -> Markup {
        let query = self.query;
        html! {
            form.filter role="search" method="get" action=(self.path) aria-label="Filter" {
                @if !query.state.is_empty() { input type="hidden" name="state" value=(query.state); }
                @if !query.jobs.is_empty() { input type="hidden" name="jobs" value=(query.jobs); }
                @if !query.event.is_empty() { input type="hidden" name="event" value=(query.event); }
                (self.fields)
                div.filter-end {
                    button type="submit" { "Filter" }
                    @if query.has_filter() { a.quiet href=(self.path) { "Clear" } }
                }
                details.more open[self.is_open] {
                    summary { "More filters" }
                    div.more-fields { (self.more_fields) }
                }
            }
        }
    }
}

/// How far the search came, and links to the newest and to older rows. `noun` names a row, such as `event`.
pub(crate) fn paging<T>(path: &str, query: &PageQuery, list: &PagedList<T>, noun: &str) -> Markup {
    let (filter, rows) = (query.filter(), list.rows.len());
    let older = list.next.map(|next| PageQuery { before: next.to_string(), ..filter.clone() }.link(path));
    let searched = usize::try_from(list.looked_at).unwrap_or(usize::MAX);
    html! {
        @if list.is_cut_short {
            p.reach role="note" {
                "Searched " (count(searched, noun)) " so far, " strong { "not all" } ": "
                @if rows == 0 { "no match yet." } @else { (count(rows, noun)) " found." }
            }
        }
        nav.pages aria-label="Pages of the list" {
            @if !query.before.is_empty() { a.button href=(filter.link(path)) { "Newest" } }
            @if let Some(older) = older {
                a.button rel="next" href=(older) { @if list.is_cut_short { "Continue search" } @else { "Older" } }
            } @else if rows > 0 { span.muted { "End of list." } }
        }
    }
}

/// The filter as a list of names and values.
pub(crate) fn filter_facts(filter: &PageQuery) -> Markup {
    html! {
        h2 { "Filter" }
        dl.facts {
            @for (name, value) in filter.pairs() {
                @if name == "jobs" { dt { "selected" } dd { (count(value.split(',').count(), "job")) } }
                @else { dt { (name.replace('_', " ")) } dd { (shown(value)) } }
            }
        }
    }
}
