//! What handlers share between attempts: worker processes and HTTP connections.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::attempt::AttemptPurpose;
use super::http::HttpClients;
use super::worker::WorkerPool;
use crate::config::{Handler, Mode};
use crate::support::locks;

/// Worker processes and HTTP connections, by handler.
#[derive(Debug)]
pub struct HandlerResources {
    results: PathBuf,
    purpose: AttemptPurpose,
    pools: Mutex<HashMap<Arc<str>, Arc<WorkerPool>>>,
    clients: Mutex<HashMap<Arc<str>, Arc<HttpClients>>>,
}

impl HandlerResources {
    /// `results` is the folder by which orphans of this inbox are recognised.
    pub fn new(results: PathBuf, purpose: AttemptPurpose) -> Self {
        Self { results, purpose, pools: Mutex::default(), clients: Mutex::default() }
    }

    /// Closes what belongs to removed handlers or to changed settings.
    pub fn reload(&self, handlers: &[Arc<Handler>]) {
        let find = |name: &str| handlers.iter().find(|handler| *handler.name == *name);
        locks::lock(&self.pools).retain(|name, pool| {
            let handler = find(name).filter(|handler| matches!(handler.mode, Mode::Worker { .. }));
            match handler {
                Some(handler) => pool.reload(handler),
                None => pool.close(),
            }
            handler.is_some()
        });
        locks::lock(&self.clients).retain(|name, clients| {
            let handler = find(name).filter(|handler| matches!(handler.mode, Mode::Http(_)));
            handler.inspect(|handler| clients.reload(handler)).is_some()
        });
    }

    /// Ends idle worker processes now, and busy ones after their job.
    pub fn close(&self) {
        locks::lock(&self.pools).values().for_each(|pool| pool.close());
    }

    /// Waits until all worker processes have ended, after [`HandlerResources::close`]: SIGTERM at `term_at`, SIGKILL at
    /// `kill_at`.
    pub fn join(&self, term_at: Instant, kill_at: Instant) {
        let pools: Vec<_> = locks::lock(&self.pools).values().cloned().collect();
        pools.iter().for_each(|pool| pool.join(term_at, kill_at));
    }

    pub(super) fn worker_pool(&self, handler: &Arc<Handler>) -> Arc<WorkerPool> {
        let new = || WorkerPool::new(handler.clone(), self.purpose, self.results.clone());
        locks::lock(&self.pools).entry(handler.name.clone()).or_insert_with(new).clone()
    }

    pub(super) fn http_clients(&self, handler: &Arc<Handler>) -> Arc<HttpClients> {
        let new = || HttpClients::new(handler.clone());
        locks::lock(&self.clients).entry(handler.name.clone()).or_insert_with(new).clone()
    }
}
