//! Results on their way from the executors to the scheduler, and from an attempt's output to the inbox.
//!
//! The scheduler is not woken for every result. While it batches, an executor that continues with another job only
//! leaves its report; the next urgent report or the end of the batch picks it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::queue::Permit;
use crate::config::Handler;
use crate::inbox::{AttemptResult, ClaimedJob, HandlerReply, JobRef};
use crate::retry::{self, AttemptExit, JobOutcome, RetryContext};
use crate::runner::AttemptOutput;
use crate::support::trace_context::TraceContext;

/// A finished attempt.
#[derive(Debug)]
pub(super) struct AttemptReport {
    pub(super) job: JobRef,
    pub(super) output: AttemptOutput,
    /// How long the executor was busy with it.
    pub(super) took: Duration,
    /// The permit, if the executor is free again.
    pub(super) returned: Option<Permit>,
    /// Whether an executor waits for the next exchange, or will soon.
    pub(super) is_urgent: bool,
}

#[derive(Debug, Clone)]
pub(super) struct ResultSender {
    reports: Sender<AttemptReport>,
    notify: Sender<()>,
    is_batching: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) struct ResultReceiver {
    reports: Receiver<AttemptReport>,
    notify: Receiver<()>,
    is_batching: Arc<AtomicBool>,
}

pub(super) fn results_channel() -> (ResultSender, ResultReceiver) {
    let (sender, reports) = crossbeam_channel::unbounded();
    let (notifier, notify) = crossbeam_channel::bounded(1);
    let is_batching = Arc::new(AtomicBool::new(false));
    let receiver = ResultReceiver { reports, notify, is_batching: is_batching.clone() };
    (ResultSender { reports: sender, notify: notifier, is_batching }, receiver)
}

impl ResultSender {
    /// Returns whether the receiver still exists.
    pub(super) fn send(&self, report: AttemptReport) -> bool {
        let is_urgent = report.is_urgent;
        // Sent before the flag is read: either the scheduler takes the report, or it is notified.
        self.reports.send(report).is_ok()
            && (!is_urgent && self.is_batching.load(Ordering::SeqCst)
                || !matches!(self.notify.try_send(()), Err(TrySendError::Disconnected(()))))
    }
}

impl ResultReceiver {
    /// Receives a message when there is something to take.
    pub(super) fn notify(&self) -> &Receiver<()> {
        &self.notify
    }

    /// Until the next [`ResultReceiver::take`], only urgent reports notify.
    pub(super) fn start_batch(&self) {
        self.is_batching.store(true, Ordering::SeqCst);
    }

    pub(super) fn take(&self) -> Vec<AttemptReport> {
        self.is_batching.store(false, Ordering::SeqCst);
        self.reports.try_iter().collect()
    }
}

/// Decides what the output means for the job, and logs it.
pub(super) fn decide(claimed: &ClaimedJob, handler: &Handler, output: AttemptOutput) -> AttemptResult {
    let note = output.note();
    let AttemptOutput { exit, directives, response, stdout, stderr, started_at, finished_at, trace, .. } = output;
    let jitter = fastrand::f64().mul_add(2.0, -1.0);
    let context = RetryContext { policy: &handler.policy, counters: claimed.counters, now: finished_at, jitter };
    let decision = retry::decide(&exit, &directives, &context);
    log_decision(claimed, &exit, &decision.outcome, trace.as_ref());
    let (exit_code, signal, http_status) = match exit {
        AttemptExit::Exited(code) => (Some(code), None, None),
        AttemptExit::Signaled(signal) => (None, Some(signal), None),
        AttemptExit::WorkerDied { code, signal, .. } => (code, signal, None),
        AttemptExit::HttpStatus(status) => (None, None, Some(status)),
        _ => (None, None, None),
    };
    AttemptResult {
        job: claimed.job,
        status: decision.status,
        outcome: decision.outcome,
        started_at,
        finished_at,
        exit_code,
        http_status,
        signal,
        stdout: (stdout.kept, stdout.total),
        stderr: (stderr.kept, stderr.total),
        note,
        reply: handler.respond.map(|_| HandlerReply { event_seq: claimed.event_seq, response }),
    }
}

fn log_decision(claimed: &ClaimedJob, exit: &AttemptExit, outcome: &JobOutcome, trace: Option<&TraceContext>) {
    let ClaimedJob { job, handler, source, event_id, .. } = claimed;
    let trace = trace.map(|trace| format!(", trace {}", trace.id())).unwrap_or_default();
    let what = format_args!("job {} attempt {} ({source}/{event_id} for {handler}{trace})", job.id, job.attempt);
    match (outcome, exit) {
        (JobOutcome::Succeeded, _) => log::debug!("{what}: succeeded"),
        (JobOutcome::Skipped, _) => log::info!("{what}: skipped"),
        (JobOutcome::Dead { reason, .. }, _) => log::error!("{what}: dead: {reason}"),
        (JobOutcome::Retry { reason, .. }, AttemptExit::NotExecutable(_)) => {
            log::info!("{what}: {reason}; retry once the handler works");
        }
        (JobOutcome::Retry { at, reason, .. }, AttemptExit::Stopped) => {
            log::info!("{what}: {reason}; retry at {}", at.to_rfc3339());
        }
        (JobOutcome::Retry { at, reason, .. }, _) => log::warn!("{what}: {reason}; retry at {}", at.to_rfc3339()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: i64, is_urgent: bool) -> AttemptReport {
        let output = AttemptOutput::without_output(AttemptExit::Stopped);
        AttemptReport { job: JobRef { id, attempt: 1 }, output, took: Duration::ZERO, returned: None, is_urgent }
    }

    #[test]
    fn only_urgent_reports_notify_during_a_batch() {
        let (sender, receiver) = results_channel();
        let taken = || receiver.take().iter().map(|report| report.job.id).collect::<Vec<_>>();
        assert!(sender.send(report(1, false)) && sender.send(report(2, false)));
        assert!(receiver.notify().try_recv().is_ok());
        assert_eq!(taken(), [1, 2]);
        receiver.start_batch();
        assert!(sender.send(report(3, false)));
        assert!(receiver.notify().try_recv().is_err());
        assert!(sender.send(report(4, true)));
        assert!(receiver.notify().try_recv().is_ok());
        assert_eq!(taken(), [3, 4]);
        assert!(sender.send(report(5, false)));
        assert!(receiver.notify().try_recv().is_ok(), "the batch is over");
        drop(receiver);
        assert!(!sender.send(report(6, false)));
    }

    #[test]
    fn no_report_is_left_behind_by_a_batch() {
        const EACH: i64 = 20_000;
        let (sender, receiver) = results_channel();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let sender = sender.clone();
                scope.spawn(move || (0..EACH).for_each(|id| assert!(sender.send(report(thread * EACH + id, false)))));
            }
            let (mut taken, mut is_batching) = (0, false);
            while taken < 2 * EACH {
                is_batching = !is_batching;
                if is_batching {
                    receiver.start_batch();
                    std::thread::yield_now();
                } else {
                    receiver.notify().recv_timeout(Duration::from_secs(30)).expect("a notification");
                }
                taken += i64::try_from(receiver.take().len()).unwrap();
            }
        });
    }
}
