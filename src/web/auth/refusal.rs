//! Why a request to the operator's address was turned away, and the answer that says so.
//!
//! Browsers that wanted a page get one, or are sent to log in; everything else gets JSON: `{"error", "hint"}`.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::support::humanize::shown;
use crate::web::malformed;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Something other than GET, HEAD and POST.
    Method,
    /// `Host` names somebody else, or nobody.
    Host(String),
    /// Another site's page made it.
    Site,
    /// It would change something, and nothing shows that a page or program of the operator's sent it.
    Forged,
    /// Nothing shows who sent it.
    Unknown,
    /// The token is wrong.
    WrongToken,
    /// Too many were wrong; how long to wait.
    TooMany(Duration),
    /// The form did not come whole, or too slowly.
    Body,
    /// The form is too long.
    Long,
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host(_) | Self::Site | Self::Forged => StatusCode::FORBIDDEN,
            Self::Unknown | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Long => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// What is wrong, and what to do about it.
    pub(super) fn text(&self) -> (String, &'static str) {
        let (error, hint) = match self {
            Self::Method => ("only GET, HEAD and POST are answered here", "see /api/v1/openapi.json"),
            Self::Host(host) => {
                let hint = "if this is how you reach hookbox, add the name to `hosts` in [admin]";
                return (format!("{host:?} is not a name of this address"), hint);
            }
            Self::Site => ("another site's page sent this", "open hookbox itself and try again there"),
            Self::Forged => (
                "nothing shows that this was meant",
                "load the page again; programs send `Authorization: Bearer TOKEN`, or to the API of a hookbox without a \
                 token `Content-Type: application/json`",
            ),
            Self::Unknown => ("a token is needed", "send `Authorization: Bearer TOKEN` with the token of [admin]"),
            Self::WrongToken => ("this is not the token", "it is `token` in [admin] of hookbox.toml"),
            Self::TooMany(_) => ("too many wrong tokens came from this address", "wait a minute"),
            Self::Body => ("the form could not be read", "load the page again"),
            Self::Long => return (malformed::too_long("form"), "programs are better served by /api/v1/"),
        };
        (error.to_owned(), hint)
    }

    /// The answer; `page` is what a browser wanted to see, if one asked for a page.
    pub(super) fn answer(&self, page: Option<&str>) -> HttpResponse {
        if let (Self::Unknown, Some(page)) = (self, page) {
            let page = utf8_percent_encode(page, NON_ALPHANUMERIC);
            return HttpResponse::SeeOther().insert_header((LOCATION, format!("/login?next={page}"))).finish();
        }
        let mut answer = HttpResponse::build(self.status());
        match self {
            Self::Method => answer.insert_header((ALLOW, "GET, HEAD, POST")),
            Self::Unknown | Self::WrongToken => answer.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"hookbox\"")),
            Self::TooMany(wait) => answer.insert_header((RETRY_AFTER, wait.as_secs().max(1).to_string())),
            Self::Host(_) | Self::Site | Self::Forged | Self::Body | Self::Long => &mut answer,
        };
        let (error, hint) = self.text();
        match page {
            Some(_) => {
                answer.content_type("text/html; charset=utf-8").body(told("Refused", &error, hint).into_string())
            }
            None => answer.json(json!({ "error": error, "hint": hint })),
        }
    }
}

/// A page that shows nothing of what is behind the guard.
pub(in crate::web) fn told(title: &str, error: &str, hint: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · hookbox" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/hookbox.css";
            }
            body {
                header.head { div.head-row { a.brand href="/" { (PreEscaped(include_str!("../dashboard/assets/mark.svg"))) span { "hookbox" } } } }
                main {
                    h1 { (title) }
                    p.lead { (sentence(error)) }
                    p { (sentence(hint)) }
                    p.confirm { a.button href="/" { "Overview" } }
                }
            }
        }
    }
}

/// What JSON says without a capital, a page says as a sentence.
fn sentence(text: &str) -> String {
    let text = shown(text);
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
