//! Protection against cross-site request forgery.
//!
//! A change requires one of these, none of which a page of another site can send: the bearer token; the client's CSRF token
//! in a form field or a header; or, for the API without a configured token, a JSON content type, which browsers send to
//! another site only after a preflight that is never answered.

use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};
use actix_web::web::{Bytes, Query};
use subtle::ConstantTimeEq as _;

use super::access_denied::AccessDenied;
use super::host;
use super::principal::{Access, CSRF_FIELD, CSRF_HEADER, Principal, single_header};
use crate::config::HostName;

/// How long a form may take to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether `Sec-Fetch-*` and `Origin` allow the request. Another site may link here, which browsers mark as a navigation
/// of a document. Frames and plugins are denied, since they would load pages that nobody sees.
pub(super) fn is_same_site(headers: &HeaderMap, is_change: bool, host: &str, hosts: &[HostName]) -> bool {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_link =
        !is_change && header("sec-fetch-mode") == Some("navigate") && header("sec-fetch-dest") == Some("document");
    let is_same_site = header("sec-fetch-site").is_none_or(|site| is_link || matches!(site, "same-origin" | "none"));
    let mut origins = headers.get_all(ORIGIN).map(|value| value.to_str().unwrap_or_default());
    is_same_site && origins.all(|origin| host::is_own_origin(origin, host, hosts))
}

/// Requires proof that the client itself sent a change. Reads a form and puts it back for the handler.
pub(super) async fn check(request: &mut ServiceRequest, principal: &Principal) -> Result<(), AccessDenied> {
    let is_valid = |token: &str| bool::from(token.as_bytes().ct_eq(principal.csrf().as_bytes()));
    let allow_if = |is_allowed: bool| if is_allowed { Ok(()) } else { Err(AccessDenied::Forged) };
    if principal.access == Access::Bearer {
        return Ok(());
    }
    if let Some(token) = request.headers().get(CSRF_HEADER) {
        return allow_if(token.to_str().is_ok_and(is_valid));
    }
    if is_api(request) {
        let content_type = single_header(request.headers(), &CONTENT_TYPE).and_then(|value| value.split(';').next());
        let is_json = content_type.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        return allow_if(is_json && principal.access == Access::Open);
    }
    let form = actix_web::rt::time::timeout(FORM_TIMEOUT, request.extract::<Bytes>()).await;
    let form = form.map_err(|_| AccessDenied::UnreadableForm)?.map_err(|error| {
        let status = error.as_response_error().status_code();
        log::debug!("form could not be read: {status}");
        if status == StatusCode::PAYLOAD_TOO_LARGE { AccessDenied::FormTooLarge } else { AccessDenied::UnreadableForm }
    })?;
    let token = form_field(&form, CSRF_FIELD);
    request.set_payload(Payload::from(form));
    allow_if(token.is_some_and(|token| is_valid(&token)))
}

/// The API is used by programs and by scripts of our own pages, never by forms.
pub(super) fn is_api(request: &ServiceRequest) -> bool {
    request.path().starts_with("/api/")
}

fn form_field(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let fields = Query::<Vec<(String, String)>>::from_query(form).ok()?.into_inner();
    fields.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}
