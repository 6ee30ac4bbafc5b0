//! `/events`: what came in, newest first, by filter, id, or a text in the body.
//!
//! A filter goes in, one page of events comes out. Looking for a text reads bodies, so it goes as far as its time
//! allows and offers to go on.

use maud::{Markup, html};

use super::frame::{Frame, Tab};
use super::list::{self, ROWS, Reached};
use super::query::Asked;
use super::words::{badge, event_type, shown, size, when};
use super::{Look, Trouble};
use crate::inbox::reader::{Event, PagedList, SEARCHED_BODY};
use crate::model::event::EventState;
use crate::model::filter::Page;

const PATH: &str = "/events";

pub(super) fn page(look: &Look, asked: &Asked) -> Result<Markup, Trouble> {
    let walk = if asked.id.trim().is_empty() { walk(look, asked)? } else { by_id(look, asked)? };
    let reached = Reached {
        rows: walk.rows.len(),
        next: walk.next,
        is_cut_short: walk.is_cut_short,
        looked_at: walk.looked_at,
        one: "event",
    };
    let main = html! {
        h1 { "Events" }
        (list::states(PATH, asked, EventState::ALL.iter().map(|state| state.as_str())))
        (list::filter(PATH, asked, &html! {
            (list::sources(look, asked))
            (list::field("type", "Type", &asked.event_type, "push or invoice.*"))
            (list::field("id", "Id begins with", &asked.id, "evt_1Nx or #42"))
        }, (&html! {
            (list::field("text", "Text in the body", &asked.text, "as it stands there"))
            (list::times(asked))
        }, !(asked.text.is_empty() && asked.since.is_empty() && asked.until.is_empty()))))
        @if !asked.text.trim().is_empty() {
            p.muted { "Bodies of more than " (size(SEARCHED_BODY)) " are not looked through." }
        }
        @if walk.rows.is_empty() {
            @if !walk.is_cut_short { p.empty { @if asked.is_narrow() { "No event passes this filter." } @else { "Nothing has arrived yet." } } }
        } @else { (table(look, &walk.rows)) }
        (list::end(PATH, asked, &reached))
        @if asked.is_narrow() && asked.id.is_empty() && asked.text.is_empty() {
            p.aside { a href=(jobs_of(asked)) { "The jobs of these events" } " can be retried, replayed or skipped together." }
        }
    };
    Ok(Frame { title: "Events", tab: Tab::Events, is_live: true, did: None }.around(look, &main))
}

/// The list of jobs by the same filter.
fn jobs_of(asked: &Asked) -> String {
    let state = if asked.state == "unmatched" { String::new() } else { asked.state.clone() };
    Asked { state, ..asked.filter() }.link("/jobs")
}

fn walk(look: &Look, asked: &Asked) -> Result<PagedList<Event>, Trouble> {
    let (filter, before) = (asked.events()?, asked.before()?);
    let reach = Page { before, limit: ROWS, deadline: Some(Look::until()) };
    Ok(look.inbox.reader()?.events(&filter, reach)?)
}

/// Events by their id, or how it begins; the rest of the filter still holds.
fn by_id(look: &Look, asked: &Asked) -> Result<PagedList<Event>, Trouble> {
    let (filter, id) = (asked.events()?, asked.id.trim());
    let rows = match id.strip_prefix('#').map(str::parse) {
        Some(Ok(seq)) => look.inbox.reader()?.event(seq)?.into_iter().collect(),
        _ => look.inbox.reader()?.events_by_id_prefix(id, ROWS)?,
    };
    let passes = |event: &Event| {
        let arrival = &filter.arrival;
        arrival.source.as_ref().is_none_or(|source| *source == event.source)
            && arrival.since.is_none_or(|since| event.received_at >= since)
            && arrival.until.is_none_or(|until| event.received_at < until)
            && (filter.states.is_empty() || filter.states.contains(&event.state))
    };
    let rows: Vec<_> = rows.into_iter().filter(passes).take(ROWS as usize).collect();
    let looked_at = rows.len() as u64;
    Ok(PagedList { rows, next: None, is_cut_short: false, looked_at })
}

fn table(look: &Look, events: &[Event]) -> Markup {
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
            tbody role="rowgroup" { @for event in events { (row(look, event)) } }
        }
    }
}

fn row(look: &Look, event: &Event) -> Markup {
    html! {
        tr role="row" data-key={ "e-" (event.seq) } {
            th.lead-cell role="rowheader" scope="row" {
                a href={ "/events/" (event.seq) } { (event_type(&event.event_type)) } " " span.seq { "#" (event.seq) }
            }
            td role="cell" data-label="State" { (badge(event.state.as_str())) }
            td role="cell" data-label="Source" { (shown(&event.source)) }
            td.id role="cell" data-label="Id" { code { (shown(&event.event_id)) }
                @if event.deliveries > 1 { " " span.muted { "× " (event.deliveries) } } }
            td.number role="cell" data-label="Size" { (size(event.body_bytes)) }
            td.when role="cell" data-label="Received" { (when(event.received_at, look.now)) }
        }
    }
}
