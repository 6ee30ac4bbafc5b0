//! One lane per handler: how many of its attempts run, how many more may, and whether it is well.
//!
//! Lanes take turns at the front, so that free workers go round the handlers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Millis;
use crate::config;
use crate::inbox::{HandlerState, Inbox, Wanted};

use super::health::Health;
use super::pace::Pace;

/// A handler as the scheduler sees it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) handler: Arc<config::Handler>,
    pub(super) running: usize,
    pub(super) health: Health,
    pace: Option<Pace>,
}

impl Lane {
    /// One of its attempts is under way.
    pub(super) fn started(&mut self, now: Instant) {
        self.running += 1;
        if let Some(pace) = &mut self.pace {
            pace.started(now);
        }
    }

    fn wants(&self, slots: usize) -> Wanted {
        let sequence = self.handler.keyed.as_ref().map(|keyed| keyed.sequence);
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
                pace: None,
                health: states
                    .iter()
                    .find(|state| state.name == handler.name)
                    .map(Health::remembered)
                    .unwrap_or_default(),
            });
            lane.handler = handler.clone();
            lane.health.reconsider(now);
            if lane.pace.as_ref().map(Pace::rate) != handler.rate_limit {
                lane.pace = handler.rate_limit.map(|rate| Pace::new(rate, Instant::now()));
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

    /// What each may claim of `free` places; the next call begins with another lane.
    pub(super) fn wanted(&mut self, free: usize, now: Millis, instant: Instant) -> Vec<Wanted> {
        if free == 0 {
            return Vec::new();
        }
        if self.0.len() > 1 {
            self.0.rotate_left(1);
        }
        let want = |lane: &Lane| {
            let paced = lane.pace.as_ref().map_or(usize::MAX, |pace| pace.places(instant));
            let idle = lane.handler.concurrency.saturating_sub(lane.running);
            let slots = lane.health.places(idle, now).min(free).min(paced);
            (slots > 0).then(|| lane.wants(slots))
        };
        self.0.iter().filter_map(want).collect()
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

    /// How long until a handler may start an attempt that its rate holds back now.
    pub(super) fn next_start_in(&self, now: Instant) -> Option<Duration> {
        let next = |lane: &Lane| lane.pace.as_ref().and_then(|pace| pace.next_at(now));
        self.0.iter().filter_map(next).min().map(|at| at.saturating_duration_since(now))
    }
}
