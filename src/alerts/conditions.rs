//! Which conditions have begun or ended: a pure function of snapshots and the time.
//!
//! Each condition is reported when it begins and when it is over. Of the dead jobs of a handler, the first is reported
//! immediately and the others together, at most once a minute.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::AlertEvent;
use crate::config;
use crate::inbox::reader::AlertSnapshot;

/// Minimum time between two alerts about dead jobs of a handler.
const DEAD_INTERVAL: Duration = Duration::from_mins(1);
/// Refusals are counted over this time.
const REFUSAL_WINDOW: Duration = Duration::from_mins(1);
/// After a start, no source is reported as silent for this long.
const SILENCE_GRACE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) inbox: AlertSnapshot,
    pub(super) is_disk_low: bool,
}

/// What is remembered between snapshots.
#[derive(Debug)]
pub(super) struct Conditions {
    started: Instant,
    /// How long each source had been silent at the start.
    silent_before: HashMap<String, Duration>,
    heard: HashMap<String, Instant>,
    silent: BTreeSet<Arc<str>>,
    /// Genuine and refused deliveries per source and hour, as of the last snapshot.
    counted: HashMap<(String, i64), (u64, u64)>,
    refusals: BTreeMap<Arc<str>, VecDeque<(Instant, u64)>>,
    refusing: BTreeSet<Arc<str>>,
    dead: BTreeMap<String, DeadCount>,
    broken: BTreeSet<String>,
    is_disk_low: bool,
    is_first: bool,
}

#[derive(Debug, Default)]
struct DeadCount {
    known: u64,
    unreported: u64,
    reported_at: Option<Instant>,
    /// An alert was sent and its end was not.
    is_reported: bool,
}

impl Conditions {
    pub(super) fn new(silent_before: HashMap<String, Duration>, now: Instant) -> Self {
        Self {
            started: now,
            silent_before,
            heard: HashMap::new(),
            silent: BTreeSet::new(),
            counted: HashMap::new(),
            refusals: BTreeMap::new(),
            refusing: BTreeSet::new(),
            dead: BTreeMap::new(),
            broken: BTreeSet::new(),
            is_disk_low: false,
            is_first: true,
        }
    }

    /// Sets the dead jobs at the start. `unreported` names a handler once for each job that is to be reported.
    pub(super) fn set_known_dead(&mut self, dead: Vec<(String, u64)>, unreported: &[String]) {
        for (handler, count) in dead {
            let new = unreported.iter().filter(|dead| **dead == handler).count() as u64;
            self.dead.entry(handler).or_default().known = count.saturating_sub(new);
        }
    }

