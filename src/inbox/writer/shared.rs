//! State shared by the writer thread and the threads that use the inbox. None of it is in the file.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use rusqlite::Error;

use crate::config;
use crate::inbox::enrollment::Enrollments;
use crate::inbox::file::classify_error;
use crate::inbox::rejections::RejectionBuffer;
use crate::inbox::replies::ReplyWaiters;
use crate::inbox::types::NotStored;
use crate::metrics::{HandlerGauges, Metrics};
use crate::support::locks;
use crate::support::secret::DigestKey;

#[derive(Debug)]
pub(in crate::inbox) struct Shared {
    pub(in crate::inbox) settings: RwLock<config::InboxConfig>,
    pub(in crate::inbox) rejections: RejectionBuffer,
    /// A command to write the rejections is queued, or the writer has scheduled it.
    pub(in crate::inbox) rejections_announced: AtomicBool,
    pub(in crate::inbox) token_key: DigestKey,
    /// Sources with `replay_guard = "id+body"`.
    pub(in crate::inbox) body_dedup: RwLock<Arc<[Arc<str>]>>,
    pub(in crate::inbox) enrollments: Enrollments,
    pub(in crate::inbox) reply_waiters: ReplyWaiters,
    pub(in crate::inbox) metrics: Arc<Metrics>,
    pub(in crate::inbox) job_counts: Mutex<Option<JobCounts>>,
    // The writer sets the following flags; a delivery is rejected while one of the first four is set.
    pub(in crate::inbox) backlog: AtomicBool,
    pub(in crate::inbox) disk_low: AtomicBool,
    pub(in crate::inbox) closing: AtomicBool,
    pub(in crate::inbox) failed: AtomicBool,
    /// Jobs or handlers were changed other than by the dispatcher since the last exchange.
    pub(in crate::inbox) changed_externally: AtomicBool,
    /// Number of commits seen, of this process and of others.
    pub(in crate::inbox) changes: AtomicU64,
}

/// The last count of jobs for the metrics.
#[derive(Debug)]
pub(in crate::inbox) struct JobCounts {
    pub(in crate::inbox) handlers: Vec<HandlerGauges>,
    pub(in crate::inbox) recount_at: Instant,
}

impl Shared {
    pub(in crate::inbox) fn new(
        settings: &config::InboxConfig,
        token_key: DigestKey,
        enrollments: Enrollments,
    ) -> Self {
        Self {
            settings: RwLock::new(settings.clone()),
            rejections: RejectionBuffer::default(),
            rejections_announced: AtomicBool::new(false),
            token_key,
            body_dedup: RwLock::default(),
            enrollments,
            reply_waiters: ReplyWaiters::default(),
            metrics: Arc::default(),
            job_counts: Mutex::default(),
            backlog: AtomicBool::new(false),
            disk_low: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            changed_externally: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        }
    }

    pub(in crate::inbox) fn with_settings<T>(&self, read: impl FnOnce(&config::InboxConfig) -> T) -> T {
        read(&locks::read(&self.settings))
    }

    /// Returns what a failed write means for its caller.
    pub(super) fn classify(&self, error: &Error) -> NotStored {
        self.with_settings(|settings| classify_error(error, &settings.path))
    }
}
