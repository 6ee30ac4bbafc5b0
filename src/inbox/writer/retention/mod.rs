//! Deletes what has expired, a few rows at a time: payloads and output, events (their ids stay), then the ids.
//!
//! Events with an open job are kept, however old. A pass follows the primary keys from the oldest row and stops at rows
//! that are all too young. The caller decides when to take the next step.

pub(in crate::inbox) mod upkeep;

use rusqlite::{Connection, Result, params};

use crate::config::Retention;
use crate::inbox::ordering;
use crate::inbox::schema::OPEN;
use crate::support::time::{HOUR_MS, Millis};

/// Events or payloads checked in one step.
pub(super) const CHUNK: usize = 32;
const IDS_IN_CHUNK: usize = 8 * CHUNK;
/// Hourly counts are kept at least this long, because they are displayed.
const MIN_COUNTS_AGE: i64 = 48 * HOUR_MS;

/// What was last active before these times has expired.
#[derive(Debug, Clone, Copy)]
pub(in crate::inbox) struct Cutoffs {
    payloads: Millis,
    events: Millis,
    ids: Millis,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Events with their jobs and attempts.
    pub events: usize,
    /// Payloads and output of events that are kept.
    pub payloads: usize,
    /// Dead jobs among both. They cannot be retried any more.
    pub dead: usize,
    /// Ids of events deleted before.
    pub keys: usize,
}

/// How far a pass has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::inbox) enum RetentionCursor {
    #[default]
    Start,
    /// Events up to this `seq` are done.
    Events(i64),
    Payloads(i64),
    /// Ids up to this source and event id are done.
    Ids(String, String),
    HourlyCounts,
    End,
}

/// An event that is checked.
struct Candidate {
    seq: i64,
    received_at: i64,
    /// When its last job finished; when it was received, if it has none.
    last_active_at: i64,
    has_open_job: bool,
    dead: usize,
}

impl Cutoffs {
    pub(in crate::inbox) fn new(keep: &Retention, now: Millis) -> Self {
        let before = |span: std::time::Duration| {
            Millis(now.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
        };
        Self { payloads: before(keep.payloads), events: before(keep.events), ids: before(keep.keys) }
    }
}

impl Candidate {
    fn has_expired(&self, cutoff: Millis) -> bool {
        !self.has_open_job && self.last_active_at < cutoff.0
    }
}

impl Pruned {
    pub(in crate::inbox) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.payloads += other.payloads;
        self.dead += other.dead;
        self.keys += other.keys;
    }
}

/// Checks the next rows, deletes the expired ones unless it `is_dry_run`, and advances the cursor.
pub(in crate::inbox) fn step(
    connection: &Connection,
    cutoffs: &Cutoffs,
    cursor: &mut RetentionCursor,
    is_dry_run: bool,
) -> Result<Pruned> {
    let (pruned, next) = match std::mem::take(cursor) {
        RetentionCursor::Start => expire_events(connection, cutoffs, i64::MIN, is_dry_run)?,
        RetentionCursor::Events(after) => expire_events(connection, cutoffs, after, is_dry_run)?,
        RetentionCursor::Payloads(after) => expire_payloads(connection, cutoffs, after, is_dry_run)?,
        RetentionCursor::Ids(source, id) => expire_ids(connection, cutoffs, (&source, &id), is_dry_run)?,
        RetentionCursor::HourlyCounts => {
            if !is_dry_run {
                let before = cutoffs.ids.0.min(Millis::now().0 - MIN_COUNTS_AGE);
                connection.prepare_cached("DELETE FROM hourly_counts WHERE hour < ?")?.execute([before])?;
            }
            (Pruned::default(), RetentionCursor::End)
        }
        RetentionCursor::End => (Pruned::default(), RetentionCursor::End),
    };
    *cursor = next;
    Ok(pruned)
}

fn expire_events(
    connection: &Connection,
    cutoffs: &Cutoffs,
    after: i64,
    is_dry_run: bool,
) -> Result<(Pruned, RetentionCursor)> {
    let candidates = candidates(connection, "events e", after)?;
    let mut pruned = Pruned::default();
    for event in candidates.iter().filter(|event| event.has_expired(cutoffs.events)) {
        if !is_dry_run {
            delete_event(connection, event.seq)?;
        }
        pruned.events += 1;
        pruned.dead += event.dead;
    }
    let next = next_after(&candidates, cutoffs.events);
    Ok((pruned, next.map_or(RetentionCursor::Payloads(i64::MIN), RetentionCursor::Events)))
}

