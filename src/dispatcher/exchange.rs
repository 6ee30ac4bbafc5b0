//! One exchange: results and claim requests go to the inbox together; the claimed jobs are queued and started.

use std::sync::Arc;
use std::time::Instant;

use super::clock_step::Clocks;
use super::executor::starved;
use super::journal::JournalEntry;
use super::queue::{QueuedJob, RunningJob};
use super::results;
use super::scheduler::Scheduler;
use crate::inbox::{ClaimResult, ClaimedJob, CompleteAndClaim, InboxError};
use crate::runner::CancelToken;
use crate::support::control::ControlMessage;
use crate::support::time::Millis;

impl Scheduler {
    /// Makes an exchange if there is anything to write or to claim. Returns whether it must be tried again.
    pub(super) fn exchange_if_needed(&mut self, now: Millis, instant: Instant) -> bool {
        if self.is_inbox_lost {
            return false;
        }
        self.check_clocks(now);
        let (mut max_jobs, mut requests, mut sync_requests) = (0, Vec::new(), Vec::new());
        if self.may_claim {
            (max_jobs, requests) = self.slots.claim_requests(self.settings.dispatch.workers, now, instant);
            sync_requests = self.slots.sync_requests(&self.inbox, now);
        }
        let is_idle = !self.has_news() && self.clock_step == 0 && !self.inbox.changed_externally();
        if requests.is_empty() && sync_requests.is_empty() && is_idle {
            if self.may_claim {
                // Every handler is busy or paused: a result, a probe or a change will wake the scheduler.
                (self.may_claim, self.next_due_at) = (false, None);
            }
            return false;
        }
        let requested_at = Some((now, instant));
        let request = CompleteAndClaim { max_jobs, requests, sync_requests, requested_at, ..self.news() };
        match self.inbox.complete_and_claim(request) {
            Ok(result) => {
                (self.last_exchange, self.is_urgent) = (Instant::now(), false);
                self.may_claim = result.may_claim_more;
                self.apply(result);
                false
            }
            Err(error) => self.may_retry(&error),
        }
    }

    /// A step of the wall clock must neither delay scheduled jobs nor start all of them.
    fn check_clocks(&mut self, now: Millis) {
        let Some(step) = self.clocks.advance(Clocks::now()) else { return };
        let direction = if step < 0 { "back" } else { "forward" };
        log::warn!("clock set {direction} by {} s: scheduled jobs are shifted", step.abs() / 1_000);
        self.clock_step += step;
        for slots in self.slots.iter_mut() {
            slots.breaker.probe_now(now);
        }
    }

    /// Whether there is something to write.
    pub(super) fn has_news(&self) -> bool {
        !self.results.is_empty() || !self.not_started.is_empty() || !self.changed.is_empty()
    }

    /// An exchange that claims nothing.
    pub(super) fn news(&mut self) -> CompleteAndClaim {
        let slots = &mut self.slots;
        let state = |name: &Arc<str>| slots.handler_mut(name).map(|slots| slots.breaker.stored(name));
        CompleteAndClaim {
            results: self.results.clone(),
            not_started: self.not_started.clone(),
            running: self.running.values().map(|running| running.claimed.job).collect(),
            may_claim_suspect: !self.running.values().any(|running| running.claimed.is_suspect),
            clock_step: self.clock_step,
            handlers: self.changed.iter().filter_map(state).collect(),
            ..CompleteAndClaim::default()
        }
    }

    pub(super) fn apply(&mut self, result: ClaimResult) {
        self.results.clear();
        self.not_started.clear();
        self.changed.clear();
        self.clock_step = 0;
        self.next_due_at = result.next_due_at;
        for job in result.stale {
            log::info!(
                "job {} attempt {}: result ignored, the operator had already moved the job",
                job.id,
                job.attempt
            );
        }
        for job in result.revoked {
            self.revoke(job);
        }
        self.start(result.claimed);
        if result.changed_externally {
            self.read_pauses();
        }
    }

    /// Queues claimed jobs and starts those that have a slot.
    fn start(&mut self, claimed: Vec<ClaimedJob>) {
        for claimed in claimed {
            let Some(slots) = self.slots.handler_mut(&claimed.handler) else {
                log::error!("a job was claimed for `{}`, which is not configured", claimed.handler);
                continue;
            };
            let (handler, job) = (slots.handler.clone(), claimed.job);
            let cancel = match CancelToken::new() {
                Ok(cancel) => cancel,
                Err(error) => {
                    let output = starved(format!("hookbox has no file descriptor left: {error}"));
                    self.record(&handler.name, results::decide(&claimed, &handler, output));
                    continue;
                }
            };
            slots.record_start(job.id, Instant::now());
            let queue = slots.queue.clone();
            let private_headers = self.settings.private_headers.get(&claimed.source).cloned().unwrap_or_default();
            let running = Arc::new(RunningJob { claimed, handler, private_headers, cancel });
            let entry = self.journal.as_ref().map(|journal| journal.add(job));
            self.running.insert(job.id, running.clone());
            queue.push(QueuedJob { job: running, entry, low_water: 0 });
        }
        self.start_queued();
    }

    /// Gives permits to queued jobs while there are free slots.
    pub(super) fn start_queued(&mut self) {
        while let Some((permit, job)) = self.slots.next_permit(self.settings.dispatch.workers) {
            self.executors.run(permit, job, self.slots.busy());
        }
    }

    /// Undoes the claims of queued jobs of these handlers, as if they had never been made.
    pub(super) fn undo_claims(&mut self, is_affected: impl Fn(&str) -> bool) {
        for slots in self.slots.iter_mut().filter(|slots| is_affected(&slots.handler.name)) {
            for queued in slots.queue.drain() {
                // The next attempt will get the same number.
                queued.entry.into_iter().for_each(JournalEntry::remove);
                let job = queued.job.claimed.job;
                self.running.remove(&job.id);
                self.not_started.push(job);
            }
        }
    }

    pub(super) fn undo_paused_claims(&mut self, now: Millis) {
        let is_paused = self.slots.iter_mut().filter(|slots| slots.breaker.available(1, now) == 0);
        let paused: Vec<_> = is_paused.filter(|slots| slots.queue.len() > 0).map(|s| s.handler.name.clone()).collect();
        if !paused.is_empty() {
            self.undo_claims(|name| paused.iter().any(|paused| **paused == *name));
        }
    }

    /// Whether the exchange may be tried again.
    pub(super) fn may_retry(&mut self, error: &InboxError) -> bool {
        match error {
            InboxError::Passing(reason) => {
                log::warn!("results and claims are delayed by the inbox: {reason}");
                true
            }
            InboxError::Final(reason) => {
                self.is_inbox_lost = true;
                self.control.send(ControlMessage::Failed(format!("the dispatcher has lost the inbox: {reason}")));
                false
            }
        }
    }
}
