//! Slots: how many attempts of each handler are running, and how many jobs may be claimed.
//!
//! Handlers rotate, so that free executors go round. For short jobs a few more are claimed than can start now
//! (prefetch), so that executors do not wait for a commit; how many depends on how long the last ones took.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::circuit_breaker::CircuitBreaker;
use super::queue::{JobQueue, Permit, QueuedJob};
use crate::config::{Handler, Mode};
use crate::inbox::{ClaimRequest, HandlerState, Inbox};
use crate::support::rate_limiter::RateLimiter;
use crate::support::time::Millis;

/// Jobs are prefetched for about this time.
const PREFETCH: Duration = Duration::from_millis(10);
/// Longest queue of a handler.
const MAX_PREFETCH: usize = 64;

/// A handler as the scheduler sees it.
#[derive(Debug)]
pub(super) struct HandlerSlots {
    pub(super) handler: Arc<Handler>,
    pub(super) breaker: CircuitBreaker,
    /// Claimed jobs that no executor has started.
    pub(super) queue: JobQueue,
    rate_limiter: Option<RateLimiter>,
    /// Moving average of the time that an attempt takes.
    average: Option<Duration>,
}

/// All handlers. The first is served first.
#[derive(Debug, Default)]
pub(super) struct Slots {
    handlers: VecDeque<HandlerSlots>,
    /// Permits in use by handler, also of removed ones.
    permits: HashMap<Arc<str>, usize>,
    /// Permits in use that count against the shared executors.
    shared: usize,
}

impl HandlerSlots {
    fn new(handler: Arc<Handler>, states: &[HandlerState]) -> Self {
        let state = states.iter().find(|state| state.name == handler.name);
        let breaker = state.map(CircuitBreaker::restored).unwrap_or_default();
        Self { handler, breaker, queue: JobQueue::default(), rate_limiter: None, average: None }
    }

    pub(super) fn record_start(&mut self, job: i64, now: Instant) {
        if let Some(limiter) = &mut self.rate_limiter {
            limiter.record(now);
        }
        self.breaker.started(job);
    }

    pub(super) fn record_duration(&mut self, took: Duration) {
        self.average = Some(self.average.map_or(took, |average| average.mul_f64(0.875) + took.mul_f64(0.125)));
    }

    /// How many jobs may be prefetched. None if a rate limit, a waiting provider or a probe depends on when each starts,
    /// and none for commands, which gain nothing.
    fn prefetch_room(&self, permits: usize, executors: usize, now: Millis) -> usize {
        let handler = &self.handler;
        // After a reload more may be running than allowed. These executors stop only at an empty queue.
        let is_crowded = permits > handler.concurrency;
        let may_prefetch = !is_crowded
            && handler.mode != Mode::Command
            && self.rate_limiter.is_none()
            && handler.respond.is_none()
            && self.breaker.available(usize::MAX, now) > 1;
        let Some(average) = self.average.filter(|_| may_prefetch) else { return 0 };
        let parallel = handler.concurrency.min(executors) as u128;
        let room = usize::try_from(PREFETCH.as_micros() * parallel / average.as_micros().max(1));
        room.unwrap_or(MAX_PREFETCH).min(MAX_PREFETCH).saturating_sub(self.queue.len())
    }

    fn request(&self, slots: usize) -> Option<ClaimRequest> {
        let ordering = self.handler.ordering.as_ref().map(|ordering| ordering.mode);
        (slots > 0).then(|| ClaimRequest { handler: self.handler.name.clone(), slots, ordering })
    }
}

impl Slots {
    /// Applies a configuration. Handlers that remain keep their queue, breaker and rate limiter.
    pub(super) fn reload(&mut self, handlers: &[Arc<Handler>], states: &[HandlerState], now: Millis) {
        let mut before = std::mem::take(&mut self.handlers);
        for handler in handlers {
            let known = before.iter().position(|slots| slots.handler.name == handler.name);
            let known = known.and_then(|at| before.remove(at));
            let mut slots = known.unwrap_or_else(|| HandlerSlots::new(handler.clone(), states));
            slots.handler = handler.clone();
            slots.breaker.probe_now(now);
            if slots.rate_limiter.as_ref().map(RateLimiter::rate) != handler.rate_limit {
                slots.rate_limiter = handler.rate_limit.map(|rate| RateLimiter::paced(rate, Instant::now()));
            }
            self.handlers.push_back(slots);
        }
    }

