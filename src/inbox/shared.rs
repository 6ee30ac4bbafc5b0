//! What the writer and its callers both see of an inbox: routes, limits, and flags that are read without waiting.
//!
//! The writer raises and lowers the flags; whoever comes with a delivery looks at them first. Nothing here is written
//! to the file.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use super::answers::Board;
use super::lesson::Lessons;
use super::reader::GaugeCache;
use super::ring::Ring;
use crate::config;
use crate::metrics::Metrics;
use crate::routing::Routes;
use crate::support::locks;
use crate::support::secret::DigestKey;

/// What the writer and its callers both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) routes: RwLock<Arc<Routes>>,
    pub(super) settings: RwLock<config::InboxConfig>,
    pub(super) ring: Ring,
    pub(super) token_key: DigestKey,
    /// Sources whose bodies are remembered.
    pub(super) guarded: RwLock<Arc<[Arc<str>]>>,
    pub(super) lessons: Lessons,
    pub(super) board: Board,
    pub(super) metrics: Arc<Metrics>,
    pub(super) counted: Mutex<Option<GaugeCache>>,
    pub(super) backlog: AtomicBool,
    pub(super) disk_low: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) failed: AtomicBool,
    /// Another process has committed since the last turn.
    pub(super) changed_outside: AtomicBool,
    /// Commits seen, here and by others.
    pub(super) changes: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: &config::InboxConfig, routes: Routes, token_key: DigestKey, lessons: Lessons) -> Self {
        Self {
            routes: RwLock::new(Arc::new(routes)),
            settings: RwLock::new(settings.clone()),
            ring: Ring::default(),
            token_key,
            guarded: RwLock::default(),
            lessons,
            board: Board::default(),
            metrics: Arc::default(),
            counted: Mutex::default(),
            backlog: AtomicBool::new(false),
            disk_low: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            changed_outside: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        }
    }

    pub(super) fn with_settings<T>(&self, look: impl FnOnce(&config::InboxConfig) -> T) -> T {
        look(&locks::read(&self.settings))
    }
}
