//! What is kept between attempts: the copies of workers, and connections to URLs.
//!
//! One for a running hookbox. Handlers come and go with the configuration; what is no longer wanted is let go, and
//! nothing is left after the end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::AttemptPurpose;
use super::http::Clients;
use super::worker::Pool;
use crate::config::{self, Mode};
use crate::support::locks;

/// The copies of workers and connections to URLs.
#[derive(Debug)]
pub struct HandlerResources {
    results: PathBuf,
    purpose: AttemptPurpose,
    pools: Mutex<HashMap<Arc<str>, Arc<Pool>>>,
    clients: Mutex<HashMap<Arc<str>, Arc<Clients>>>,
}

impl HandlerResources {
    /// Nothing is kept yet. `results` is the folder by which leftovers of this inbox are known, `purpose` that of all
    /// attempts.
    #[must_use]
    pub fn new(results: PathBuf, purpose: AttemptPurpose) -> Self {
        Self { results, purpose, pools: Mutex::default(), clients: Mutex::default() }
    }

    /// From now on these handlers hold: what belongs to others, or to other settings of theirs, is let go.
    pub fn reload(&self, handlers: &[Arc<config::Handler>]) {
        let is_worker = |handler: &&Arc<config::Handler>| matches!(handler.mode, Mode::Worker { .. });
        lock(&self.pools).retain(|name, pool| {
            let handler = handlers.iter().filter(is_worker).find(|handler| handler.name == *name);
            match handler {
                Some(handler) => pool.reload(handler),
                None => pool.close(),
            }
            handler.is_some()
        });
        let is_http = |handler: &&Arc<config::Handler>| matches!(handler.mode, Mode::Http(_));
        lock(&self.clients).retain(|name, clients| {
            let handler = handlers.iter().filter(is_http).find(|handler| handler.name == *name);
            handler.inspect(|handler| clients.reload(handler)).is_some()
        });
    }

    /// Whoever is idle is let go, and nobody is kept from now on.
    pub fn close(&self) {
        lock(&self.pools).values().for_each(|pool| pool.close());
    }

    /// After [`Kept::close`]: waits until all are gone. Who is not is asked to end at the one time, and made to at the
    /// other.
    pub fn join(&self, asked_at: Instant, killed_at: Instant) {
        let pools: Vec<_> = lock(&self.pools).values().cloned().collect();
        pools.iter().for_each(|pool| pool.join(asked_at, killed_at));
    }

    pub(super) fn pool(&self, handler: &Arc<config::Handler>) -> Arc<Pool> {
        let new = || Pool::new(handler.clone(), self.purpose, self.results.clone());
        lock(&self.pools).entry(handler.name.clone()).or_insert_with(new).clone()
    }

    pub(super) fn clients(&self, handler: &Arc<config::Handler>) -> Arc<Clients> {
        let new = || Clients::new(handler.clone());
        lock(&self.clients).entry(handler.name.clone()).or_insert_with(new).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    locks::lock(mutex)
}
