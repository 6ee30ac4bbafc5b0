//! Connections to one handler's URL: kept open, one request at a time on each.
//!
//! Whoever has an attempt takes a client and gives it back; there are never more than attempts at once. Proxies from the
//! environment are not used, redirects are not followed.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, RustlsConnector};

use super::transport::{NoResolver, Tcp, UnderWay};
use crate::config::{self, HttpTarget, Mode};
use crate::support::locks;

/// How long a connection that nobody uses is kept.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// At most one connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) agent: Agent,
    pub(super) under_way: Arc<UnderWay>,
    generation: u64,
}

/// The clients of one handler.
#[derive(Debug)]
pub(in crate::runner) struct Clients(Mutex<State>);

#[derive(Debug)]
struct State {
    handler: Arc<config::Handler>,
    generation: u64,
    roots: Option<RootCerts>,
    idle: Vec<Client>,
}

impl Clients {
    pub(in crate::runner) fn new(handler: Arc<config::Handler>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { handler, generation: 0, roots: None, idle: Vec::new() })))
    }

    /// From now on these settings hold; connections made with others are closed.
    pub(in crate::runner) fn reload(&self, handler: &Arc<config::Handler>) {
        let mut state = self.lock();
        if *state.handler != **handler {
            state.generation += 1;
            state.roots = None;
            state.idle.clear();
        }
        state.handler = handler.clone();
    }

    pub(super) fn take(&self) -> Client {
        let mut state = self.lock();
        if let Some(client) = state.idle.pop() {
            return client;
        }
        let under_way = Arc::new(UnderWay::default());
        let config = Agent::config_builder()
            .timeout_global(Some(state.handler.timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .max_idle_connections(1)
            .max_idle_age(KEPT_FOR)
            .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
        let config = match &state.handler.mode {
            Mode::Http(http) => config.timeout_connect(Some(http.connect_timeout)),
            Mode::Command | Mode::Worker { .. } => config,
        };
        let config = match state.roots() {
            Some(roots) => config.tls_config(TlsConfig::builder().root_certs(roots).build()),
            None => config,
        };
        let connector = Tcp(under_way.clone()).chain(RustlsConnector::default());
        let agent = Agent::with_parts(config.build(), connector, NoResolver);
        Client { agent, under_way, generation: state.generation }
    }

    pub(super) fn give(&self, client: Client) {
        client.under_way.set(|state| state.cancel = None);
        let mut state = self.lock();
        if client.generation == state.generation && state.idle.len() < state.handler.concurrency {
            state.idle.push(client);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locks::lock(&self.0)
    }
}

impl State {
    /// Whose certificates are believed, where TLS is spoken.
    fn roots(&mut self) -> Option<RootCerts> {
        let Mode::Http(http) = &self.handler.mode else { return None };
        if self.roots.is_none() && http.url.starts_with("https:") {
            self.roots = Some(roots(http));
        }
        self.roots.clone()
    }
}

/// Those of the platform and of `ca_file`; of a machine that has none, those that browsers come with.
fn roots(http: &HttpTarget) -> RootCerts {
    let platform = rustls_native_certs::load_native_certs();
    for error in &platform.errors {
        log::debug!("certificates of the platform: {error}");
    }
    let own = http.authorities.iter().map(|der| Certificate::from_der(der).to_owned());
    let found: Vec<_> = platform.certs.iter().map(|der| Certificate::from_der(der).to_owned()).chain(own).collect();
    if found.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(Arc::new(found)) }
}
