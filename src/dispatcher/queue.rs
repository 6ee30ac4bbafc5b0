//! Claimed jobs on their way to an executor: one queue per handler, and the permits to run them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::journal::JournalEntry;
use crate::config::Handler;
use crate::inbox::ClaimedJob;
use crate::runner::CancelToken;
use crate::support::locks;

/// A claimed job with what its attempt needs.
#[derive(Debug)]
pub(super) struct RunningJob {
    pub(super) claimed: ClaimedJob,
    pub(super) handler: Arc<Handler>,
    pub(super) private_headers: Arc<[String]>,
    pub(super) cancel: CancelToken,
}

/// A job that waits for an executor.
#[derive(Debug)]
pub(super) struct QueuedJob {
    pub(super) job: Arc<RunningJob>,
    /// `None` if there is no journal.
    pub(super) entry: Option<JournalEntry>,
    /// The scheduler should claim more once fewer jobs than this are queued.
    pub(super) low_water: usize,
}

/// The queued jobs of one handler.
#[derive(Debug, Clone, Default)]
pub(super) struct JobQueue(Arc<Mutex<VecDeque<QueuedJob>>>);

/// The right to run jobs of a handler, one at a time, until its queue is empty.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) handler: Arc<str>,
    /// For jobs whose reply a provider is waiting for. Does not count against the shared executors.
    pub(super) is_sync: bool,
    pub(super) queue: JobQueue,
}

impl JobQueue {
    /// Jobs for waiting providers go first.
    pub(super) fn push(&self, job: QueuedJob) {
        let mut queue = locks::lock(&self.0);
        let low_water = (queue.len() + 1) * 2 / 3;
        match job.job.claimed.is_sync {
            true => queue.push_front(job),
            false => queue.push_back(QueuedJob { low_water, ..job }),
        }
    }

    /// Takes the next job, if it needs a permit of this kind.
    pub(super) fn pop(&self, is_sync: bool) -> Option<QueuedJob> {
        locks::lock(&self.0).pop_front_if(|next| next.job.claimed.is_sync == is_sync)
    }

    /// Takes the next job. `may_share`: whether a shared executor is free.
    pub(super) fn pop_startable(&self, may_share: bool) -> Option<QueuedJob> {
        locks::lock(&self.0).pop_front_if(|next| may_share || next.job.claimed.is_sync)
    }

    pub(super) fn drain(&self) -> VecDeque<QueuedJob> {
        std::mem::take(&mut locks::lock(&self.0))
    }

    pub(super) fn len(&self) -> usize {
        locks::lock(&self.0).len()
    }
}
