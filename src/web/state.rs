//! State that every request shares: the inbox, the configuration, bulk changes, live streams.
//!
//! A reload replaces the [`WebConfig`] as a whole. A request keeps the one it started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use super::bulk::BulkChanges;
use crate::config::{Config, Handler, Source};
use crate::inbox::Inbox;
use crate::routing::Routes;
use crate::support::locks;
use crate::support::net::forwarded::TrustedProxies;

/// Pages that update live at the same time.
const MAX_STREAMS: usize = 64;

/// How often the configuration was reloaded, and the error of the last reload; `hookbox reload` waits for it.
#[derive(Debug, Default)]
pub struct ReloadStatus(Mutex<(u64, Option<String>)>);

impl ReloadStatus {
    pub fn record(&self, error: Option<String>) {
        let mut status = locks::lock(&self.0);
        *status = (status.0 + 1, error);
    }

    /// The number of reloads and the last error.
    pub(super) fn latest(&self) -> (u64, Option<String>) {
        locks::lock(&self.0).clone()
    }
}

/// The part of the configuration that pages and API show.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// In the order of the file.
    pub sources: Vec<Arc<Source>>,
    /// In the order of the file.
    pub handlers: Vec<Arc<Handler>>,
    /// Which handlers take an event.
    pub routes: Arc<Routes>,
    /// Path of the inbox.
    pub inbox: PathBuf,
    pub proxies: TrustedProxies,
    /// `alerts.silence`: how long each source may be silent.
    pub silence: BTreeMap<Arc<str>, Duration>,
}

impl WebConfig {
    pub fn new(config: &Config, routes: Arc<Routes>) -> Self {
        Self {
            sources: config.sources.clone(),
            handlers: config.handlers.clone(),
            routes,
            inbox: config.inbox.path.clone(),
            proxies: config.server.trusted_proxies.clone(),
            silence: config.alerts.as_ref().map(|alerts| alerts.silence.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.iter().find(|source| *source.name == *name)
    }

    pub(super) fn handler(&self, name: &str) -> Option<&Arc<Handler>> {
        self.handlers.iter().find(|handler| *handler.name == *name)
    }

    pub(super) fn source_names(&self) -> Vec<String> {
        self.sources.iter().map(|source| source.name.to_string()).collect()
    }

    pub(super) fn handler_names(&self) -> Vec<String> {
        self.handlers.iter().map(|handler| handler.name.to_string()).collect()
    }
}

#[derive(Debug)]
pub(super) struct WebState {
    pub(super) inbox: Arc<Inbox>,
    pub(super) reloads: Arc<ReloadStatus>,
    config: RwLock<Arc<WebConfig>>,
    pub(super) bulk: Arc<BulkChanges>,
    pub(super) live: LiveStreams,
}

impl WebState {
    pub(super) fn new(inbox: Arc<Inbox>, reloads: Arc<ReloadStatus>, config: WebConfig) -> Self {
        Self {
            inbox,
            reloads,
            config: RwLock::new(Arc::new(config)),
            bulk: Arc::default(),
            live: LiveStreams::default(),
        }
    }

    pub(super) fn config(&self) -> Arc<WebConfig> {
        locks::read(&self.config).clone()
    }

    pub(super) fn reload(&self, config: WebConfig) {
        *locks::write(&self.config) = Arc::new(config);
    }
}

/// The number of open streams.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveStreams(Arc<AtomicUsize>);

/// Counts as one open stream until it is dropped.
#[derive(Debug)]
pub(super) struct StreamPermit(Arc<AtomicUsize>);

impl LiveStreams {
    pub(super) fn acquire(&self) -> Option<StreamPermit> {
        let permit = StreamPermit(self.0.clone());
        (permit.0.fetch_add(1, Ordering::Relaxed) < MAX_STREAMS).then_some(permit)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_limited_and_released() {
        let streams = LiveStreams::default();
        let permits: Vec<_> = std::iter::repeat_with(|| streams.acquire()).take(MAX_STREAMS).collect();
        assert!(permits.iter().all(Option::is_some));
        assert!(streams.acquire().is_none());
        assert!(streams.acquire().is_none());
        drop(permits);
        assert!(streams.acquire().is_some());
    }
}
