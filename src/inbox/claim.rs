//! Claims due jobs: oldest first, with a fair share for each handler.
//!
//! The attempt's row is inserted with the claim, before the handler starts, so that every run is recorded. At most one
//! job whose last attempt was lost (a suspect, it may have crashed hookbox) runs at a time. Jobs that wait for another
//! one with the same ordering key are not due (`ordering`).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::ordering::{self, Decider};
use super::replies::ReplyWaiters;
use super::schema::{DUE, SUSPECT, UNDECIDED};
use super::types::{ClaimRequest, ClaimResult, ClaimedJob, CompleteAndClaim, JobRef};
use crate::config::OrderingMode;
use crate::retry::RetryCounters;
use crate::support::time::Millis;

const SELECT: &str = "SELECT j.id, j.attempt + 1, j.event_seq, j.failures, j.deferrals, j.replays, j.lost,
                             e.source, e.event_id, e.type, e.received_at
                      FROM jobs j JOIN events e ON e.seq = j.event_seq";

/// The claims of one exchange.
pub(super) struct Claims<'a> {
    pub(super) request: &'a CompleteAndClaim,
    pub(super) connection: &'a Connection,
    pub(super) now: Millis,
    pub(super) result: &'a mut ClaimResult,
}

impl Claims<'_> {
    /// Claims jobs whose reply a provider is waiting for. No suspects: they may have to wait for each other.
    pub(super) fn claim_awaited(&mut self, waiters: &ReplyWaiters) -> Result<()> {
        let sql = format!("{SELECT} WHERE j.event_seq = ?3 AND j.handler = ?1 AND {DUE} AND j.run_at <= ?2");
        for request in &self.request.sync_requests {
            let mut left = request.slots;
            for event_seq in waiters.events_awaiting(&request.handler) {
                if left == 0 {
                    break;
                }
                let job = self
                    .connection
                    .prepare_cached(&sql)?
                    .query_row((request.handler.as_ref(), self.now.0, event_seq), |row| read(row, &request.handler))
                    .optional()?;
                let Some(job) = job.filter(|job| !self.is_running(job)) else { continue };
                start(self.connection, &job, self.now)?;
                self.result.claimed.push(ClaimedJob { is_sync: true, ..job });
                left -= 1;
            }
        }
        Ok(())
    }

    /// Two rounds: first a fair share for each handler, then the rest for those with more due jobs.
    pub(super) fn claim_due(&mut self) -> Result<()> {
        let CompleteAndClaim { max_jobs, requests, .. } = self.request;
        let mut left = *max_jobs;
        let mut unsatisfied = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            let is_sync = |job: &&ClaimedJob| job.is_sync && job.handler == request.handler;
            let slots = request.slots.saturating_sub(self.result.claimed.iter().filter(is_sync).count());
            let share = slots.min(left.div_ceil(requests.len() - index));
            let got = self.claim_up_to(share, request)?;
            left -= got;
            if got == share && got < slots {
                unsatisfied.push((request, slots - got));
            }
        }
        for (request, more) in unsatisfied {
            left -= self.claim_up_to(more.min(left), request)?;
        }
        Ok(())
    }

    /// Claims jobs of one handler. If there are fewer than `max`, notes when the next one is due.
    fn claim_up_to(&mut self, max: usize, request: &ClaimRequest) -> Result<usize> {
        if max == 0 {
            return Ok(0);
        }
        let decider = Decider {
            connection: self.connection,
            handler: &request.handler,
            ordering: request.ordering,
            running: &self.request.running,
        };
        self.result.may_claim_more |= decider.decide()?;
        let mut jobs = Vec::new();
        // Suspects first, or newer jobs could keep one waiting forever. There are never many.
        if self.request.may_claim_suspect && !self.result.claimed.iter().any(|job| job.is_suspect) {
            jobs = self.due(SUSPECT, request, 1)?;
        }
        jobs.extend(self.due(DUE, request, max - jobs.len())?);
        for job in &jobs {
            start(self.connection, job, self.now)?;
            if matches!(request.ordering, Some(OrderingMode::Coalesce { .. })) {
                self.result.coalesced += ordering::skip_older(self.connection, job.job.id, self.now)?;
            }
        }
        if jobs.len() < max {
            let next = next_due_at(self.connection, &request.handler, self.now)?;
            self.result.next_due_at = [self.result.next_due_at, next].into_iter().flatten().min();
        }
        let count = jobs.len();
        self.result.claimed.extend(jobs);
        Ok(count)
    }

    /// Reads enough rows to get past jobs whose previous attempt is still running.
    fn due(&self, condition: &str, request: &ClaimRequest, max: usize) -> Result<Vec<ClaimedJob>> {
        let sql = format!(
            "{SELECT} WHERE j.handler = ?1 AND {condition} AND j.run_at <= ?2 ORDER BY j.run_at, j.id LIMIT ?3"
        );
        let rows = max + self.request.running.len();
        self.connection
            .prepare_cached(&sql)?
            .query_map((request.handler.as_ref(), self.now.0, rows), |row| read(row, &request.handler))?
            .filter(|job| job.as_ref().map_or(true, |job| !self.is_running(job)))
            .take(max)
            .collect()
    }

    fn is_running(&self, job: &ClaimedJob) -> bool {
        self.request.running.iter().any(|running| running.id == job.job.id)
    }
}

