//! One turn: what has ended and what may be claimed go to the inbox together, and its answer is taken in.
//!
//! What cannot be written now is kept and tried again: no ending is lost.

use std::sync::Arc;
use std::time::Instant;

use super::scheduler::Scheduler;
use crate::dispatcher::clock_step::Clocks;
use crate::inbox::{InboxError, Turn, Turned};
use crate::support::control::ControlMessage;
use crate::support::time::Millis;

impl Scheduler {
    /// Takes a turn when there is anything to write or to claim. Whether it must be tried again.
    pub(super) fn turn_if_needed(&mut self, (now, instant): (Millis, Instant)) -> bool {
        if self.is_inbox_lost {
            return false;
        }
        self.look_at_clocks(now);
        let workers = self.settings.dispatch.workers;
        let free = workers.saturating_sub(self.sharing());
        let (places, wanted) = match self.may_claim {
            true => self.lanes.wanted((free, workers), now, instant),
            false => (0, Vec::new()),
        };
        let awaited = if self.may_claim { self.lanes.awaited(&self.inbox, now) } else { Vec::new() };
        let is_idle = !self.has_news() && self.clock_jump == 0 && !self.inbox.was_changed_outside();
        if wanted.is_empty() && awaited.is_empty() && is_idle {
            if self.may_claim {
                // Whoever could claim is busy or paused: an ending, a probe or a change wakes us, no job's time.
                (self.may_claim, self.next_due_at) = (false, None);
            }
            return false;
        }
        let turn = Turn { places, wanted, awaited, asked_at: Some((now, instant)), ..self.news() };
        match self.inbox.turn(turn) {
            Ok(turned) => {
                (self.last_turn, self.is_awaited) = (Instant::now(), false);
                self.may_claim = turned.may_claim_more;
                self.take_in(turned);
                false
            }
            Err(error) => self.is_passing(&error),
        }
    }

    /// A wall clock that has jumped must neither make anything wait for as long, nor let all that waits start at once.
    fn look_at_clocks(&mut self, now: Millis) {
        let Some(jump) = self.clocks.reach(Clocks::now()) else { return };
        let how = if jump < 0 { "back" } else { "ahead" };
        log::warn!("the clock was set {how} by {} s; jobs that wait are moved along", jump.abs() / 1_000);
        self.clock_jump += jump;
        for lane in self.lanes.iter_mut() {
            lane.health.reconsider(now);
        }
    }

    /// Whether there is something that the inbox must know.
    pub(super) fn has_news(&self) -> bool {
        !self.finished.is_empty() || !self.unbegun.is_empty() || !self.changed.is_empty()
    }

    /// What the inbox does not know yet.
    pub(super) fn news(&mut self) -> Turn {
        let lanes = &mut self.lanes;
        let state = |name: &Arc<str>| lanes.named(name).map(|lane| lane.health.state(name));
        Turn {
            finished: self.finished.clone(),
            unbegun: self.unbegun.clone(),
            running: self.running.values().map(|running| running.claimed.job).collect(),
            may_claim_suspect: !self.running.values().any(|running| running.claimed.is_suspect),
            clock_jump: self.clock_jump,
            handlers: self.changed.iter().filter_map(state).collect(),
            ..Turn::default()
        }
    }

    pub(super) fn take_in(&mut self, turned: Turned) {
        self.finished.clear();
        self.unbegun.clear();
        self.changed.clear();
        self.clock_jump = 0;
        self.next_due_at = turned.next_due_at;
        for job in turned.stale {
            log::info!("job {} attempt {}: ended after a person had taken the job back", job.id, job.attempt);
        }
        for job in turned.revoked {
            self.revoke(job);
        }
        for claimed in turned.claimed {
            self.start(claimed);
        }
        self.workers.offer_ahead();
        if turned.was_changed_outside {
            self.read_pauses();
        }
    }

    /// Whether the same may be tried again.
    pub(super) fn is_passing(&mut self, error: &InboxError) -> bool {
        match error {
            InboxError::Passing(why) => {
                log::warn!("endings and claims wait for the inbox: {why}");
                true
            }
            InboxError::Final(why) => {
                self.is_inbox_lost = true;
                self.caller.send(ControlMessage::Failed(format!("the dispatcher has lost the inbox: {why}")));
                false
            }
        }
    }
}
