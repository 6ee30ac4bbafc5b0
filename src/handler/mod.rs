//! One attempt: the configured command runs on one event, and what came of it goes out as [`Ended`].
//!
//! Promises: the worker thread is free within the time limit and [`KILL_GRACE`], whatever the process does; its
//! group is gone by then after a stop by hookbox; memory does not grow with its output; no zombie is left.
//! What the ending means for the job is [`crate::outcome`]'s to say.

mod cancel;
mod idempotency;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use cancel::{Cancel, Why};
pub use idempotency::idempotency_key;

use crate::clock::Millis;
use crate::config;
use crate::outcome::{Exit, Said};

/// From TERM to KILL, at the time limit and when a person skips the job.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// One run of a job: everything the handler is told.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The handler as configured when the attempt was claimed; it keeps these settings.
    pub handler: Arc<config::Handler>,
    /// `jobs.id`
    pub job_id: i64,
    /// `attempts.number`: 1, 2, …
    pub number: u32,
    /// Times a person replayed the job.
    pub replays: u32,
    /// `events.source`
    pub source: String,
    /// `events.event_id`
    pub event_id: String,
    /// `events.type`; empty where the provider names none.
    pub event_type: String,
    /// `events.received_at`
    pub received_at: Millis,
    /// `payloads.content_type`
    pub content_type: Option<String>,
    /// `payloads.headers`: one JSON object.
    pub headers: String,
    /// Lower-case names of headers the handler must not see.
    pub private_headers: Vec<String>,
    /// `payloads.body`: the exact bytes.
    pub body: Vec<u8>,
    /// An existing folder that only hookbox and its handlers may write: the result file goes there.
    pub results: PathBuf,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How the process ended, or why there was none.
    pub exit: Exit,
    /// What the result file said.
    pub said: Said,
    /// For the ledger: what the handler noted, and what hookbox has to say about the attempt.
    pub note: Option<String>,
    /// What it wrote to stdout.
    pub stdout: Captured,
    /// What it wrote to stderr.
    pub stderr: Captured,
    /// Just before the process was started.
    pub started_at: Millis,
    /// When it was gone.
    pub finished_at: Millis,
}

/// What is kept of an output stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// All of it, or where it was longer, its first 4 KiB and its last 12 KiB, one behind the other.
    pub kept: Vec<u8>,
    /// How many bytes were written in all.
    pub total: u64,
}

/// Runs the handler on one event and waits for its end. Blocks; meant for a worker thread.
#[must_use]
pub fn run(_attempt: &Attempt, _cancel: &Cancel) -> Ended {
    let now = Millis::now();
    Ended {
        exit: Exit::Starved("not built yet".into()),
        said: Said::default(),
        note: None,
        stdout: Captured::default(),
        stderr: Captured::default(),
        started_at: now,
        finished_at: now,
    }
}
