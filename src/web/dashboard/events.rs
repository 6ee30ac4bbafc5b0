//! `/events`: the list of events, newest first, by filter, id prefix or text in the body.
//!
//! A search for text reads bodies, so it is limited by time and offers to continue.

use actix_web::HttpResponse;
use actix_web::web::{self, Query, ServiceConfig};
use maud::{Markup, html};

use super::components::format::{badge, event_type, shown, size, when};
use super::components::layout::{Layout, Tab};
use super::components::list::{self, FilterForm};
use super::context::{PAGE_ROWS, PageContext, PageError};
use super::page;
use crate::inbox::reader::{Event, MAX_SEARCHED_BODY, PagedList};
use crate::model::event::EventState;
use crate::web::query::PageQuery;

const PATH: &str = "/events";

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route(PATH, web::get().to(show));
}

async fn show(ctx: PageContext, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| render(ctx, &query)).await
}

fn render(ctx: &PageContext, query: &PageQuery) -> Result<Markup, PageError> {
    let list = if query.id.trim().is_empty() {
        ctx.inbox.reader()?.events(&query.events()?, PageContext::list_page(query.before()?))?
    } else {
        by_id(ctx, query)?
    };
    let form = FilterForm {
        path: PATH,
        query,
        fields: html! {
            (list::source_field(ctx, query))
            (list::text_field("type", "Type", &query.event_type, "push or invoice.*"))
            (list::text_field("id", "Id starts with", &query.id, "evt_1Nx or #42"))
        },
        more_fields: html! {
            (list::text_field("text", "Text in the body", &query.text, "exact text"))
            (list::time_fields(query))
        },
        is_open: !(query.text.is_empty() && query.since.is_empty() && query.until.is_empty()),
    };
    let main = html! {
        h1 { "Events" }
        (list::state_links(PATH, query, EventState::ALL.iter().map(|state| state.as_str())))
        (form.render())
        @if !query.text.trim().is_empty() {
            p.muted { "Bodies larger than " (size(MAX_SEARCHED_BODY)) " are not searched." }
        }
        @if list.rows.is_empty() {
            @if !list.is_cut_short { p.empty { @if query.has_filter() { "No event matches this filter." } @else { "No event has arrived yet." } } }
        } @else { (table(ctx, &list.rows)) }
        (list::paging(PATH, query, &list, "event"))
        @if query.has_filter() && query.id.is_empty() && query.text.is_empty() {
            p.aside { a href=(jobs_link(query)) { "Show the jobs of these events" } " to retry, replay or skip them together." }
        }
    };
    Ok(Layout { title: "Events", tab: Tab::Events, is_live: true, flash: None }.render(ctx, &main))
}

/// The jobs page with the same filter.
fn jobs_link(query: &PageQuery) -> String {
    let state = if query.state == "unmatched" { String::new() } else { query.state.clone() };
    PageQuery { state, ..query.filter() }.link("/jobs")
}

/// Events by `#seq` or id prefix that match the rest of the filter.
fn by_id(ctx: &PageContext, query: &PageQuery) -> Result<PagedList<Event>, PageError> {
    let (filter, id) = (query.events()?, query.id.trim());
    let reader = ctx.inbox.reader()?;
    let mut rows = match id.strip_prefix('#').map(str::parse) {
        Some(Ok(seq)) => reader.event(seq)?.into_iter().collect(),
        _ => reader.events_by_id_prefix(id, PAGE_ROWS)?,
    };
    rows.retain(|event: &Event| {
        let arrival = &filter.arrival;
        arrival.source.as_ref().is_none_or(|source| *source == event.source)
            && arrival.since.is_none_or(|since| event.received_at >= since)
            && arrival.until.is_none_or(|until| event.received_at < until)
            && (filter.states.is_empty() || filter.states.contains(&event.state))
    });
    rows.truncate(PAGE_ROWS as usize);
    let looked_at = rows.len() as u64;
    Ok(PagedList { rows, next: None, is_cut_short: false, looked_at })
}

fn table(ctx: &PageContext, events: &[Event]) -> Markup {
    html! {
        table.list role="table" {
            caption.visually-hidden { "Events, newest first" }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" { "Event" }
                th role="columnheader" scope="col" { "State" }
                th role="columnheader" scope="col" { "Source" }
                th role="columnheader" scope="col" { "Id" }
                th.number role="columnheader" scope="col" { "Size" }
                th role="columnheader" scope="col" { "Received" }
            } }
            tbody role="rowgroup" { @for event in events { (row(ctx, event)) } }
        }
    }
}

fn row(ctx: &PageContext, event: &Event) -> Markup {
    html! {
        tr role="row" data-key={ "e-" (event.seq) } {
            th.lead-cell role="rowheader" scope="row" {
                a href={ "/events/" (event.seq) } { (event_type(&event.event_type)) } " " span.seq { "#" (event.seq) }
            }
            td role="cell" data-label="State" { (badge(event.state.as_str())) }
            td role="cell" data-label="Source" { (shown(&event.source)) }
            td.id role="cell" data-label="Id" { code { (shown(&event.event_id)) }
                @if event.deliveries > 1 { " " span.muted { "× " (event.deliveries) } }
                @if event.deviating_deliveries > 0 { " " span.muted { (event.deviating_deliveries) " with another body" } } }
            td.number role="cell" data-label="Size" { (size(event.body_bytes)) }
            td.when role="cell" data-label="Received" { (when(event.received_at, ctx.now)) }
        }
    }
}
