//! Whether a request was meant: what the browser says of the page that sent it, and the proof that comes with it.
//!
//! What changes something wants one of these, none of which a foreign page can send: the bearer token; the visitor's own
//! token against forged forms, as a field or a header; or, to the API where no token is configured, a JSON content type,
//! for which a browser asks first and is never answered yes. A form's body is put back for whoever reads it next.

use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};
use actix_web::web::{Bytes, Query};
use subtle::ConstantTimeEq as _;

use super::refusal::Refusal;
use super::{Access, CSRF_FIELD, CSRF_HEADER, Visitor, host, one};
use crate::config::HostName;

/// How long a form may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the browser says of itself, if one sent it. A foreign page may lead here by a link, for which no browser names an
/// origin; whatever else it asks for is refused, frames and plugins too, which would have pages made that nobody sees.
pub(super) fn is_from_home(headers: &HeaderMap, changes: bool, host: &str, hosts: &[HostName]) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_link = !changes && said("sec-fetch-mode") == Some("navigate") && said("sec-fetch-dest") == Some("document");
    let is_home = said("sec-fetch-site").is_none_or(|site| is_link || host::is_from_home(site));
    let mut origins = headers.get_all(ORIGIN).map(|value| value.to_str().unwrap_or_default());
    is_home && origins.all(|origin| host::is_same(origin, host, hosts))
}

/// That a request which changes something was meant: no foreign page can send any of these.
pub(super) async fn prove(request: &mut ServiceRequest, visitor: &Visitor) -> Result<(), Refusal> {
    let is_right = |token: &str| bool::from(token.as_bytes().ct_eq(visitor.csrf().as_bytes()));
    if visitor.access == Access::Bearer {
        return Ok(());
    }
    if let Some(token) = request.headers().get(CSRF_HEADER) {
        let is_right = token.to_str().is_ok_and(is_right);
        return if is_right { Ok(()) } else { Err(Refusal::Forged) };
    }
    let kind = one(request.headers(), &CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    if is_api(request) {
        let is_json = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
        return if is_json && visitor.access == Access::Anyone { Ok(()) } else { Err(Refusal::Forged) };
    }
    let form = actix_web::rt::time::timeout(PATIENCE, request.extract::<Bytes>()).await;
    let form = form.map_err(|_| Refusal::Body)?.map_err(|error| {
        let status = error.as_response_error().status_code();
        log::debug!("a form could not be read: {status}");
        if status == StatusCode::PAYLOAD_TOO_LARGE { Refusal::Long } else { Refusal::Body }
    })?;
    let found = form_field(&form, CSRF_FIELD);
    request.set_payload(Payload::from(form));
    if found.is_some_and(|token| is_right(&token)) { Ok(()) } else { Err(Refusal::Forged) }
}

/// The API is spoken to by programs and by the script of our own pages, never by forms.
pub(super) fn is_api(request: &ServiceRequest) -> bool {
    request.path().starts_with("/api/")
}

fn form_field(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let fields = Query::<Vec<(String, String)>>::from_query(form).ok()?.into_inner();
    fields.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}
