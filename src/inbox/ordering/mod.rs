//! Ordering keys: jobs of one handler with the same `order_key` run one at a time.
//!
//! Only an unblocked job (`blocked = 0`) can be due; `jobs_one_per_key` allows one per key. Any change of a job with a
//! key (a result, an operator's change, a newer job to coalesce) sets `blocked = 2`, and the next claim decides which
//! job of the key is unblocked. This reads a few index rows per key, however many jobs wait. All state is in the rows.

mod recompute;

use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::schema::{BLOCKED, OPEN};
use super::types::JobRef;
use crate::config::OrderingMode;
use crate::routing::NewJob;
use crate::support::time::Millis;

pub(super) use recompute::RecomputeStep;

/// Jobs decided in one transaction.
const STEP: usize = 2_000;
/// SQL condition: an open job of handler `?1` with the ordering key `?2`.
const OF_KEY: &str = "handler = ?1 AND order_key = ?2 AND order_key IS NOT NULL";

/// Decides which jobs of a handler are blocked.
pub(super) struct Decider<'a> {
    pub(super) connection: &'a Connection,
    pub(super) handler: &'a str,
    /// `None` if its jobs have no ordering key: jobs blocked under an older configuration are unblocked.
    pub(super) ordering: Option<OrderingMode>,
    /// Attempts in progress. Each occupies its key, even if an operator has skipped its job.
    pub(super) running: &'a [JobRef],
}

struct UndecidedJob {
    id: i64,
    key: Option<String>,
    is_running: bool,
}

/// The pending job of a key that is to run next.
struct NextJob {
    id: i64,
    run_at: i64,
    created_at: i64,
}

/// Inserts a job. If its key has another open job, it waits for that one: it has the highest `seq`. If its key is
/// undecided, so is the job, because an attempt of a skipped job may still be running.
pub(super) fn insert_job(connection: &Connection, event_seq: i64, job: &NewJob, now: Millis) -> Result<()> {
    let NewJob { handler, order_key, is_burst } = job;
    let sql = format!(
        "INSERT INTO jobs (event_seq, handler, run_at, created_at, order_key, blocked) VALUES (?3, ?1, ?4, ?4, ?2,
           CASE WHEN ?2 IS NULL THEN 0 WHEN ?5 THEN 2
             WHEN EXISTS (SELECT 1 FROM jobs WHERE {OF_KEY} AND {OPEN}) THEN 1
             WHEN EXISTS (SELECT 1 FROM jobs WHERE handler = ?1 AND blocked = 2 AND {BLOCKED} AND order_key = ?2) THEN 2
             ELSE 0 END)"
    );
    connection.prepare_cached(&sql)?.execute((handler.as_ref(), order_key, event_seq, now.0, is_burst)).map(drop)
}

/// Skips the pending jobs of a claimed job's key that are older than it. Returns how many.
pub(super) fn skip_older(connection: &Connection, id: i64, now: Millis) -> Result<usize> {
    let sql = format!(
        "UPDATE jobs SET state = 'skipped', reason = 'coalesced', finished_at = ?2, blocked = 0
         FROM (SELECT handler, order_key, event_seq FROM jobs WHERE id = ?1) AS newest
         WHERE jobs.handler = newest.handler AND jobs.order_key = newest.order_key AND jobs.order_key IS NOT NULL
           AND jobs.{OPEN} AND jobs.state = 'pending' AND jobs.event_seq < newest.event_seq"
    );
    connection.prepare_cached(&sql)?.execute((id, now.0))
}

/// Before an event's jobs are deleted: marks another job of each of their undecided keys, which else would stay blocked.
pub(super) fn keep_undecided(connection: &Connection, event_seq: i64) -> Result<()> {
    let sql = format!(
        "UPDATE jobs SET blocked = 2 WHERE id IN (
           SELECT min(waiting.id) FROM jobs deleted JOIN jobs waiting
             ON waiting.handler = deleted.handler AND waiting.order_key = deleted.order_key
                AND waiting.order_key IS NOT NULL AND waiting.{OPEN}
           WHERE deleted.event_seq = ? AND deleted.blocked = 2 AND waiting.blocked = 1 GROUP BY deleted.id)"
    );
    connection.prepare_cached(&sql)?.execute([event_seq]).map(drop)
}

