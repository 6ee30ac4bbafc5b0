//! Finishing: an ending is written for the attempt that it belongs to, and for no other.
//!
//! Every change names the attempt (`state = 'running' AND attempt = ?`): whoever comes late changes nothing and is
//! told so.

use rusqlite::Connection;

use super::answers::{self, Spoken};
use super::turn::{Finished, JobRef};
use crate::model::event::AttemptStatus;
use crate::retry::JobOutcome;
use crate::support::time::Millis;

impl Finished {
    /// Whether the job was still this attempt's. The ledger's row is completed either way.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let survives = proves_that_hookbox_survives(self.ending);
        let is_ours = move_job(connection, self.job, &self.outcome, self.finished_at, survives)?;
        let ending = if is_ours { self.ending } else { AttemptStatus::Skipped };
        connection
            .prepare_cached(
                "UPDATE attempts SET started_at = ?3, finished_at = ?4, status = ?5, exit_code = ?6, signal = ?7,
                        stdout = ?8, stdout_bytes = ?9, stderr = ?10, stderr_bytes = ?11, note = ?12, http_status = ?13
                 WHERE job_id = ?1 AND number = ?2 AND status IS NULL",
            )?
            .execute(rusqlite::params![
                self.job.id,
                self.job.attempt,
                self.started_at.0,
                self.finished_at.0,
                ending.as_str(),
                self.exit_code,
                self.signal,
                self.stdout.0,
                self.stdout.1,
                self.stderr.0,
                self.stderr.1,
                self.note,
                self.http_status,
            ])?;
        self.forget_old_output(connection)?;
        if let Some(Spoken { event_seq, response: Some(response) }) = &self.spoken
            && is_ours
            && self.outcome == JobOutcome::Succeeded
        {
            answers::keep(connection, *event_seq, response)?;
        }
        Ok(is_ours)
    }

    /// Output is kept for a job's first five and last five attempts.
    fn forget_old_output(&self, connection: &Connection) -> rusqlite::Result<()> {
        const KEPT: u32 = 5;
        if self.job.attempt > 2 * KEPT {
            connection
                .prepare_cached("UPDATE attempts SET stdout = NULL, stderr = NULL WHERE job_id = ?1 AND number = ?2")?
                .execute((self.job.id, self.job.attempt - KEPT))?;
        }
        Ok(())
    }
}

/// An attempt that hookbox was alive to see the end of, by the handler's own doing.
fn proves_that_hookbox_survives(ending: AttemptStatus) -> bool {
    match ending {
        AttemptStatus::Succeeded
        | AttemptStatus::Failed
        | AttemptStatus::Timeout
        | AttemptStatus::Dead
        | AttemptStatus::Deferred => true,
        AttemptStatus::Broken
        | AttemptStatus::Starved
        | AttemptStatus::Stopped
        | AttemptStatus::Lost
        | AttemptStatus::Skipped => false,
    }
}

/// Moves a running job on; where hookbox `survives` its attempts, losses are forgotten. `false`: it was no longer this attempt's, and nothing changed.
pub(super) fn move_job(
    connection: &Connection,
    job: JobRef,
    outcome: &JobOutcome,
    now: Millis,
    survives: bool,
) -> rusqlite::Result<bool> {
    let (state, reason, run_at, counters) = match outcome {
        JobOutcome::Succeeded => ("succeeded", None, None, None),
        JobOutcome::Retry { at, counters, reason } => ("pending", Some(reason), Some(at.0), Some(counters)),
        JobOutcome::Dead { counters, reason } => ("dead", Some(reason), None, Some(counters)),
        JobOutcome::Skipped => return Ok(false),
    };
    let finished_at = run_at.is_none().then_some(now.0);
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET state = ?3, reason = ?4, run_at = coalesce(?5, run_at), finished_at = ?6,
                    blocked = CASE WHEN order_key IS NULL THEN 0 ELSE 2 END, failures = coalesce(?7, failures), deferrals = coalesce(?8, deferrals),
                    lost = iif(?9, 0, lost)
             WHERE id = ?1 AND state = 'running' AND attempt = ?2",
        )?
        .execute((
            job.id,
            job.attempt,
            state,
            reason,
            run_at,
            finished_at,
            counters.map(|counters| counters.failures),
            counters.map(|counters| counters.deferrals),
            survives,
        ))?;
    Ok(changed == 1)
}
