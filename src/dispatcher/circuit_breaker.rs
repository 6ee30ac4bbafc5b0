//! A circuit breaker per handler, and the operator's pause.
//!
//! It opens if the command cannot be executed, or if three different jobs in a row exited with 126 or 127 or killed a
//! new worker process. Then one job at a time probes the handler, with growing delays. Pure: time is an argument.

use std::sync::Arc;
use std::time::Duration;

use crate::inbox::HandlerState;
use crate::retry::AttemptExit;
use crate::support::time::Millis;

/// From opening to the first probe. Each failed probe doubles it.
const FIRST_PROBE_DELAY: Duration = Duration::from_secs(2);
const MAX_PROBE_DELAY: Duration = Duration::from_secs(300);
/// Different jobs in a row whose exit suggests a broken handler.
const THRESHOLD: usize = 3;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CircuitBreaker {
    state: BreakerState,
    /// Different jobs in a row whose exit suggests a broken handler.
    suspicious: Vec<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum BreakerState {
    #[default]
    Closed,
    /// Half-open while `probe` is running.
    Open {
        reason: String,
        since: Millis,
        failed_probes: u32,
        probe_at: Millis,
        probe: Option<i64>,
    },
    Paused {
        reason: Option<String>,
        since: Millis,
    },
}

impl CircuitBreaker {
    /// Restores the state from the inbox.
    pub(super) fn restored(state: &HandlerState) -> Self {
        let since = state.paused_at.unwrap_or(Millis(0));
        let state = match state.paused_by.as_deref() {
            Some("operator") => BreakerState::Paused { reason: state.reason.clone(), since },
            Some(_) => BreakerState::Open {
                reason: state.reason.clone().unwrap_or_default(),
                since,
                failed_probes: state.probes,
                probe_at: state.probe_at.unwrap_or(since),
                probe: None,
            },
            None => BreakerState::Closed,
        };
        Self { state, suspicious: Vec::new() }
    }

    /// How many of `slots` may be used now: one if a probe is due, none while open or paused.
    pub(super) fn available(&self, slots: usize, now: Millis) -> usize {
        match &self.state {
            BreakerState::Closed => slots,
            BreakerState::Open { probe_at, probe: None, .. } if *probe_at <= now => slots.min(1),
            BreakerState::Open { .. } | BreakerState::Paused { .. } => 0,
        }
    }

    pub(super) fn probe_at(&self) -> Option<Millis> {
        match &self.state {
            BreakerState::Open { probe_at, probe: None, .. } => Some(*probe_at),
            _ => None,
        }
    }

    /// A job was claimed. It is the probe if the breaker is open.
    pub(super) fn started(&mut self, job: i64) {
        if let BreakerState::Open { probe, .. } = &mut self.state {
            *probe = Some(job);
        }
    }

    /// Records the exit of an attempt. Returns whether the state has changed.
    pub(super) fn record(&mut self, job: i64, exit: &AttemptExit, now: Millis) -> bool {
        match exit {
            AttemptExit::NotExecutable(reason) => self.open(job, reason.clone(), now),
            AttemptExit::Exited(code @ (126 | 127)) => self.suspect(job, now, || {
                format!("{THRESHOLD} different jobs in a row exited with 126 or 127, the last with {code}")
            }),
            AttemptExit::WorkerDied { has_answered: false, .. } => self.suspect(job, now, || {
                format!("new worker processes died on {THRESHOLD} different jobs in a row, the last: {exit}")
            }),
            AttemptExit::Starved(_) | AttemptExit::Stopped | AttemptExit::Skipped => {
                self.probe_without_result(job, now);
                false
            }
            _ => self.close(),
        }
    }

    /// Probes now, since a reload may have repaired the handler.
    pub(super) fn probe_now(&mut self, now: Millis) {
        self.suspicious.clear();
        if let BreakerState::Open { probe_at, .. } = &mut self.state {
            *probe_at = now;
        }
    }

    /// Applies what the operator did in the inbox. Returns whether that changes the state.
    pub(super) fn apply_operator(&mut self, stored: Option<&HandlerState>) -> bool {
        let before = self.state.clone();
        let paused_by = stored.and_then(|state| state.paused_by.as_deref());
        match (&mut self.state, paused_by) {
            (BreakerState::Paused { .. }, Some("operator")) => {}
            (_, Some("operator")) => {
                self.state = stored.map(|state| Self::restored(state).state).unwrap_or_default();
            }
            (BreakerState::Paused { .. }, _) => self.state = BreakerState::Closed,
            (BreakerState::Open { probe_at, probe: None, .. }, Some(_)) => {
                let requested = stored.and_then(|state| state.probe_at);
                *probe_at = requested.map_or(*probe_at, |at| at.min(*probe_at));
            }
            (BreakerState::Open { .. }, None) if stored.is_some() => {
                self.state = BreakerState::Closed;
                self.suspicious.clear();
            }
            _ => {}
        }
        self.state != before
    }

    /// The state for the inbox.
    pub(super) fn stored(&self, name: &Arc<str>) -> HandlerState {
        let (paused_by, reason, paused_at, probes, probe_at) = match &self.state {
            BreakerState::Closed => (None, None, None, 0, None),
            BreakerState::Paused { reason, since } => (Some("operator".into()), reason.clone(), Some(*since), 0, None),
            BreakerState::Open { reason, since, failed_probes, probe_at, .. } => {
                (Some("hookbox".into()), Some(reason.clone()), Some(*since), *failed_probes, Some(*probe_at))
            }
        };
        HandlerState { name: name.clone(), paused_by, reason, paused_at, probes, probe_at }
    }

    /// Logs that hookbox has paused or resumed the handler.
    pub(super) fn log_change(&self, name: &str) {
        match &self.state {
            BreakerState::Open { reason, probe_at, .. } => {
                log::warn!("handler `{name}` paused: {reason} (next probe at {})", probe_at.to_rfc3339());
            }
            _ => log::info!("handler `{name}` resumed: it works again"),
        }
    }

    /// Logs what the operator has done.
    pub(super) fn log_operator(&self, name: &str) {
        match &self.state {
            BreakerState::Paused { reason: Some(reason), .. } => {
                log::info!("handler `{name}` paused by the operator: {reason}");
            }
            BreakerState::Paused { reason: None, .. } => log::info!("handler `{name}` paused by the operator"),
            BreakerState::Open { .. } => log::info!("handler `{name}` is probed as the operator requested"),
            BreakerState::Closed => log::info!("handler `{name}` resumed by the operator"),
        }
    }

    fn suspect(&mut self, job: i64, now: Millis, reason: impl FnOnce() -> String) -> bool {
        if !self.suspicious.contains(&job) {
            self.suspicious.push(job);
        }
        (self.is_probe(job) || self.suspicious.len() >= THRESHOLD) && self.open(job, reason(), now)
    }

    fn is_probe(&self, job: i64) -> bool {
        matches!(&self.state, BreakerState::Open { probe: Some(probe), .. } if *probe == job)
    }

    fn open(&mut self, job: i64, why: String, now: Millis) -> bool {
        let is_probe = self.is_probe(job);
        match &mut self.state {
            BreakerState::Closed => {
                let probe_at = now.after(FIRST_PROBE_DELAY);
                self.state = BreakerState::Open { reason: why, since: now, failed_probes: 0, probe_at, probe: None };
                true
            }
            BreakerState::Open { reason, failed_probes, probe_at, probe, .. } if is_probe => {
                *reason = why;
                *failed_probes += 1;
                *probe_at = now.after(probe_delay(*failed_probes));
                *probe = None;
                true
            }
            BreakerState::Open { .. } | BreakerState::Paused { .. } => false,
        }
    }

    fn close(&mut self) -> bool {
        self.suspicious.clear();
        let was_open = matches!(self.state, BreakerState::Open { .. });
        if was_open {
            self.state = BreakerState::Closed;
        }
        was_open
    }

    fn probe_without_result(&mut self, job: i64, now: Millis) {
        if self.is_probe(job)
            && let BreakerState::Open { probe, probe_at, .. } = &mut self.state
        {
            *probe = None;
            *probe_at = now.after(FIRST_PROBE_DELAY);
        }
    }
}

fn probe_delay(failed_probes: u32) -> Duration {
    FIRST_PROBE_DELAY.saturating_mul(2_u32.saturating_pow(failed_probes)).min(MAX_PROBE_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_found() -> AttemptExit {
        AttemptExit::NotExecutable("no such file".into())
    }

    #[test]
    fn not_executable_opens_it_and_failed_probes_double_the_delay() {
        let mut breaker = CircuitBreaker::default();
        assert_eq!(breaker.available(4, Millis(0)), 4);
        assert!(breaker.record(1, &not_found(), Millis(0)));
        assert!(!breaker.record(2, &not_found(), Millis(0)), "an attempt that was already running changes nothing");
        assert_eq!(breaker.available(4, Millis(1_999)), 0);
        assert_eq!(breaker.available(4, Millis(2_000)), 1);
        breaker.started(1);
        assert_eq!(breaker.available(4, Millis(2_001)), 0, "one probe at a time");
        assert!(breaker.record(1, &not_found(), Millis(2_100)));
        assert_eq!(breaker.probe_at(), Some(Millis(6_100)));
        breaker.started(1);
        assert!(
            breaker.record(1, &AttemptExit::Exited(1), Millis(6_200)),
            "an ordinary failure proves that the handler can run"
        );
        assert_eq!(breaker.available(4, Millis(6_200)), 4);
    }

    #[test]
    fn three_different_jobs_in_a_row_with_127_open_it() {
        let mut breaker = CircuitBreaker::default();
        assert!(!breaker.record(1, &AttemptExit::Exited(127), Millis(0)));
        assert!(!breaker.record(1, &AttemptExit::Exited(127), Millis(0)), "the same job again");
        assert!(!breaker.record(2, &AttemptExit::Exited(126), Millis(0)));
        assert!(!breaker.record(3, &AttemptExit::Exited(0), Millis(0)), "not in a row");
        assert!(!breaker.record(4, &AttemptExit::Exited(127), Millis(0)));
        assert!(!breaker.record(5, &AttemptExit::Exited(127), Millis(0)));
        assert!(breaker.record(6, &AttemptExit::Exited(127), Millis(0)));
        assert_eq!(breaker.available(4, Millis(0)), 0);
        breaker.started(4);
        assert!(
            breaker.record(4, &AttemptExit::Exited(127), Millis(2_000)),
            "a probe that fails the same way keeps it open"
        );
        assert_eq!(breaker.probe_at(), Some(Millis(6_000)));
    }

    #[test]
    fn operator_pause_lasts_until_the_operator_resumes() {
        let mut breaker = CircuitBreaker::default();
        let mut state = breaker.stored(&"deploy".into());
        state.paused_by = Some("operator".into());
        breaker.apply_operator(Some(&state));
        assert_eq!(breaker.available(4, Millis(i64::MAX)), 0);
        assert!(!breaker.record(1, &AttemptExit::Exited(0), Millis(0)));
        assert_eq!(breaker.available(4, Millis(0)), 0);
        state.paused_by = None;
        breaker.apply_operator(Some(&state));
        assert_eq!(breaker.available(4, Millis(0)), 4);
    }

    #[test]
    fn operator_can_request_an_earlier_probe() {
        let mut breaker = CircuitBreaker::default();
        breaker.record(1, &not_found(), Millis(0));
        let mut state = breaker.stored(&"deploy".into());
        breaker.apply_operator(Some(&state));
        assert_eq!(breaker.available(4, Millis(500)), 0);
        state.probe_at = Some(Millis(500));
        breaker.apply_operator(Some(&state));
        assert_eq!(breaker.available(4, Millis(500)), 1);
        state.probe_at = Some(Millis(9_000));
        breaker.apply_operator(Some(&state));
        assert_eq!(breaker.probe_at(), Some(Millis(500)), "never later than planned");
    }

    #[test]
    fn state_survives_a_restart() {
        let mut breaker = CircuitBreaker::default();
        breaker.record(1, &not_found(), Millis(7));
        let state = breaker.stored(&"deploy".into());
        assert_eq!(CircuitBreaker::restored(&state).stored(&"deploy".into()), state);
    }
}
