//! Whether a handler can run at all: paused by a person, or broken and probed with growing pauses.
//!
//! Pure: endings and the time come in, free places go out. A handler that cannot be executed is broken, not its
//! event; so is one whose last three different jobs ended in 126 or 127.

use std::time::Duration;

use crate::inbox::HandlerState;
use crate::retry::AttemptExit;
use crate::support::time::Millis;

/// From the break to the first probe; each failed probe doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest time between two probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Different jobs in a row ending in 126 or 127 that mean the handler is broken.
const UNRUNNABLE: usize = 3;

/// The health of one handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Health {
    pause: Option<Pause>,
    /// Different jobs that ended in 126 or 127, in a row.
    unrunnable: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pause {
    Operator { reason: Option<String>, since: Millis },
    Broken { reason: String, since: Millis, probes: u32, probe_at: Millis, probe: Option<i64> },
}

impl Health {
    /// As the inbox remembers it.
    pub(super) fn remembered(state: &HandlerState) -> Self {
        let since = state.paused_at.unwrap_or(Millis(0));
        let pause = match state.paused_by.as_deref() {
            Some("operator") => Some(Pause::Operator { reason: state.reason.clone(), since }),
            Some(_) => Some(Pause::Broken {
                reason: state.reason.clone().unwrap_or_default(),
                since,
                probes: state.probes,
                probe_at: state.probe_at.unwrap_or(since),
                probe: None,
            }),
            None => None,
        };
        Self { pause, unrunnable: Vec::new() }
    }

    /// How many of `free` places may be used now: none while paused, one for a probe.
    pub(super) fn places(&self, free: usize, now: Millis) -> usize {
        match &self.pause {
            None => free,
            Some(Pause::Broken { probe_at, probe: None, .. }) if *probe_at <= now => free.min(1),
            Some(_) => 0,
        }
    }

    /// When the next probe is due.
    pub(super) fn probe_at(&self) -> Option<Millis> {
        match &self.pause {
            Some(Pause::Broken { probe_at, probe: None, .. }) => Some(*probe_at),
            _ => None,
        }
    }

    /// A job was claimed; while broken it is the probe.
    pub(super) fn started(&mut self, job: i64) {
        if let Some(Pause::Broken { probe, .. }) = &mut self.pause {
            *probe = Some(job);
        }
    }

    /// Takes in an ending. Whether the pause has changed, so that the inbox should know.
    pub(super) fn ended(&mut self, job: i64, exit: &AttemptExit, now: Millis) -> bool {
        match exit {
            AttemptExit::NotExecutable(why) => self.broke(job, why.clone(), now),
            AttemptExit::Exited(code @ (126 | 127)) => {
                if !self.unrunnable.contains(&job) {
                    self.unrunnable.push(job);
                }
                let is_probe = self.is_probe(job);
                (is_probe || self.unrunnable.len() >= UNRUNNABLE)
                    && self.broke(
                        job,
                        format!("{UNRUNNABLE} different jobs in a row ended in 126 or 127, the last in {code}"),
                        now,
                    )
            }
            AttemptExit::WorkerDied { has_answered: false, .. } => {
                if !self.unrunnable.contains(&job) {
                    self.unrunnable.push(job);
                }
                let is_probe = self.is_probe(job);
                (is_probe || self.unrunnable.len() >= UNRUNNABLE)
                    && self.broke(
                        job,
                        format!("fresh workers died on {UNRUNNABLE} different jobs in a row, the last: {exit}"),
                        now,
                    )
            }
            AttemptExit::Exited(_) | AttemptExit::Signaled(_) | AttemptExit::TimedOut => self.ran(),
            AttemptExit::Completed
            | AttemptExit::Failed(_)
            | AttemptExit::WorkerDied { .. }
            | AttemptExit::HttpStatus(_) => self.ran(),
            AttemptExit::Starved(_) | AttemptExit::Stopped | AttemptExit::Skipped => self.probe_told_nothing(job, now),
        }
    }

    /// The configuration was read again: whatever was broken may be mended.
    pub(super) fn reconsider(&mut self, now: Millis) {
        self.unrunnable.clear();
        if let Some(Pause::Broken { probe_at, .. }) = &mut self.pause {
            *probe_at = now;
        }
    }

    /// What a person says of the pause wins over what is known here. Whether that changes anything.
    pub(super) fn told(&mut self, state: Option<&HandlerState>) -> bool {
        let before = self.pause.clone();
        let paused_by = state.and_then(|state| state.paused_by.as_deref());
        match (&self.pause, paused_by) {
            (Some(Pause::Operator { .. }), Some("operator")) => {}
            (_, Some("operator")) => self.pause = state.and_then(|state| Self::remembered(state).pause),
            (Some(Pause::Operator { .. }), _) => self.pause = None,
            (Some(Pause::Broken { .. }), Some(_)) => self.try_at(state.and_then(|state| state.probe_at)),
            (Some(Pause::Broken { .. }), None) if state.is_some() => {
                self.pause = None;
                self.unrunnable.clear();
            }
            _ => {}
        }
        self.pause != before
    }

    /// A person wants a broken handler tried earlier.
    fn try_at(&mut self, at: Option<Millis>) {
        if let (Some(Pause::Broken { probe_at, probe: None, .. }), Some(at)) = (&mut self.pause, at) {
            *probe_at = at.min(*probe_at);
        }
    }

