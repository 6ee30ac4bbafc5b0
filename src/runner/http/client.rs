//! Connections to the URL of one handler: kept open, one request at a time on each.
//!
//! An attempt takes a client and gives it back, so there are never more clients than concurrent attempts. Proxies from
//! the environment are not used. Redirects are not followed.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, RustlsConnector};

use super::transport::{ActiveRequest, NoResolver, TcpConnector};
use crate::config::{self, HttpTarget, Mode};
use crate::support::locks;

/// How long an idle connection is kept.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// An agent with at most one connection.
#[derive(Debug)]
pub(super) struct HttpClient {
    pub(super) agent: Agent,
    pub(super) request: Arc<ActiveRequest>,
    generation: u64,
}

/// The clients of one handler.
#[derive(Debug)]
pub(crate) struct HttpClients(Mutex<ClientState>);

#[derive(Debug)]
struct ClientState {
    handler: Arc<config::Handler>,
    generation: u64,
    roots: Option<RootCerts>,
    idle: Vec<HttpClient>,
}

impl HttpClients {
    pub(crate) fn new(handler: Arc<config::Handler>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(ClientState { handler, generation: 0, roots: None, idle: Vec::new() })))
    }

    /// Applies the settings, and closes idle connections if they changed.
    pub(crate) fn reload(&self, handler: &Arc<config::Handler>) {
        let mut state = self.lock();
        if *state.handler != **handler {
            state.generation += 1;
            state.roots = None;
            state.idle.clear();
        }
        state.handler = handler.clone();
    }

    pub(super) fn take(&self) -> HttpClient {
        let mut state = self.lock();
        if let Some(client) = state.idle.pop() {
            return client;
        }
        let request = Arc::new(ActiveRequest::default());
        let config = Agent::config_builder()
            .timeout_global(Some(state.handler.timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .max_idle_connections(1)
            .max_idle_age(MAX_IDLE)
            .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
        let config = match &state.handler.mode {
            Mode::Http(http) => config.timeout_connect(Some(http.connect_timeout)),
            Mode::Command | Mode::Worker { .. } => config,
        };
        let config = match state.roots() {
            Some(roots) => config.tls_config(TlsConfig::builder().root_certs(roots).build()),
            None => config,
        };
        let connector = TcpConnector(request.clone()).chain(RustlsConnector::default());
        let agent = Agent::with_parts(config.build(), connector, NoResolver);
        HttpClient { agent, request, generation: state.generation }
    }

    pub(super) fn give_back(&self, client: HttpClient) {
        client.request.set(|state| state.cancel = None);
        let mut state = self.lock();
        if client.generation == state.generation && state.idle.len() < state.handler.concurrency {
            state.idle.push(client);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClientState> {
        locks::lock(&self.0)
    }
}

impl ClientState {
    /// The trusted certificates, for `https`.
    fn roots(&mut self) -> Option<RootCerts> {
        let Mode::Http(http) = &self.handler.mode else { return None };
        if self.roots.is_none() && http.url.starts_with("https:") {
            self.roots = Some(roots(http));
        }
        self.roots.clone()
    }
}

/// The certificates of the platform and of `ca_file`. If there are none, those of browsers.
fn roots(http: &HttpTarget) -> RootCerts {
    let platform = rustls_native_certs::load_native_certs();
    for error in &platform.errors {
        log::debug!("certificates of the platform: {error}");
    }
    let own = http.authorities.iter().map(|der| Certificate::from_der(der).to_owned());
    let found: Vec<_> = platform.certs.iter().map(|der| Certificate::from_der(der).to_owned()).chain(own).collect();
    if found.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(Arc::new(found)) }
}
