//! How the scheduler ends: nothing more is claimed, what runs gets its grace, and every ending is written.
//!
//! Handlers are waited for, then asked (TERM), then killed, all within the grace. An ending that the inbox does not take
//! until the very end counts as lost at the next start, so that its job runs again.

use std::time::{Duration, Instant};

use super::scheduler::{RETRY_TURN, Scheduler};
use crate::runner::{self, StopReason};

/// Share of the grace after which running handlers are asked to end.
const ASKED_AFTER: f64 = 0.75;
/// From KILL to giving up on a worker that still does not come back.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// How long one write may take: asking and killing handlers must not wait for the inbox.
const WRITE_WITHIN: Duration = Duration::from_millis(500);

impl Scheduler {
    /// Claims nothing more; waits, asks, kills; writes every ending.
    pub(super) fn stop(mut self) {
        let grace = self.settings.dispatch.shutdown_grace;
        let began = Instant::now();
        self.workers.kept().close();
        self.give_back(&|_| true);
        self.end_all();
        self.wait_until(began + grace.mul_f64(ASKED_AFTER));
        for running in self.running.values() {
            running.cancel.stop(StopReason::Shutdown);
        }
        self.wait_until(began + grace);
        for running in self.running.values() {
            running.cancel.kill();
        }
        let given_up_at = Instant::now() + GIVE_UP_AFTER;
        self.wait_until(given_up_at);
        while !self.write_news() && !self.is_inbox_lost && Instant::now() < given_up_at {
            std::thread::park_timeout(RETRY_TURN);
        }
        if !self.running.is_empty() || !self.finished.is_empty() {
            let unknown = self.running.len() + self.finished.len();
            log::error!("the endings of {unknown} attempts could not be written; they count as lost at the next start");
            return;
        }
        self.workers.join(began + grace.mul_f64(ASKED_AFTER), began + grace);
        if let Err(error) = runner::remove_result_files(&self.settings.results) {
            log::debug!("{} could not be removed: {error}", self.settings.results.display());
        }
    }

    /// Until nothing runs or the time has come; endings are written as they arrive.
    fn wait_until(&mut self, deadline: Instant) {
        while !self.running.is_empty() {
            let is_over = self.endings.bell().recv_deadline(deadline).is_err();
            self.end_all();
            self.write_news();
            if is_over {
                return;
            }
        }
    }

    /// Writes what the inbox does not know yet, and claims nothing. Whether it knows everything now.
    fn write_news(&mut self) -> bool {
        if !self.has_news() {
            return true;
        }
        let turn = self.news();
        match self.inbox.turn_within(turn, WRITE_WITHIN) {
            Ok(turned) => {
                self.take_in(turned);
                true
            }
            Err(error) => {
                self.is_passing(&error);
                false
            }
        }
    }
}