    /// The conditions that have begun or ended since the last snapshot.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        settings: &config::AlertsConfig,
        now: Instant,
    ) -> Vec<AlertEvent> {
        let mut events = Vec::new();
        if std::mem::replace(&mut self.is_disk_low, snapshot.is_disk_low) != snapshot.is_disk_low {
            events.push(AlertEvent::Disk { is_over: !snapshot.is_disk_low });
        }
        self.update_broken(&snapshot.inbox, &mut events);
        self.update_dead(&snapshot.inbox, now, &mut events);
        self.count_deliveries(&snapshot.inbox, now);
        self.update_refusals(settings, now, &mut events);
        self.update_silence(settings, now, &mut events);
        self.is_first = false;
        events
    }

    fn update_broken(&mut self, inbox: &AlertSnapshot, events: &mut Vec<AlertEvent>) {
        for (handler, reason) in &inbox.broken {
            if self.broken.insert(handler.clone()) {
                events.push(AlertEvent::Broken { handler: handler.clone(), reason: reason.clone() });
            }
        }
        let is_broken = |handler: &String| inbox.broken.iter().any(|(broken, _)| broken == handler);
        for handler in self.broken.extract_if(.., |handler| !is_broken(handler)) {
            events.push(AlertEvent::NotBroken { handler });
        }
    }

    fn update_dead(&mut self, inbox: &AlertSnapshot, now: Instant, events: &mut Vec<AlertEvent>) {
        for (handler, count) in &inbox.dead {
            let dead = self.dead.entry(handler.clone()).or_default();
            dead.unreported += count.saturating_sub(dead.known);
            dead.known = *count;
        }
        for (handler, dead) in &mut self.dead {
            if !inbox.dead.iter().any(|(known, _)| known == handler) {
                (dead.known, dead.unreported) = (0, 0);
            }
            let may_report = dead.reported_at.is_none_or(|at| now.duration_since(at) >= DEAD_INTERVAL);
            if dead.unreported > 0 && may_report {
                let (count, all) = (std::mem::take(&mut dead.unreported), dead.known);
                (dead.reported_at, dead.is_reported) = (Some(now), true);
                events.push(AlertEvent::Dead { handler: handler.clone(), count, all, last: None });
            } else if dead.known == 0 && std::mem::take(&mut dead.is_reported) {
                events.push(AlertEvent::NoneDead { handler: handler.clone() });
            }
        }
    }

    /// Counts the deliveries since the last snapshot. The first snapshot is only the starting point.
    fn count_deliveries(&mut self, inbox: &AlertSnapshot, now: Instant) {
        let mut counted = HashMap::new();
        for hour in &inbox.hours {
            let key = (hour.source.clone(), hour.hour);
            let (genuine, refused) = self.counted.get(&key).copied().unwrap_or_default();
            if !self.is_first && hour.genuine > genuine {
                self.heard.insert(hour.source.clone(), now);
            }
            if !self.is_first && hour.refused > refused {
                let refusals = self.refusals.entry(hour.source.as_str().into()).or_default();
                refusals.push_back((now, hour.refused - refused));
            }
            counted.insert(key, (hour.genuine, hour.refused));
        }
        self.counted = counted;
    }

    fn update_refusals(&mut self, settings: &config::AlertsConfig, now: Instant, events: &mut Vec<AlertEvent>) {
        for (source, refusals) in &mut self.refusals {
            while refusals.front().is_some_and(|(at, _)| now.duration_since(*at) >= REFUSAL_WINDOW) {
                refusals.pop_front();
            }
            let count: u64 = refusals.iter().map(|(_, count)| count).sum();
            if count >= settings.refusals_per_minute && self.refusing.insert(source.clone()) {
                events.push(AlertEvent::Refusals { source: source.clone(), count });
            } else if count <= settings.refusals_per_minute / 2 && self.refusing.remove(source) {
                // Half of the limit, so that a rate around the limit is reported once.
                events.push(AlertEvent::FewRefusals { source: source.clone() });
            }
        }
        self.refusals.retain(|_, refusals| !refusals.is_empty());
    }

    fn update_silence(&mut self, settings: &config::AlertsConfig, now: Instant, events: &mut Vec<AlertEvent>) {
        for (source, limit) in &settings.silence {
            let silent = self.silent_for(source, now);
            let is_silent = silent >= *limit && now.duration_since(self.started) >= SILENCE_GRACE.min(*limit);
            if is_silent && self.silent.insert(source.clone()) {
                events.push(AlertEvent::Silent { source: source.clone(), silent });
            } else if !is_silent && self.silent.remove(source) {
                events.push(AlertEvent::HeardAgain { source: source.clone() });
            }
        }
        // A source that may now be silent was not heard again: no alert.
        self.silent.retain(|source| settings.silence.contains_key(source));
    }

    fn silent_for(&self, source: &str, now: Instant) -> Duration {
        match self.heard.get(source) {
            Some(heard) => now.duration_since(*heard),
            None => {
                let before = self.silent_before.get(source).copied().unwrap_or_default();
                now.duration_since(self.started).saturating_add(before)
            }
        }
    }
}

#[cfg(test)]
mod tests;
