//! What holds and what has ended: pure, with looks and the time as arguments.
//!
//! Each condition is told when it begins and again when it is over. Dead jobs of a handler are one condition: the first
//! is told at once, the others together, at most once a minute.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::What;
use crate::config;
use crate::inbox::reader::AlertSnapshot;

/// From one message about a handler's dead jobs to the next.
const DEAD_EVERY: Duration = Duration::from_secs(60);
/// The span in which refusals are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// After a start nobody has been silent for longer than this.
const GRACE: Duration = Duration::from_secs(60);

/// One look.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) glance: AlertSnapshot,
    pub(super) is_disk_low: bool,
}

/// What is known from one look to the next.
#[derive(Debug)]
pub(super) struct Conditions {
    started: Instant,
    /// How long each source had been silent at the start.
    silent_before: HashMap<String, Duration>,
    heard: HashMap<String, Instant>,
    silent: BTreeSet<Arc<str>>,
    /// Per source and hour, what was counted at the last look.
    counted: HashMap<(String, i64), (u64, u64)>,
    refusals: BTreeMap<Arc<str>, VecDeque<(Instant, u64)>>,
    refusing: BTreeSet<Arc<str>>,
    dead: BTreeMap<String, Dead>,
    broken: BTreeSet<String>,
    is_disk_low: bool,
    is_first: bool,
}

#[derive(Debug, Default)]
struct Dead {
    known: u64,
    untold: u64,
    told_at: Option<Instant>,
    is_told: bool,
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

    /// So many jobs of these handlers were dead before; each of the `news` is one that was not.
    pub(super) fn know_dead(&mut self, dead: Vec<(String, u64)>, news: &[String]) {
        for (handler, count) in dead {
            let new = news.iter().filter(|dead| **dead == handler).count() as u64;
            self.dead.entry(handler).or_default().known = count.saturating_sub(new);
        }
    }

    /// What has begun and what is over since the last look.
    pub(super) fn update(&mut self, seen: &Seen, settings: &config::AlertsConfig, now: Instant) -> Vec<What> {
        let mut news = Vec::new();
        self.disk(seen.is_disk_low, &mut news);
        self.broken(&seen.glance, &mut news);
        self.dead(&seen.glance, now, &mut news);
        self.count(&seen.glance, now);
        self.refusals(settings, now, &mut news);
        self.silence(settings, now, &mut news);
        self.is_first = false;
        news
    }

    fn disk(&mut self, is_low: bool, news: &mut Vec<What>) {
        if self.is_disk_low != is_low {
            self.is_disk_low = is_low;
            news.push(What::Disk { is_over: !is_low });
        }
    }

    fn broken(&mut self, glance: &AlertSnapshot, news: &mut Vec<What>) {
        for (handler, reason) in &glance.broken {
            if self.broken.insert(handler.clone()) {
                news.push(What::Broken { handler: handler.clone(), reason: reason.clone() });
            }
        }
        let is_broken = |handler: &String| glance.broken.iter().any(|(broken, _)| broken == handler);
        let mended: Vec<_> = self.broken.iter().filter(|handler| !is_broken(handler)).cloned().collect();
        for handler in mended {
            self.broken.remove(&handler);
            news.push(What::Mended { handler });
        }
    }

    fn dead(&mut self, glance: &AlertSnapshot, now: Instant, news: &mut Vec<What>) {
        for (handler, count) in &glance.dead {
            let dead = self.dead.entry(handler.clone()).or_default();
            dead.untold += count.saturating_sub(dead.known);
            dead.known = *count;
        }
        for (handler, dead) in &mut self.dead {
            if !glance.dead.iter().any(|(known, _)| known == handler) {
                (dead.known, dead.untold) = (0, 0);
            }
            let may_tell = dead.told_at.is_none_or(|told_at| now.duration_since(told_at) >= DEAD_EVERY);
            if dead.untold > 0 && may_tell {
                let (count, all) = (std::mem::take(&mut dead.untold), dead.known);
                (dead.told_at, dead.is_told) = (Some(now), true);
                news.push(What::Dead { handler: handler.clone(), count, all, last: None });
            } else if dead.known == 0 && std::mem::take(&mut dead.is_told) {
                news.push(What::NoneDead { handler: handler.clone() });
            }
        }
    }

    /// What has come in since the last look; the first one only learns where the counts stand.
    fn count(&mut self, glance: &AlertSnapshot, now: Instant) {
        let mut counted = HashMap::new();
        for hour in &glance.hours {
            let key = (hour.source.clone(), hour.hour);
            let is_known = !self.is_first;
            let before = self.counted.get(&key).copied().unwrap_or_default();
            if is_known && hour.genuine > before.0 {
                self.heard.insert(hour.source.clone(), now);
            }
            if is_known && hour.refused > before.1 {
                let refusals = self.refusals.entry(hour.source.as_str().into()).or_default();
                refusals.push_back((now, hour.refused - before.1));
            }
            counted.insert(key, (hour.genuine, hour.refused));
        }
        self.counted = counted;
    }

    fn refusals(&mut self, settings: &config::AlertsConfig, now: Instant, news: &mut Vec<What>) {
        for (source, refusals) in &mut self.refusals {
            while refusals.front().is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
                refusals.pop_front();
            }
            let count: u64 = refusals.iter().map(|(_, count)| count).sum();
            if count >= settings.refusals_per_minute && self.refusing.insert(source.clone()) {
                news.push(What::Refusals { source: source.clone(), count });
            } else if count <= settings.refusals_per_minute / 2 && self.refusing.remove(source) {
                // Well below, or it would begin and end with every minute.
                news.push(What::FewRefusals { source: source.clone() });
            }
        }
        self.refusals.retain(|_, refusals| !refusals.is_empty());
    }

    fn silence(&mut self, settings: &config::AlertsConfig, now: Instant, news: &mut Vec<What>) {
        for (source, span) in &settings.silence {
            let silent = self.silent_for(source, now);
            let is_silent = silent >= *span && now.duration_since(self.started) >= GRACE.min(*span);
            if is_silent && self.silent.insert(source.clone()) {
                news.push(What::Silent { source: source.clone(), silent });
            } else if !is_silent && self.silent.remove(source) {
                news.push(What::HeardAgain { source: source.clone() });
            }
        }
        // A source that may be silent now is not heard of again by that.
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
