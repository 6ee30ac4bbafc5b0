//! One attempt that counts for nothing: prepared as `serve` would, run here, judged as `serve` would.
//!
//! An event goes in, how it ended and what that would mean comes out. The attempt has the number, counters and
//! idempotency key that the job's next one would have, or the number of the one it is compared with; its result file lies
//! in a folder of its own, which goes with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tempfile::TempDir;

use crate::cli::failure::Failure;
use crate::config::Handler;
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::{Event, JobDetail};
use crate::model::event::JobState;
use crate::retry::{self, RetryContext, RetryCounters, RetryDecision};
use crate::routing::Routes;
use crate::runner::{
    self, AttemptInput, AttemptOutput, AttemptPurpose, CancelToken, HandlerResources, KILL_GRACE, StopReason,
};
use crate::server;
use crate::support::control::ControlHandle;
use crate::support::locks;

/// A handler, and where its events come from.
pub(crate) struct Stage<'a> {
    pub(crate) file: &'a InboxFile,
    pub(crate) handler: &'a Arc<Handler>,
    /// Of this handler alone.
    pub(crate) routes: &'a Routes,
    /// Headers of a source that handlers must not see.
    pub(crate) private: &'a dyn Fn(&str) -> Vec<String>,
}

/// An attempt that is ready to run.
pub(crate) struct Rehearsal {
    attempt: AttemptInput,
    counters: RetryCounters,
    /// What the ledger has of this event and handler.
    pub(crate) ledger: Option<JobDetail>,
    folder: TempDir,
}

/// Ctrl-C: ends the running attempt, and keeps further ones from starting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    was_asked: Arc<AtomicBool>,
    current: Arc<Mutex<Option<CancelToken>>>,
}

impl Stage<'_> {
    /// Whether the handler takes an event by its configuration; without its body where that is gone.
    pub(crate) fn takes(&self, event: &Event) -> Result<bool, Failure> {
        let body = match self.handler.filter.conditions.is_empty() {
            true => None,
            false => self.file.reader().body(event.seq)?,
        };
        let matching = self.routes.matching(&event.source, &event.event_type, &body.unwrap_or_default());
        Ok(!matching.is_empty())
    }

    /// `None` when the event's body is gone.
    pub(crate) fn prepare(&self, event: &Event) -> Result<Option<Rehearsal>, Failure> {
        let detail = self.file.reader().event_detail(event.seq)?;
        let body = self.file.reader().body(event.seq)?;
        let (Some(detail), Some(body)) = (detail, body) else { return Ok(None) };
        let Some(headers) = detail.headers else { return Ok(None) };
        let ledger = detail.jobs.into_iter().find(|ledger| *ledger.job.handler == *self.handler.name);
        let job = ledger.as_ref().map(|ledger| &ledger.job);
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        let pending = job.filter(|job| job.state == JobState::Pending);
        let counters =
            pending.map(|job| RetryCounters { failures: small(job.failures), deferrals: small(job.deferrals) });
        let folder = tempfile::Builder::new().prefix("hookbox-run-").tempdir();
        let folder =
            folder.map_err(|error| Failure::failed(format!("no folder for the result file could be made: {error}")))?;
        let attempt = AttemptInput {
            handler: self.handler.clone(),
            job_id: job.map_or(0, |job| job.id),
            number: job.map_or(0, |job| small(job.attempt)) + 1,
            replays: job.map_or(0, |job| small(job.replays)),
            source: event.source.clone(),
            event_id: event.event_id.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            content_type: detail.content_type,
            headers: headers.get().to_owned(),
            private_headers: (self.private)(&event.source).into(),
            body,
            results: folder.path().to_owned(),
            purpose: AttemptPurpose::Rehearsal { is_shown: false },
        };
        Ok(Some(Rehearsal { attempt, counters: counters.unwrap_or_default(), ledger, folder }))
    }
}

impl Rehearsal {
    /// Runs as the attempt of this number: a handler that prints it would never write the same again.
    pub(crate) fn numbered(mut self, number: Option<i64>) -> Self {
        self.attempt.number = number.and_then(|number| u32::try_from(number).ok()).unwrap_or(self.attempt.number);
        self
    }

    /// Runs it to its end; what it writes passes through where it is to be shown.
    pub(crate) fn run(
        mut self,
        interrupt: &Interrupt,
        is_shown: bool,
    ) -> Result<(AttemptOutput, RetryDecision), Failure> {
        let failed = |error| Failure::failed(format!("hookbox has no file descriptor left: {error}"));
        let cancel = CancelToken::new().map_err(failed)?;
        interrupt.watch(Some(&cancel));
        self.attempt.purpose = AttemptPurpose::Rehearsal { is_shown };
        let kept = HandlerResources::new(self.attempt.results.clone(), self.attempt.purpose);
        let ended = runner::run(&self.attempt, &kept, &cancel);
        kept.close();
        let now = Instant::now();
        kept.join(now + KILL_GRACE, now + KILL_GRACE * 2);
        interrupt.watch(None);
        let (policy, now) = (&self.attempt.handler.policy, ended.finished_at);
        let context = RetryContext { policy, counters: self.counters, now, jitter: 0.0 };
        let verdict = retry::decide(&ended.exit, &ended.directives, &context);
        self.folder.close().unwrap_or_else(|error| log::debug!("the scratch folder stays: {error}"));
        Ok((ended, verdict))
    }
}

impl Interrupt {
    /// From now on signals are heard here.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (caller, calls) = ControlHandle::new();
        server::hear_signals(caller).map_err(|error| Failure::failed(format!("signals cannot be heard: {error}")))?;
        let interrupt = Self::default();
        let heard = interrupt.clone();
        std::thread::spawn(move || {
            while calls.recv().is_ok() {
                heard.was_asked.store(true, Ordering::Release);
                heard.each(|cancel| cancel.stop(StopReason::Shutdown));
                // A second Ctrl-C is impatience.
                calls.recv_timeout(KILL_GRACE).map(drop).unwrap_or_default();
                heard.each(CancelToken::kill);
            }
        });
        Ok(interrupt)
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Acquire)
    }

    fn watch(&self, cancel: Option<&CancelToken>) {
        *locks::lock(&self.current) = cancel.cloned();
        if self.was_asked() {
            self.each(|cancel| cancel.stop(StopReason::Shutdown));
        }
    }

    fn each(&self, tell: impl Fn(&CancelToken)) {
        locks::lock(&self.current).iter().for_each(tell);
    }
}
