//! Which job of a value comes first: jobs of one handler with the same `order_key` run one at a time.
//!
//! A job is *first* (`blocked = 0`) or waits for another (`blocked = 1`); only the first is ever due. Whatever moves a job of a
//! value (its ending, a person's hand, a newer one in a burst) marks it `blocked = 2`, and before anything is claimed the
//! values so marked are judged anew: by a look into indices, whatever their number. The unique index `jobs_one_per_key` keeps
//! two of a value from running at once. All of it is in the rows, so a restart changes nothing.

use rusqlite::{Connection, OptionalExtension};

use super::turn::JobRef;
use crate::config::OrderingMode;
use crate::routing::NewJob;
use crate::support::time::Millis;

/// Jobs that are judged in one transaction.
const STEP: usize = 2_000;

/// Jobs of one handler, and how they belong together.
pub(super) struct Judge<'a> {
    pub(super) connection: &'a Connection,
    pub(super) handler: &'a str,
    /// `None`: they do not, so whatever an older configuration held is let go.
    pub(super) sequence: Option<OrderingMode>,
    /// Attempts under way: one holds its value, even when a person has skipped its job.
    pub(super) running: &'a [JobRef],
}

/// A job to be judged.
struct Marked {
    id: i64,
    key: Option<String>,
    is_busy: bool,
}

/// What a value's pending job is, that comes first.
struct First {
    id: i64,
    run_at: i64,
    created_at: i64,
}

/// Makes a job. One of an ordered value has the highest `seq`, so that it waits for any other that is open; one beside
/// a marked one is judged with it, since an attempt of a job that a person has skipped may still be under way.
pub(super) fn make(connection: &Connection, event_seq: i64, draft: &NewJob, now: Millis) -> rusqlite::Result<()> {
    let insert =
        "INSERT INTO jobs (event_seq, handler, run_at, created_at, order_key, blocked) VALUES (?1, ?2, ?3, ?3, ?4,
                    CASE WHEN ?4 IS NULL THEN 0 WHEN ?5 THEN 2
                      WHEN EXISTS (SELECT 1 FROM jobs WHERE handler = ?2 AND order_key = ?4 AND order_key IS NOT NULL
                                   AND state IN ('pending', 'running')) THEN 1
                      WHEN EXISTS (SELECT 1 FROM jobs WHERE handler = ?2 AND blocked = 2 AND blocked > 0 AND order_key = ?4)
                      THEN 2 ELSE 0 END)";
    let NewJob { handler, order_key, is_burst } = draft;
    connection.prepare_cached(insert)?.execute((event_seq, handler.as_ref(), now.0, order_key, is_burst)).map(drop)
}

/// The job that has been claimed runs in place of all older ones of its value: they are skipped. How many they were.
pub(super) fn skip_older(connection: &Connection, id: i64, now: Millis) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = 'skipped', reason = 'coalesced', finished_at = ?2, blocked = 0
             FROM (SELECT handler, order_key, event_seq FROM jobs WHERE id = ?1) AS newest
             WHERE jobs.handler = newest.handler AND jobs.order_key = newest.order_key AND jobs.order_key IS NOT NULL
               AND jobs.state IN ('pending', 'running') AND jobs.state = 'pending' AND jobs.event_seq < newest.event_seq",
        )?
        .execute((id, now.0))
}

/// Before the jobs of an event go: a mark of theirs passes to a job of the same value, which would wait for ever else.
pub(super) fn pass_marks_on(connection: &Connection, event_seq: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE jobs SET blocked = 2 WHERE id IN (
               SELECT min(waiting.id) FROM jobs gone JOIN jobs waiting
                 ON waiting.handler = gone.handler AND waiting.order_key = gone.order_key
                    AND waiting.order_key IS NOT NULL AND waiting.state IN ('pending', 'running')
               WHERE gone.event_seq = ? AND gone.blocked = 2 AND waiting.blocked = 1 GROUP BY gone.id)",
        )?
        .execute([event_seq])
        .map(drop)
}

