//! What a request gets that cannot be read, or leads nowhere: what is wrong, where, and the next step.
//!
//! The request and what is wrong with it come in; a page goes out to a browser that wanted one, JSON to everybody else.
//! The pages and the API say themselves what cannot be meant in what was read.

use actix_web::error::{InternalError, QueryPayloadError, UrlencodedError};
use actix_web::http::StatusCode;
use actix_web::http::header::ALLOW;
use actix_web::web::{FormConfig, PathConfig, PayloadConfig, QueryConfig, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::json;

use super::auth::{self, told};

/// Longest body that is read.
pub(super) const LONGEST_BODY: usize = 64 << 10;

/// How queries, forms and paths are read, and what is told where they cannot be.
pub(super) fn settings(config: &mut ServiceConfig) {
    let path = |error: actix_web::error::PathError, request: &HttpRequest| {
        let answer =
            answer(request, StatusCode::NOT_FOUND, &format!("the address: {error}"), "the pages link to what there is");
        InternalError::from_response(error, answer).into()
    };
    config
        .app_data(PayloadConfig::new(LONGEST_BODY))
        .app_data(QueryConfig::default().error_handler(query))
        .app_data(FormConfig::default().limit(LONGEST_BODY).error_handler(form))
        .app_data(PathConfig::default().error_handler(path));
}

/// The answer to a request that cannot be carried out.
pub(super) fn answer(request: &HttpRequest, status: StatusCode, error: &str, hint: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    if auth::wants_page(request.path(), request.headers()) {
        return answer
            .content_type("text/html; charset=utf-8")
            .body(told("That did not work", error, hint).into_string());
    }
    answer.json(json!({ "error": error, "hint": hint }))
}

/// There is something, but it is asked by another method.
pub(super) fn wrong_method(request: &HttpRequest) -> HttpResponse {
    let allowed = if request.method() == "POST" { "GET, HEAD" } else { "POST" };
    let error = format!("{} is not answered at {}", request.method(), request.path());
    let mut answer =
        answer(request, StatusCode::METHOD_NOT_ALLOWED, &error, &format!("ask by {}", allowed.replace(", ", " or ")));
    answer.headers_mut().insert(ALLOW, actix_web::http::header::HeaderValue::from_static(allowed));
    answer
}

fn query(error: QueryPayloadError, request: &HttpRequest) -> Error {
    let what = error.to_string().replace("Query deserialize error", "the query in the address");
    let hint = format!("each name may stand there once; {} without a query is the whole", request.path());
    let answer = answer(request, StatusCode::BAD_REQUEST, &what, &hint);
    InternalError::from_response(error, answer).into()
}

fn form(error: UrlencodedError, request: &HttpRequest) -> Error {
    let (status, what) = match &error {
        UrlencodedError::Overflow { .. } => (StatusCode::PAYLOAD_TOO_LARGE, too_long("form")),
        UrlencodedError::ContentType => {
            let what = "the body is no form: its Content-Type is not application/x-www-form-urlencoded";
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, what.to_owned())
        }
        UrlencodedError::Parse(error) => (StatusCode::BAD_REQUEST, format!("the form: {error}")),
        _ => (StatusCode::BAD_REQUEST, "the form could not be read".to_owned()),
    };
    let answer = answer(request, status, &what, "send the form of the page; programs are better served by /api/v1/");
    InternalError::from_response(error, answer).into()
}

/// What is said of a body beyond [`LONGEST_BODY`].
pub(super) fn too_long(what: &str) -> String {
    format!("the {what} is longer than {} KiB", LONGEST_BODY >> 10)
}
