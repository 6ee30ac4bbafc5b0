//! `/refusals` and `/refusals/ID`: rejected deliveries, and which change would have accepted one.
//!
//! The diagnosis reveals no secret and no expected signature. A refusal can be verified again under the current
//! configuration and is then accepted if its signature is valid.

use actix_web::HttpResponse;
use actix_web::web::{self, Path, Query, ServiceConfig};
use maud::{Markup, html};

use super::components::body::{StoredBody, display_limit};
use super::components::format::{badge, header_list, shown, size, when};
use super::components::layout::{Flash, Layout, Tab, breadcrumbs, csrf_field};
use super::components::list::{self, FilterForm};
use super::context::{PAGE_ROWS, PageContext, PageError};
use super::page;
use crate::diagnose::{Explanation, ReverifyResult};
use crate::inbox::reader::{PagedList, RefusalSummary, StoredRefusal};
use crate::model::filter::Page;
use crate::web::operations::{AcceptResult, RefusalWithKey};
use crate::web::query::PageQuery;

const PATH: &str = "/refusals";

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route(PATH, web::get().to(show_list))
        .route("/refusals/{id:[0-9]{1,18}}", web::get().to(show))
        .route("/refusals/{id:[0-9]{1,18}}/body", web::get().to(download))
        .route("/refusals/{id:[0-9]{1,18}}/reverify", web::post().to(reverify));
}

async fn show_list(ctx: PageContext, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| render_list(ctx, &query)).await
}

async fn show(ctx: PageContext, id: Path<i64>, query: Query<PageQuery>) -> HttpResponse {
    page::show(ctx, move |ctx| render(ctx, *id, &query)).await
}

async fn download(ctx: PageContext, id: Path<i64>) -> HttpResponse {
    let id = id.into_inner();
    let body = move |ctx: &PageContext| Ok(find(ctx, id)?.refusal.refused.body);
    page::download(ctx, format!("refusal-{id}.body"), body).await
}

async fn reverify(ctx: PageContext, id: Path<i64>) -> HttpResponse {
    page::redirect(ctx, move |ctx| {
        let path = format!("/refusals/{id}");
        let events = match ctx.operations().accept(*id, &find(ctx, *id)?)? {
            AcceptResult::Accepted(events) => usize::try_from(events).unwrap_or(usize::MAX),
            AcceptResult::AlreadyAccepted => 0,
            AcceptResult::Rejected(_) => return Ok(format!("{path}?did=left")),
        };
        Ok(ctx.with_flash(PageQuery::default(), "reverify", events).link(&path))
    })
    .await
}

fn find(ctx: &PageContext, id: i64) -> Result<RefusalWithKey, PageError> {
    let not_found = || PageError::NotFound(format!("There is no refusal {id}. Only the newest thousand are stored."));
    ctx.operations().refusal(id)?.ok_or_else(not_found)
}

fn render_list(ctx: &PageContext, query: &PageQuery) -> Result<Markup, PageError> {
    // One row more than fits shows whether there is another page.
    let page = Page { before: query.before()?, limit: PAGE_ROWS + 1, deadline: None };
    let mut rows = ctx.inbox.reader()?.refusals(&query.arrival()?, page)?;
    let has_more = rows.len() > PAGE_ROWS as usize;
    rows.truncate(PAGE_ROWS as usize);
    let next = rows.last().filter(|_| has_more).map(|last| last.id);
    let list = PagedList { rows, next, is_cut_short: false, looked_at: 0 };
    let form = FilterForm {
        path: PATH,
        query,
        fields: list::source_field(ctx, query),
        more_fields: list::time_fields(query),
        is_open: !(query.since.is_empty() && query.until.is_empty()),
    };
    let main = html! {
        h1 { "Refusals" }
        p.lead { "Rejected deliveries, at most the newest thousand. The sender received only the status." }
        (form.render())
        @if list.rows.is_empty() { p.empty { @if query.has_filter() { "No refusal matches this filter." } @else { "No delivery was rejected." } } }
        @else { (table(ctx, &list.rows)) }
        (list::paging(PATH, query, &list, "refusal"))
    };
    Ok(Layout { title: "Refusals", tab: Tab::Refusals, is_live: true, flash: None }.render(ctx, &main))
}

fn table(ctx: &PageContext, refusals: &[RefusalSummary]) -> Markup {
    html! {
        table.list role="table" {
            caption.visually-hidden { "Refusals, newest first" }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" { "Reason" }
                th role="columnheader" scope="col" { "Response" }
                th role="columnheader" scope="col" { "Source" }
                th role="columnheader" scope="col" { "From" }
                th.number role="columnheader" scope="col" { "Size" }
                th role="columnheader" scope="col" { "Received" }
            } }
            tbody role="rowgroup" { @for refusal in refusals { (row(ctx, refusal)) } }
        }
    }
}

