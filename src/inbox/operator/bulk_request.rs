//! Retry, replay and skip: what the operator asks for, the plan made of it, and what was done.

use std::collections::BTreeMap;

use crate::model::filter::JobFilter;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// Runs dead, skipped and waiting jobs now. Failures start again at 0, attempt numbers continue.
    Retry,
    /// Runs succeeded jobs once more.
    Replay,
    /// Cancels pending, running and dead jobs. `serve` stops running attempts.
    Skip,
}

impl BulkAction {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Skip => "skip",
        }
    }
}

/// Why a job is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    Succeeded,
    Dead,
    Pending,
    /// Pending and due, without failures that a retry would reset.
    Due,
    /// The same, but behind another job with its ordering key.
    Blocked,
    Running,
    Skipped,
    /// Skipped, and its last attempt has not finished yet.
    Ending,
    /// The event's payload was deleted.
    Pruned,
    /// The job has changed since the plan was made.
    Overtaken,
}

impl SkipReason {
    const ALL: [Self; 10] = [
        Self::Succeeded,
        Self::Dead,
        Self::Pending,
        Self::Due,
        Self::Blocked,
        Self::Running,
        Self::Skipped,
        Self::Ending,
        Self::Pruned,
        Self::Overtaken,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Pending => "pending",
            Self::Due => "due",
            Self::Blocked => "blocked",
            Self::Running => "running",
            Self::Skipped => "skipped",
            Self::Ending => "ending",
            Self::Pruned => "pruned",
            Self::Overtaken => "overtaken",
        }
    }

    pub(super) fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or(Self::Overtaken)
    }
}

#[derive(Debug, Clone)]
pub struct BulkRequest {
    pub change: BulkAction,
    pub filter: JobFilter,
    /// Whether a retry includes skipped jobs, which must be named.
    pub revives: bool,
}

/// Selects events that get a job for a handler that has none for them.
pub struct MissingJobs<'a> {
    pub handler: &'a str,
    /// Whether `takes` or `key` needs the headers or the body. They are empty otherwise.
    pub reads_payload: bool,
    /// Whether the handler takes an event with this source, type and body.
    pub takes: &'a dyn Fn(&str, &str, &[u8]) -> bool,
    /// The ordering key of an event with these headers and body.
    pub key: &'a dyn Fn(&str, &[u8]) -> Option<String>,
}

/// What a bulk update would do.
#[derive(Debug, Clone)]
pub struct BulkPlan {
    pub(super) change: BulkAction,
    pub(super) revives: bool,
    /// Whose new jobs `events` get.
    pub(super) handler: String,
    /// Jobs to change, by id.
    pub jobs: Vec<i64>,
    /// Events that get a job.
    pub events: Vec<AddedJob>,
    /// Jobs that are not changed.
    pub left: BTreeMap<SkipReason, usize>,
    /// False if the search for jobs reached its deadline.
    pub is_complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedJob {
    pub event_seq: i64,
    pub order_key: Option<String>,
}

impl BulkPlan {
    #[must_use]
    pub fn change(&self) -> BulkAction {
        self.change
    }

    /// Jobs to change and to create.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len() + self.events.len()
    }
}

/// What a bulk update has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkResult {
    pub changed: usize,
    /// New jobs.
    pub made: usize,
    /// Jobs that have changed since the plan was made.
    pub overtaken: usize,
}

impl BulkResult {
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.changed + self.made + self.overtaken
    }

    pub(super) fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.made += other.made;
        self.overtaken += other.overtaken;
    }
}
