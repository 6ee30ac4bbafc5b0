//! A turn of the dispatcher: what has ended is written, what is due is claimed, in one transaction.
//!
//! Finishing names the attempt (`state = 'running' AND attempt = ?`): whoever comes late changes nothing and is told
//! so. A claim writes the attempt's row before the handler starts, so that the ledger knows of every run.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::clock::Millis;
use crate::event::Ending;
use crate::outcome::{Counters, Outcome};

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
    /// Jobs to claim at most, over all handlers.
    pub places: usize,
    /// Handlers that may claim; the first are served first, and each gets a fair share before any gets more.
    pub wanted: Vec<Wanted>,
    /// Attempts under way: their jobs are not claimed again whatever their row says.
    pub running: Vec<JobRef>,
    /// Whether one job that was lost before may be claimed.
    pub may_claim_suspect: bool,
    /// Handlers whose pause has changed.
    pub handlers: Vec<HandlerState>,
}

/// Free places of one handler.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Name of the handler.
    pub handler: Arc<str>,
    /// Jobs to claim at most.
    pub slots: usize,
}

/// An attempt that has ended, as the ledger will keep it.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Which.
    pub job: JobRef,
    /// How.
    pub ending: Ending,
    /// What becomes of the job.
    pub outcome: Outcome,
    /// When the handler was started.
    pub started_at: Millis,
    /// When it had ended.
    pub finished_at: Millis,
    /// The status it exited with.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What is kept of its output, and how many bytes it wrote in all.
    pub stdout: (Vec<u8>, u64),
    /// Likewise.
    pub stderr: (Vec<u8>, u64),
    /// What it or hookbox had to say.
    pub note: Option<String>,
}

/// What came of a turn.
#[derive(Debug, Clone, Default)]
pub struct Turned {
    /// Jobs that now run, oldest first per handler.
    pub claimed: Vec<Claimed>,
    /// When the next job is due that could not be claimed yet.
    pub next_due_at: Option<Millis>,
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
    pub counters: Counters,
    /// Times a person replayed it.
    pub replays: u32,
    /// Whether hookbox died under its last attempt.
    pub is_suspect: bool,
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
    /// Carries the turn out, within the caller's transaction.
    pub(super) fn carry_out(
        &self,
        connection: &Connection,
        now: Millis,
        was_changed_outside: bool,
    ) -> rusqlite::Result<Turned> {
        let mut turned = Turned { was_changed_outside, ..Turned::default() };
        for finished in &self.finished {
            if !finished.write(connection)? {
                turned.stale.push(finished.job);
            }
        }
        for state in &self.handlers {
            state.write(connection)?;
        }
        if was_changed_outside {
            turned.revoked = self.revoked(connection)?;
        }
        self.claim_all(connection, now, &mut turned)?;
        Ok(turned)
    }

    /// Two rounds: a fair share for each handler, then what is left for those with more to do.
    fn claim_all(&self, connection: &Connection, now: Millis, turned: &mut Turned) -> rusqlite::Result<()> {
        let mut left = self.places;
        let mut hungry = Vec::new();
        for (index, wanted) in self.wanted.iter().enumerate() {
            let share = wanted.slots.min(left.div_ceil(self.wanted.len() - index));
            let got = self.claim(connection, (wanted, share), now, turned)?;
            left -= got;
            if got == share && got < wanted.slots {
                hungry.push((wanted, wanted.slots - got));
            }
        }
        for (wanted, more) in hungry {
            left -= self.claim(connection, (wanted, more.min(left)), now, turned)?;
        }
        Ok(())
    }

    /// Claims up to `places` jobs of one handler; when there are fewer, notes when the next is due.
    fn claim(
        &self,
        connection: &Connection,
        (wanted, places): (&Wanted, usize),
        now: Millis,
        turned: &mut Turned,
    ) -> rusqlite::Result<usize> {
        if places == 0 {
            return Ok(0);
        }
        let mut jobs = self.due(connection, DUE, (wanted, places), now)?;
        let holds_suspect = turned.claimed.iter().any(|job| job.is_suspect);
        if jobs.len() < places && self.may_claim_suspect && !holds_suspect {
            jobs.extend(self.due(connection, DUE_SUSPECT, (wanted, 1), now)?);
        }
        for job in &jobs {
            start(connection, job, now)?;
        }
        if jobs.len() < places {
            let next = next_due_at(connection, &wanted.handler, now)?;
            turned.next_due_at = [turned.next_due_at, next].into_iter().flatten().min();
        }
        let count = jobs.len();
        turned.claimed.extend(jobs);
        Ok(count)
    }

