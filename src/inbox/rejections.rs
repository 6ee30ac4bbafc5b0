//! Rejected deliveries, in memory until a commit writes them to `hourly_counts` and `refusals`.
//!
//! All are counted; ten per second and source are stored, as long as the buffer has room. So a flood fills neither memory
//! nor disk. Rows are written a few at a time with other commits, or soon after they arrive. If a commit fails, its rows
//! are dropped and its counts are kept. Requests to paths without a source are not counted and have limits that keep
//! scanners from displacing the refusals of sources.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Result};

use crate::metrics::NO_SOURCE;
use crate::model::refusal::RefusedDelivery;
use crate::support::locks;
use crate::support::time::{HOUR_MS, Millis};

/// Rows kept in `refusals` of all sources, and of paths without a source.
const MAX_ROWS: i64 = 1_000;
const MAX_UNKNOWN_ROWS: i64 = 100;
/// Rows stored per source in each period.
const ROWS_PER_PERIOD: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);
/// The same for all paths without a source together, and how many of them the buffer contains at most.
const UNKNOWN_ROWS_PER_PERIOD: u32 = 3;
const BUFFER_UNKNOWN_ROWS: usize = 16;
/// Rows in the buffer, and the bytes in them.
const BUFFER_ROWS: usize = 128;
const BUFFER_BYTES: usize = 4 << 20;
/// Rows in one commit, and the bytes in them.
const BATCH_ROWS: usize = 16;
const BATCH_BYTES: usize = 1 << 20;

/// Rejected deliveries that are not written yet.
#[derive(Debug, Default)]
pub(super) struct RejectionBuffer(Mutex<Buffered>);

#[derive(Debug, Default)]
struct Buffered {
    counts: HashMap<Arc<str>, u64>,
    rows: VecDeque<RefusedDelivery>,
    bytes: usize,
    /// For each source, when its period began and how many rows were stored in it.
    periods: HashMap<Arc<str>, (Instant, u32)>,
    /// The same for paths without a source.
    unknown_period: Option<(Instant, u32)>,
}

/// The part of the buffer that one commit writes.
#[derive(Debug, Default)]
pub(super) struct RejectionBatch {
    counts: HashMap<Arc<str>, u64>,
    rows: Vec<RefusedDelivery>,
}

impl RejectionBuffer {
    /// Counts a rejected delivery. Returns whether to store it with [`RejectionBuffer::push`].
    pub(super) fn count(&self, source: &Arc<str>, now: Instant) -> bool {
        let mut buffered = self.lock();
        *buffered.counts.entry(source.clone()).or_default() += 1;
        let has_room = buffered.rows.len() < BUFFER_ROWS && buffered.bytes < BUFFER_BYTES;
        let period = buffered.periods.entry(source.clone()).or_insert((now, 0));
        take_one(period, has_room, ROWS_PER_PERIOD, now)
    }

    /// Returns whether to store a request to a path without a source.
    pub(super) fn admits_unknown(&self, now: Instant) -> bool {
        let mut buffered = self.lock();
        let unknown = buffered.rows.iter().filter(|row| row.source == NO_SOURCE).count();
        let has_room = unknown < BUFFER_UNKNOWN_ROWS && buffered.rows.len() < BUFFER_ROWS / 2;
        take_one(buffered.unknown_period.get_or_insert((now, 0)), has_room, UNKNOWN_ROWS_PER_PERIOD, now)
    }

    pub(super) fn push(&self, refused: RefusedDelivery) {
        let mut buffered = self.lock();
        buffered.bytes += bytes(&refused);
        buffered.rows.push_back(refused);
    }

    pub(super) fn has_rows(&self) -> bool {
        !self.lock().rows.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        let buffered = self.lock();
        buffered.counts.is_empty() && buffered.rows.is_empty()
    }

    /// Takes what the next commit writes. If that fails, [`RejectionBuffer::restore`] returns the counts.
    pub(super) fn take(&self) -> RejectionBatch {
        let mut buffered = self.lock();
        let mut batch = RejectionBatch { counts: std::mem::take(&mut buffered.counts), rows: Vec::new() };
        let mut taken = 0;
        while batch.rows.len() < BATCH_ROWS && taken < BATCH_BYTES {
            let Some(refused) = buffered.rows.pop_front() else { break };
            taken += bytes(&refused);
            batch.rows.push(refused);
        }
        buffered.bytes -= taken;
        batch
    }

    pub(super) fn restore(&self, batch: RejectionBatch) {
        let mut buffered = self.lock();
        for (source, count) in batch.counts {
            *buffered.counts.entry(source).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buffered> {
        locks::lock(&self.0)
    }
}

impl RejectionBatch {
    /// Writes the rows within the caller's transaction and deletes the oldest. A row that cannot be written is dropped,
    /// since the transaction also holds deliveries that wait for their response.
    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        for refused in &self.rows {
            match insert(connection, refused) {
                Err(error) if is_about_the_row(&error) => {
                    log::warn!("a rejected delivery could not be stored: {error}")
                }
                inserted => inserted?,
            }
        }
        if !self.rows.is_empty() {
            delete_oldest(connection)?;
        }
        Ok(())
    }
}

/// Counts one row against the limit of the current period, if there is room for it.
fn take_one(period: &mut (Instant, u32), has_room: bool, limit: u32, now: Instant) -> bool {
    let (since, stored) = period;
    if now.duration_since(*since) >= PERIOD {
        (*since, *stored) = (now, 0);
    }
    let is_stored = has_room && *stored < limit;
    *stored += u32::from(is_stored);
    is_stored
}

fn delete_oldest(connection: &Connection) -> Result<()> {
    for (condition, max) in [("<>", MAX_ROWS), ("=", MAX_UNKNOWN_ROWS)] {
        let sql = format!(
            "DELETE FROM refusals WHERE source {condition} ?1 AND id <=
               (SELECT id FROM refusals WHERE source {condition} ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
        );
        connection.prepare_cached(&sql)?.execute((NO_SOURCE, max))?;
    }
    Ok(())
}

fn insert(connection: &Connection, refused: &RefusedDelivery) -> Result<()> {
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
    Ok(())
}

fn is_about_the_row(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig) | None)
}