impl Decider<'_> {
    /// Decides up to [`STEP`] jobs. Returns whether there are more.
    pub(super) fn decide(&self) -> Result<bool> {
        let Some(ordering) = self.ordering else { return self.unblock_all() };
        let mut undecided = self.undecided()?;
        let is_full = undecided.len() == STEP;
        if is_full {
            // The last key may have more jobs than were read, one of them running. One stays undecided for the next step.
            undecided.pop();
        }
        let cut_off = if is_full { undecided.last().map(|job| job.key.clone()) } else { None };
        for jobs in undecided.chunk_by(|one, other| one.key == other.key) {
            self.block(jobs)?;
            let Some(Some(key)) = jobs.first().map(|job| job.key.as_ref()) else { continue };
            let is_complete = cut_off.as_ref().is_none_or(|last| last.as_ref() != Some(key));
            if is_complete && !jobs.iter().any(|job| job.is_running) {
                self.unblock_next(key, ordering)?;
            }
        }
        Ok(is_full)
    }

    fn undecided(&self) -> Result<Vec<UndecidedJob>> {
        let sql = format!(
            "SELECT id, order_key, state = 'running' FROM jobs WHERE handler = ?1 AND blocked = 2 AND {BLOCKED}
             ORDER BY order_key LIMIT ?2"
        );
        let read = |row: &Row<'_>| {
            let id = row.get(0)?;
            let is_running = row.get(2)? || self.running.iter().any(|running| running.id == id);
            Ok(UndecidedJob { id, key: row.get(1)?, is_running })
        };
        self.connection.prepare_cached(&sql)?.query_map((self.handler, STEP), read)?.collect()
    }

    /// Blocks these jobs, except the running ones.
    fn block(&self, jobs: &[UndecidedJob]) -> Result<()> {
        let sql =
            "UPDATE jobs SET blocked = CASE state WHEN 'pending' THEN order_key IS NOT NULL ELSE 0 END WHERE id = ?1";
        let mut block = self.connection.prepare_cached(sql)?;
        for job in jobs.iter().filter(|job| !job.is_running) {
            block.execute([job.id])?;
        }
        Ok(())
    }

    /// Unblocks the next job of a key, unless one of its jobs is running.
    fn unblock_next(&self, key: &str, ordering: OrderingMode) -> Result<()> {
        let unblocked = self.unblocked(key)?;
        if unblocked.is_some_and(|(_, is_running)| is_running) {
            return Ok(());
        }
        let Some(next) = self.next(key, ordering)? else { return Ok(()) };
        match unblocked {
            Some((id, _)) if id == next.id => return Ok(()),
            Some((id, _)) => {
                self.connection.prepare_cached("UPDATE jobs SET blocked = 1 WHERE id = ?1")?.execute([id])?;
            }
            None => {}
        }
        let run_at = match ordering {
            // Unchanged since it was inserted: neither a retry nor an operator has set another time.
            OrderingMode::Coalesce { quiet, max } if next.run_at == next.created_at => {
                let oldest = self.burst_started_at(key)?.unwrap_or(next.created_at);
                Millis(next.created_at).after(quiet).min(Millis(oldest).after(max)).0
            }
            OrderingMode::InOrder | OrderingMode::Coalesce { .. } => next.run_at,
        };
        let sql = "UPDATE jobs SET blocked = 0, run_at = ?2 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute((next.id, run_at)).map(drop)
    }

    /// Returns the unblocked job of a key, and whether it is running.
    fn unblocked(&self, key: &str) -> Result<Option<(i64, bool)>> {
        let sql = format!("SELECT id, state = 'running' FROM jobs WHERE {OF_KEY} AND blocked = 0 AND {OPEN}");
        self.connection
            .prepare_cached(&sql)?
            .query_row((self.handler, key), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// Returns the oldest pending job of a key, or the newest if the handler coalesces.
    fn next(&self, key: &str, ordering: OrderingMode) -> Result<Option<NextJob>> {
        let direction = if ordering == OrderingMode::InOrder { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT id, run_at, created_at FROM jobs WHERE {OF_KEY} AND {OPEN} AND state = 'pending'
             ORDER BY event_seq {direction} LIMIT 1"
        );
        let read = |row: &Row<'_>| Ok(NextJob { id: row.get(0)?, run_at: row.get(1)?, created_at: row.get(2)? });
        self.connection.prepare_cached(&sql)?.query_row((self.handler, key), read).optional()
    }

    /// Returns when the burst began. Jobs that wait for a retry are not part of it.
    fn burst_started_at(&self, key: &str) -> Result<Option<i64>> {
        let sql = format!(
            "SELECT created_at FROM jobs WHERE {OF_KEY} AND {OPEN} AND state = 'pending' AND attempt = 0
             ORDER BY event_seq LIMIT 1"
        );
        self.connection.prepare_cached(&sql)?.query_row((self.handler, key), |row| row.get(0)).optional()
    }

    fn unblock_all(&self) -> Result<bool> {
        let sql = format!(
            "UPDATE jobs SET blocked = 0, order_key = NULL WHERE id IN
               (SELECT id FROM jobs WHERE handler = ?1 AND {BLOCKED} LIMIT ?2)"
        );
        Ok(self.connection.prepare_cached(&sql)?.execute((self.handler, STEP))? == STEP)
    }
}

#[cfg(test)]
mod tests;