    pub(super) fn handler_mut(&mut self, name: &str) -> Option<&mut HandlerSlots> {
        self.handlers.iter_mut().find(|slots| *slots.handler.name == *name)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut HandlerSlots> {
        self.handlers.iter_mut()
    }

    /// Number of permits in use.
    pub(super) fn busy(&self) -> usize {
        self.permits.values().sum()
    }

    /// Takes a queued job that may start now, with a permit for it.
    pub(super) fn next_permit(&mut self, executors: usize) -> Option<(Permit, QueuedJob)> {
        let may_share = self.shared < executors;
        let (slots, job) = self.handlers.iter().find_map(|slots| {
            let is_free = self.permits_of(slots) < slots.handler.concurrency;
            is_free.then(|| slots.queue.pop_startable(may_share)).flatten().map(|job| (slots, job))
        })?;
        let (handler, queue, is_sync) = (slots.handler.name.clone(), slots.queue.clone(), job.job.claimed.is_sync);
        *self.permits.entry(handler.clone()).or_default() += 1;
        self.shared += usize::from(!is_sync);
        Some((Permit { handler, is_sync, queue }, job))
    }

    pub(super) fn return_permit(&mut self, permit: &Permit) {
        if let Some(count) = self.permits.get_mut(&permit.handler) {
            *count = count.saturating_sub(1);
        }
        self.shared = self.shared.saturating_sub(usize::from(!permit.is_sync));
    }

    fn permits_of(&self, slots: &HandlerSlots) -> usize {
        self.permits.get(&slots.handler.name).copied().unwrap_or(0)
    }

    /// Returns how many jobs to claim at most, and the requests of all handlers. Each call starts with another handler.
    pub(super) fn claim_requests(
        &mut self,
        executors: usize,
        now: Millis,
        instant: Instant,
    ) -> (usize, Vec<ClaimRequest>) {
        let free = executors.saturating_sub(self.shared);
        // Otherwise an executor that continues with a prefetched job would keep the jobs of another handler waiting.
        let needed: usize = self.handlers.iter().map(|slots| slots.handler.concurrency).sum();
        let may_prefetch = self.handlers.len() == 1 || needed <= executors;
        if free > 0 && self.handlers.len() > 1 {
            self.handlers.rotate_left(1);
        }
        let mut max_jobs = free;
        let requests = self.handlers.iter().filter_map(|slots| {
            let permits = self.permits_of(slots);
            let limited = slots.rate_limiter.as_ref().map_or(usize::MAX, |limiter| limiter.available(instant));
            let idle = slots.handler.concurrency.saturating_sub(permits);
            let prefetch = if may_prefetch { slots.prefetch_room(permits, executors, now) } else { 0 };
            max_jobs += prefetch;
            slots.request(slots.breaker.available(idle, now).min(free).min(limited) + prefetch)
        });
        let requests = requests.collect();
        (max_jobs, requests)
    }

    /// Requests of handlers for whose replies providers wait. Providers that wait for a paused handler are released.
    pub(super) fn sync_requests(&self, inbox: &Inbox, now: Millis) -> Vec<ClaimRequest> {
        let responds =
            |slots: &&HandlerSlots| slots.handler.respond.is_some() && inbox.has_reply_waiters(&slots.handler.name);
        let request = |slots: &HandlerSlots| {
            if slots.breaker.available(1, now) == 0 {
                inbox.release_reply_waiters(&slots.handler.name);
            }
            let idle = slots.handler.concurrency.saturating_sub(self.permits_of(slots));
            slots.request(slots.breaker.available(idle, now))
        };
        self.handlers.iter().filter(responds).filter_map(request).collect()
    }

    /// When the next probe is due that was not due at `now`.
    pub(super) fn next_probe_after(&self, now: Millis) -> Option<Millis> {
        self.handlers.iter().filter_map(|slots| slots.breaker.probe_at()).filter(|at| *at > now).min()
    }

    /// How long until a handler may start an attempt that its rate limit held back at `then`.
    pub(super) fn next_start_after(&self, then: Instant) -> Option<Duration> {
        let next = |slots: &HandlerSlots| slots.rate_limiter.as_ref().and_then(|limiter| limiter.wait(then));
        self.handlers.iter().filter_map(next).min().map(|wait| (then + wait).saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::retry::AttemptExit;

    /// A handler with two slots, whose attempts have taken `average_ms`.
    fn slots(lines: &str, average_ms: u64) -> HandlerSlots {
        let text = format!(
            "[sources.s]\nprovider = \"github\"\nsecret = \"a secret\"\n[handlers.h]\nconcurrency = 2\n{lines}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        std::fs::write(&file, text).unwrap();
        let config = config::read(&file, &|name| std::env::var(name).ok()).unwrap();
        let mut slots = Slots::default();
        slots.reload(&config.handlers, &[], Millis(0));
        let mut handler = slots.handlers.pop_front().unwrap();
        handler.record_duration(Duration::from_millis(average_ms));
        handler
    }

    #[test]
    fn short_jobs_are_prefetched_for_ten_milliseconds() {
        const WORKER: &str = "mode = \"worker\"\ncommand = [\"true\"]";
        let room = |lines: &str, average_ms| slots(lines, average_ms).prefetch_room(0, 16, Millis(0));
        assert_eq!([0, 1, 4, 10, 11, 20, 21].map(|average| room(WORKER, average)), [MAX_PREFETCH, 20, 5, 2, 1, 1, 0]);
        assert_eq!(room("mode = \"http\"\nurl = \"http://127.0.0.1:1/\"", 1), 20);
        assert_eq!(room("command = [\"true\"]", 1), 0);
        assert_eq!(room(&format!("{WORKER}\nrate_limit = \"10/s\""), 1), 0);
        let mut slots = slots(WORKER, 1);
        assert_eq!(slots.prefetch_room(2, 16, Millis(0)), 20);
        assert_eq!(slots.prefetch_room(3, 16, Millis(0)), 0, "more are running than allowed");
        assert!(slots.breaker.record(1, &AttemptExit::NotExecutable("not found".into()), Millis(0)));
        assert_eq!(slots.prefetch_room(2, 16, Millis(0)), 0);
    }
}
