//! What the configuration says that the operator's pages tell: sources, handlers, the inbox's file.
//!
//! Replaced as a whole by a reload; who looks holds on to what he has begun with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Handler, Source};
use crate::support::net::forwarded::TrustedProxies;

/// The configured sources and handlers.
#[derive(Debug, Clone)]
pub struct Setup {
    /// `[sources.NAME]`, in the order of the file.
    pub sources: Vec<Arc<Source>>,
    /// `[handlers.NAME]`, in the order of the file.
    pub handlers: Vec<Arc<Handler>>,
    /// The inbox's file.
    pub inbox: PathBuf,
    /// `server.trusted_proxies`
    pub proxies: TrustedProxies,
    /// How long each source may be silent, where someone is told of it.
    pub silence: BTreeMap<Arc<str>, Duration>,
}

impl Setup {
    /// Of a configuration as it was read.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let silence = config.alerts.as_ref().map(|alerts| alerts.silence.clone()).unwrap_or_default();
        let (sources, handlers) = (config.sources.clone(), config.handlers.clone());
        let proxies = config.server.trusted_proxies.clone();
        Self { proxies, sources, handlers, inbox: config.inbox.path.clone(), silence }
    }

    /// Names of the sources, in the order of the file.
    pub(super) fn source_names(&self) -> Vec<String> {
        self.sources.iter().map(|source| source.name.to_string()).collect()
    }

    /// Names of the handlers, in the order of the file.
    pub(super) fn handler_names(&self) -> Vec<String> {
        self.handlers.iter().map(|handler| handler.name.to_string()).collect()
    }
}
