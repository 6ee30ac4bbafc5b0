//! Writes attempt results. Every change is fenced by the attempt number: a late result changes no job.
//!
//! [`recover`] does the same at start for attempts that were running when hookbox was killed.

use std::collections::HashSet;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use super::schema::UNDECIDED;
use super::types::{AttemptResult, HandlerReply, JobRef};
use super::{claim, replies};
use crate::model::event::AttemptStatus;
use crate::retry::{self, JobOutcome, RetryCounters};
use crate::support::time::Millis;

/// Output is kept for the first five and the last five attempts of a job.
const OUTPUTS_KEPT: u32 = 5;

/// Writes the result of an attempt. Returns whether the job was still running it; the attempt's row is completed anyway.
pub(super) fn complete(connection: &Connection, result: &AttemptResult) -> Result<bool> {
    let job = result.job;
    let is_current = move_job(connection, job, &result.outcome, result.finished_at, resets_lost(result.status))?;
    let status = if is_current { result.status } else { AttemptStatus::Skipped };
    connection
        .prepare_cached(
            "UPDATE attempts SET started_at = ?3, finished_at = ?4, status = ?5, exit_code = ?6, signal = ?7,
                    stdout = ?8, stdout_bytes = ?9, stderr = ?10, stderr_bytes = ?11, note = ?12, http_status = ?13
             WHERE job_id = ?1 AND number = ?2 AND status IS NULL",
        )?
        .execute(rusqlite::params![
            job.id,
            job.attempt,
            result.started_at.0,
            result.finished_at.0,
            status.as_str(),
            result.exit_code,
            result.signal,
            result.stdout.0,
            result.stdout.1,
            result.stderr.0,
            result.stderr.1,
            result.note,
            result.http_status,
        ])?;
    if job.attempt > 2 * OUTPUTS_KEPT {
        connection
            .prepare_cached("UPDATE attempts SET stdout = NULL, stderr = NULL WHERE job_id = ?1 AND number = ?2")?
            .execute((job.id, job.attempt - OUTPUTS_KEPT))?;
    }
    if let Some(HandlerReply { event_seq, response: Some(response) }) = &result.reply
        && is_current
        && result.outcome == JobOutcome::Succeeded
    {
        replies::store(connection, *event_seq, response)?;
    }
    Ok(is_current)
}

/// Whether this result proves that the job does not kill hookbox: the handler ended the attempt, and hookbox saw it.
fn resets_lost(status: AttemptStatus) -> bool {
    match status {
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

/// Returns `false` and changes nothing if the job is no longer running this attempt.
fn move_job(
    connection: &Connection,
    job: JobRef,
    outcome: &JobOutcome,
    now: Millis,
    resets_lost: bool,
) -> Result<bool> {
    let (state, reason, run_at, counters) = match outcome {
        JobOutcome::Succeeded => ("succeeded", None, None, None),
        JobOutcome::Retry { at, counters, reason } => ("pending", Some(reason), Some(at.0), Some(counters)),
        JobOutcome::Dead { counters, reason } => ("dead", Some(reason), None, Some(counters)),
        JobOutcome::Skipped => return Ok(false),
    };
    let finished_at = run_at.is_none().then_some(now.0);
    let sql = format!(
        "UPDATE jobs SET state = ?3, reason = ?4, run_at = coalesce(?5, run_at), finished_at = ?6, {UNDECIDED},
                failures = coalesce(?7, failures), deferrals = coalesce(?8, deferrals), lost = iif(?9, 0, lost)
         WHERE id = ?1 AND state = 'running' AND attempt = ?2"
    );
    let changed = connection.prepare_cached(&sql)?.execute((
        job.id,
        job.attempt,
        state,
        reason,
        run_at,
        finished_at,
        counters.map(|counters| counters.failures),
        counters.map(|counters| counters.deferrals),
        resets_lost,
    ))?;
    Ok(changed == 1)
}

/// At start: undoes the claims of attempts that were not started, ends all other running ones as `lost`, and returns
/// those. Their processes may still be running.
pub(super) fn recover(connection: &Connection, now: Millis, not_started: &HashSet<JobRef>) -> Result<Vec<JobRef>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for job in not_started {
        claim::undo(&transaction, *job, now)?;
    }
    let running: Vec<(JobRef, u32, RetryCounters)> = transaction
        .prepare("SELECT id, attempt, lost + 1, failures, deferrals FROM jobs WHERE state = 'running'")?
        .query_map([], |row| {
            let counters = RetryCounters { failures: row.get(3)?, deferrals: row.get(4)? };
            Ok((JobRef { id: row.get(0)?, attempt: row.get(1)? }, row.get(2)?, counters))
        })?
        .collect::<Result<_>>()?;
    for &(job, losses, counters) in &running {
        transaction.execute("UPDATE jobs SET lost = ?2 WHERE id = ?1", (job.id, losses))?;
        move_job(&transaction, job, &retry::after_loss(losses, counters, now), now, false)?;
    }
    // By `attempts`, not by `running`: a job that an operator skipped may have an open attempt too.
    let lost = transaction
        .prepare(
            "UPDATE attempts SET finished_at = ?1, status = ?2, note = 'hookbox was killed during this attempt'
             WHERE status IS NULL RETURNING job_id, number",
        )?
        .query_map((now.0, AttemptStatus::Lost.as_str()), |row| Ok(JobRef { id: row.get(0)?, attempt: row.get(1)? }))?
        .collect::<Result<_>>()?;
    transaction.commit()?;
    Ok(lost)
}
