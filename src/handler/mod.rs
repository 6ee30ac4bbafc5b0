//! One attempt: the configured command runs on one event, and what came of it goes out as [`Ended`].
//!
//! Promises: the worker thread is free within the time limit and [`KILL_GRACE`], whatever the process does; its
//! group is gone by then after a stop by hookbox; memory does not grow with its output; no zombie is left.
//! What the ending means for the job is [`crate::outcome`]'s to say.

mod cancel;
mod command;
mod environment;
mod group;
mod idempotency;
mod leftovers;
mod output;
mod program;
mod result;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use command::Process;
use result::ResultFile;
use watch::Watched;

pub use cancel::{Cancel, Why};
pub use environment::visible_headers;
pub use idempotency::idempotency_key;
pub use leftovers::end_leftovers;
pub use output::{HEAD, KEPT, TAIL};

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
pub fn run(attempt: &Attempt, cancel: &Cancel) -> Ended {
    let started_at = Millis::now();
    if attempt.handler.mode != config::Mode::Command {
        let exit = Exit::NotExecutable(format!("mode {} is not there yet", attempt.handler.mode.as_str()));
        let [stdout, stderr] = [Captured::default(), Captured::default()];
        return Ended { exit, said: Said::default(), note: None, stdout, stderr, started_at, finished_at: started_at };
    }
    let result = match start(attempt, cancel) {
        Ok((process, result)) => {
            let watched = watch::watch(process, attempt.handler.timeout, cancel);
            let (said, troubles) = result.take();
            let note = note(&watched, &said, troubles);
            (watched.exit, said, note, watched.stdout, watched.stderr)
        }
        Err(exit) => (exit, Said::default(), None, Captured::default(), Captured::default()),
    };
    let (exit, said, note, stdout, stderr) = result;
    Ended { exit, said, note, stdout, stderr, started_at, finished_at: Millis::now() }
}

fn start<'a>(attempt: &'a Attempt, cancel: &Cancel) -> Result<(Process<'a>, ResultFile), Exit> {
    if let Some(why) = cancel.why() {
        return Err(why.exit());
    }
    let result = ResultFile::new(&attempt.results, attempt.job_id, attempt.number).map_err(|error| {
        Exit::Starved(format!("no place for its result file in {}: {error}", attempt.results.display()))
    })?;
    let environment = environment::of(attempt, result.path(), &|name| std::env::var_os(name));
    let process = command::spawn(&attempt.handler, &environment, &attempt.body)?;
    Ok((process, result))
}

/// For the ledger: the handler's own words first.
fn note(watched: &Watched, said: &Said, troubles: Vec<String>) -> Option<String> {
    let counts = matches!(watched.exit, Exit::Status(status) if status != 0);
    let ignored = (said.retry_after.is_some() && !counts)
        .then(|| "result file: `retry_after` counts only with an exit status other than 0; ignored".to_owned());
    let notes: Vec<String> =
        said.note.iter().cloned().chain(watched.note.clone()).chain(troubles).chain(ignored).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

#[cfg(test)]
mod tests;