fn start(connection: &Connection, ClaimedJob { job, .. }: &ClaimedJob, now: Millis) -> Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET state = 'running', attempt = ?2 WHERE id = ?1 AND state = 'pending'")?
        .execute((job.id, job.attempt))?;
    connection
        .prepare_cached("INSERT INTO attempts (job_id, number, started_at) VALUES (?1, ?2, ?3)")?
        .execute((job.id, job.attempt, now.0))
        .map(drop)
}

/// Undoes the claim of an attempt that was not started. If an operator has changed the job since, the attempt's row stays.
pub(super) fn undo(connection: &Connection, JobRef { id, attempt }: JobRef, now: Millis) -> Result<()> {
    let sql = format!(
        "UPDATE jobs SET state = 'pending', attempt = attempt - 1, {UNDECIDED}
         WHERE id = ?1 AND state = 'running' AND attempt = ?2"
    );
    let changed = connection.prepare_cached(&sql)?.execute((id, attempt))?;
    let sql = match changed {
        0 => {
            "UPDATE attempts SET status = 'skipped', finished_at = ?3 WHERE job_id = ?1 AND number = ?2 AND status IS NULL"
        }
        _ => "DELETE FROM attempts WHERE job_id = ?1 AND number = ?2 AND status IS NULL AND ?3",
    };
    connection.prepare_cached(sql)?.execute((id, attempt, now.0)).map(drop)
}

fn read(row: &Row<'_>, handler: &Arc<str>) -> Result<ClaimedJob> {
    Ok(ClaimedJob {
        job: JobRef { id: row.get(0)?, attempt: row.get(1)? },
        handler: handler.clone(),
        event_seq: row.get(2)?,
        counters: RetryCounters { failures: row.get(3)?, deferrals: row.get(4)? },
        replays: row.get(5)?,
        is_suspect: row.get::<_, u32>(6)? > 0,
        is_sync: false,
        source: row.get(7)?,
        event_id: row.get(8)?,
        event_type: row.get(9)?,
        received_at: Millis(row.get(10)?),
    })
}

/// Returns when the handler's next job is due that is not due yet. Due jobs that were not claimed wait for a slot.
fn next_due_at(connection: &Connection, handler: &str, now: Millis) -> Result<Option<Millis>> {
    let earliest = |condition| {
        format!("SELECT min(run_at) AS run_at FROM jobs WHERE handler = ?1 AND {condition} AND run_at > ?2")
    };
    let sql = format!("SELECT min(run_at) FROM ({} UNION ALL {})", earliest(DUE), earliest(SUSPECT));
    let next: Option<i64> = connection.prepare_cached(&sql)?.query_row((handler, now.0), |row| row.get(0))?;
    Ok(next.map(Millis))
}
