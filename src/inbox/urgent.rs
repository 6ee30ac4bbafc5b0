//! Jobs for whose answer a provider waits: claimed before all others, and beside the workers.
//!
//! Which ones is the board's to say; how many, the turn's. What a handler claims here counts for its concurrency, not for
//! the places that all share.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::answers::Board;
use super::claim;
use super::turn::{Claimed, Turn, Turned};
use crate::support::time::Millis;

/// Not one that hookbox died under, which runs beside no other, nor one that waits for another of its value.
const AWAITED: &str = "
    SELECT j.id, j.attempt + 1, j.event_seq, j.failures, j.deferrals, j.replays, j.lost,
           e.source, e.event_id, e.type, e.received_at
    FROM jobs j JOIN events e ON e.seq = j.event_seq
    WHERE j.event_seq = ?3 AND j.handler = ?1 AND j.state = 'pending' AND j.lost = 0 AND j.blocked = 0
      AND j.run_at <= ?2";

pub(super) fn claim(
    turn: &Turn,
    connection: &Connection,
    now: Millis,
    board: &Board,
    turned: &mut Turned,
) -> rusqlite::Result<()> {
    for wanted in &turn.awaited {
        let mut left = wanted.slots;
        for event_seq in board.awaited(&wanted.handler) {
            if left == 0 {
                break;
            }
            let Some(job) = due(connection, &wanted.handler, event_seq, now)? else { continue };
            if turn.running.iter().any(|running| running.id == job.job.id) {
                continue;
            }
            claim::start(connection, &job, now)?;
            turned.claimed.push(job);
            left -= 1;
        }
    }
    Ok(())
}

fn due(connection: &Connection, handler: &Arc<str>, event_seq: i64, now: Millis) -> rusqlite::Result<Option<Claimed>> {
    let claimed = connection
        .prepare_cached(AWAITED)?
        .query_row((handler.as_ref(), now.0, event_seq), |row| claim::claimed(row, handler))
        .optional()?;
    Ok(claimed.map(|job| Claimed { is_apart: true, ..job }))
}
