//! Claiming: due jobs become running, oldest first, a fair share for each handler.
//!
//! The attempt's row is written with the claim, before the handler starts, so that the ledger knows of every run; with
//! a claim that comes to nothing it goes again. A
//! job under which hookbox died once (a suspect) never runs beside another such job. What waits for another job of its
//! value is not due (`sequence`).

use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::sequence::{self, Judge};
use super::turn::{Claimed, JobRef, Turn, Turned, Wanted};
use crate::config::OrderingMode;
use crate::retry::RetryCounters;
use crate::support::time::Millis;

const DUE: &str = "
    SELECT j.id, j.attempt + 1, j.event_seq, j.failures, j.deferrals, j.replays, j.lost,
           e.source, e.event_id, e.type, e.received_at
    FROM jobs j JOIN events e ON e.seq = j.event_seq
    WHERE j.handler = ?1 AND j.state = 'pending' AND j.lost = 0 AND j.blocked = 0 AND j.run_at <= ?2
    ORDER BY j.run_at, j.id LIMIT ?3";

const DUE_SUSPECT: &str = "
    SELECT j.id, j.attempt + 1, j.event_seq, j.failures, j.deferrals, j.replays, j.lost,
           e.source, e.event_id, e.type, e.received_at
    FROM jobs j JOIN events e ON e.seq = j.event_seq
    WHERE j.handler = ?1 AND j.state = 'pending' AND j.lost > 0 AND j.blocked = 0 AND j.run_at <= ?2
    ORDER BY j.run_at, j.id LIMIT ?3";

/// Claims what a turn has places for.
pub(super) fn claim(turn: &Turn, connection: &Connection, now: Millis, turned: &mut Turned) -> rusqlite::Result<()> {
    Claiming { turn, connection, now, turned }.all()
}

struct Claiming<'a> {
    turn: &'a Turn,
    connection: &'a Connection,
    now: Millis,
    turned: &'a mut Turned,
}

impl Claiming<'_> {
    /// Two rounds: a fair share for each handler, then what is left for those with more to do.
    fn all(&mut self) -> rusqlite::Result<()> {
        let turn = self.turn;
        let mut left = turn.places;
        let mut hungry = Vec::new();
        for (index, wanted) in turn.wanted.iter().enumerate() {
            let apart = self.turned.claimed.iter().filter(|job| job.is_apart && job.handler == wanted.handler).count();
            let slots = wanted.slots.saturating_sub(apart);
            let share = slots.min(left.div_ceil(turn.wanted.len() - index));
            let got = self.some(wanted, share)?;
            left -= got;
            if got == share && got < slots {
                hungry.push((wanted, slots - got));
            }
        }
        for (wanted, more) in hungry {
            left -= self.some(wanted, more.min(left))?;
        }
        Ok(())
    }

    /// Claims up to `places` jobs of one handler; when there are fewer, notes when the next is due.
    fn some(&mut self, wanted: &Wanted, places: usize) -> rusqlite::Result<usize> {
        if places == 0 {
            return Ok(0);
        }
        let judge = Judge {
            connection: self.connection,
            handler: &wanted.handler,
            sequence: wanted.sequence,
            running: &self.turn.running,
        };
        self.turned.may_claim_more |= judge.settle()?;
        let mut jobs = Vec::new();
        // First, or newer jobs could keep one waiting for ever; there are never many.
        if self.turn.may_claim_suspect && !self.turned.claimed.iter().any(|job| job.is_suspect) {
            jobs = self.due(DUE_SUSPECT, wanted, 1)?;
        }
        jobs.extend(self.due(DUE, wanted, places - jobs.len())?);
        for job in &jobs {
            start(self.connection, job, self.now)?;
            if matches!(wanted.sequence, Some(OrderingMode::Coalesce { .. })) {
                self.turned.coalesced += sequence::skip_older(self.connection, job.job.id, self.now)?;
            }
        }
        if jobs.len() < places {
            let next = next_due_at(self.connection, &wanted.handler, self.now)?;
            self.turned.next_due_at = [self.turned.next_due_at, next].into_iter().flatten().min();
        }
        let count = jobs.len();
        self.turned.claimed.extend(jobs);
        Ok(count)
    }

    /// Jobs whose old attempt still runs may stand in front; it looks past them.
    fn due(&self, sql: &str, wanted: &Wanted, places: usize) -> rusqlite::Result<Vec<Claimed>> {
        let running = &self.turn.running;
        let is_running = |job: &Claimed| running.iter().any(|running| running.id == job.job.id);
        self.connection
            .prepare_cached(sql)?
            .query_map((wanted.handler.as_ref(), self.now.0, places + running.len()), |row| {
                claimed(row, &wanted.handler)
            })?
            .filter(|job| job.as_ref().map_or(true, |job| !is_running(job)))
            .take(places)
            .collect()
    }
}

pub(super) fn start(connection: &Connection, job: &Claimed, now: Millis) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET state = 'running', attempt = ?2 WHERE id = ?1 AND state = 'pending'")?
        .execute((job.job.id, job.job.attempt))?;
    connection.prepare_cached("INSERT INTO attempts (job_id, number, started_at) VALUES (?1, ?2, ?3)")?.execute((
        job.job.id,
        job.job.attempt,
        now.0,
    ))?;
    Ok(())
}

/// Undoes a claim whose attempt was not begun. Where a person has moved the job meanwhile, the ledger keeps the attempt.
pub(super) fn take_back(connection: &Connection, JobRef { id, attempt }: JobRef, now: Millis) -> rusqlite::Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET state = 'pending', attempt = attempt - 1, blocked = CASE WHEN order_key IS NULL THEN 0 ELSE 2 END
             WHERE id = ?1 AND state = 'running' AND attempt = ?2",
        )?
        .execute((id, attempt))?;
    let sql = match changed {
        0 => {
            "UPDATE attempts SET status = 'skipped', finished_at = ?3 WHERE job_id = ?1 AND number = ?2 AND status IS NULL"
        }
        _ => "DELETE FROM attempts WHERE job_id = ?1 AND number = ?2 AND status IS NULL AND ?3",
    };
    connection.prepare_cached(sql)?.execute((id, attempt, now.0)).map(drop)
}

pub(super) fn claimed(row: &Row<'_>, handler: &Arc<str>) -> rusqlite::Result<Claimed> {
    Ok(Claimed {
        job: JobRef { id: row.get(0)?, attempt: row.get(1)? },
        handler: handler.clone(),
        event_seq: row.get(2)?,
        counters: RetryCounters { failures: row.get(3)?, deferrals: row.get(4)? },
        replays: row.get(5)?,
        is_suspect: row.get::<_, u32>(6)? > 0,
        is_apart: false,
        source: row.get(7)?,
        event_id: row.get(8)?,
        event_type: row.get(9)?,
        received_at: Millis(row.get(10)?),
    })
}

/// When the handler's next job is due that is not due now: what is due and was not claimed waits for an ending.
fn next_due_at(connection: &Connection, handler: &str, now: Millis) -> rusqlite::Result<Option<Millis>> {
    let next: Option<i64> = connection
        .prepare_cached(
            "SELECT min(run_at) FROM (
               SELECT min(run_at) AS run_at FROM jobs WHERE handler = ?1 AND state = 'pending' AND lost = 0 AND blocked = 0
                 AND run_at > ?2
               UNION ALL
               SELECT min(run_at) FROM jobs WHERE handler = ?1 AND state = 'pending' AND lost > 0 AND blocked = 0
                 AND run_at > ?2)",
        )?
        .query_row((handler, now.0), |row| row.get(0))?;
    Ok(next.map(Millis))
}
