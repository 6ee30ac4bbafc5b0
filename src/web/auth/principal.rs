//! Who sent a request that was admitted, and the CSRF token of that client.
//!
//! The middleware attaches a [`Principal`] to each request.
//! Handlers take it as an argument.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::error::ErrorInternalServerError;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};

use crate::support::secret::Secret;

/// The form field for [`Principal::csrf`].
pub(crate) const CSRF_FIELD: &str = "csrf";
/// The header for [`Principal::csrf`] in requests without a form.
pub(super) const CSRF_HEADER: &str = "hookbox-csrf";

#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(super) access: Access,
    pub(super) csrf: Secret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// No token is configured, so every client that reaches the address has access.
    Open,
    /// The request carried the token.
    Bearer,
    /// The request carried a session cookie.
    Session,
    /// None of these: may see the login page, metrics and probes.
    Anonymous,
}

impl Principal {
    pub(crate) fn csrf(&self) -> &str {
        self.csrf.reveal()
    }

    pub(crate) fn can_log_out(&self) -> bool {
        self.access == Access::Session
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.access != Access::Anonymous
    }
}

impl FromRequest for Principal {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Self>().cloned();
        ready(principal.ok_or_else(|| ErrorInternalServerError("the request bypassed the authentication")))
    }
}

/// The value of a header, unless it is repeated.
pub(super) fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}
