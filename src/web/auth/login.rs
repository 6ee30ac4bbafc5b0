//! Login and logout of a browser.
//!
//! The form exchanges the token for a session cookie, which scripts cannot read and other sites do not send.
//! Without a configured token there is nothing to log in to.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use actix_web::web::{self, Data, Form, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use maud::html;
use serde::Deserialize;

use super::access_denied::AccessDenied;
use super::authenticate::Auth;
use super::{login_throttle, session};
use crate::web::layout;

/// The page to return to.
#[derive(Debug, Default, Deserialize)]
struct LoginQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
    #[serde(default)]
    next: String,
}

pub(crate) fn routes(config: &mut ServiceConfig) {
    let login = web::resource("/login")
        .route(web::get().to(show_form))
        .route(web::head().to(show_form))
        .route(web::post().to(log_in));
    config.service(login).route("/logout", web::post().to(log_out));
}

async fn show_form(auth: Data<Auth>, query: Query<LoginQuery>) -> HttpResponse {
    if !auth.rules().requires_token() {
        return redirect(&query.next).finish();
    }
    page(StatusCode::OK, &query.next, None)
}

async fn log_in(auth: Data<Auth>, request: HttpRequest, form: Form<LoginForm>) -> HttpResponse {
    let rules = auth.rules();
    if !rules.requires_token() {
        return redirect(&form.next).finish();
    }
    let client = login_throttle::client_of(&request, &rules.proxies);
    if let Err(denied) = auth.check_token(&rules, form.token.trim(), client) {
        let mut response = page(denied.status(), &form.next, Some(&denied));
        if let AccessDenied::TooManyFailures(wait) = denied {
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
        }
        return response;
    }
    match auth.sessions.start(Instant::now()) {
        Ok(key) => redirect(&form.next).insert_header((SET_COOKIE, session::cookie(request.headers(), &key))).finish(),
        Err(error) => {
            log::error!("session could not be started: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

async fn log_out(auth: Data<Auth>, request: HttpRequest) -> HttpResponse {
    session::cookies(request.headers()).for_each(|key| auth.sessions.end(key));
    let expired = format!("{}; Max-Age=0", session::cookie(request.headers(), ""));
    redirect("/login").insert_header((SET_COOKIE, expired)).finish()
}

fn redirect(next: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, local_or_root(next)));
    response
}

fn local_or_root(path: &str) -> &str {
    if is_local(path) { path } else { "/" }
}

/// Whether every browser reads this as a path of this server.
fn is_local(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_plain)
}

fn page(status: StatusCode, next: &str, denied: Option<&AccessDenied>) -> HttpResponse {
    let body = html! {
        main {
            h1 { "hookbox" }
            @if let Some((error, hint)) = denied.map(AccessDenied::text) { p role="alert" { (error) ": " (hint) "." } }
            form method="post" action="/login" {
                input type="hidden" name="next" value=(local_or_root(next));
                label for="token" { "Token" }
                input #token name="token" type="password" required autofocus autocomplete="current-password";
                button.primary type="submit" { "Log in" }
                p { "The token is " code { "token" } " in " code { "[admin]" } " of " code { "hookbox.toml" } "." }
            }
        }
    };
    let page = layout::document("Log in", Some("login"), false, &body);
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_redirects_to_own_paths_only() {
        for (path, expected) in [
            ("/", true),
            ("/events?state=dead&x=%2F", true),
            ("", false),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("/\t/evil.example", false),
            ("/a\r\nSet-Cookie: x", false),
        ] {
            assert_eq!(is_local(path), expected, "{path:?}");
        }
    }
}
