//! One attempt: the configured command runs on one event, a worker gets it, or a URL is asked; what came of it goes out
//! as [`Ended`].
//!
//! Promises: the worker thread is free within the time limit and [`KILL_GRACE`], whatever the process does; all that it
//! started is gone by then after a stop by hookbox; memory does not grow with its output; no zombie is left.
//! What the ending means for the job is [`crate::retry`]'s to say.

mod ahead;
mod cancel;
mod environment;
mod http;
mod idempotency;
mod notifier;
mod output;
mod process;
mod reply;
mod resources;
mod result_file;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use process::pid_record;
use process::spawn::{self, Input, Process};
use process::supervise::{Listening, Watched, watch};
use reply::ReplyParts;
use result_file::ResultFile;
use rustix::process::Signal;

pub use ahead::{Ahead, Note, never_begun};
pub use cancel::{CancelToken, StopReason};
pub use environment::visible_headers;
pub use idempotency::idempotency_key;
pub use notifier::{NotifierCommand, run_notifier};
pub use output::{OUTPUT_HEAD_BYTES, OUTPUT_KEPT_BYTES};
pub use process::inherited_fds::keep_descriptor_limit;
pub use process::launcher::launch;
pub use process::orphan_recovery::kill_orphans;
pub use process::reaper::OrphanReaper;
pub use resources::HandlerResources;
pub use result_file::remove_result_files;
pub use worker::parse_worker_reply;

use crate::config::{self, Mode, ResourceLimits};
use crate::model::request::stored_headers;
use crate::model::response::HandlerResponse;
use crate::retry::{AttemptExit, HandlerDirectives};
use crate::support::time::Millis;
use crate::support::trace_context::TraceContext;

/// From TERM to KILL, at the time limit and when a person skips the job.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// One run of a job: everything the handler is told.
#[derive(Debug, Clone)]
pub struct AttemptInput {
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
    /// Whether it counts.
    pub purpose: AttemptPurpose,
}

