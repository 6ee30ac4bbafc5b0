//! What the writer does between batches, when it has a moment: forgets what is too old, gives back free pages.
//!
//! Each step takes a few milliseconds and one commit; while deliveries wait there are at most four a second, so that
//! a busy inbox is pruned as well. A pass that has found everything young rests for a while.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

use super::prune::{self, Ages, Place, Pruned};
use crate::config::Retention;
use crate::support::time::Millis;

/// How long one step may take before its commit.
const STEP: Duration = Duration::from_millis(3);
/// From one step to the next while nothing waits.
const BREATH: Duration = Duration::from_millis(20);
/// Likewise while deliveries wait.
const BREATH_WHEN_BUSY: Duration = Duration::from_millis(250);
/// From one pass to the next: a tenth of what is kept shortest, within these.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// However much there is to look at, it takes one part in so many of the writer's time.
const REST_PER_WORK: u32 = 50;
/// After a step that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Free pages given back in one step.
const PAGES: i64 = 64;
/// Free pages that stay, for what comes next: 1 MiB, or a twentieth of the file.
const SPARE_PAGES: i64 = 256;

/// Where the upkeep of an inbox stands.
#[derive(Debug)]
pub(super) struct Upkeep {
    place: Place,
    /// In this pass: what was forgotten, and how long that took.
    pruned: Pruned,
    spent: Duration,
    next_at: Instant,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        Self {
            place: Place::default(),
            pruned: Pruned::default(),
            spent: Duration::ZERO,
            next_at: Instant::now() + REST.0,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Whether a step is due: a busy writer is left alone a little longer.
    pub(super) fn is_due(&self, now: Instant, is_busy: bool) -> bool {
        now >= if is_busy { self.next_at + BREATH_WHEN_BUSY } else { self.next_at }
    }

    /// One step, committed.
    pub(super) fn step(&mut self, connection: &Connection, keep: &Retention) -> Result<()> {
        let began = Instant::now();
        self.next_at = began + PAUSE;
        let place = self.place.clone();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = self.forget(connection, keep).and_then(|pruned| {
            if self.place == Place::End {
                give_back(connection, PAGES)?;
            }
            connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(pruned)
        });
        match done {
            Ok(pruned) => self.pruned.add(pruned),
            Err(error) => {
                self.place = place;
                return Err(error);
            }
        }
        self.spent += began.elapsed();
        let is_over = self.place == Place::End && excess(connection)? == 0;
        self.next_at = Instant::now() + if is_over { self.end_pass(keep) } else { BREATH };
        Ok(())
    }

    fn forget(&mut self, connection: &Connection, keep: &Retention) -> Result<Pruned> {
        let (began, ages) = (Instant::now(), Ages::new(keep, Millis::now()));
        let mut pruned = Pruned::default();
        while self.place != Place::End {
            pruned.add(prune::step(connection, &ages, &mut self.place, false)?);
            if began.elapsed() >= STEP {
                break;
            }
        }
        Ok(pruned)
    }

    /// The place to start from is the first one again.
    fn end_pass(&mut self, keep: &Retention) -> Duration {
        let Pruned { events, payloads, dead, keys } = std::mem::take(&mut self.pruned);
        if events + payloads + keys > 0 {
            log::info!("{events} events, {payloads} bodies and {keys} keys were too old and are forgotten");
        }
        if dead > 0 {
            log::info!("{dead} dead jobs among them can no longer be run again");
        }
        self.place = Place::default();
        let rest = (keep.payloads.min(keep.events).min(keep.keys) / 10).clamp(REST.0, REST.1);
        rest.max(std::mem::take(&mut self.spent) * REST_PER_WORK)
    }
}

/// Free pages beyond what is kept for new events; 0 where the file cannot give any back.
pub(super) fn excess(connection: &Connection) -> Result<i64> {
    let read = |pragma: &str| connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
    if read("PRAGMA auto_vacuum")? == 0 {
        return Ok(0);
    }
    let [pages, free] = [read("PRAGMA page_count")?, read("PRAGMA freelist_count")?];
    Ok((free - SPARE_PAGES.max(pages / 20)).max(0))
}

/// Gives back at most so many free pages. The file itself shrinks with the next checkpoint.
pub(super) fn give_back(connection: &Connection, most: i64) -> Result<()> {
    let pages = excess(connection)?.min(most);
    if pages == 0 {
        return Ok(());
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
