//! A turn of the dispatcher: what has ended is written, what is due is claimed, in one transaction.
//!
//! These are the words that pass between dispatcher and inbox; how an ending is written stands in `finish`, how a job
//! is claimed in `claim`.

use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, Row};

use super::answers::{Board, Spoken};
use super::{claim, jump, urgent};
use crate::config::OrderingMode;
use crate::model::event::AttemptStatus;
use crate::retry::{JobOutcome, RetryCounters};
use crate::support::time::Millis;

/// One attempt of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobRef {
    /// `jobs.id`
    pub id: i64,
    /// `jobs.attempt`, the fence.
    pub attempt: u32,
}

/// What the dispatcher asks of the inbox.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// Attempts that have ended.
    pub finished: Vec<Finished>,
    /// Claimed attempts that certainly were not begun: they never were.
    pub unbegun: Vec<JobRef>,
    /// Jobs to claim at most, over all handlers.
    pub places: usize,
    /// Handlers that may claim; the first are served first, and each gets a fair share before any gets more.
    pub wanted: Vec<Wanted>,
    /// Handlers that may claim jobs for whose answer a provider waits; these take no places.
    pub awaited: Vec<Wanted>,
    /// Attempts under way: their jobs are not claimed again whatever their row says.
    pub running: Vec<JobRef>,
    /// Whether one job that was lost before may be claimed.
    pub may_claim_suspect: bool,
    /// By how many milliseconds the wall clock has jumped since the last turn.
    pub clock_jump: i64,
    /// Handlers whose pause has changed.
    pub handlers: Vec<HandlerState>,
    /// When it was asked: a wall clock that jumps before it is carried out makes nothing due.
    pub asked_at: Option<(Millis, Instant)>,
}

/// Free places of one handler.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Name of the handler.
    pub handler: Arc<str>,
    /// Jobs to claim at most.
    pub slots: usize,
    /// How its jobs with the same value belong together; `None` where they do not.
    pub sequence: Option<OrderingMode>,
}

/// An attempt that has ended, as the ledger will keep it.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Which.
    pub job: JobRef,
    /// How.
    pub ending: AttemptStatus,
    /// What becomes of the job.
    pub outcome: JobOutcome,
    /// When the handler was started.
    pub started_at: Millis,
    /// When it had ended.
    pub finished_at: Millis,
    /// The status it exited with.
    pub exit_code: Option<i32>,
    /// Status of its answer, if its URL gave one.
    pub http_status: Option<u16>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What is kept of its output, and how many bytes it wrote in all.
    pub stdout: (Vec<u8>, u64),
    /// Likewise.
    pub stderr: (Vec<u8>, u64),
    /// What it or hookbox had to say.
    pub note: Option<String>,
    /// For the provider, where the handler responds.
    pub spoken: Option<Spoken>,
}

/// What came of a turn.
#[derive(Debug, Clone, Default)]
pub struct Turned {
    /// Jobs that now run, oldest first per handler.
    pub claimed: Vec<Claimed>,
    /// When the next job is due that could not be claimed yet.
    pub next_due_at: Option<Millis>,
    /// Whether there may be more to claim at once than was looked at.
    pub may_claim_more: bool,
    /// Jobs that were skipped because a newer one runs in their place.
    pub coalesced: usize,
    /// Attempts that ended too late: their job had moved on.
    pub stale: Vec<JobRef>,
    /// Attempts under way whose job a person has taken back; looked for when another process has changed something.
    pub revoked: Vec<JobRef>,
    /// Whether another process has changed something since the last turn.
    pub was_changed_outside: bool,
}

/// A job that was claimed, with what its attempt needs besides the payload.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which job, and the number of this attempt.
    pub job: JobRef,
    /// Name of the handler.
    pub handler: Arc<str>,
    /// `events.seq`
    pub event_seq: i64,
    /// `events.source`
    pub source: String,
    /// `events.event_id`
    pub event_id: String,
    /// `events.type`
    pub event_type: String,
    /// `events.received_at`
    pub received_at: Millis,
    /// Before this attempt.
    pub counters: RetryCounters,
    /// Times a person replayed it.
    pub replays: u32,
    /// Whether hookbox died under its last attempt.
    pub is_suspect: bool,
    /// Whether it takes none of the places that all handlers share.
    pub is_apart: bool,
}

/// A row of `handlers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerState {
    /// Name of the handler.
    pub name: Arc<str>,
    /// `operator` or `hookbox`; `None` when it is not paused.
    pub paused_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub paused_at: Option<Millis>,
    /// Failed probes since it broke.
    pub probes: u32,
    /// The next probe of a broken handler.
    pub probe_at: Option<Millis>,
}

