//! Background work of the writer between batches: deletes what has expired and returns free pages to the system.
//!
//! Each step takes a few milliseconds and one commit. While deliveries are queued there are at most four steps per
//! second, so that a busy inbox is cleaned up too. After a pass that found nothing more, it rests.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

use super::{Cutoffs, Pruned, RetentionCursor};
use crate::config::Retention;
use crate::support::time::Millis;

/// How long one step may take before its commit.
const STEP: Duration = Duration::from_millis(3);
/// Interval between steps.
const INTERVAL: Duration = Duration::from_millis(20);
/// Additional interval while deliveries are queued.
const BUSY_INTERVAL: Duration = Duration::from_millis(250);
/// Limits of the interval between passes, which is a tenth of the shortest retention.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// The interval between passes is at least this many times the duration of the last one.
const REST_PER_WORK: u32 = 50;
/// Interval after a failed step.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Free pages returned in one step.
const PAGES_PER_STEP: i64 = 64;
/// Free pages kept for new events: 1 MiB, or a twentieth of the file if that is more.
const MIN_SPARE_PAGES: i64 = 256;

#[derive(Debug)]
pub(in crate::inbox) struct Upkeep {
    cursor: RetentionCursor,
    /// What this pass has deleted, and how long that took.
    pruned: Pruned,
    spent: Duration,
    next_at: Instant,
}

impl Upkeep {
    pub(in crate::inbox) fn new() -> Self {
        Self {
            cursor: RetentionCursor::default(),
            pruned: Pruned::default(),
            spent: Duration::ZERO,
            next_at: Instant::now() + REST.0,
        }
    }

    pub(in crate::inbox) fn next_at(&self) -> Instant {
        self.next_at
    }

    pub(in crate::inbox) fn is_due(&self, now: Instant, is_busy: bool) -> bool {
        now >= if is_busy { self.next_at + BUSY_INTERVAL } else { self.next_at }
    }

    /// Takes one step and commits it.
    pub(in crate::inbox) fn step(&mut self, connection: &Connection, keep: &Retention) -> Result<()> {
        let began = Instant::now();
        self.next_at = began + RETRY_INTERVAL;
        let cursor = self.cursor.clone();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let result = self.delete_expired(connection, keep).and_then(|pruned| {
            if self.cursor == RetentionCursor::End {
                return_free_pages(connection, PAGES_PER_STEP)?;
            }
            connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(pruned)
        });
        match result {
            Ok(pruned) => self.pruned.add(pruned),
            Err(error) => {
                self.cursor = cursor;
                return Err(error);
            }
        }
        self.spent += began.elapsed();
        let is_over = self.cursor == RetentionCursor::End && excess_pages(connection)? == 0;
        self.next_at = Instant::now() + if is_over { self.end_pass(keep) } else { INTERVAL };
        Ok(())
    }

    fn delete_expired(&mut self, connection: &Connection, keep: &Retention) -> Result<Pruned> {
        let (began, cutoffs) = (Instant::now(), Cutoffs::new(keep, Millis::now()));
        let mut pruned = Pruned::default();
        while self.cursor != RetentionCursor::End {
            pruned.add(super::step(connection, &cutoffs, &mut self.cursor, false)?);
            if began.elapsed() >= STEP {
                break;
            }
        }
        Ok(pruned)
    }

    /// Logs what the pass has deleted. Returns the interval until the next pass.
    fn end_pass(&mut self, keep: &Retention) -> Duration {
        let Pruned { events, payloads, dead, keys } = std::mem::take(&mut self.pruned);
        if events + payloads + keys > 0 {
            log::info!("deleted what has expired: {events} events, {payloads} payloads, {keys} event ids");
        }
        if dead > 0 {
            log::info!("{dead} of the expired jobs were dead and can no longer be retried");
        }
        self.cursor = RetentionCursor::default();
        let rest = (keep.payloads.min(keep.events).min(keep.keys) / 10).clamp(REST.0, REST.1);
        rest.max(std::mem::take(&mut self.spent) * REST_PER_WORK)
    }
}

/// Returns the number of free pages that are not needed for new events; 0 if the file cannot shrink.
pub(in crate::inbox) fn excess_pages(connection: &Connection) -> Result<i64> {
    let read = |pragma: &str| connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
    if read("PRAGMA auto_vacuum")? == 0 {
        return Ok(0);
    }
    let [pages, free] = [read("PRAGMA page_count")?, read("PRAGMA freelist_count")?];
    Ok((free - MIN_SPARE_PAGES.max(pages / 20)).max(0))
}

/// Returns up to `max` excess pages to the system. The file shrinks with the next checkpoint.
pub(in crate::inbox) fn return_free_pages(connection: &Connection, max: i64) -> Result<()> {
    let pages = excess_pages(connection)?.min(max);
    if pages == 0 {
        return Ok(());
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
