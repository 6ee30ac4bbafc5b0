//! What is too old is forgotten, a few rows at a time: events become keys, bodies and output go, then the keys.
//!
//! A connection in a transaction, instants and a place to go on from come in; how much was forgotten goes out. What has
//! a job that may still run stays whole, however old. Each pass goes by primary keys, from the oldest row on, and ends
//! where everything is young; when steps are taken is for the caller to say.

use rusqlite::{Connection, Result, params};

use super::sequence;
use crate::config::Retention;
use crate::support::time::Millis;

/// Rows looked at in one go.
pub(super) const CHUNK: usize = 32;
/// Counts of deliveries that people are shown stay, however short keys are kept: two days.
const SHOWN_HOURS: i64 = 48 * 3_600_000;
const KEYS_IN_CHUNK: usize = 8 * CHUNK;

/// What was last alive before these is forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    payloads: Millis,
    events: Millis,
    keys: Millis,
}

/// How much was forgotten, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Events, with their jobs and attempts.
    pub events: usize,
    /// Bodies and headers of events that stay, and what their handlers printed.
    pub payloads: usize,
    /// Dead jobs among both, which can no longer be run again.
    pub dead: usize,
    /// Keys of events that had gone before.
    pub keys: usize,
}

/// Where a pass stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first event.
    #[default]
    Start,
    Events(i64),
    Payloads(i64),
    Keys(String, String),
    Hours,
    /// Everything has been looked at.
    End,
}

/// An event that is looked at.
struct Aged {
    seq: i64,
    received_at: i64,
    /// When its last job ended; when it came, without any.
    ended_at: i64,
    is_open: bool,
    dead: usize,
}

impl Ages {
    /// What `keep` means now.
    pub(super) fn new(keep: &Retention, now: Millis) -> Self {
        let before = |span: std::time::Duration| {
            Millis(now.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
        };
        Self { payloads: before(keep.payloads), events: before(keep.events), keys: before(keep.keys) }
    }
}

impl Pruned {
    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.payloads += other.payloads;
        self.dead += other.dead;
        self.keys += other.keys;
    }
}

/// Looks at the next few rows, forgets those that are too old unless it `is_dry`, and moves the place on.
pub(super) fn step(connection: &Connection, ages: &Ages, place: &mut Place, is_dry: bool) -> Result<Pruned> {
    let (pruned, next) = match std::mem::take(place) {
        Place::Start => events(connection, ages, i64::MIN, is_dry)?,
        Place::Events(after) => events(connection, ages, after, is_dry)?,
        Place::Payloads(after) => payloads(connection, ages, after, is_dry)?,
        Place::Keys(source, event_id) => keys(connection, ages, (&source, &event_id), is_dry)?,
        Place::Hours => {
            if !is_dry {
                let before = ages.keys.0.min(Millis::now().0 - SHOWN_HOURS);
                connection.prepare_cached("DELETE FROM hourly_counts WHERE hour < ?")?.execute([before])?;
            }
            (Pruned::default(), Place::End)
        }
        Place::End => (Pruned::default(), Place::End),
    };
    *place = next;
    Ok(pruned)
}

fn events(connection: &Connection, ages: &Ages, after: i64, is_dry: bool) -> Result<(Pruned, Place)> {
    let looked_at = aged(connection, "events e", after)?;
    let mut pruned = Pruned::default();
    for event in looked_at.iter().filter(|event| !event.is_open && event.ended_at < ages.events.0) {
        if !is_dry {
            forget(connection, event.seq)?;
        }
        pruned.events += 1;
        pruned.dead += event.dead;
    }
    let next = next(&looked_at, ages.events).map_or(Place::Payloads(i64::MIN), Place::Events);
    Ok((pruned, next))
}

