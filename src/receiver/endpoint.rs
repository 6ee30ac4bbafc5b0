//! Which source a path belongs to, and its limits: made once per configuration.
//!
//! A path comes in, exactly as it was received; out goes the source's verifier. A path with one slash more is
//! another path: nothing is guessed, nothing redirected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use crate::config::{ServerConfig, Source};
use crate::metrics::{Metrics, SourceMeter};
use crate::routing::Routes;
use crate::support::locks;
use crate::support::net::forwarded::{self, ClientAddress};
use crate::support::net::forwarded::{Networks, TrustedProxies};
use crate::support::rate_limiter::RateLimiter;
use crate::verify::Verifier;

/// Every source by its path, with the limits that all share.
#[derive(Debug)]
pub struct Endpoints {
    by_path: HashMap<String, Arc<Endpoint>>,
    pub(super) request_timeout: Duration,
    pub(super) routes: Arc<Routes>,
    trusted_proxies: TrustedProxies,
}

/// One source as the listener sees it.
pub(super) struct Endpoint {
    pub(super) source: Arc<str>,
    pub(super) max_body: u64,
    pub(super) verifier: Verifier,
    /// By which its provider sends or asks.
    pub(super) methods: Vec<&'static str>,
    pub(super) allow_ips: Option<Networks>,
    pub(super) meter: SourceMeter,
    rate_limiter: Option<Mutex<RateLimiter>>,
}

impl Endpoints {
    /// Where a request came from.
    pub(super) fn client_of(&self, http: &HttpRequest) -> ClientAddress {
        let lines = |name| http.headers().get_all(name).map(HeaderValue::as_bytes);
        forwarded::client_address(http.peer_addr().map(|peer| peer.ip()), lines, &self.trusted_proxies)
    }

    /// One endpoint per source.
    #[must_use]
    pub fn new(server: &ServerConfig, sources: &[Arc<Source>], routes: Arc<Routes>, metrics: &Arc<Metrics>) -> Self {
        let endpoint = |source: &Arc<Source>| {
            let verifier = Verifier::new(source);
            let endpoint = Endpoint {
                meter: metrics.source(source.name.clone()),
                source: source.name.clone(),
                max_body: source.max_body,
                methods: verifier.methods(),
                verifier,
                allow_ips: source.admission.allow_ips.clone(),
                rate_limiter: source
                    .admission
                    .rate_limit
                    .map(|rate| Mutex::new(RateLimiter::bursty(rate, Instant::now()))),
            };
            (source.path.clone(), Arc::new(endpoint))
        };
        Self {
            by_path: sources.iter().map(endpoint).collect(),
            request_timeout: server.request_timeout,
            routes,
            trusted_proxies: server.trusted_proxies.clone(),
        }
    }

    pub(super) fn at(&self, path: &str) -> Option<Arc<Endpoint>> {
        self.by_path.get(path).cloned()
    }
}

impl Endpoint {
    /// Lets one more genuine delivery through.
    ///
    /// # Errors
    /// How long until there is room.
    pub(super) fn take_place(&self) -> Result<(), Duration> {
        self.rate_limiter.as_ref().map_or(Ok(()), |limiter| locks::lock(&limiter).try_take(Instant::now()))
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("source", &self.source).finish_non_exhaustive()
    }
}
