//! One lane per handler: how many of its attempts run, how many more may, and whether it is well.
//!
//! Lanes take turns at the front, so that free workers go round the handlers. Where jobs are short, a few are claimed
//! ahead, so that no thread waits for a commit; how many, by how long the last ones took.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config;
use crate::inbox::{HandlerState, Inbox, Wanted};
use crate::support::rate_limiter::RateLimiter;
use crate::support::time::Millis;

use super::circuit_breaker::Health;

/// Jobs are claimed ahead for about so long a time: what hookbox dies under then has hardly waited.
const AHEAD: Duration = Duration::from_millis(10);
/// Jobs of one handler that are claimed ahead.
const MOST_AHEAD: usize = 64;

/// A handler as the scheduler sees it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) handler: Arc<config::Handler>,
    /// Attempts that a thread has begun.
    pub(super) running: usize,
    /// Jobs claimed ahead that none has begun yet.
    pub(super) waiting: usize,
    pub(super) health: Health,
    rate_limiter: Option<RateLimiter>,
    /// How long an attempt takes of late.
    usual: Option<Duration>,
}

impl Lane {
    /// One of its jobs is claimed.
    pub(super) fn started(&mut self, now: Instant) {
        if let Some(limiter) = &mut self.rate_limiter {
            limiter.record(now);
        }
    }

    /// One of its attempts has kept a thread busy so long.
    pub(super) fn took(&mut self, span: Duration) {
        self.usual = Some(self.usual.map_or(span, |usual| usual.mul_f64(0.875) + span.mul_f64(0.125)));
    }

    /// How many more jobs may be claimed ahead. Not where a pace, a waiting provider or a probe needs to know when each
    /// starts.
    fn room_ahead(&self, workers: usize, now: Millis) -> usize {
        let handler = &self.handler;
        // More run than may since a reload: they end only when nothing is left to go on with.
        let is_crowded = self.running > handler.concurrency;
        let is_free = !is_crowded
            && self.rate_limiter.is_none()
            && handler.respond.is_none()
            && self.health.places(usize::MAX, now) > 1;
        let Some(usual) = self.usual.filter(|_| is_free) else { return 0 };
        let at_once = handler.concurrency.min(workers) as u128;
        let all = usize::try_from(AHEAD.as_micros() * at_once / usual.as_micros().max(1));
        all.unwrap_or(MOST_AHEAD).min(MOST_AHEAD).saturating_sub(self.waiting)
    }

    fn wants(&self, slots: usize) -> Wanted {
        let sequence = self.handler.ordering.as_ref().map(|keyed| keyed.mode);
        Wanted { handler: self.handler.name.clone(), slots, sequence }
    }
}

/// All of them; the first is served first.
#[derive(Debug, Default)]
pub(super) struct Lanes(VecDeque<Lane>);

impl Lanes {
    /// The lanes of a configuration: those that were there keep what runs and how they are.
    pub(super) fn reload(&mut self, handlers: &[Arc<config::Handler>], states: &[HandlerState], now: Millis) {
        let mut before = std::mem::take(&mut self.0);
        for handler in handlers {
            let known =
                before.iter().position(|lane| lane.handler.name == handler.name).and_then(|at| before.remove(at));
            let mut lane = known.unwrap_or_else(|| Lane {
                handler: handler.clone(),
                running: 0,
                waiting: 0,
                rate_limiter: None,
                usual: None,
                health: states
                    .iter()
                    .find(|state| state.name == handler.name)
                    .map(Health::remembered)
                    .unwrap_or_default(),
            });
            lane.handler = handler.clone();
            lane.health.reconsider(now);
            if lane.rate_limiter.as_ref().map(RateLimiter::rate) != handler.rate_limit {
                lane.rate_limiter = handler.rate_limit.map(|rate| RateLimiter::paced(rate, Instant::now()));
            }
            self.0.push_back(lane);
        }
    }

    pub(super) fn named(&mut self, name: &str) -> Option<&mut Lane> {
        self.0.iter_mut().find(|lane| *lane.handler.name == *name)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.0.iter_mut()
    }

