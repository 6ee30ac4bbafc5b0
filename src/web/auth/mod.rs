//! Who may ask what of the operator's address; stands before every page, the API, metrics and probes.
//!
//! A request comes in; it goes on with a [`Visitor`] noted on it, or is answered here. In this order: the method, `Host`,
//! what the browser says of the page that sent it, the token or session, and for what changes something a proof that it
//! was meant.
//! Probes answer any `Host` (they tell strangers only yes or no); `/metrics` wants a known one, but no session.

mod host;
mod login;
mod meant;
mod refusal;
mod session;
mod tries;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HOST, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub(super) use self::login::routes;
use self::refusal::Refusal;
pub(super) use self::refusal::told;
use self::session::Sessions;
use self::tries::Tries;
use crate::config::{self, HostName};
use crate::support::locks;
use crate::support::net::forwarded::TrustedProxies;
use crate::support::secret::Secret;

/// The form field that carries [`Visitor::csrf`].
pub(super) const CSRF_FIELD: &str = "csrf";
/// The header that carries it where there is no form.
pub(super) const CSRF_HEADER: &str = "hookbox-csrf";
/// What lies below needs no session: style and script.
pub(super) const ASSETS: &str = "/assets/";

const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not `no-referrer`: with that a browser names no origin for its forms either.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// What the configuration says.
#[derive(Debug)]
struct Rules {
    hosts: Vec<HostName>,
    tokens: Vec<[u8; 32]>,
    /// Whose word counts on where a request came from, as at the providers' address.
    proxies: TrustedProxies,
}

impl Rules {
    fn new(settings: &config::AdminConfig, proxies: TrustedProxies) -> Self {
        let tokens = settings.tokens.iter().map(|token| digest(token.reveal())).collect();
        Self { hosts: settings.hosts.clone(), tokens, proxies }
    }

    /// Every token is looked at, however the first compares.
    fn has_token(&self, token: &str) -> bool {
        let digest = digest(token);
        self.tokens.iter().fold(0, |found, token| found | token.ct_eq(&digest).unwrap_u8()) == 1
    }
}

/// The guard of one server.
#[derive(Debug)]
pub(super) struct Guard {
    rules: RwLock<Arc<Rules>>,
    sessions: Sessions,
    tries: Tries,
    /// Stands in forms where nobody has to log in.
    csrf: Secret,
}

/// Who sent a request that was let through.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    access: Access,
    csrf: Secret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// No token is configured: whoever reaches the address.
    Anyone,
    /// The token came along.
    Bearer,
    /// A session has begun.
    Session,
    /// None of these: sees the login page, metrics and probes.
    Stranger,
}

impl Visitor {
    /// What a form must carry in [`CSRF_FIELD`], or a request in [`CSRF_HEADER`].
    pub(super) fn csrf(&self) -> &str {
        self.csrf.reveal()
    }

    /// Whether there is a session that can be ended.
    pub(super) fn can_log_out(&self) -> bool {
        self.access == Access::Session
    }

    /// Whether everything may be shown.
    pub(super) fn is_known(&self) -> bool {
        self.access != Access::Stranger
    }
}

impl FromRequest for Visitor {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let visitor = request.extensions().get::<Self>().cloned();
        std::future::ready(visitor.ok_or_else(|| ErrorInternalServerError("the guard was passed by")))
    }
}

impl Guard {
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn new(settings: &config::AdminConfig, proxies: TrustedProxies) -> io::Result<Self> {
        Ok(Self {
            rules: RwLock::new(Arc::new(Rules::new(settings, proxies))),
            sessions: Sessions::default(),
            tries: Tries::default(),
            csrf: Secret::new(session::random()?),
        })
    }

    /// Holds to other settings from now on. Other tokens end every session.
    pub(super) fn reload(&self, settings: &config::AdminConfig, proxies: TrustedProxies) {
        let (old, new) = (self.rules(), Arc::new(Rules::new(settings, proxies)));
        if old.tokens != new.tokens {
            self.sessions.end_all();
        }
        *locks::write(&self.rules) = new;
    }

    fn rules(&self) -> Arc<Rules> {
        locks::read(&self.rules).clone()
    }