    /// For the inbox.
    pub(super) fn state(&self, name: &std::sync::Arc<str>) -> HandlerState {
        let mut state = HandlerState {
            name: name.clone(),
            paused_by: None,
            reason: None,
            paused_at: None,
            probes: 0,
            probe_at: None,
        };
        match &self.pause {
            None => {}
            Some(Pause::Operator { reason, since }) => {
                state.paused_by = Some("operator".into());
                state.reason.clone_from(reason);
                state.paused_at = Some(*since);
            }
            Some(Pause::Broken { reason, since, probes, probe_at, .. }) => {
                state.paused_by = Some("hookbox".into());
                state.reason = Some(reason.clone());
                state.paused_at = Some(*since);
                state.probes = *probes;
                state.probe_at = Some(*probe_at);
            }
        }
        state
    }

    fn is_probe(&self, job: i64) -> bool {
        matches!(&self.pause, Some(Pause::Broken { probe: Some(probe), .. }) if *probe == job)
    }

    fn broke(&mut self, job: i64, why: String, now: Millis) -> bool {
        let is_probe = self.is_probe(job);
        match &mut self.pause {
            None => {
                let probe_at = now.after(FIRST_PAUSE);
                self.pause = Some(Pause::Broken { reason: why, since: now, probes: 0, probe_at, probe: None });
                true
            }
            Some(Pause::Broken { reason, probes, probe_at, probe, .. }) if is_probe => {
                *reason = why;
                *probes += 1;
                *probe_at = now.after(pause_before_probe(*probes));
                *probe = None;
                true
            }
            Some(_) => false,
        }
    }

    fn ran(&mut self) -> bool {
        self.unrunnable.clear();
        let was_broken = matches!(self.pause, Some(Pause::Broken { .. }));
        if was_broken {
            self.pause = None;
        }
        was_broken
    }

    fn probe_told_nothing(&mut self, job: i64, now: Millis) -> bool {
        if self.is_probe(job)
            && let Some(Pause::Broken { probe, probe_at, .. }) = &mut self.pause
        {
            *probe = None;
            *probe_at = now.after(FIRST_PAUSE);
        }
        false
    }
}

fn pause_before_probe(failed: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failed)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_found() -> AttemptExit {
        AttemptExit::NotExecutable("no such file".into())
    }

    #[test]
    fn a_handler_that_cannot_be_executed_pauses_and_is_probed_with_growing_pauses() {
        let mut health = Health::default();
        assert_eq!(health.places(4, Millis(0)), 4);
        assert!(health.ended(1, &not_found(), Millis(0)));
        assert!(!health.ended(2, &not_found(), Millis(0)), "one that was under way changes nothing");
        assert_eq!(health.places(4, Millis(1_999)), 0);
        assert_eq!(health.places(4, Millis(2_000)), 1);
        health.started(1);
        assert_eq!(health.places(4, Millis(2_001)), 0, "one probe at a time");
        assert!(health.ended(1, &not_found(), Millis(2_100)));
        assert_eq!(health.probe_at(), Some(Millis(6_100)));
        health.started(1);
        assert!(
            health.ended(1, &AttemptExit::Exited(1), Millis(6_200)),
            "a failure is the event's, so the handler runs again"
        );
        assert_eq!(health.places(4, Millis(6_200)), 4);
    }

    #[test]
    fn three_different_jobs_in_a_row_that_end_in_127_pause_it() {
        let mut health = Health::default();
        assert!(!health.ended(1, &AttemptExit::Exited(127), Millis(0)));
        assert!(!health.ended(1, &AttemptExit::Exited(127), Millis(0)), "the same job again");
        assert!(!health.ended(2, &AttemptExit::Exited(126), Millis(0)));
        assert!(!health.ended(3, &AttemptExit::Exited(0), Millis(0)), "not in a row");
        assert!(!health.ended(4, &AttemptExit::Exited(127), Millis(0)));
        assert!(!health.ended(5, &AttemptExit::Exited(127), Millis(0)));
        assert!(health.ended(6, &AttemptExit::Exited(127), Millis(0)));
        assert_eq!(health.places(4, Millis(0)), 0);
        health.started(4);
        assert!(
            health.ended(4, &AttemptExit::Exited(127), Millis(2_000)),
            "a probe that fails the same way keeps it broken"
        );
        assert_eq!(health.probe_at(), Some(Millis(6_000)));
    }

    #[test]
    fn what_a_person_paused_stays_paused_until_he_resumes_it() {
        let mut health = Health::default();
        let mut state = health.state(&"deploy".into());
        state.paused_by = Some("operator".into());
        health.told(Some(&state));
        assert_eq!(health.places(4, Millis(i64::MAX)), 0);
        assert!(!health.ended(1, &AttemptExit::Exited(0), Millis(0)));
        assert_eq!(health.places(4, Millis(0)), 0);
        state.paused_by = None;
        health.told(Some(&state));
        assert_eq!(health.places(4, Millis(0)), 4);
    }

    #[test]
    fn a_person_can_have_a_broken_handler_tried_earlier_with_one_job() {
        let mut health = Health::default();
        health.ended(1, &not_found(), Millis(0));
        let mut state = health.state(&"deploy".into());
        health.told(Some(&state));
        assert_eq!(health.places(4, Millis(500)), 0);
        state.probe_at = Some(Millis(500));
        health.told(Some(&state));
        assert_eq!(health.places(4, Millis(500)), 1);
        state.probe_at = Some(Millis(9_000));
        health.told(Some(&state));
        assert_eq!(health.probe_at(), Some(Millis(500)), "never later than it would be anyway");
    }

    #[test]
    fn it_is_remembered_as_it_was_told() {
        let mut health = Health::default();
        health.ended(1, &not_found(), Millis(7));
        let state = health.state(&"deploy".into());
        assert_eq!(Health::remembered(&state).state(&"deploy".into()), state);
    }
}
