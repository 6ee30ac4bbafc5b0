//! How the scheduler stops: it claims nothing more, gives running attempts their grace, and writes every result.
//!
//! Attempts may finish, then get SIGTERM, then SIGKILL, all within the grace. A result that cannot be written counts as
//! lost at the next start, so the job runs again.

use std::time::{Duration, Instant};

use super::scheduler::{RETRY_EXCHANGE, Scheduler};
use crate::runner::{self, StopReason};

/// Share of the grace after which running handlers get SIGTERM.
const TERM_AFTER: f64 = 0.75;
/// From SIGKILL to giving up on an executor that does not return.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// Limit of one write: signals must not wait for the inbox.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

impl Scheduler {
    pub(super) fn stop(mut self) {
        let grace = self.settings.dispatch.shutdown_grace;
        let kill_at = Instant::now() + grace;
        let term_at = Instant::now() + grace.mul_f64(TERM_AFTER);
        self.executors.resources().close();
        self.undo_claims(|_| true);
        self.take_reports();
        self.wait_until(term_at);
        for running in self.running.values() {
            running.cancel.stop(StopReason::Shutdown);
        }
        self.wait_until(kill_at);
        for running in self.running.values() {
            running.cancel.kill();
        }
        let give_up_at = Instant::now() + GIVE_UP_AFTER;
        self.wait_until(give_up_at);
        while !self.write_news() && !self.is_inbox_lost && Instant::now() < give_up_at {
            std::thread::park_timeout(RETRY_EXCHANGE);
        }
        if !self.running.is_empty() || !self.results.is_empty() {
            let unknown = self.running.len() + self.results.len();
            log::error!("the results of {unknown} attempts could not be written: they count as lost at the next start");
            return;
        }
        self.executors.join(term_at, kill_at);
        if let Err(error) = runner::remove_result_files(&self.settings.results) {
            log::debug!("{} could not be removed: {error}", self.settings.results.display());
        }
    }

    /// Writes results as they arrive, until nothing is running or the time is over.
    fn wait_until(&mut self, deadline: Instant) {
        while !self.running.is_empty() {
            let is_over = self.reports.notify().recv_deadline(deadline).is_err();
            self.take_reports();
            self.write_news();
            if is_over {
                return;
            }
        }
    }

    /// Writes without claiming. Returns whether everything is written.
    fn write_news(&mut self) -> bool {
        if !self.has_news() {
            return true;
        }
        let request = self.news();
        match self.inbox.complete_within(request, WRITE_TIMEOUT) {
            Ok(result) => {
                self.apply(result);
                true
            }
            Err(error) => {
                self.may_retry(&error);
                false
            }
        }
    }
}