/// Deletes an event and keeps its id.
fn delete_event(connection: &Connection, seq: i64) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO seen_ids (source, event_id, received_at, deliveries, body_sha256)
             SELECT source, event_id, received_at, deliveries, body_sha256 FROM events WHERE seq = ?
             ON CONFLICT DO NOTHING",
        )?
        .execute([seq])?;
    ordering::keep_undecided(connection, seq)?;
    connection.prepare_cached("DELETE FROM events WHERE seq = ?")?.execute([seq]).map(drop)
}

fn expire_payloads(
    connection: &Connection,
    cutoffs: &Cutoffs,
    after: i64,
    is_dry_run: bool,
) -> Result<(Pruned, RetentionCursor)> {
    let candidates = candidates(connection, "payloads p CROSS JOIN events e ON e.seq = p.event_seq", after)?;
    let mut pruned = Pruned::default();
    for event in candidates.iter().filter(|event| event.has_expired(cutoffs.payloads)) {
        // A dry run has counted it as an event.
        if is_dry_run && event.last_active_at < cutoffs.events.0 {
            continue;
        }
        if !is_dry_run {
            drop_payload(connection, event.seq)?;
        }
        pruned.payloads += 1;
        pruned.dead += event.dead;
    }
    let next = next_after(&candidates, cutoffs.payloads);
    Ok((pruned, next.map_or(RetentionCursor::Ids(String::new(), String::new()), RetentionCursor::Payloads)))
}

fn drop_payload(connection: &Connection, seq: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM payloads WHERE event_seq = ?")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM replies WHERE event_seq = ?")?.execute([seq])?;
    connection
        .prepare_cached(
            "UPDATE attempts SET stdout = NULL, stderr = NULL
             WHERE job_id IN (SELECT id FROM jobs WHERE event_seq = ?)
               AND (stdout IS NOT NULL OR stderr IS NOT NULL)",
        )?
        .execute([seq])
        .map(drop)
}

fn expire_ids(
    connection: &Connection,
    cutoffs: &Cutoffs,
    after: (&str, &str),
    is_dry_run: bool,
) -> Result<(Pruned, RetentionCursor)> {
    let candidates = connection
        .prepare_cached(
            "SELECT source, event_id, received_at, body_sha256 FROM seen_ids WHERE (source, event_id) > (?, ?)
             ORDER BY source, event_id LIMIT ?",
        )?
        .query_map(params![after.0, after.1, IDS_IN_CHUNK], |row| row.try_into())?
        .collect::<Result<Vec<(String, String, i64, Vec<u8>)>>>()?;
    let mut pruned = Pruned::default();
    for (source, event_id, received_at, body_sha256) in &candidates {
        if *received_at >= cutoffs.ids.0 {
            continue;
        }
        pruned.keys += 1;
        if is_dry_run {
            continue;
        }
        connection
            .prepare_cached("DELETE FROM seen_bodies WHERE source = ? AND body_sha256 = ? AND event_id = ?")?
            .execute(params![source, body_sha256, event_id])?;
        connection
            .prepare_cached("DELETE FROM seen_ids WHERE source = ? AND event_id = ?")?
            .execute([source, event_id])?;
    }
    let is_over = candidates.len() < IDS_IN_CHUNK;
    let last = candidates.into_iter().next_back().filter(|_| !is_over);
    let next = match last {
        Some((source, event_id, ..)) => RetentionCursor::Ids(source, event_id),
        None => RetentionCursor::HourlyCounts,
    };
    Ok((pruned, next))
}

/// Returns the `seq` to continue after; `None` if there are no more rows, or all of these are too young.
fn next_after(candidates: &[Candidate], cutoff: Millis) -> Option<i64> {
    let is_young = |event: &Candidate| event.received_at >= cutoff.0;
    candidates.last().filter(|_| candidates.len() == CHUNK && !candidates.iter().all(is_young)).map(|event| event.seq)
}

fn candidates(connection: &Connection, from: &str, after: i64) -> Result<Vec<Candidate>> {
    let key = if from.starts_with("events") { "e.seq" } else { "p.event_seq" };
    let sql = format!(
        "SELECT e.seq, e.received_at,
                coalesce((SELECT max(j.finished_at) FROM jobs j WHERE j.event_seq = e.seq), e.received_at),
                EXISTS (SELECT 1 FROM jobs WHERE event_seq = e.seq AND {OPEN}),
                (SELECT count(*) FROM jobs j WHERE j.event_seq = e.seq AND j.state = 'dead')
         FROM {from} WHERE {key} > ? ORDER BY {key} LIMIT ?"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params![after, CHUNK], |row| {
            Ok(Candidate {
                seq: row.get(0)?,
                received_at: row.get(1)?,
                last_active_at: row.get(2)?,
                has_open_job: row.get(3)?,
                dead: row.get(4)?,
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests;