fn row(ctx: &PageContext, refusal: &RefusalSummary) -> Markup {
    html! {
        tr role="row" data-key={ "r-" (refusal.id) } {
            th.lead-cell role="rowheader" scope="row" {
                a href={ "/refusals/" (refusal.id) } { (shown(&refusal.reason)) }
                @if refusal.taken_at.is_some() { " " (badge("accepted")) }
            }
            td role="cell" data-label="Response" { span.status { (refusal.status) } }
            td role="cell" data-label="Source" { (shown(&refusal.source)) }
            td role="cell" data-label="From" { (refusal.remote.as_deref().map(shown).unwrap_or_default()) }
            td.number role="cell" data-label="Size" { (size(refusal.body_bytes)) }
            td.when role="cell" data-label="Received" { (when(refusal.received_at, ctx.now)) }
        }
    }
}

fn render(ctx: &PageContext, id: i64, query: &PageQuery) -> Result<Markup, PageError> {
    let stored = find(ctx, id)?;
    let row = &stored.refusal.row;
    let main = html! {
        (breadcrumbs(PATH, "Refusals", &shown(&row.source)))
        div.title { h1 { (shown(&row.reason)) } span.status { (row.status) } }
        div.split {
            div.split-main {
                section aria-labelledby="why" {
                    h2 #why { "What would have accepted it" }
                    (findings(&ctx.operations().diagnose(&stored)))
                    (verify_again(ctx, row))
                }
                (body(&stored.refusal, query))
            }
            aside.split-side aria-label="About this delivery" {
                dl.facts {
                    dt { "Source" } dd { (shown(&row.source)) }
                    dt { "Received" } dd { (when(row.received_at, ctx.now)) }
                    dt { "From" } dd { (row.remote.as_deref().map_or_else(|| "unknown".to_owned(), shown)) }
                    dt { "Request" } dd { code { (shown(&row.method)) " " (shown(&row.target)) } }
                }
                section aria-labelledby="headers" { h2 #headers { "Headers" } (header_list(&stored.refusal.refused.headers)) }
            }
        }
    };
    let flash = match query.did.as_str() {
        "left" => Some(Flash::new(rejection(ctx, &stored))),
        _ => Flash::read(ctx, query),
    };
    Ok(Layout { title: "Refusal", tab: Tab::Refusals, is_live: false, flash }.render(ctx, &main))
}

/// Why verifying it again does not accept it.
fn rejection(ctx: &PageContext, stored: &RefusalWithKey) -> String {
    match ctx.operations().verify_again(stored) {
        ReverifyResult::Verified(_) => "It is valid now: verify it again.".to_owned(),
        ReverifyResult::Unrecoverable(why) => format!("Cannot be verified: {}.", shown(&why)),
        ReverifyResult::StillRefused(why) => format!("Still refused: {}.", shown(&why)),
    }
}

fn verify_again(ctx: &PageContext, row: &RefusalSummary) -> Markup {
    html! {
        @match row.taken_at {
            Some(at) => p.notice { "Accepted as an event " (when(at, ctx.now)) "." },
            None => form.confirm method="post" action={ "/refusals/" (row.id) "/reverify" } {
                (csrf_field(ctx))
                button type="submit" { "Verify again" }
                span.muted { "Accepts it if it is valid under the current configuration." }
            }
        }
    }
}

fn findings(explanation: &Explanation) -> Markup {
    html! {
        @if explanation.findings.is_empty() {
            p { "No change that was tried would accept it. Compare the secret with the one that the provider shows. A forged delivery looks the same." }
            details { summary { "What was tried" } ul.plain-list { @for tried in &explanation.tried { li { (tried) } } } }
        } @else {
            ul.findings {
                @for finding in &explanation.findings {
                    li { p.what { (shown(&finding.what)) } p.remedy { (shown(&finding.change)) }
                        @if let Some(settings) = &finding.settings { pre { code { (settings) } } }
                    }
                }
            }
        }
    }
}

/// The body as stored: truncated if it was long, with tokens masked.
fn body(refusal: &StoredRefusal, query: &PageQuery) -> Markup {
    let refused = &refusal.refused;
    let start = refused.body.get(..display_limit(query)).unwrap_or(&refused.body);
    let is_stored = !start.is_empty() || refused.body_bytes == 0;
    let body = StoredBody {
        start: is_stored.then_some((start, refused.body.len())),
        page: &format!("/refusals/{}", refusal.row.id),
        download: "Download as stored",
    };
    html! {
        (body.render(query))
        @if (refused.body.len() as u64) < refused.body_bytes {
            p.reach { "Only " (size(i64::try_from(refused.body.len()).unwrap_or(i64::MAX))) " of " (size(refusal.row.body_bytes)) " are stored." }
        }
    }
}
