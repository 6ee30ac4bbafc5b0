//! Which source a path belongs to, and its limits: made once per configuration.
//!
//! A path comes in, exactly as it was received; out goes the source's verifier. A path with one slash more is
//! another path: nothing is guessed, nothing redirected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Server, Source};
use crate::verify::Verifier;

/// Every source by its path, with the limits that all share.
#[derive(Debug)]
pub struct Endpoints {
    by_path: HashMap<String, Arc<Endpoint>>,
    pub(super) request_timeout: Duration,
}

/// One source as the listener sees it.
pub(super) struct Endpoint {
    pub(super) source: Arc<str>,
    pub(super) max_body: u64,
    pub(super) verifier: Verifier,
    /// By which its provider sends or asks.
    pub(super) methods: Vec<&'static str>,
}

impl Endpoints {
    /// One endpoint per source.
    #[must_use]
    pub fn new(server: &Server, sources: &[Arc<Source>]) -> Self {
        let endpoint = |source: &Arc<Source>| {
            let verifier = Verifier::new(source);
            let methods = verifier.methods();
            let endpoint = Endpoint { source: source.name.clone(), max_body: source.max_body, verifier, methods };
            (source.path.clone(), Arc::new(endpoint))
        };
        Self { by_path: sources.iter().map(endpoint).collect(), request_timeout: server.request_timeout }
    }

    pub(super) fn at(&self, path: &str) -> Option<Arc<Endpoint>> {
        self.by_path.get(path).cloned()
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("source", &self.source).finish_non_exhaustive()
    }
}
