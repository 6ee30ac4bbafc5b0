//! Why a request was denied, and the response.
//!
//! Browsers that ask for a page get one, or a redirect to the login.
//! Other clients get JSON: `{"error", "hint"}`.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::web::{errors, layout};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccessDenied {
    /// Not GET, HEAD or POST.
    Method,
    /// `Host` is missing or unknown.
    Host(String),
    /// A page of another site sent the request.
    CrossSite,
    /// A change without a CSRF token or another proof.
    Forged,
    Unauthenticated,
    WrongToken,
    /// Too many wrong tokens, and how long to wait.
    TooManyFailures(Duration),
    /// The form was incomplete or arrived too slowly.
    UnreadableForm,
    FormTooLarge,
}

impl AccessDenied {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host(_) | Self::CrossSite | Self::Forged => StatusCode::FORBIDDEN,
            Self::Unauthenticated | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TooManyFailures(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::UnreadableForm => StatusCode::BAD_REQUEST,
            Self::FormTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// The error and a hint.
    pub(super) fn text(&self) -> (String, &'static str) {
        let (error, hint) = match self {
            Self::Method => ("only GET, HEAD and POST are allowed here", "see /api/v1/openapi.json"),
            Self::Host(host) => {
                let hint = "if this is how you reach hookbox, add the name to `hosts` in [admin]";
                return (format!("{host:?} is not a known name of this address"), hint);
            }
            Self::CrossSite => ("the request came from a page of another site", "open hookbox and try again there"),
            Self::Forged => (
                "the request has no CSRF token",
                "reload the page; programs send `Authorization: Bearer TOKEN`, or, to the API of a hookbox without a \
                 token, `Content-Type: application/json`",
            ),
            Self::Unauthenticated => {
                ("a token is required", "send `Authorization: Bearer TOKEN` with the token of [admin]")
            }
            Self::WrongToken => ("wrong token", "the token is `token` in [admin] of hookbox.toml"),
            Self::TooManyFailures(_) => ("too many wrong tokens from this address", "wait a minute"),
            Self::UnreadableForm => ("the form could not be read", "reload the page"),
            Self::FormTooLarge => return (errors::too_large("form"), "programs should use /api/v1/"),
        };
        (error.to_owned(), hint)
    }

    /// `page` is the page that a browser asked for.
    pub(super) fn respond(&self, page: Option<&str>) -> HttpResponse {
        if let (Self::Unauthenticated, Some(page)) = (self, page) {
            let page = utf8_percent_encode(page, NON_ALPHANUMERIC);
            return HttpResponse::SeeOther().insert_header((LOCATION, format!("/login?next={page}"))).finish();
        }
        let mut response = HttpResponse::build(self.status());
        match self {
            Self::Method => response.insert_header((ALLOW, "GET, HEAD, POST")),
            Self::Unauthenticated | Self::WrongToken => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"hookbox\""))
            }
            Self::TooManyFailures(wait) => response.insert_header((RETRY_AFTER, wait.as_secs().max(1).to_string())),
            _ => &mut response,
        };
        let (error, hint) = self.text();
        match page {
            Some(_) => {
                let page = layout::error_page("Access denied", &error, hint);
                response.content_type("text/html; charset=utf-8").body(page.into_string())
            }
            None => response.json(json!({ "error": error, "hint": hint })),
        }
    }
}
