//! What the writer does between batches, and at its end.
//!
//! Other processes' changes, free disk, refusals that wait and the upkeep are looked after; the end folds the write-ahead
//! log into the file, unless a sync has failed: nothing tries that again, and the next start recovers.

use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::Connection;

use super::super::wal::Wal;
use super::{BUSY_TIMEOUT_AT_THE_END, TICK, Writer};

impl Writer {
    /// One step of the upkeep, if it is time.
    pub(super) fn keep_up(&mut self, is_busy: bool) {
        if !self.upkeep.is_due(Instant::now(), is_busy) || self.is_over() {
            return;
        }
        let keep = self.shared.with_settings(|settings| settings.keep);
        if let Err(error) = self.upkeep.step(&self.connection, &keep) {
            self.roll_back();
            let why = self.judge(&error);
            log::warn!("what is too old could not be forgotten: {why} ({error})");
        }
    }

    fn is_over(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed) || self.shared.failed.load(Ordering::Relaxed)
    }

    pub(super) fn tick(&mut self) {
        self.next_tick = Instant::now() + TICK;
        if self.shared.closing.load(Ordering::Relaxed)
            && let Err(error) = self.connection.busy_timeout(BUSY_TIMEOUT_AT_THE_END)
        {
            log::debug!("the busy timeout could not be shortened: {error}");
        }
        self.watch.look(&self.connection);
        if !self.shared.ring.is_empty() {
            self.write(None, &mut |_| None);
        }
        self.fold(Wal::look);
    }

    /// Sees to the log, with the answers given: a sync that fails here counts like any other.
    pub(super) fn fold(&mut self, see_to: impl FnOnce(&mut Wal, &Connection) -> rusqlite::Result<()>) {
        if !self.shared.failed.load(Ordering::Relaxed)
            && let Err(error) = see_to(&mut self.wal, &self.connection)
        {
            let why = self.judge(&error);
            log::warn!("the write-ahead log could not be folded in: {why} ({error})");
        }
    }

    /// The last counts, then a checkpoint, so that the file alone holds everything.
    pub(super) fn finish(mut self) {
        if !self.shared.ring.is_empty() {
            self.write(None, &mut |_| None);
        }
        self.fold(Wal::close);
        if let Err((_, error)) = self.connection.close() {
            log::warn!("the inbox could not be closed: {error}");
        }
    }
}
