//! The sources by path, and the state that all requests share.
//!
//! Paths are compared exactly as received. Below the path of a source whose provider signs the URL, every path belongs to
//! that source, because each request may have its own: `/hooks/twilio/order/17`.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use super::limits::InFlight;
use super::response::OutageLog;
use crate::config::{ServerConfig, Source};
use crate::inbox::Inbox;
use crate::metrics::{Metrics, SourceMeter};
use crate::routing::Routes;
use crate::support::locks;
use crate::support::net::forwarded::{self, ClientAddress, Networks, TrustedProxies};
use crate::support::net::nearest_path::nearest_path;
use crate::support::net::secret_path;
use crate::support::rate_limiter::RateLimiter;
use crate::verify::Verifier;

/// The most segments of a path below a source's own.
const MAX_PATH_DEPTH: usize = 32;

#[derive(Debug)]
pub(super) struct ReceiverState {
    pub(super) endpoints: RwLock<Arc<Endpoints>>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) outage_log: OutageLog,
    /// Counts requests to paths without a source.
    pub(super) unknown_path: SourceMeter,
    pub(super) inbox: Arc<Inbox>,
    /// Set while stopping: every response closes its connection.
    pub(super) is_draining: AtomicBool,
}

/// All sources of one configuration.
#[derive(Debug)]
pub struct Endpoints {
    by_path: HashMap<String, Arc<Endpoint>>,
    pub(super) request_timeout: Duration,
    pub(super) routes: Arc<Routes>,
    trusted_proxies: TrustedProxies,
}

pub(super) struct Endpoint {
    pub(super) source: Arc<str>,
    pub(super) max_body: u64,
    pub(super) verifier: Verifier,
    /// HTTP methods of deliveries and handshakes.
    pub(super) methods: Vec<&'static str>,
    pub(super) allow_ips: Option<Networks>,
    pub(super) meter: SourceMeter,
    /// The provider signs the URL, so each request may have a path below the source's.
    takes_paths_below: bool,
    rate_limiter: Option<Arc<Mutex<RateLimiter>>>,
}

/// A request with the configuration and state that it is processed with.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    pub(super) http: &'a HttpRequest,
    pub(super) state: &'a ReceiverState,
    pub(super) endpoints: &'a Endpoints,
    pub(super) endpoint: &'a Arc<Endpoint>,
}

impl Endpoints {
    pub fn new(server: &ServerConfig, sources: &[Arc<Source>], routes: Arc<Routes>, metrics: &Arc<Metrics>) -> Self {
        let endpoint = |source: &Arc<Source>| {
            let verifier = Verifier::new(source);
            let rate_limit = source.admission.rate_limit;
            let endpoint = Endpoint {
                meter: metrics.source(source.name.clone()),
                source: source.name.clone(),
                max_body: source.max_body,
                takes_paths_below: source.scheme.signs_url(),
                methods: verifier.methods(),
                verifier,
                allow_ips: source.admission.allow_ips.clone(),
                rate_limiter: rate_limit.map(|rate| Arc::new(Mutex::new(RateLimiter::bursty(rate, Instant::now())))),
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

    /// Takes over the rate limiters of sources whose limit is unchanged, so that a reload does not refill them.
    #[must_use]
    pub(super) fn with_limiters_of(mut self, before: &Self) -> Self {
        let earlier: HashMap<&str, &Arc<Endpoint>> =
            before.by_path.values().map(|endpoint| (&*endpoint.source, endpoint)).collect();
        for endpoint in self.by_path.values_mut() {
            let limiter = earlier.get(&*endpoint.source).and_then(|before| before.rate_limiter.as_ref());
            let rate = |limiter: &Arc<Mutex<RateLimiter>>| locks::lock(limiter).rate();
            if let (Some(limiter), Some(endpoint)) = (limiter, Arc::get_mut(endpoint))
                && endpoint.rate_limiter.as_ref().is_some_and(|own| rate(own) == rate(limiter))
            {
                endpoint.rate_limiter = Some(limiter.clone());
            }
        }
        self
    }

    /// The source of a path: the one with this path, or else the nearest one above whose provider signs the URL.
    pub(super) fn at(&self, path: &str) -> Option<Arc<Endpoint>> {
        if let Some(endpoint) = self.by_path.get(path) {
            return Some(endpoint.clone());
        }
        let above = path.rmatch_indices('/').take(MAX_PATH_DEPTH).flat_map(|(at, _)| [&path[..=at], &path[..at]]);
        let endpoints = above.filter_map(|path| self.by_path.get(path));
        endpoints.into_iter().find(|endpoint| endpoint.takes_paths_below).cloned()
    }

    /// The path that a sender probably meant. A path with a secret in it is described.
    pub(super) fn nearest(&self, path: &str) -> Option<String> {
        let nearest = nearest_path(path, self.by_path.keys().map(String::as_str))?;
        let shown = secret_path::masked(nearest);
        match self.by_path.get(nearest) {
            Some(endpoint) if shown != nearest => Some(format!("the path of source `{}`", endpoint.source)),
            _ => Some(shown),
        }
    }

    pub(super) fn client_address(&self, http: &HttpRequest) -> ClientAddress {
        let lines = |name| http.headers().get_all(name).map(HeaderValue::as_bytes);
        forwarded::client_address(http.peer_addr().map(|peer| peer.ip()), lines, &self.trusted_proxies)
    }
}

impl Endpoint {
    /// Counts a genuine delivery against the source's `rate_limit`. `Err` is the time until there is room again.
    pub(super) fn check_rate(&self) -> Result<(), Duration> {
        self.rate_limiter.as_ref().map_or(Ok(()), |limiter| locks::lock(limiter).try_take(Instant::now()))
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("source", &self.source).finish_non_exhaustive()
    }
}
