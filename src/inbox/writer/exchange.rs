//! Carries out a [`CompleteAndClaim`] within the writer's transaction.

use rusqlite::{Connection, Result};

use super::clock_step;
use crate::inbox::claim::{self, Claims};
use crate::inbox::replies::ReplyWaiters;
use crate::inbox::types::{ClaimResult, CompleteAndClaim, JobRef};
use crate::inbox::{complete, handlers};
use crate::retry::JobOutcome;
use crate::support::time::Millis;

impl CompleteAndClaim {
    /// Returns the current time as if the wall clock had not been stepped since the request.
    pub(super) fn now(&self) -> Millis {
        self.requested_at.map_or_else(Millis::now, |(at, instant)| at.after(instant.elapsed()))
    }

    pub(in crate::inbox) fn carry_out(
        &self,
        connection: &Connection,
        waiters: &ReplyWaiters,
        now: Millis,
        changed_externally: bool,
    ) -> Result<ClaimResult> {
        let mut result = ClaimResult { changed_externally, ..ClaimResult::default() };
        if self.clock_step != 0 {
            clock_step::shift_run_at(connection, now, self.clock_step)?;
        }
        for finished in &self.results {
            if !complete::complete(connection, finished)? {
                result.stale.push(finished.job);
            }
        }
        for job in &self.not_started {
            claim::undo(connection, *job, now)?;
        }
        for state in &self.handlers {
            handlers::write_state(connection, state)?;
        }
        if changed_externally {
            result.revoked = self.revoked(connection)?;
        }
        let mut claims = Claims { request: self, connection, now, result: &mut result };
        claims.claim_awaited(waiters)?;
        claims.claim_due()?;
        Ok(result)
    }

    /// Whether its commit must be synced before the result is returned: a provider gets one of the replies.
    pub(super) fn needs_sync(&self) -> bool {
        self.results.iter().any(|finished| finished.reply.is_some())
    }

    /// Returns by how much it changes the number of pending jobs.
    pub(super) fn change_in_pending(&self, result: &ClaimResult) -> i64 {
        let retried = self.results.iter().filter(|done| matches!(done.outcome, JobOutcome::Retry { .. })).count();
        i64::try_from(retried + self.not_started.len()).unwrap_or(0)
            - i64::try_from(result.claimed.len() + result.coalesced).unwrap_or(0)
    }

    fn revoked(&self, connection: &Connection) -> Result<Vec<JobRef>> {
        let mut is_current =
            connection.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1 AND state = 'running' AND attempt = ?2")?;
        let mut revoked = Vec::new();
        for job in &self.running {
            if !is_current.exists((job.id, job.attempt))? {
                revoked.push(*job);
            }
        }
        Ok(revoked)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn clock_step_after_a_request_makes_nothing_due() {
        let request = CompleteAndClaim { requested_at: Some((Millis(1_000), Instant::now())), ..Default::default() };
        assert!((1_000..100_000).contains(&request.now().0), "{:?}", request.now());
    }
}