/// The event's key takes its place.
fn forget(connection: &Connection, seq: i64) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO seen_ids (source, event_id, received_at, deliveries, body_sha256)
             SELECT source, event_id, received_at, deliveries, body_sha256 FROM events WHERE seq = ?
             ON CONFLICT DO NOTHING",
        )?
        .execute([seq])?;
    sequence::pass_marks_on(connection, seq)?;
    connection.prepare_cached("DELETE FROM events WHERE seq = ?")?.execute([seq]).map(drop)
}

fn payloads(connection: &Connection, ages: &Ages, after: i64, is_dry: bool) -> Result<(Pruned, Place)> {
    let looked_at = aged(connection, "payloads p CROSS JOIN events e ON e.seq = p.event_seq", after)?;
    let mut pruned = Pruned::default();
    for event in looked_at.iter().filter(|event| !event.is_open && event.ended_at < ages.payloads.0) {
        // What goes whole is counted there.
        if is_dry && event.ended_at < ages.events.0 {
            continue;
        }
        if !is_dry {
            strip(connection, event.seq)?;
        }
        pruned.payloads += 1;
        pruned.dead += event.dead;
    }
    let next = next(&looked_at, ages.payloads).map_or(Place::Keys(String::new(), String::new()), Place::Payloads);
    Ok((pruned, next))
}

fn strip(connection: &Connection, seq: i64) -> Result<()> {
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

fn keys(connection: &Connection, ages: &Ages, after: (&str, &str), is_dry: bool) -> Result<(Pruned, Place)> {
    let looked_at = connection
        .prepare_cached(
            "SELECT source, event_id, received_at, body_sha256 FROM seen_ids WHERE (source, event_id) > (?, ?)
             ORDER BY source, event_id LIMIT ?",
        )?
        .query_map(params![after.0, after.1, KEYS_IN_CHUNK], |row| row.try_into())?
        .collect::<Result<Vec<(String, String, i64, Vec<u8>)>>>()?;
    let mut pruned = Pruned::default();
    for (source, event_id, received_at, body_sha256) in &looked_at {
        if *received_at >= ages.keys.0 {
            continue;
        }
        pruned.keys += 1;
        if is_dry {
            continue;
        }
        connection
            .prepare_cached("DELETE FROM seen_bodies WHERE source = ? AND body_sha256 = ? AND event_id = ?")?
            .execute(params![source, body_sha256, event_id])?;
        connection
            .prepare_cached("DELETE FROM seen_ids WHERE source = ? AND event_id = ?")?
            .execute([source, event_id])?;
    }
    let is_over = looked_at.len() < KEYS_IN_CHUNK;
    let last = looked_at.into_iter().next_back().filter(|_| !is_over);
    Ok((pruned, last.map_or(Place::Hours, |(source, event_id, ..)| Place::Keys(source, event_id))))
}

/// Where to go on; nowhere when there are no more rows, or all of these came too late: the others came later.
fn next(looked_at: &[Aged], before: Millis) -> Option<i64> {
    let is_young = |event: &Aged| event.received_at >= before.0;
    looked_at.last().filter(|_| looked_at.len() == CHUNK && !looked_at.iter().all(is_young)).map(|event| event.seq)
}

fn aged(connection: &Connection, from: &str, after: i64) -> Result<Vec<Aged>> {
    let key = if from.starts_with("events") { "e.seq" } else { "p.event_seq" };
    let sql = format!(
        "SELECT e.seq, e.received_at,
                coalesce((SELECT max(j.finished_at) FROM jobs j WHERE j.event_seq = e.seq), e.received_at),
                EXISTS (SELECT 1 FROM jobs j WHERE j.event_seq = e.seq AND j.state IN ('pending', 'running')),
                (SELECT count(*) FROM jobs j WHERE j.event_seq = e.seq AND j.state = 'dead')
         FROM {from} WHERE {key} > ? ORDER BY {key} LIMIT ?"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params![after, CHUNK], |row| {
            Ok(Aged {
                seq: row.get(0)?,
                received_at: row.get(1)?,
                ended_at: row.get(2)?,
                is_open: row.get(3)?,
                dead: row.get(4)?,
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests;
