//! From an attempt's ending to the row that the ledger keeps of it, and a log line for a person.
//!
//! What the ending means is `outcome`'s to decide, with fresh jitter from here. Attempts for which there never was a
//! process end here as well, so that no claimed job is left without an ending.

use crate::config;
use crate::inbox::{Claimed, Finished, HandlerState, Spoken};
use crate::retry::{self, AttemptExit, HandlerDirectives, JobOutcome, RetryContext};
use crate::runner::AttemptOutput;
use crate::support::trace_context::TraceContext;

/// Decides what the ending means, with fresh jitter.
pub(super) fn finished(claimed: &Claimed, handler: &config::Handler, ended: AttemptOutput) -> Finished {
    let note = ended.note();
    let AttemptOutput { exit, directives, response, stdout, stderr, started_at, finished_at, trace, .. } = ended;
    let jitter = fastrand::f64().mul_add(2.0, -1.0);
    let context = RetryContext { policy: &handler.policy, counters: claimed.counters, now: finished_at, jitter };
    let verdict = retry::decide(&exit, &directives, &context);
    log_line(claimed, &exit, &verdict.outcome, trace.as_ref());
    let (exit_code, signal) = match exit {
        AttemptExit::Exited(code) => (Some(code), None),
        AttemptExit::Signaled(signal) => (None, Some(signal)),
        AttemptExit::WorkerDied { code, signal, .. } => (code, signal),
        _ => (None, None),
    };
    let http_status = match exit {
        AttemptExit::HttpStatus(status) => Some(status),
        _ => None,
    };
    Finished {
        job: claimed.job,
        ending: verdict.status,
        outcome: verdict.outcome,
        started_at,
        finished_at,
        exit_code,
        http_status,
        signal,
        stdout: (stdout.kept, stdout.total),
        stderr: (stderr.kept, stderr.total),
        note,
        spoken: handler.respond.map(|_| Spoken { event_seq: claimed.event_seq, response }),
    }
}

/// A handler has broken, is still broken, or runs again.
pub(super) fn log_pause(state: &HandlerState) {
    let HandlerState { name, reason, probe_at, .. } = state;
    match (reason, probe_at) {
        (Some(reason), Some(at)) => log::warn!("handler `{name}` pauses: {reason}; tried again at {}", at.to_rfc3339()),
        _ => log::info!("handler `{name}` runs again"),
    }
}

/// A person has paused or resumed a handler.
pub(super) fn log_hand(state: &HandlerState) {
    let name = &state.name;
    match (state.paused_by.as_deref(), &state.reason) {
        (Some("operator"), Some(reason)) => log::info!("handler `{name}` is paused by a person: {reason}"),
        (Some("operator"), None) => log::info!("handler `{name}` is paused by a person"),
        (Some(_), _) => log::info!("handler `{name}` is tried, as a person wants"),
        (None, _) => log::info!("handler `{name}` is resumed by a person"),
    }
}

fn log_line(claimed: &Claimed, exit: &AttemptExit, outcome: &JobOutcome, trace: Option<&TraceContext>) {
    let Claimed { job, handler, source, event_id, .. } = claimed;
    let trace = trace.map(|trace| format!(", trace {}", trace.id())).unwrap_or_default();
    let what = format_args!("job {} attempt {} ({source}/{event_id} for {handler}{trace})", job.id, job.attempt);
    match (outcome, exit) {
        (JobOutcome::Succeeded, _) => log::debug!("{what}: succeeded"),
        (JobOutcome::Retry { reason, .. }, AttemptExit::NotExecutable(_)) => {
            log::info!("{what}: {reason}; again once the handler runs")
        }
        (JobOutcome::Retry { at, reason, .. }, AttemptExit::Stopped) => {
            log::info!("{what}: {reason}; again at {}", at.to_rfc3339())
        }
        (JobOutcome::Retry { at, reason, .. }, _) => log::warn!("{what}: {reason}; again at {}", at.to_rfc3339()),
        (JobOutcome::Dead { reason, .. }, _) => log::error!("{what}: dead: {reason}"),
        (JobOutcome::Skipped, _) => log::info!("{what}: skipped"),
    }
}

/// An attempt for which hookbox had not what it takes.
pub(super) fn never_started(why: String) -> AttemptOutput {
    AttemptOutput::without_output(AttemptExit::Starved(why))
}

/// An attempt on an event that can no longer be handed over.
pub(super) fn never_works(why: String) -> AttemptOutput {
    let directives = HandlerDirectives { dead: Some(why), ..HandlerDirectives::default() };
    AttemptOutput { directives, ..AttemptOutput::without_output(AttemptExit::Exited(0)) }
}