/// What came with an event.
#[derive(Debug, Clone)]
pub struct Payload {
    /// One JSON object.
    pub headers: String,
    /// As received.
    pub content_type: Option<String>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

impl Turn {
    /// What the wall clock shows now, had it not jumped since.
    pub(super) fn now(&self) -> Millis {
        self.asked_at.map_or_else(Millis::now, |(at, instant)| at.after(instant.elapsed()))
    }

    /// Carries the turn out, within the caller's transaction.
    pub(super) fn carry_out(
        &self,
        connection: &Connection,
        board: &Board,
        now: Millis,
        was_changed_outside: bool,
    ) -> rusqlite::Result<Turned> {
        let mut turned = Turned { was_changed_outside, ..Turned::default() };
        if self.clock_jump != 0 {
            jump::shift(connection, now, self.clock_jump)?;
        }
        for finished in &self.finished {
            if !finished.write(connection)? {
                turned.stale.push(finished.job);
            }
        }
        for job in &self.unbegun {
            claim::take_back(connection, *job, now)?;
        }
        for state in &self.handlers {
            state.write(connection)?;
        }
        if was_changed_outside {
            turned.revoked = self.revoked(connection)?;
        }
        urgent::claim(self, connection, now, board, &mut turned)?;
        claim::claim(self, connection, now, &mut turned)?;
        Ok(turned)
    }

    /// Whether a provider is told what a handler said.
    pub(super) fn is_relied_on(&self) -> bool {
        self.finished.iter().any(|finished| finished.spoken.is_some())
    }

    /// How many more jobs are pending after it than before.
    pub(super) fn change_in_pending(&self, turned: &Turned) -> i64 {
        let again =
            self.finished.iter().filter(|finished| matches!(finished.outcome, JobOutcome::Retry { .. })).count();
        i64::try_from(again + self.unbegun.len()).unwrap_or(0)
            - i64::try_from(turned.claimed.len() + turned.coalesced).unwrap_or(0)
    }

    fn revoked(&self, connection: &Connection) -> rusqlite::Result<Vec<JobRef>> {
        let mut holds =
            connection.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1 AND state = 'running' AND attempt = ?2")?;
        let mut revoked = Vec::new();
        for job in &self.running {
            if !holds.exists((job.id, job.attempt))? {
                revoked.push(*job);
            }
        }
        Ok(revoked)
    }
}

impl HandlerState {
    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        // What a person has paused stays paused until a person resumes it.
        connection
            .prepare_cached(
                "INSERT INTO handlers (name, paused, paused_by, reason, paused_at, probes, probe_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, paused_by = excluded.paused_by,
                   reason = excluded.reason, paused_at = excluded.paused_at, probes = excluded.probes,
                   probe_at = excluded.probe_at
                 WHERE handlers.paused_by IS NOT 'operator'",
            )?
            .execute((
                self.name.as_ref(),
                self.paused_by.is_some(),
                &self.paused_by,
                &self.reason,
                self.paused_at.map(|at| at.0),
                self.probes,
                self.probe_at.map(|at| at.0),
            ))?;
        Ok(())
    }
}

pub(super) fn payload(connection: &Connection, event_seq: i64) -> rusqlite::Result<Option<Payload>> {
    connection
        .prepare_cached("SELECT headers, content_type, body FROM payloads WHERE event_seq = ?1")?
        .query_row([event_seq], |row| {
            Ok(Payload { headers: row.get(0)?, content_type: row.get(1)?, body: row.get(2)? })
        })
        .optional()
}

pub(super) fn handler_states(connection: &Connection) -> rusqlite::Result<Vec<HandlerState>> {
    connection
        .prepare_cached("SELECT name, paused_by, reason, paused_at, probes, probe_at FROM handlers")?
        .query_map([], state)?
        .collect()
}

pub(super) fn handler_state(connection: &Connection, name: &str) -> rusqlite::Result<HandlerState> {
    connection
        .prepare_cached("SELECT name, paused_by, reason, paused_at, probes, probe_at FROM handlers WHERE name = ?1")?
        .query_row([name], state)
}

fn state(row: &Row<'_>) -> rusqlite::Result<HandlerState> {
    Ok(HandlerState {
        name: row.get::<_, String>(0)?.into(),
        paused_by: row.get(1)?,
        reason: row.get(2)?,
        paused_at: row.get::<_, Option<i64>>(3)?.map(Millis),
        probes: row.get(4)?,
        probe_at: row.get::<_, Option<i64>>(5)?.map(Millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_has_jumped_since_a_turn_was_asked_for_makes_nothing_due() {
        let turn = Turn { asked_at: Some((Millis(1_000), Instant::now())), ..Turn::default() };
        assert!((1_000..100_000).contains(&turn.now().0), "{:?}", turn.now());
    }
}
