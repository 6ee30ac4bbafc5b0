//! A claim visits few rows, however many jobs and ordering keys there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::inbox::replies::ReplyWaiters;
use crate::inbox::schema::SCHEMA;
use crate::inbox::types::{ClaimRequest, CompleteAndClaim};

/// Inserts a job into a queue of `jobs` pending ones, half of them blocked, and claims 16. Returns the steps that SQLite's
/// virtual machine took: a measure of the rows visited that does not depend on the machine's speed.
fn steps_to_claim(jobs: u32, ordering: OrderingMode) -> u32 {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let fill = format!(
        "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {jobs})
         INSERT INTO events (seq, source, event_id, type, received_at, body_bytes, body_sha256)
         SELECT n, 's', n, 't', n, 0, zeroblob(32) FROM n;
         INSERT INTO jobs (event_seq, handler, run_at, created_at, order_key, blocked)
         SELECT seq, 'h', seq, seq, 'k' || (seq % ({jobs} / 2)), seq > {jobs} / 2 FROM events;
         INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
         VALUES ('s', 'new', 't', 1, 0, zeroblob(32))"
    );
    connection.execute_batch(&fill).unwrap();
    let steps = Arc::new(AtomicU32::new(0));
    let counter = steps.clone();
    let count = move || counter.fetch_add(1, Ordering::Relaxed) == u32::MAX;
    connection.progress_handler(1, Some(count)).unwrap();
    let job = NewJob { handler: "h".into(), order_key: Some("k7".into()), is_burst: false };
    insert_job(&connection, connection.last_insert_rowid(), &job, Millis(1)).unwrap();
    let requests = vec![ClaimRequest { handler: "h".into(), slots: 16, ordering: Some(ordering) }];
    let request = CompleteAndClaim { max_jobs: 16, requests, may_claim_suspect: true, ..Default::default() };
    let result = request.carry_out(&connection, &ReplyWaiters::default(), Millis(1_000_000), false).unwrap();
    assert_eq!(result.claimed.len(), 16);
    steps.load(Ordering::Relaxed)
}

#[test]
fn claim_visits_few_rows_however_many_jobs_wait() {
    let coalesce = OrderingMode::Coalesce { quiet: Duration::ZERO, max: Duration::ZERO };
    for ordering in [OrderingMode::InOrder, coalesce] {
        let [few, many] = [200, 100_000].map(|jobs| steps_to_claim(jobs, ordering));
        assert!(few > 100 && many < few + few / 10, "{few} steps among 200 jobs, {many} among 100,000");
    }
}
