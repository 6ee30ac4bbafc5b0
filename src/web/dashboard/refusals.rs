//! `/refusals`: deliveries that were turned away, newest first, and the way to why.
//!
//! The ring of refusals comes in, page by page. What one says in detail is `refusal`'s.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use maud::{Markup, html};

use super::frame::{Frame, Tab};
use super::list::{self, ROWS, Reached};
use super::query::Asked;
use super::words::{shown, size, when};
use super::{Look, Shared, Trouble, Visitor, refusal};
use crate::inbox::reader::RefusalSummary;
use crate::model::filter::Page;

const PATH: &str = "/refusals";

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route(PATH, web::get().to(all))
        .route("/refusals/{id:[0-9]{1,18}}", web::get().to(one))
        .route("/refusals/{id:[0-9]{1,18}}/body", web::get().to(download))
        .route("/refusals/{id:[0-9]{1,18}}/reverify", web::post().to(reverify));
}

async fn all(shared: Data<Shared>, visitor: Visitor, asked: Query<Asked>) -> HttpResponse {
    super::show(shared, visitor, move |look| page(look, &asked)).await
}

async fn one(shared: Data<Shared>, visitor: Visitor, id: Path<i64>, asked: Query<Asked>) -> HttpResponse {
    super::show(shared, visitor, move |look| refusal::page(look, *id, &asked)).await
}

async fn download(shared: Data<Shared>, visitor: Visitor, id: Path<i64>) -> HttpResponse {
    let id = id.into_inner();
    let file = format!("refusal-{id}.body");
    super::with(shared, visitor, move |look| refusal::kept_body(look, id), move |body| super::saved(body, &file)).await
}

async fn reverify(shared: Data<Shared>, visitor: Visitor, id: Path<i64>) -> HttpResponse {
    super::act(shared, visitor, move |look| refusal::reverify(look, *id)).await
}

fn page(look: &Look, asked: &Asked) -> Result<Markup, Trouble> {
    let (arrival, before) = (asked.arrival()?, asked.before()?);
    // One more than fits tells whether there is a next page.
    let wanted = Page { before, limit: ROWS + 1, deadline: None };
    let mut rows = look.inbox.reader()?.refusals(&arrival, wanted)?;
    let has_more = rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    let next = rows.last().filter(|_| has_more).map(|last| last.id);
    let reached = Reached { rows: rows.len(), next, is_cut_short: false, looked_at: 0, one: "refusal" };
    let main = html! {
        h1 { "Refusals" }
        p.lead { "Deliveries that were turned away; the newest thousand are kept. The sender was told nothing but a status." }
        (list::filter(PATH, asked, &list::sources(look, asked), (&list::times(asked), !(asked.since.is_empty() && asked.until.is_empty()))))
        @if rows.is_empty() { p.empty { @if asked.is_narrow() { "No refusal passes this filter." } @else { "Nothing was turned away." } } }
        @else { (table(look, &rows)) }
        (list::end(PATH, asked, &reached))
    };
    Ok(Frame { title: "Refusals", tab: Tab::Refusals, is_live: true, did: None }.around(look, &main))
}

fn table(look: &Look, rows: &[RefusalSummary]) -> Markup {
    html! {
        table.list role="table" {
            caption.visually-hidden { "Refusals, newest first" }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" { "Why" }
                th role="columnheader" scope="col" { "Answer" }
                th role="columnheader" scope="col" { "Source" }
                th role="columnheader" scope="col" { "From" }
                th.number role="columnheader" scope="col" { "Size" }
                th role="columnheader" scope="col" { "Received" }
            } }
            tbody role="rowgroup" { @for one in rows { (row(look, one)) } }
        }
    }
}

fn row(look: &Look, one: &RefusalSummary) -> Markup {
    html! {
        tr role="row" data-key={ "r-" (one.id) } {
            th.lead-cell role="rowheader" scope="row" {
                a href={ "/refusals/" (one.id) } { (shown(&one.reason)) }
                @if one.taken_at.is_some() { " " (super::words::badge("taken in")) }
            }
            td role="cell" data-label="Answer" { span.status { (one.status) } }
            td role="cell" data-label="Source" { (shown(&one.source)) }
            td role="cell" data-label="From" { (one.remote.as_deref().map(shown).unwrap_or_default()) }
            td.number role="cell" data-label="Size" { (size(one.body_bytes)) }
            td.when role="cell" data-label="Received" { (when(one.received_at, look.now)) }
        }
    }
}
