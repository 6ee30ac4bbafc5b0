//! What an attempt's ending means for its job: succeeded, again at a time, or dead. The retry policy.
//!
//! Pure: the ending, the job's counters, the time and the jitter come in as arguments, the verdict goes out.
//! The table in `handlers/README.md` says the same in words.

use std::time::Duration;

use crate::clock::Millis;
use crate::event::Ending;

/// When a failed job runs again, and when it is dead.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Failures after which the job is dead; at least 1.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// Share of the pause by which it varies, up and down: 0 to 1.
    pub jitter: f64,
    /// Exit statuses that mean: this event can never work.
    pub dead_exit_codes: Vec<i32>,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself.
    Status(i32),
    /// A signal that hookbox did not send ended it.
    Signal(i32),
    /// hookbox ended it at the time limit.
    TimedOut,
    /// It could not be executed: why.
    NotExecutable(String),
    /// There was no memory, process or file descriptor to start it: why.
    Starved(String),
    /// hookbox ended it while shutting down.
    Stopped,
    /// A person skipped the job; hookbox ended it.
    Skipped,
}

/// What the handler wrote into its result file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// `{"retry_after":"5m"}`
    pub retry_after: Option<Duration>,
    /// `{"dead":"reason"}`
    pub dead: Option<String>,
    /// `{"note":"…"}`
    pub note: Option<String>,
}

/// A job's counters before this ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Counted failures since the last retry or replay by a person.
    pub failures: u32,
    /// Times the handler asked for a later run, likewise.
    pub deferrals: u32,
}

/// What becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// Pending again.
    Again {
        /// When.
        at: Millis,
        /// The counters from now on.
        counters: Counters,
        /// Why, for the job's row.
        reason: String,
    },
    /// Set aside for a person.
    Dead {
        /// The counters from now on.
        counters: Counters,
        /// Why.
        reason: String,
    },
    /// A person has already said so.
    Skipped,
}

/// The ending as the ledger keeps it, and what becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// For `attempts.ending`.
    pub ending: Ending,
    /// For `jobs`.
    pub outcome: Outcome,
}
