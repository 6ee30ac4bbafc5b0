//! Responses to requests that cannot be read or lead nowhere: what is wrong, where, and the next step.
//!
//! Browsers that ask for a page get one, other clients get JSON. Pages and API report invalid values themselves.

use actix_web::error::{InternalError, PathError, QueryPayloadError, UrlencodedError};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, ALLOW, HeaderMap, HeaderValue};
use actix_web::web::{FormConfig, PathConfig, PayloadConfig, QueryConfig, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::json;

use super::layout;

/// Longest request body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Sets the limits and error responses of the query, form and path extractors.
pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .app_data(PayloadConfig::new(MAX_BODY))
        .app_data(QueryConfig::default().error_handler(invalid_query))
        .app_data(FormConfig::default().limit(MAX_BODY).error_handler(invalid_form))
        .app_data(PathConfig::default().error_handler(invalid_path));
}

/// Whether the client is a browser that asks for a page.
pub(super) fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.any(|accepted| accepted.contains("text/html")) && !path.starts_with("/api/")
}

/// An error as a page or as JSON.
pub(super) fn respond(request: &HttpRequest, status: StatusCode, error: &str, hint: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if wants_page(request.path(), request.headers()) {
        let page = layout::error_page("That did not work", error, hint);
        return response.content_type("text/html; charset=utf-8").body(page.into_string());
    }
    response.json(json!({ "error": error, "hint": hint }))
}

pub(super) fn method_not_allowed(request: &HttpRequest) -> HttpResponse {
    let allowed = if request.method() == "POST" { "GET, HEAD" } else { "POST" };
    let error = format!("{} is not allowed at {}", request.method(), request.path());
    let hint = format!("use {}", allowed.replace(", ", " or "));
    let mut response = respond(request, StatusCode::METHOD_NOT_ALLOWED, &error, &hint);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The error for a body that is longer than [`MAX_BODY`].
pub(super) fn too_large(what: &str) -> String {
    format!("the {what} is longer than {} KiB", MAX_BODY >> 10)
}

fn invalid_path(error: PathError, request: &HttpRequest) -> Error {
    let hint = "the pages link to every valid address";
    let response = respond(request, StatusCode::NOT_FOUND, &format!("invalid address: {error}"), hint);
    InternalError::from_response(error, response).into()
}

fn invalid_query(error: QueryPayloadError, request: &HttpRequest) -> Error {
    let what = error.to_string().replace("Query deserialize error", "invalid query in the address");
    let hint = format!("give each parameter once; {} without a query shows everything", request.path());
    let response = respond(request, StatusCode::BAD_REQUEST, &what, &hint);
    InternalError::from_response(error, response).into()
}

fn invalid_form(error: UrlencodedError, request: &HttpRequest) -> Error {
    let (status, what) = match &error {
        UrlencodedError::Overflow { .. } => (StatusCode::PAYLOAD_TOO_LARGE, too_large("form")),
        UrlencodedError::ContentType => {
            let what = "the body is not a form: its Content-Type is not application/x-www-form-urlencoded";
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, what.to_owned())
        }
        UrlencodedError::Parse(error) => (StatusCode::BAD_REQUEST, format!("invalid form: {error}")),
        _ => (StatusCode::BAD_REQUEST, "the form could not be read".to_owned()),
    };
    let response = respond(request, status, &what, "submit the form of the page; programs should use /api/v1/");
    InternalError::from_response(error, response).into()
}
