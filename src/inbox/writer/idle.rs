//! What the writer does between batches and when it stops.

use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::{Connection, Result};

use super::command::Command;
use super::wal::Wal;
use super::{REJECTIONS_WITHIN, STOP_BUSY_TIMEOUT, TICK, Writer};

impl Writer {
    /// Takes a step of the upkeep if one is due.
    pub(super) fn run_upkeep(&mut self, is_busy: bool) {
        if !self.upkeep.is_due(Instant::now(), is_busy) || self.is_stopping() {
            return;
        }
        let keep = self.shared.with_settings(|settings| settings.keep);
        if let Err(error) = self.upkeep.step(&self.connection, &keep) {
            self.roll_back();
            let why = self.handle_error(&error);
            log::warn!("expired events could not be deleted: {why} ({error})");
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed) || self.shared.failed.load(Ordering::Relaxed)
    }

    pub(super) fn tick(&mut self) {
        self.next_tick = Instant::now() + TICK;
        if self.shared.closing.load(Ordering::Relaxed)
            && let Err(error) = self.connection.busy_timeout(STOP_BUSY_TIMEOUT)
        {
            log::debug!("the busy timeout could not be shortened: {error}");
        }
        self.watch.tick(&self.connection);
        self.write_rejections();
        self.checkpoint(Wal::tick);
    }

    /// Has the rejections written after a moment, in which others may join them.
    pub(super) fn schedule_rejections(&mut self) {
        self.rejections_at.get_or_insert_with(|| Instant::now() + REJECTIONS_WITHIN);
    }

    /// Writes the rejections if that is due. The next sync covers the commit.
    pub(super) fn write_due_rejections(&mut self) {
        if self.rejections_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.rejections_at = None;
        self.shared.rejections_announced.store(false, Ordering::Release);
        if self.shared.rejections.has_rows() {
            self.write(Some(Command::WriteRejections), &mut |_| None);
        }
        // `write` schedules the next one: needed only if rows are left.
        self.rejections_at = self.rejections_at.filter(|_| self.shared.rejections.has_rows());
    }

    fn write_rejections(&mut self) {
        if !self.shared.rejections.is_empty() {
            self.write(None, &mut |_| None);
        }
    }

    /// Runs a step of the WAL handling, after the batch is answered. A sync that fails here counts like any other; after
    /// a failed sync nothing more is tried, and the next start recovers.
    pub(super) fn checkpoint(&mut self, step: impl FnOnce(&mut Wal, &Connection) -> Result<()>) {
        if !self.shared.failed.load(Ordering::Relaxed)
            && let Err(error) = step(&mut self.wal, &self.connection)
        {
            let why = self.handle_error(&error);
            log::warn!("the write-ahead log could not be checkpointed: {why} ({error})");
        }
    }

    /// Writes the last rejections and checkpoints, so that the database file alone holds everything.
    pub(super) fn close(mut self) {
        self.write_rejections();
        self.checkpoint(Wal::close);
        if let Err((_, error)) = self.connection.close() {
            log::warn!("the inbox could not be closed: {error}");
        }
    }
}
