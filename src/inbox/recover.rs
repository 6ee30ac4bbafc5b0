//! What a crash left behind, settled before anything is claimed: attempts that were under way are `lost`, and those that had
//! certainly not begun never were.
//!
//! One transaction at start. What becomes of their jobs is `outcome`'s to decide; processes that still run are for
//! the dispatcher to end, which learns from here which attempts they belong to.

use std::collections::HashSet;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::model::event::AttemptStatus;
use crate::retry::{self, RetryCounters};
use crate::support::time::Millis;

use super::claim;
use super::finish::move_job;
use super::turn::JobRef;

/// Ends every attempt that was under way as lost, and returns them; first takes back what was claimed and never begun.
pub(super) fn settle(
    connection: &Connection,
    now: Millis,
    never_begun: &HashSet<JobRef>,
) -> rusqlite::Result<Vec<JobRef>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for job in never_begun {
        claim::take_back(&transaction, *job, now)?;
    }
    let running: Vec<(i64, u32, u32, RetryCounters)> = transaction
        .prepare("SELECT id, attempt, lost + 1, failures, deferrals FROM jobs WHERE state = 'running'")?
        .query_map([], |row| {
            let counters = RetryCounters { failures: row.get(3)?, deferrals: row.get(4)? };
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, counters))
        })?
        .collect::<Result<_, _>>()?;
    for &(id, attempt, losses, counters) in &running {
        transaction.execute("UPDATE jobs SET lost = ?2 WHERE id = ?1", (id, losses))?;
        let job = JobRef { id, attempt };
        move_job(&transaction, job, &retry::after_loss(losses, counters, now), now, false)?;
    }
    // By the ledger and not by `running`: a job that a person skipped meanwhile has an open attempt too.
    let lost = transaction
        .prepare(
            "UPDATE attempts SET finished_at = ?1, status = ?2, note = 'hookbox ended while it ran'
             WHERE status IS NULL RETURNING job_id, number",
        )?
        .query_map((now.0, AttemptStatus::Lost.as_str()), |row| Ok(JobRef { id: row.get(0)?, attempt: row.get(1)? }))?
        .collect::<Result<_, _>>()?;
    transaction.commit()?;
    Ok(lost)
}