    /// How many jobs may be claimed with `free` of all workers' places, and by whom; the next call begins with another
    /// lane.
    pub(super) fn wanted(
        &mut self,
        (free, workers): (usize, usize),
        now: Millis,
        instant: Instant,
    ) -> (usize, Vec<Wanted>) {
        // A thread that goes on with the next job of its handler must not keep another's waiting.
        let needed: usize = self.0.iter().map(|lane| lane.handler.concurrency).sum();
        let may_be_ahead = self.0.len() == 1 || needed <= workers;
        let mut places = free;
        if free > 0 && self.0.len() > 1 {
            self.0.rotate_left(1);
        }
        let want = |lane: &Lane| {
            let paced = lane.rate_limiter.as_ref().map_or(usize::MAX, |limiter| limiter.available(instant));
            let idle = lane.handler.concurrency.saturating_sub(lane.running);
            let ahead = if may_be_ahead { lane.room_ahead(workers, now) } else { 0 };
            places += ahead;
            let slots = lane.health.places(idle, now).min(free).min(paced) + ahead;
            (slots > 0).then(|| lane.wants(slots))
        };
        let wanted = self.0.iter().filter_map(want).collect();
        (places, wanted)
    }

    /// What each may claim beside the places that all share, since a provider waits for its answer. Of a handler that
    /// runs nothing now, nobody need wait.
    pub(super) fn awaited(&self, inbox: &Inbox, now: Millis) -> Vec<Wanted> {
        let responds = |lane: &&Lane| lane.handler.respond.is_some() && inbox.is_awaited(&lane.handler.name);
        let want = |lane: &Lane| {
            if lane.health.places(1, now) == 0 {
                inbox.release(&lane.handler.name);
            }
            let slots = lane.health.places(lane.handler.concurrency.saturating_sub(lane.running), now);
            (slots > 0).then(|| lane.wants(slots))
        };
        self.0.iter().filter(responds).filter_map(want).collect()
    }

    /// When the next probe of a broken handler is due that was not due at `now`.
    pub(super) fn next_probe_after(&self, now: Millis) -> Option<Millis> {
        self.0.iter().filter_map(|lane| lane.health.probe_at()).filter(|at| *at > now).min()
    }

    /// How long until a handler may start an attempt that its rate held back at `then`.
    pub(super) fn next_start_after(&self, then: Instant) -> Option<Duration> {
        let next =
            |lane: &Lane| lane.rate_limiter.as_ref().and_then(|limiter| limiter.wait(then)).map(|wait| then + wait);
        self.0.iter().filter_map(next).min().map(|at| at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::AttemptExit;

    /// One lane with two places, whose jobs have taken so long of late.
    fn lane(lines: &str, usual_ms: u64) -> Lane {
        let text = format!(
            "[sources.s]\nprovider = \"github\"\nsecret = \"a secret\"\n[handlers.h]\nconcurrency = 2\n{lines}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        std::fs::write(&file, text).unwrap();
        let config = config::read(&file, &|name| std::env::var(name).ok()).unwrap();
        let mut lanes = Lanes::default();
        lanes.reload(&config.handlers, &[], Millis(0));
        let mut lane = lanes.0.pop_front().unwrap();
        lane.took(Duration::from_millis(usual_ms));
        lane
    }

    #[test]
    fn short_jobs_are_claimed_ahead_for_ten_milliseconds() {
        const WORKER: &str = "mode = \"worker\"\ncommand = [\"true\"]";
        let ahead = |lines: &str, usual_ms| lane(lines, usual_ms).room_ahead(16, Millis(0));
        assert_eq!([0, 1, 4, 10, 11, 20, 21].map(|usual| ahead(WORKER, usual)), [MOST_AHEAD, 20, 5, 2, 1, 1, 0]);
        assert_eq!(ahead("mode = \"http\"\nurl = \"http://127.0.0.1:1/\"", 1), 20);
        assert_eq!(ahead("command = [\"true\"]", 10), 2);
        assert_eq!(ahead(&format!("{WORKER}\nrate_limit = \"10/s\""), 1), 0);
        let mut lane = lane(WORKER, 1);
        lane.waiting = 15;
        assert_eq!(lane.room_ahead(16, Millis(0)), 5);
        lane.running = 3;
        assert_eq!(lane.room_ahead(16, Millis(0)), 0);
        let strange = AttemptExit::NotExecutable("not found".into());
        lane.running = 2;
        assert!(lane.health.ended(1, &strange, Millis(0)));
        assert_eq!(lane.room_ahead(16, Millis(0)), 0);
    }
}
