//! Responses of the dashboard: a page, a redirect after a change, a download.
//!
//! The work runs on a blocking thread, since it reads the inbox. A [`PageError`] becomes a page with its status.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use actix_web::web;
use maud::{Markup, html};

use super::components::format::shown;
use super::components::layout::{Layout, Tab};
use super::context::{PageContext, PageError};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// Runs `work` on a blocking thread and turns its result into a response.
pub(super) async fn respond<T: Send + 'static>(
    ctx: PageContext,
    work: impl FnOnce(&PageContext) -> Result<T, PageError> + Send + 'static,
    response: impl FnOnce(T) -> HttpResponse,
) -> HttpResponse {
    let result = web::block(move || work(&ctx).map_err(|error| (error_page(&ctx, &error), error.status())));
    match result.await {
        Ok(Ok(value)) => response(value),
        Ok(Err((page, status))) => html_response(status, page),
        Err(error) => {
            log::error!("page could not be rendered: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

pub(super) async fn show(
    ctx: PageContext,
    page: impl FnOnce(&PageContext) -> Result<Markup, PageError> + Send + 'static,
) -> HttpResponse {
    respond(ctx, page, |page| html_response(StatusCode::OK, page)).await
}

/// Makes a change and redirects to the page that `change` returns.
pub(super) async fn redirect(
    ctx: PageContext,
    change: impl FnOnce(&PageContext) -> Result<String, PageError> + Send + 'static,
) -> HttpResponse {
    respond(ctx, change, |to| HttpResponse::SeeOther().insert_header((LOCATION, to)).finish()).await
}

/// Bytes from outside, to be saved as a file. Never displayed, whatever type they claim to be.
pub(super) async fn download(
    ctx: PageContext,
    name: String,
    body: impl FnOnce(&PageContext) -> Result<Vec<u8>, PageError> + Send + 'static,
) -> HttpResponse {
    let response = move |body: Vec<u8>| {
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/octet-stream"))
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
            .body(body)
    };
    respond(ctx, body, response).await
}

pub(crate) async fn not_found(state: &WebState, principal: &Principal) -> HttpResponse {
    show(PageContext::new(state, principal), |_| Err(PageError::NoSuchPage)).await
}

fn html_response(status: StatusCode, page: Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.into_string())
}

fn error_page(ctx: &PageContext, error: &PageError) -> Markup {
    let title = if error.status() == StatusCode::NOT_FOUND { "Not found" } else { "That did not work" };
    let main = html! {
        h1 { (title) }
        p.lead { (shown(&error.to_string())) }
        p { (error.hint()) }
    };
    Layout { title, tab: Tab::None, is_live: false, flash: None }.render(ctx, &main)
}