    async fn admit(&self, request: &mut ServiceRequest) -> Result<(), Refusal> {
        let rules = self.rules();
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        // The API says itself by which methods each of its paths is asked.
        if changes && request.method() != Method::POST && !meant::is_api(request) {
            return Err(Refusal::Method);
        }
        let host = one(request.headers(), &HOST).unwrap_or_default().to_owned();
        let is_ours = host::is_ours(&host, &rules.hosts);
        let path = request.path().to_owned();
        if !changes && matches!(path.as_str(), "/healthz" | "/readyz") {
            let known = is_ours.then(|| self.visitor(request, &rules).ok()).flatten();
            request.extensions_mut().insert(known.unwrap_or_else(|| self.stranger()));
            return Ok(());
        }
        if !is_ours {
            return Err(Refusal::Host(host));
        }
        if !meant::is_from_home(request.headers(), changes, &host, &rules.hosts) {
            return Err(Refusal::Site);
        }
        let needs_nobody = matches!(path.as_str(), "/login" | "/metrics") || path.starts_with(ASSETS);
        let visitor = if needs_nobody { self.stranger() } else { self.visitor(request, &rules)? };
        if !needs_nobody && !visitor.is_known() {
            return Err(Refusal::Unknown);
        }
        // To log in is to show the token, which no forged form has.
        if changes && path != "/login" {
            meant::prove(request, &visitor).await?;
        }
        request.extensions_mut().insert(visitor);
        Ok(())
    }

    fn stranger(&self) -> Visitor {
        Visitor { access: Access::Stranger, csrf: self.csrf.clone() }
    }

    fn visitor(&self, request: &ServiceRequest, rules: &Rules) -> Result<Visitor, Refusal> {
        let with = |access| Visitor { access, csrf: self.csrf.clone() };
        if rules.tokens.is_empty() {
            return Ok(with(Access::Anyone));
        }
        if let Some(authorization) = one(request.headers(), &AUTHORIZATION) {
            let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
            let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
            return self
                .try_token(rules, token, tries::client_of(request.request(), &rules.proxies))
                .map(|()| with(Access::Bearer));
        }
        let now = Instant::now();
        let session = login::session_keys(request.headers()).find_map(|key| self.sessions.csrf(key, now));
        Ok(match session {
            Some(csrf) => Visitor { access: Access::Session, csrf: Secret::new(csrf) },
            None => self.stranger(),
        })
    }

    fn try_token(&self, rules: &Rules, token: &str, peer: Option<IpAddr>) -> Result<(), Refusal> {
        // Behind a proxy that is not trusted all share one address: the wrong tokens of others must not lock out who has the right one.
        if rules.has_token(token) {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(wait) = self.tries.wait(peer, now) {
            return Err(Refusal::TooMany(wait));
        }
        if self.tries.note(peer, now) == tries::MOST {
            let from = peer.map_or_else(|| "the admin socket".to_owned(), |peer| peer.to_string());
            log::warn!("{} wrong tokens within a minute from {from}: it has to wait", tries::MOST);
        }
        Err(Refusal::WrongToken)
    }
}

/// The guard as a middleware: lets through or answers, and puts the headers on every answer that keep it where it belongs.
///
/// # Errors
/// Those of what stands behind it.
pub(super) async fn stand(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let guard = request.app_data::<Data<Guard>>().cloned();
    let guard = guard.ok_or_else(|| ErrorInternalServerError("there is no guard"))?;
    let mut answer = match guard.admit(&mut request).await {
        Ok(()) => {
            answer_head(&mut request);
            next.call(request).await?.map_into_left_body()
        }
        Err(refusal) => {
            let page = wants_page(request.path(), request.headers()).then(|| destination(&request));
            request.into_response(refusal.answer(page.as_deref())).map_into_right_body()
        }
    };
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(answer)
}

/// What is there for GET is there for HEAD; the server leaves the body out. The stream has no end that could be told.
fn answer_head(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD && !meant::is_api(request) && request.path() != "/live" {
        request.head_mut().method = Method::GET;
    }
}

/// Whether it is a browser that wants to see a page.
pub(super) fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let accepts = one(headers, &ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
    accepts && !path.starts_with("/api/")
}

/// Where to go once logged in: what was asked for, or home where that was not to see something.
fn destination(request: &ServiceRequest) -> String {
    if request.method() == Method::GET { request.uri().to_string() } else { "/".to_owned() }
}

/// The value of a header that came exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