impl Judge<'_> {
    /// Judges what is marked. Whether there is more of it.
    pub(super) fn settle(&self) -> rusqlite::Result<bool> {
        let Some(sequence) = self.sequence else { return self.let_go() };
        let mut marked = self.marked()?;
        let is_full = marked.len() == STEP;
        if is_full {
            // The last value may have more jobs than were read, one of them under way: one stays marked for the next time.
            marked.pop();
        }
        let last = if is_full { marked.last().map(|job| job.key.clone()) } else { None };
        for jobs in marked.chunk_by(|one, other| one.key == other.key) {
            self.unmark(jobs)?;
            let Some(Some(key)) = jobs.first().map(|job| job.key.as_ref()) else { continue };
            let is_whole = last.as_ref().is_none_or(|last| last.as_ref() != Some(key));
            if is_whole && !jobs.iter().any(|job| job.is_busy) {
                self.choose(key, sequence)?;
            }
        }
        Ok(is_full)
    }

    fn marked(&self) -> rusqlite::Result<Vec<Marked>> {
        let sql = "SELECT id, order_key, state = 'running' FROM jobs WHERE handler = ?1 AND blocked = 2 AND blocked > 0
                   ORDER BY order_key LIMIT ?2";
        let read = |row: &rusqlite::Row<'_>| {
            let id = row.get(0)?;
            let is_busy = row.get(2)? || self.running.iter().any(|running| running.id == id);
            Ok(Marked { id, key: row.get(1)?, is_busy })
        };
        self.connection.prepare_cached(sql)?.query_map((self.handler, STEP), read)?.collect()
    }

    fn unmark(&self, jobs: &[Marked]) -> rusqlite::Result<()> {
        let sql =
            "UPDATE jobs SET blocked = CASE state WHEN 'pending' THEN order_key IS NOT NULL ELSE 0 END WHERE id = ?1";
        let mut unmark = self.connection.prepare_cached(sql)?;
        for job in jobs.iter().filter(|job| !job.is_busy) {
            unmark.execute([job.id])?;
        }
        Ok(())
    }

    /// Makes first of a value what is to be, while nothing of it is under way.
    fn choose(&self, key: &str, sequence: OrderingMode) -> rusqlite::Result<()> {
        let holder = self.holder(key)?;
        if holder.is_some_and(|(_, is_running)| is_running) {
            return Ok(());
        }
        let Some(first) = self.first(key, sequence)? else { return Ok(()) };
        if holder.is_some_and(|(id, _)| id == first.id) {
            return Ok(());
        }
        if let Some((id, _)) = holder {
            self.connection.prepare_cached("UPDATE jobs SET blocked = 1 WHERE id = ?1")?.execute([id])?;
        }
        let run_at = match sequence {
            // As it was made: neither a retry nor a person has given it a time of its own.
            OrderingMode::Coalesce { quiet, max } if first.run_at == first.created_at => {
                let oldest = self.oldest_of_burst(key)?.unwrap_or(first.created_at);
                Millis(first.created_at).after(quiet).min(Millis(oldest).after(max)).0
            }
            OrderingMode::InOrder | OrderingMode::Coalesce { .. } => first.run_at,
        };
        let sql = "UPDATE jobs SET blocked = 0, run_at = ?2 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute((first.id, run_at)).map(drop)
    }

    /// The job that is first as yet, and whether it runs.
    fn holder(&self, key: &str) -> rusqlite::Result<Option<(i64, bool)>> {
        let sql =
            "SELECT id, state = 'running' FROM jobs WHERE handler = ?1 AND order_key = ?2 AND order_key IS NOT NULL
                   AND blocked = 0 AND state IN ('pending', 'running')";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.connection.prepare_cached(sql)?.query_row((self.handler, key), read).optional()
    }

    /// The pending job that is to be first: the oldest, in a burst the newest.
    fn first(&self, key: &str, sequence: OrderingMode) -> rusqlite::Result<Option<First>> {
        let order = if sequence == OrderingMode::InOrder { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT id, run_at, created_at FROM jobs WHERE handler = ?1 AND order_key = ?2 AND order_key IS NOT NULL
             AND state IN ('pending', 'running') AND state = 'pending' ORDER BY event_seq {order} LIMIT 1"
        );
        let read =
            |row: &rusqlite::Row<'_>| Ok(First { id: row.get(0)?, run_at: row.get(1)?, created_at: row.get(2)? });
        self.connection.prepare_cached(&sql)?.query_row((self.handler, key), read).optional()
    }

    /// When the burst began: what has run before, and waits to be run again, is no part of it.
    fn oldest_of_burst(&self, key: &str) -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT created_at FROM jobs WHERE handler = ?1 AND order_key = ?2 AND order_key IS NOT NULL
                   AND state IN ('pending', 'running') AND state = 'pending' AND attempt = 0 ORDER BY event_seq LIMIT 1";
        self.connection.prepare_cached(sql)?.query_row((self.handler, key), |row| row.get(0)).optional()
    }

    /// Jobs that were made while their handler still had a rule.
    fn let_go(&self) -> rusqlite::Result<bool> {
        let sql = "UPDATE jobs SET blocked = 0, order_key = NULL WHERE id IN
                   (SELECT id FROM jobs WHERE handler = ?1 AND blocked > 0 LIMIT ?2)";
        Ok(self.connection.prepare_cached(sql)?.execute((self.handler, STEP))? == STEP)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::inbox::answers::Board;
    use crate::inbox::{Turn, Wanted, file};

    /// 100,000 pending jobs of one handler under 50,000 values.
    fn crowd() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(file::SCHEMA).unwrap();
        let fill = "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
             INSERT INTO events (seq, source, event_id, type, received_at, body_bytes, body_sha256)
             SELECT n, 's', n, 't', n, 0, zeroblob(32) FROM n;
             INSERT INTO jobs (event_seq, handler, run_at, created_at, order_key, blocked)
             SELECT seq, 'h', seq, seq, 'k' || (seq % 50000), seq > 50000 FROM events;";
        connection.execute_batch(fill).unwrap();
        connection
    }

    #[test]
    fn a_claim_among_100_000_jobs_of_50_000_values_looks_at_a_few_rows() {
        let connection = crowd();
        let draft = NewJob { handler: "h".into(), order_key: Some("k7".into()), is_burst: false };
        let mut longest = Duration::ZERO;
        for sequence in [OrderingMode::InOrder, OrderingMode::Coalesce { quiet: Duration::ZERO, max: Duration::ZERO }] {
            let wanted = vec![Wanted { handler: "h".into(), slots: 16, sequence: Some(sequence) }];
            let turn = Turn { places: 16, wanted, may_claim_suspect: true, ..Turn::default() };
            for _ in 0..20 {
                // All in one, or the row of an event would be missing.
                let event = "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
                             VALUES ('s', 'new-' || random(), 't', 1, 0, zeroblob(32))";
                connection.execute(event, []).unwrap();
                let began = Instant::now();
                make(&connection, connection.last_insert_rowid(), &draft, Millis(1)).unwrap();
                let turned = turn.carry_out(&connection, &Board::default(), Millis(1_000_000), false).unwrap();
                longest = longest.max(began.elapsed());
                assert_eq!(turned.claimed.len(), 16);
            }
        }
        // A look at every job would take many times as long.
        assert!(longest < Duration::from_millis(60), "{longest:?}");
    }

    #[test]
    fn whatever_is_asked_for_a_claim_has_an_index() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(file::SCHEMA).unwrap();
        let of_value = "FROM jobs WHERE handler = 'h' AND order_key = 'k' AND order_key IS NOT NULL";
        let open = "state IN ('pending', 'running')";
        for (sql, index) in [
            (format!("SELECT 1 {of_value} AND {open}"), "jobs_by_key"),
            (format!("SELECT id {of_value} AND blocked = 0 AND {open}"), "jobs_one_per_key"),
            (format!("SELECT id {of_value} AND {open} AND state = 'pending' ORDER BY event_seq DESC LIMIT 1"), "jobs_by_key"),
            ("SELECT id FROM jobs WHERE handler = 'h' AND blocked = 2 AND blocked > 0 ORDER BY order_key LIMIT 9".into(), "jobs_blocked"),
            ("SELECT id FROM jobs WHERE handler = 'h' AND blocked > 0 LIMIT 9".into(), "jobs_blocked"),
            (
                "SELECT id FROM jobs WHERE handler = 'h' AND state = 'pending' AND lost = 0 AND blocked = 0 AND run_at <= 9
                 ORDER BY run_at, id LIMIT 9"
                    .into(),
                "jobs_due",
            ),
        ] {
            let plan: String = connection
                .query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get("detail"))
                .unwrap();
            assert!(plan.contains(index) && plan.starts_with("SEARCH"), "{sql}: {plan}");
        }
    }
}