impl AttemptInput {
    /// The trace that the delivery belongs to, if its sender said so.
    fn trace(&self) -> Option<TraceContext> {
        const FIELD: &[u8] = b"traceparent";
        // Most have none, and each attempt asks.
        if !self.headers.as_bytes().windows(FIELD.len()).any(|part| part.eq_ignore_ascii_case(FIELD)) {
            return None;
        }
        let fields = stored_headers(&self.headers);
        TraceContext::from_headers(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// What an attempt is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptPurpose {
    /// The work itself.
    Job,
    /// A person's trial: the handler is told to hold back by `HOOKBOX_DRY_RUN=1`.
    Rehearsal {
        /// Whether what a command writes passes through to hookbox's own stdout and stderr as it comes.
        is_shown: bool,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOutput {
    /// How the process ended, or why there was none.
    pub exit: AttemptExit,
    /// What the result file said.
    pub said: HandlerDirectives,
    /// What it has to say to the provider, where it responds and succeeded.
    pub response: Option<HandlerResponse>,
    /// For the ledger: what the handler noted, and what hookbox has to say about the attempt.
    pub note: Option<String>,
    /// What it wrote to stdout.
    pub stdout: CapturedOutput,
    /// What it wrote to stderr.
    pub stderr: CapturedOutput,
    /// Just before the process was started.
    pub started_at: Millis,
    /// When it was gone.
    pub finished_at: Millis,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

impl AttemptOutput {
    /// An attempt for which there was no process, now.
    #[must_use]
    pub fn without_process(exit: AttemptExit) -> Self {
        let now = Millis::now();
        Self {
            exit,
            said: HandlerDirectives::default(),
            response: None,
            note: None,
            stdout: CapturedOutput::default(),
            stderr: CapturedOutput::default(),
            started_at: now,
            finished_at: now,
            trace: None,
        }
    }
}

/// What is kept of an output stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapturedOutput {
    /// All of it, or where it was longer, its first 4 KiB and its last 12 KiB, one behind the other.
    pub kept: Vec<u8>,
    /// How many bytes were written in all.
    pub total: u64,
}

/// Runs the handler on one event and waits for its end. Blocks; meant for a worker thread.
#[must_use]
pub fn run(attempt: &AttemptInput, kept: &HandlerResources, cancel: &CancelToken) -> AttemptOutput {
    let started_at = Millis::now();
    let run = match &attempt.handler.mode {
        _ if cancel.why().is_some() => Run::without_output(cancel.why().map_or(AttemptExit::Stopped, StopReason::exit)),
        Mode::Command => run_command(attempt, cancel),
        Mode::Worker { .. } => worker::run(&kept.pool(&attempt.handler), attempt, cancel),
        Mode::Http(http) => http::run(&kept.clients(&attempt.handler), attempt, http, cancel),
    };
    let Run { exit, said, response, notes, stdout, stderr } = run;
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    AttemptOutput {
        exit,
        said,
        response,
        note,
        stdout,
        stderr,
        started_at,
        finished_at: Millis::now(),
        trace: attempt.trace(),
    }
}

/// What came of an attempt, in whichever mode.
#[derive(Debug)]
struct Run {
    exit: AttemptExit,
    said: HandlerDirectives,
    response: Option<HandlerResponse>,
    /// For the ledger: the handler's own words first.
    notes: Vec<String>,
    stdout: CapturedOutput,
    stderr: CapturedOutput,
}

impl Run {
    fn without_output(exit: AttemptExit) -> Self {
        let [stdout, stderr] = [CapturedOutput::default(), CapturedOutput::default()];
        Self { exit, said: HandlerDirectives::default(), response: None, notes: Vec::new(), stdout, stderr }
    }
}

fn run_command(attempt: &AttemptInput, cancel: &CancelToken) -> Run {
    match start(attempt) {
        Ok((process, result)) => finish(attempt, process, result, cancel),
        Err(exit) => Run::without_output(exit),
    }
}

fn finish(attempt: &AttemptInput, process: Process<'_>, result: ResultFile, cancel: &CancelToken) -> Run {
    let handler = &attempt.handler;
    let listening = Listening {
        whole: handler.respond.is_some(),
        is_shown: attempt.purpose == AttemptPurpose::Rehearsal { is_shown: true },
    };
    let mut watched = watch(process, handler.timeout, cancel, listening);
    let (said, mut troubles) = result.take();
    let response = match watched.whole.take() {
        Some(body) if watched.exit == AttemptExit::Exited(0) && said.dead.is_none() => {
            let words = ReplyParts { status: said.status, content_type: said.content_type.clone(), body };
            words.sendable(&mut troubles)
        }
        None if said.status.is_some() || said.content_type.is_some() => {
            troubles.push("result file: `status` and `content_type` count only with `respond = true`; ignored".into());
            None
        }
        _ => None,
    };
    let notes = notes(attempt, &watched, &said, troubles);
    let Watched { exit, stdout, stderr, .. } = watched;
    Run { exit, said, response, notes, stdout, stderr }
}

fn start(attempt: &AttemptInput) -> Result<(Process<'_>, ResultFile), AttemptExit> {
    let job = (attempt.job_id, attempt.number);
    let identity = attempt.handler.process.run_as.as_ref();
    let result = ResultFile::new(&attempt.results, job, identity).map_err(|error| {
        AttemptExit::Starved(format!("no place for its result file in {}: {error}", attempt.results.display()))
    })?;
    let environment = environment::of(attempt, result.path(), &|name| std::env::var_os(name));
    let before = pid_record::ticks();
    let process = spawn::spawn(&attempt.handler, &environment, Input::whole(&attempt.body))?;
    pid_record::note(&attempt.results, job, process.pid, before);
    Ok((process, result))
}

fn notes(attempt: &AttemptInput, watched: &Watched, said: &HandlerDirectives, troubles: Vec<String>) -> Vec<String> {
    let counts = matches!(watched.exit, AttemptExit::Exited(status) if status != 0);
    let ignored = (said.retry_after.is_some() && !counts)
        .then(|| "result file: `retry_after` counts only with an exit status other than 0; ignored".to_owned());
    let limit = limit_reached(&attempt.handler.process.limits, &watched.exit);
    let own = watched.note.clone().into_iter().chain(limit);
    said.note.iter().cloned().chain(own).chain(troubles).chain(ignored).collect()
}

/// What a signal says about the limits that the handler is held to.
fn limit_reached(limits: &ResourceLimits, exit: &AttemptExit) -> Option<String> {
    let AttemptExit::Signaled(signal) = *exit else { return None };
    let is = |wanted: Signal| signal == wanted.as_raw();
    let crashes = [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::TRAP, Signal::ILL];
    match limits {
        ResourceLimits { cpu_time: Some(seconds), .. } if is(Signal::XCPU) => {
            Some(format!("it reached limits.cpu_time, {seconds} s"))
        }
        ResourceLimits { cpu_time: Some(seconds), .. } if is(Signal::KILL) => {
            Some(format!("not killed by hookbox; it may have reached limits.cpu_time, {seconds} s"))
        }
        ResourceLimits { memory: Some(bytes), .. } if crashes.into_iter().any(is) => {
            Some(format!("it may have reached limits.memory, {}", bytesize::ByteSize(*bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
