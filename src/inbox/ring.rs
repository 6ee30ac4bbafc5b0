//! Deliveries that were turned away, in memory until a commit carries them into `hourly_counts` and `refusals`.
//!
//! Every one is counted. Ten a second of each source are kept as rows, as long as there is room here: whoever sends
//! more fills neither memory nor disk, and holds up nobody. Rows ride along with commits that happen anyway, a few at
//! a time, or go out on the tick; those of a commit that failed are given up, the counts are not.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::model::refusal::RefusedDelivery;
use crate::support::locks;

/// Rows in `refusals`.
const ROWS: i64 = 1_000;
/// Rows of one source in one span.
const PACE: (u32, Duration) = (10, Duration::from_secs(1));
/// Rows, and bytes in them, that wait for a commit.
const WAITING: (usize, usize) = (128, 4 << 20);
/// Likewise in one commit.
const IN_ONE_COMMIT: (usize, usize) = (16, 1 << 20);

/// What has been turned away and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    counted: HashMap<Arc<str>, u64>,
    rows: VecDeque<RefusedDelivery>,
    bytes: usize,
    paces: HashMap<Arc<str>, (Instant, u32)>,
}

/// What one commit carries.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) counted: HashMap<Arc<str>, u64>,
    rows: Vec<RefusedDelivery>,
}

impl Ring {
    /// Counts one. Tells whether a row of it is wanted.
    pub(super) fn count(&self, source: &Arc<str>, now: Instant) -> bool {
        let mut waiting = self.lock();
        *waiting.counted.entry(source.clone()).or_default() += 1;
        let has_room = waiting.rows.len() < WAITING.0 && waiting.bytes < WAITING.1;
        let (since, kept) = waiting.paces.entry(source.clone()).or_insert((now, 0));
        if now.duration_since(*since) >= PACE.1 {
            (*since, *kept) = (now, 0);
        }
        let is_wanted = has_room && *kept < PACE.0;
        *kept += u32::from(is_wanted);
        is_wanted
    }

    /// A row that was wanted.
    pub(super) fn push(&self, refused: RefusedDelivery) {
        let mut waiting = self.lock();
        waiting.bytes += bytes(&refused);
        waiting.rows.push_back(refused);
    }

    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.counted.is_empty() && waiting.rows.is_empty()
    }

    /// What the next commit carries; [`Ring::give_back`] returns its counts when it failed.
    pub(super) fn take(&self) -> Taken {
        let mut waiting = self.lock();
        let mut taken = Taken { counted: std::mem::take(&mut waiting.counted), rows: Vec::new() };
        let mut taken_bytes = 0;
        while taken.rows.len() < IN_ONE_COMMIT.0 && taken_bytes < IN_ONE_COMMIT.1 {
            let Some(refused) = waiting.rows.pop_front() else { break };
            taken_bytes += bytes(&refused);
            taken.rows.push(refused);
        }
        waiting.bytes -= taken_bytes;
        taken
    }

    pub(super) fn give_back(&self, taken: Taken) {
        let mut waiting = self.lock();
        for (source, count) in taken.counted {
            *waiting.counted.entry(source).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        locks::lock(&self.0)
    }
}

impl Taken {
    /// Writes the rows within the caller's transaction, and lets the oldest go. No row can fail the transaction by
    /// itself: it carries deliveries that wait for their answer.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for refused in &self.rows {
            match insert(connection, refused) {
                Err(error) if concerns_the_row(&error) => log::warn!("a refusal could not be kept: {error}"),
                inserted => inserted?,
            }
        }
        Ok(())
    }
}

fn insert(connection: &Connection, refused: &RefusedDelivery) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO refusals
           (source, received_at, status, reason, remote, method, target, headers, tokens, body, body_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    insert.execute(rusqlite::params![
        refused.source,
        refused.received_at.0,
        refused.status,
        refused.reason,
        refused.remote,
        refused.method,
        refused.target,
        refused.headers,
        refused.tokens,
        refused.body,
        refused.body_bytes,
    ])?;
    let newest = connection.last_insert_rowid();
    connection.prepare_cached("DELETE FROM refusals WHERE id <= ?")?.execute([newest - ROWS]).map(drop)
}

fn concerns_the_row(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig) | None)
}

fn bytes(refused: &RefusedDelivery) -> usize {
    refused.body.len() + refused.headers.len() + refused.target.len() + refused.reason.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;
    use crate::support::time::Millis;

    fn refused(body: usize) -> RefusedDelivery {
        RefusedDelivery {
            source: "s".into(),
            received_at: Millis(1),
            status: 401,
            reason: "not genuine".into(),
            remote: None,
            method: "POST".into(),
            target: "/".into(),
            headers: "{}".into(),
            tokens: "{}".into(),
            body: vec![b'x'; body],
            body_bytes: body as u64,
        }
    }

    #[test]
    fn ten_a_second_of_each_source_are_kept_and_all_are_counted() {
        let (ring, now) = (Ring::default(), Instant::now());
        let [one, other]: [Arc<str>; 2] = ["one".into(), "other".into()];
        let kept = |source: &Arc<str>, at| (0..100).filter(|_| ring.count(source, at)).count();
        assert_eq!((kept(&one, now), kept(&other, now)), (10, 10));
        assert_eq!(kept(&one, now + PACE.1 - Duration::from_millis(1)), 0);
        assert_eq!(kept(&one, now + PACE.1), 10);
        assert_eq!(ring.take().counted[&one], 300);
    }

    #[test]
    fn what_waits_is_bounded_in_rows_and_bytes_and_goes_out_bit_by_bit() {
        for (body, most, at_once) in [(1, WAITING.0, IN_ONE_COMMIT.0), (64 << 10, 64, 16)] {
            let ring = Ring::default();
            let sources: Vec<Arc<str>> = (0..50).map(|number| number.to_string().into()).collect();
            let mut pushed = 0;
            for source in sources.iter().cycle().take(500).filter(|source| ring.count(source, Instant::now())) {
                ring.push(RefusedDelivery { source: source.to_string(), ..refused(body) });
                pushed += 1;
            }
            assert_eq!(pushed, most, "of {body} bytes");
            assert_eq!(ring.take().rows.len(), at_once);
            while !ring.is_empty() {
                ring.take();
            }
            assert_eq!(ring.lock().bytes, 0);
        }
    }

    #[test]
    fn the_newest_thousand_rows_stay() {
        let sample = Sample::new();
        let taken = Taken { rows: vec![refused(3); 1_005], ..Taken::default() };
        taken.write(&sample.connection).unwrap();
        assert_eq!(sample.line("SELECT count(*), min(id), max(id), sum(body_bytes) FROM refusals"), "1000|6|1005|3000");
    }

    #[test]
    fn a_row_that_cannot_be_written_takes_nothing_else_with_it() {
        let sample = Sample::new();
        let bad = RefusedDelivery { headers: "no json".into(), ..refused(1) };
        sample.run("BEGIN IMMEDIATE");
        Taken { rows: vec![refused(1), bad, refused(2)], ..Taken::default() }.write(&sample.connection).unwrap();
        sample.run("COMMIT");
        assert_eq!(sample.line("SELECT count(*), sum(body_bytes) FROM refusals"), "2|3");
    }

    #[test]
    fn counts_of_a_failed_commit_come_back_and_rows_do_not() {
        let ring = Ring::default();
        let source: Arc<str> = "s".into();
        assert!(ring.count(&source, Instant::now()));
        ring.push(refused(1));
        ring.give_back(ring.take());
        let again = ring.take();
        assert_eq!((again.counted[&source], again.rows.len()), (1, 0));
    }
}
