//! Tokens and sessions: which [`Principal`] a request belongs to.
//!
//! A token is compared by its digest in constant time. Failed tokens are counted per client.
//! A reload that changes the tokens ends all sessions.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::access_denied::AccessDenied;
use super::login_throttle::{self, LoginThrottle, MAX_FAILURES};
use super::principal::{Access, Principal, single_header};
use super::session::{self, Sessions};
use crate::config::{self, HostName};
use crate::support::locks;
use crate::support::net::forwarded::TrustedProxies;
use crate::support::secret::Secret;

/// What the configuration says about access.
#[derive(Debug)]
pub(super) struct AuthRules {
    pub(super) hosts: Vec<HostName>,
    /// SHA-256 digests.
    tokens: Vec<[u8; 32]>,
    pub(super) proxies: TrustedProxies,
}

impl AuthRules {
    fn new(settings: &config::AdminConfig, proxies: TrustedProxies) -> Self {
        let tokens = settings.tokens.iter().map(|token| digest(token.reveal())).collect();
        Self { hosts: settings.hosts.clone(), tokens, proxies }
    }

    pub(super) fn requires_token(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Compares with every token, so that the time does not depend on which one matches.
    fn has_token(&self, token: &str) -> bool {
        let digest = digest(token);
        self.tokens.iter().fold(0, |found, token| found | token.ct_eq(&digest).unwrap_u8()) == 1
    }
}

/// Authentication of one server.
#[derive(Debug)]
pub(crate) struct Auth {
    rules: RwLock<Arc<AuthRules>>,
    pub(super) sessions: Sessions,
    throttle: LoginThrottle,
    /// The CSRF token of clients without a session.
    csrf: Secret,
}

impl Auth {
    pub(crate) fn new(settings: &config::AdminConfig, proxies: TrustedProxies) -> io::Result<Self> {
        Ok(Self {
            rules: RwLock::new(Arc::new(AuthRules::new(settings, proxies))),
            sessions: Sessions::default(),
            throttle: LoginThrottle::default(),
            csrf: Secret::new(session::random_hex()?),
        })
    }

    pub(crate) fn reload(&self, settings: &config::AdminConfig, proxies: TrustedProxies) {
        let (old, new) = (self.rules(), Arc::new(AuthRules::new(settings, proxies)));
        if old.tokens != new.tokens {
            self.sessions.end_all();
        }
        *locks::write(&self.rules) = new;
    }

    pub(super) fn rules(&self) -> Arc<AuthRules> {
        locks::read(&self.rules).clone()
    }

    pub(super) fn anonymous(&self) -> Principal {
        self.with_access(Access::Anonymous)
    }

    fn with_access(&self, access: Access) -> Principal {
        Principal { access, csrf: self.csrf.clone() }
    }

    pub(super) fn authenticate(&self, request: &ServiceRequest, rules: &AuthRules) -> Result<Principal, AccessDenied> {
        if !rules.requires_token() {
            return Ok(self.with_access(Access::Open));
        }
        if let Some(authorization) = single_header(request.headers(), &AUTHORIZATION) {
            let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
            let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
            let client = login_throttle::client_of(request.request(), &rules.proxies);
            return self.check_token(rules, token, client).map(|()| self.with_access(Access::Bearer));
        }
        let now = Instant::now();
        let csrf = session::cookies(request.headers()).find_map(|key| self.sessions.csrf(key, now));
        Ok(match csrf {
            Some(csrf) => Principal { access: Access::Session, csrf: Secret::new(csrf) },
            None => self.anonymous(),
        })
    }

    /// A correct token always passes: behind an untrusted proxy all clients share one address, and the failures of others
    /// must not lock an operator out.
    pub(super) fn check_token(
        &self,
        rules: &AuthRules,
        token: &str,
        client: Option<IpAddr>,
    ) -> Result<(), AccessDenied> {
        if rules.has_token(token) {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(wait) = self.throttle.wait(client, now) {
            return Err(AccessDenied::TooManyFailures(wait));
        }
        if self.throttle.record_failure(client, now) == MAX_FAILURES {
            let from = client.map_or_else(|| "admin socket".to_owned(), |client| client.to_string());
            log::warn!("{from}: {MAX_FAILURES} failed logins within a minute, rate-limiting further attempts");
        }
        Err(AccessDenied::WrongToken)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
