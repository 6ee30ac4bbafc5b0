//! Authentication and authorisation of the admin address: a middleware before every page, the API, metrics and probes.
//!
//! It checks, in this order: the method, `Host`, what the browser says about the page that sent the request, the token or
//! session, and for changes a proof against forgery (`csrf`). Probes answer any `Host`, since they reveal only yes or no.
//! `/metrics` requires a known `Host` but no session.

mod access_denied;
mod authenticate;
mod csrf;
mod host;
mod login;
mod login_throttle;
mod principal;
mod session;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HOST, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _};

use self::access_denied::AccessDenied;
pub(super) use self::authenticate::Auth;
pub(super) use self::login::routes;
use self::principal::single_header;
pub(super) use self::principal::{CSRF_FIELD, Principal};
use crate::web::errors::wants_page;

/// Security headers of every response.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not `no-referrer`: browsers would then send no origin with our own forms.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Admits a request or answers it, and sets the security headers of every response.
pub(super) async fn middleware(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let auth = request.app_data::<Data<Auth>>().cloned();
    let auth = auth.ok_or_else(|| ErrorInternalServerError("authentication is not configured"))?;
    let mut response = match admit(&auth, &mut request).await {
        Ok(()) => {
            serve_head_as_get(&mut request);
            next.call(request).await?.map_into_left_body()
        }
        Err(denied) => {
            let page = wants_page(request.path(), request.headers()).then(|| requested_page(&request));
            request.into_response(denied.respond(page.as_deref())).map_into_right_body()
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

async fn admit(auth: &Auth, request: &mut ServiceRequest) -> Result<(), AccessDenied> {
    let rules = auth.rules();
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    // The API answers 405 itself, with the methods that each path allows.
    if is_change && request.method() != Method::POST && !csrf::is_api(request) {
        return Err(AccessDenied::Method);
    }
    let host = single_header(request.headers(), &HOST).unwrap_or_default().to_owned();
    let is_known_host = host::is_known(&host, &rules.hosts);
    let path = request.path().to_owned();
    if !is_change && matches!(path.as_str(), "/healthz" | "/readyz") {
        let principal = is_known_host.then(|| auth.authenticate(request, &rules).ok()).flatten();
        request.extensions_mut().insert(principal.unwrap_or_else(|| auth.anonymous()));
        return Ok(());
    }
    if !is_known_host {
        return Err(AccessDenied::Host(host));
    }
    if !csrf::is_same_site(request.headers(), is_change, &host, &rules.hosts) {
        return Err(AccessDenied::CrossSite);
    }
    let is_public = matches!(path.as_str(), "/login" | "/metrics") || path.starts_with("/assets/");
    let principal = if is_public { auth.anonymous() } else { auth.authenticate(request, &rules)? };
    if !is_public && !principal.is_authenticated() {
        return Err(AccessDenied::Unauthenticated);
    }
    // A login carries the token itself, which a forged form cannot.
    if is_change && path != "/login" {
        csrf::check(request, &principal).await?;
    }
    request.extensions_mut().insert(principal);
    Ok(())
}

/// Routes HEAD like GET; the server drops the body. `/live` is left out because it never ends.
fn serve_head_as_get(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD && !csrf::is_api(request) && request.path() != "/live" {
        request.head_mut().method = Method::GET;
    }
}

/// The page to return to after the login: the requested one, or the overview if the request was a form.
fn requested_page(request: &ServiceRequest) -> String {
    if request.method() == Method::GET { request.uri().to_string() } else { "/".to_owned() }
}
