//! Where a claimed job goes: to a thread at once, or to those that wait for one of its handler's.
//!
//! A thread takes the next job of its handler by itself and says so with the ending; what it did not see in time is
//! given to a thread from here, so that nothing waits for ever.

use std::time::Instant;

use super::scheduler::{Running, Scheduler};
use crate::dispatcher::executor::Task;
use crate::dispatcher::slots::Lane;
use crate::support::time::Millis;

impl Scheduler {
    /// Threads that the handlers share and that have a job.
    pub(super) fn sharing(&self) -> usize {
        self.running.values().filter(|running| !running.claimed.is_apart && !running.is_waiting).count()
    }

    /// Gives a claimed job to a thread, or keeps it until one of its handler is free.
    pub(super) fn place(&mut self, mut task: Task, running: Running) {
        let is_free = running.claimed.is_apart || self.sharing() < self.settings.dispatch.workers;
        let busy = self.busy();
        let Some(lane) = self.lanes.named(&running.handler.name) else { return };
        lane.started(Instant::now());
        lane.health.started(running.claimed.job.id);
        let is_waiting = !is_free || lane.running >= lane.handler.concurrency;
        match is_waiting {
            true => lane.waiting += 1,
            false => lane.running += 1,
        }
        task.low = if is_waiting { lane.waiting * 2 / 3 } else { 0 };
        self.running.insert(running.claimed.job.id, Running { is_waiting, ..running });
        match is_waiting {
            true => self.workers.keep_ahead(task),
            false => self.workers.run(task, busy),
        }
    }

    /// A thread has gone on with a job that waited.
    pub(super) fn begun(&mut self, job: i64) {
        let Some(running) = self.running.get_mut(&job).filter(|running| running.is_waiting) else { return };
        running.is_waiting = false;
        if let Some(lane) = self.lanes.named(&running.handler.name) {
            lane.waiting = lane.waiting.saturating_sub(1);
            lane.running += 1;
        }
    }

    /// A thread is free: what waits for one and was not seen in time.
    pub(super) fn fill(&mut self) {
        let waits: Vec<_> =
            self.lanes.iter_mut().filter(|lane| lane.waiting > 0).map(|lane| lane.handler.clone()).collect();
        for handler in waits {
            while self.has_place(&handler.name)
                && let Ok(task) = self.workers.ahead(&handler.name).try_recv()
            {
                let busy = self.busy();
                self.begun(task.claimed.job.id);
                self.workers.run(task, busy);
            }
        }
    }

    /// What was claimed ahead for these handlers and is not begun waits again, as if it had never been claimed.
    pub(in crate::dispatcher) fn give_back(&mut self, is_meant: &dyn Fn(&str) -> bool) {
        for job in self.workers.give_back(is_meant) {
            let known = self.running.remove(&job.id);
            if let Some(lane) = known.and_then(|running| self.lanes.named(&running.handler.name)) {
                lane.waiting = lane.waiting.saturating_sub(1);
            }
            self.unbegun.push(job);
        }
    }

    pub(in crate::dispatcher) fn give_back_what_is_paused(&mut self, now: Millis) {
        let is_paused = |lane: &&mut Lane| lane.waiting > 0 && lane.health.places(1, now) == 0;
        let paused: Vec<_> = self.lanes.iter_mut().filter(is_paused).map(|lane| lane.handler.name.clone()).collect();
        if !paused.is_empty() {
            self.give_back(&|name| paused.iter().any(|paused| **paused == *name));
        }
    }

    fn has_place(&mut self, handler: &str) -> bool {
        self.sharing() < self.settings.dispatch.workers
            && self.lanes.named(handler).is_some_and(|lane| lane.running < lane.handler.concurrency)
    }

    fn busy(&self) -> usize {
        self.running.values().filter(|running| !running.is_waiting).count()
    }
}