fn bytes(refused: &RefusedDelivery) -> usize {
    refused.body.len() + refused.headers.len() + refused.target.len() + refused.reason.len()
}

/// What one transaction adds to `hourly_counts`: accepted, duplicate and rejected per source and hour.
#[derive(Debug, Default)]
pub(super) struct HourlyTotals(HashMap<(Arc<str>, i64), [u64; 3]>);

impl HourlyTotals {
    pub(super) fn add_delivery(&mut self, source: &Arc<str>, at: Millis, accepted: u32, duplicates: u32) {
        let counts = self.0.entry((source.clone(), hour_of(at))).or_default();
        counts[0] += u64::from(accepted);
        counts[1] += u64::from(duplicates);
    }

    pub(super) fn add_rejections(&mut self, batch: &RejectionBatch, at: Millis) {
        for (source, count) in &batch.counts {
            self.0.entry((source.clone(), hour_of(at))).or_default()[2] += count;
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO hourly_counts (source, hour, accepted, duplicate, refused) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (source, hour) DO UPDATE SET accepted = accepted + excluded.accepted,
               duplicate = duplicate + excluded.duplicate, refused = refused + excluded.refused",
        )?;
        for ((source, hour), [accepted, duplicates, refused]) in &self.0 {
            statement.execute((source.as_ref(), hour, accepted, duplicates, refused))?;
        }
        Ok(())
    }
}

fn hour_of(at: Millis) -> i64 {
    at.0.div_euclid(HOUR_MS) * HOUR_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

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
    fn ten_per_second_and_source_are_stored_and_all_counted() {
        let (buffer, now) = (RejectionBuffer::default(), Instant::now());
        let [one, other]: [Arc<str>; 2] = ["one".into(), "other".into()];
        let stored = |source: &Arc<str>, at| (0..100).filter(|_| buffer.count(source, at)).count();
        assert_eq!((stored(&one, now), stored(&other, now)), (10, 10));
        assert_eq!(stored(&one, now + PERIOD - Duration::from_millis(1)), 0);
        assert_eq!(stored(&one, now + PERIOD), 10);
        assert_eq!(buffer.take().counts[&one], 300);
    }

    #[test]
    fn buffer_is_bounded_in_rows_and_bytes_and_written_in_batches() {
        for (body, max, batch) in [(1, BUFFER_ROWS, BATCH_ROWS), (64 << 10, 64, 16)] {
            let buffer = RejectionBuffer::default();
            let sources: Vec<Arc<str>> = (0..50).map(|number| number.to_string().into()).collect();
            let mut pushed = 0;
            for source in sources.iter().cycle().take(500).filter(|source| buffer.count(source, Instant::now())) {
                buffer.push(RefusedDelivery { source: source.to_string(), ..refused(body) });
                pushed += 1;
            }
            assert_eq!(pushed, max, "of {body} bytes");
            assert_eq!(buffer.take().rows.len(), batch);
            while !buffer.is_empty() {
                buffer.take();
            }
            assert_eq!(buffer.lock().bytes, 0);
        }
    }

    #[test]
    fn newest_thousand_rows_are_kept() {
        let sample = Sample::new();
        let batch = RejectionBatch { rows: vec![refused(3); 1_005], ..RejectionBatch::default() };
        batch.write(&sample.connection).unwrap();
        assert_eq!(sample.line("SELECT count(*), min(id), max(id), sum(body_bytes) FROM refusals"), "1000|6|1005|3000");
    }

    #[test]
    fn paths_without_a_source_displace_no_refusal_of_a_source() {
        let (buffer, now) = (RejectionBuffer::default(), Instant::now());
        assert_eq!((0..100).filter(|_| buffer.admits_unknown(now)).count(), 3);
        assert_eq!((0..100).filter(|_| buffer.admits_unknown(now + PERIOD)).count(), 3);
        assert!(buffer.take().counts.is_empty());
        let sample = Sample::new();
        let unknown = RefusedDelivery { source: NO_SOURCE.to_owned(), ..refused(0) };
        for rows in [vec![refused(1); 20], vec![unknown; 2_000]] {
            RejectionBatch { rows, ..RejectionBatch::default() }.write(&sample.connection).unwrap();
        }
        let counts = "SELECT count(*), sum(source = 's'), max(id) FROM refusals";
        assert_eq!(sample.line(counts), "120|20|2020");
    }

    #[test]
    fn bad_row_does_not_fail_the_others() {
        let sample = Sample::new();
        let bad = RefusedDelivery { headers: "no json".into(), ..refused(1) };
        sample.run("BEGIN IMMEDIATE");
        RejectionBatch { rows: vec![refused(1), bad, refused(2)], ..RejectionBatch::default() }
            .write(&sample.connection)
            .unwrap();
        sample.run("COMMIT");
        assert_eq!(sample.line("SELECT count(*), sum(body_bytes) FROM refusals"), "2|3");
    }

    #[test]
    fn counts_of_a_failed_commit_are_restored_and_rows_dropped() {
        let buffer = RejectionBuffer::default();
        let source: Arc<str> = "s".into();
        assert!(buffer.count(&source, Instant::now()));
        buffer.push(refused(1));
        buffer.restore(buffer.take());
        let batch = buffer.take();
        assert_eq!((batch.counts[&source], batch.rows.len()), (1, 0));
    }
}