    /// Jobs whose old attempt still runs may stand in front; it looks past them.
    fn due(
        &self,
        connection: &Connection,
        sql: &str,
        (wanted, places): (&Wanted, usize),
        now: Millis,
    ) -> rusqlite::Result<Vec<Claimed>> {
        let is_running = |job: &Claimed| self.running.iter().any(|running| running.id == job.job.id);
        connection
            .prepare_cached(sql)?
            .query_map((wanted.handler.as_ref(), now.0, places + self.running.len()), |row| {
                claimed(row, &wanted.handler)
            })?
            .filter(|job| job.as_ref().map_or(true, |job| !is_running(job)))
            .take(places)
            .collect()
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

impl Finished {
    /// Whether the job was still this attempt's. The ledger's row is completed either way.
    fn write(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let is_ours = move_job(connection, self.job, &self.outcome, self.finished_at)?;
        let ending = if is_ours { self.ending } else { Ending::Skipped };
        if is_ours && proves_that_hookbox_survives(ending) {
            connection.prepare_cached("UPDATE jobs SET lost = 0 WHERE id = ?1 AND lost > 0")?.execute([self.job.id])?;
        }
        connection
            .prepare_cached(
                "UPDATE attempts SET started_at = ?3, finished_at = ?4, ending = ?5, exit_code = ?6, signal = ?7,
                        stdout = ?8, stdout_bytes = ?9, stderr = ?10, stderr_bytes = ?11, note = ?12
                 WHERE job_id = ?1 AND number = ?2 AND ending IS NULL",
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
            ])?;
        self.forget_old_output(connection)?;
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

const DUE: &str = "
    SELECT j.id, j.attempt + 1, j.event_seq, j.failures, j.deferrals, j.replays, j.lost,
           e.source, e.event_id, e.type, e.received_at
    FROM jobs j JOIN events e ON e.seq = j.event_seq
    WHERE j.handler = ?1 AND j.state = 'pending' AND j.lost = 0 AND j.run_at <= ?2
    ORDER BY j.run_at, j.id LIMIT ?3";

const DUE_SUSPECT: &str = "
    SELECT j.id, j.attempt + 1, j.event_seq, j.failures, j.deferrals, j.replays, j.lost,
           e.source, e.event_id, e.type, e.received_at
    FROM jobs j JOIN events e ON e.seq = j.event_seq
    WHERE j.handler = ?1 AND j.state = 'pending' AND j.lost > 0 AND j.run_at <= ?2
    ORDER BY j.run_at, j.id LIMIT ?3";

/// An attempt that hookbox was alive to see the end of, by the handler's own doing.
fn proves_that_hookbox_survives(ending: Ending) -> bool {
    match ending {
        Ending::Succeeded | Ending::Failed | Ending::Timeout | Ending::Dead | Ending::Deferred => true,
        Ending::Broken | Ending::Starved | Ending::Stopped | Ending::Lost | Ending::Skipped => false,
    }
}

/// Moves a running job on. `false`: it was no longer this attempt's, and nothing changed.
pub(super) fn move_job(connection: &Connection, job: JobRef, outcome: &Outcome, now: Millis) -> rusqlite::Result<bool> {
    let (state, reason, run_at, counters) = match outcome {
        Outcome::Succeeded => ("succeeded", None, None, None),
        Outcome::Again { at, counters, reason } => ("pending", Some(reason), Some(at.0), Some(counters)),
        Outcome::Dead { counters, reason } => ("dead", Some(reason), None, Some(counters)),
        Outcome::Skipped => return Ok(false),
    };
    let finished_at = run_at.is_none().then_some(now.0);
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET state = ?3, reason = ?4, run_at = coalesce(?5, run_at), finished_at = ?6,
                    failures = coalesce(?7, failures), deferrals = coalesce(?8, deferrals)
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
        ))?;
    Ok(changed == 1)
}

fn start(connection: &Connection, job: &Claimed, now: Millis) -> rusqlite::Result<()> {
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

fn claimed(row: &Row<'_>, handler: &Arc<str>) -> rusqlite::Result<Claimed> {
    Ok(Claimed {
        job: JobRef { id: row.get(0)?, attempt: row.get(1)? },
        handler: handler.clone(),
        event_seq: row.get(2)?,
        counters: Counters { failures: row.get(3)?, deferrals: row.get(4)? },
        replays: row.get(5)?,
        is_suspect: row.get::<_, u32>(6)? > 0,
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
               SELECT min(run_at) AS run_at FROM jobs WHERE handler = ?1 AND state = 'pending' AND lost = 0 AND run_at > ?2
               UNION ALL
               SELECT min(run_at) FROM jobs WHERE handler = ?1 AND state = 'pending' AND lost > 0 AND run_at > ?2)",
        )?
        .query_row((handler, now.0), |row| row.get(0))?;
    Ok(next.map(Millis))
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
        .query_map([], |row| {
            Ok(HandlerState {
                name: row.get::<_, String>(0)?.into(),
                paused_by: row.get(1)?,
                reason: row.get(2)?,
                paused_at: row.get::<_, Option<i64>>(3)?.map(Millis),
                probes: row.get(4)?,
                probe_at: row.get::<_, Option<i64>>(5)?.map(Millis),
            })
        })?
        .collect()
}
