//! One rehearsed attempt: prepared and judged as `serve` would, but run here and counted nowhere.
//!
//! It gets the number, counters and idempotency key of the job's next attempt, or the number of the attempt that it is
//! compared with. Its result file is in a temporary folder.

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

/// A handler, and the inbox with its events.
pub(crate) struct RehearsalContext<'a> {
    pub(crate) file: &'a InboxFile,
    pub(crate) handler: &'a Arc<Handler>,
    /// Routes of this handler only.
    pub(crate) routes: &'a Routes,
    /// Returns the headers of a source that handlers must not see.
    pub(crate) private_headers: &'a dyn Fn(&str) -> Vec<String>,
}

/// An attempt that is ready to run.
pub(crate) struct Rehearsal {
    attempt: AttemptInput,
    counters: RetryCounters,
    /// The stored job of this event and handler, with its attempts.
    pub(crate) stored: Option<JobDetail>,
    folder: TempDir,
}

/// Ctrl-C: stops the running attempt and prevents further ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    is_set: Arc<AtomicBool>,
    current: Arc<Mutex<Option<CancelToken>>>,
}

impl RehearsalContext<'_> {
    /// Whether the handler's configuration matches the event. If the body is gone, it counts as empty.
    pub(crate) fn matches(&self, event: &Event) -> Result<bool, Failure> {
        let body = match self.handler.filter.conditions.is_empty() {
            true => None,
            false => self.file.reader().body(event.seq)?,
        };
        Ok(!self.routes.matching(&event.source, &event.event_type, &body.unwrap_or_default()).is_empty())
    }

    /// Returns `None` if the event's body is no longer stored.
    pub(crate) fn prepare(&self, event: &Event) -> Result<Option<Rehearsal>, Failure> {
        let detail = self.file.reader().event_detail(event.seq)?;
        let body = self.file.reader().body(event.seq)?;
        let (Some(detail), Some(body)) = (detail, body) else { return Ok(None) };
        let Some(headers) = detail.headers else { return Ok(None) };
        let stored = detail.jobs.into_iter().find(|detail| *detail.job.handler == *self.handler.name);
        let job = stored.as_ref().map(|detail| &detail.job);
        let to_u32 = |number: i64| u32::try_from(number).unwrap_or(0);
        let pending = job.filter(|job| job.state == JobState::Pending);
        let counters =
            pending.map(|job| RetryCounters { failures: to_u32(job.failures), deferrals: to_u32(job.deferrals) });
        let folder = tempfile::Builder::new()
            .prefix("hookbox-run-")
            .tempdir()
            .map_err(|error| Failure::failed(format!("cannot create a folder for the result file: {error}")))?;
        let attempt = AttemptInput {
            handler: self.handler.clone(),
            job_id: job.map_or(0, |job| job.id),
            number: job.map_or(0, |job| to_u32(job.attempt)) + 1,
            replays: job.map_or(0, |job| to_u32(job.replays)),
            source: event.source.clone(),
            event_id: event.event_id.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            content_type: detail.content_type,
            headers: headers.get().to_owned(),
            private_headers: (self.private_headers)(&event.source).into(),
            body,
            results: folder.path().to_owned(),
            purpose: AttemptPurpose::Rehearsal { is_shown: false },
        };
        Ok(Some(Rehearsal { attempt, counters: counters.unwrap_or_default(), stored, folder }))
    }
}

impl Rehearsal {
    /// Uses this attempt number, so that a handler that prints it writes the same output again.
    pub(crate) fn numbered(mut self, number: Option<i64>) -> Self {
        self.attempt.number = number.and_then(|number| u32::try_from(number).ok()).unwrap_or(self.attempt.number);
        self
    }

    /// Runs the attempt. With `is_shown`, its output is passed through.
    pub(crate) fn run(
        mut self,
        interrupt: &Interrupt,
        is_shown: bool,
    ) -> Result<(AttemptOutput, RetryDecision), Failure> {
        let cancel =
            CancelToken::new().map_err(|error| Failure::failed(format!("no file descriptor is left: {error}")))?;
        interrupt.watch(Some(&cancel));
        self.attempt.purpose = AttemptPurpose::Rehearsal { is_shown };
        let resources = HandlerResources::new(self.attempt.results.clone(), self.attempt.purpose);
        let output = runner::run(&self.attempt, &resources, &cancel);
        resources.close();
        let now = Instant::now();
        resources.join(now + KILL_GRACE, now + KILL_GRACE * 2);
        interrupt.watch(None);
        let (policy, now) = (&self.attempt.handler.policy, output.finished_at);
        let context = RetryContext { policy, counters: self.counters, now, jitter: 0.0 };
        let decision = retry::decide(&output.exit, &output.directives, &context);
        self.folder.close().unwrap_or_else(|error| log::debug!("cannot remove the temporary folder: {error}"));
        Ok((output, decision))
    }
}

impl Interrupt {
    /// Handles signals from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (control, messages) = ControlHandle::new();
        server::handle_signals(control)
            .map_err(|error| Failure::failed(format!("cannot install signal handlers: {error}")))?;
        let interrupt = Self::default();
        let handled = interrupt.clone();
        std::thread::spawn(move || {
            while messages.recv().is_ok() {
                handled.is_set.store(true, Ordering::Release);
                handled.each(|cancel| cancel.stop(StopReason::Shutdown));
                // A second Ctrl-C kills the attempt without waiting.
                messages.recv_timeout(KILL_GRACE).map(drop).unwrap_or_default();
                handled.each(CancelToken::kill);
            }
        });
        Ok(interrupt)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    fn watch(&self, cancel: Option<&CancelToken>) {
        *locks::lock(&self.current) = cancel.cloned();
        if self.is_set() {
            self.each(|cancel| cancel.stop(StopReason::Shutdown));
        }
    }

    fn each(&self, act: impl Fn(&CancelToken)) {
        locks::lock(&self.current).iter().for_each(act);
    }
}
