//! Logging in and out: the token is shown once, and a session begins.
//!
//! The form comes in, a cookie goes out that scripts cannot read and other sites do not send. Its name holds the port
//! that the browser sees, since cookies are shared between the ports of a host.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, HOST, HeaderMap, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use actix_web::web::{self, Data, Form, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::refusal::Refusal;
use super::{Guard, one, tries};

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Login {
    token: String,
    #[serde(default)]
    next: String,
}

/// `/login` and `/logout`.
pub(in crate::web) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/login").route(web::get().to(ask)).route(web::head().to(ask)).route(web::post().to(log_in)),
        )
        .route("/logout", web::post().to(log_out));
}

async fn ask(guard: Data<Guard>, next: Query<Next>) -> HttpResponse {
    if guard.rules().tokens.is_empty() {
        return see(&next.next).finish();
    }
    page(StatusCode::OK, &next.next, None)
}

async fn log_in(guard: Data<Guard>, request: HttpRequest, form: Form<Login>) -> HttpResponse {
    let rules = guard.rules();
    if rules.tokens.is_empty() {
        return see(&form.next).finish();
    }
    let client = tries::client_of(&request, &rules.proxies);
    if let Err(refusal) = guard.try_token(&rules, form.token.trim(), client) {
        let mut answer = page(refusal.status(), &form.next, Some(&refusal));
        if let Refusal::TooMany(wait) = refusal {
            answer.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
        }
        return answer;
    }
    match guard.sessions.begin(Instant::now()) {
        Ok(key) => see(&form.next).insert_header((SET_COOKIE, cookie(request.headers(), &key))).finish(),
        Err(error) => {
            log::error!("no session could begin: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

async fn log_out(guard: Data<Guard>, request: HttpRequest) -> HttpResponse {
    session_keys(request.headers()).for_each(|key| guard.sessions.end(key));
    let gone = format!("{}; Max-Age=0", cookie(request.headers(), ""));
    see("/login").insert_header((SET_COOKIE, gone)).finish()
}

/// Every text under the name of our cookie: a page on another port may have set one beside it.
pub(super) fn session_keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let name = cookie_name(headers);
    let lines = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

fn cookie(headers: &HeaderMap, key: &str) -> String {
    let is_encrypted = one(headers, &ORIGIN).is_some_and(|origin| origin.starts_with("https://"));
    let secure = if is_encrypted { "; Secure" } else { "" };
    format!("{}={key}; Path=/; HttpOnly; SameSite=Strict{secure}", cookie_name(headers))
}

fn cookie_name(headers: &HeaderMap) -> String {
    let host = one(headers, &HOST).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    format!("hookbox_{}", port.unwrap_or("session"))
}

fn see(next: &str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((LOCATION, if is_local(next) { next } else { "/" }));
    answer
}

/// A path of ours, that no browser reads as another site's.
fn is_local(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_plain)
}

fn page(status: StatusCode, next: &str, refusal: Option<&Refusal>) -> HttpResponse {
    let told = refusal.map(|refusal| {
        let (error, hint) = refusal.text();
        format!("<p role=\"alert\">{}: {}.</p>", escaped(&error), escaped(hint))
    });
    let html = include_str!("login.html")
        .replace("{told}", &told.unwrap_or_default())
        .replace("{next}", &escaped(if is_local(next) { next } else { "/" }));
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_our_own_are_gone_to() {
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
        assert_eq!(escaped("\"><script>&"), "&quot;&gt;&lt;script&gt;&amp;");
    }
}
