//! An inbox with a month of events, each with a job and an attempt; most succeeded, some are dead.

use std::path::Path;

use rusqlite::Connection;

/// The handler is paused, so the jobs of the load's events stay pending.
pub(crate) const CONFIG: &str = "\
[server]
listen = \"127.0.0.1:0\"
[admin]
listen = \"127.0.0.1:0\"
[inbox]
max_pending = 100000000
[sources.github]
provider = \"github\"
secret = \"SECRET\"
[sources.stripe]
provider = \"stripe\"
secret = \"SECRET\"
[handlers.deploy]
sources = [\"github\"]
command = [\"true\"]
[handlers.bill]
sources = [\"stripe\"]
command = [\"true\"]
";

/// One of this many jobs is dead.
const DEAD: u64 = 100;

pub(crate) fn fill(path: &Path, events: u64) {
    let inbox = Connection::open(path).expect("an inbox");
    let schema = format!("PRAGMA auto_vacuum = INCREMENTAL; {}", include_str!("../../schema.sql"));
    inbox.execute_batch(&schema).expect("the schema");
    inbox
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN")
        .unwrap();
    let numbers =
        format!("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {events})");
    // Over the last 20 days, so that retention has nothing to do yet.
    let at = format!("unixepoch() * 1000 - 1728000000 + n * (1728000000 / {events})");
    let tables = [
        format!(
            "INSERT INTO events (seq, source, event_id, type, received_at, body_bytes, body_sha256) {numbers}
             SELECT n, iif(n % 3, 'github', 'stripe'), printf('%08x-%d', (n * 2654435761) & 0xffffffff, n),
                    CASE n % 5 WHEN 0 THEN 'push' WHEN 1 THEN 'pull_request' WHEN 2 THEN 'issues' WHEN 3 THEN 'invoice.paid'
                      ELSE 'charge.failed' END, {at}, 120, randomblob(32) FROM numbers"
        ),
        format!(
            "INSERT INTO payloads (event_seq, headers, content_type, body) {numbers}
             SELECT n, '{{\"content-type\":\"application/json\"}}', 'application/json',
                    CAST(printf('{{\"number\":%d,\"customer\":\"cus_%08x\",\"filler\":\"%s\"}}', n, n * 7919 % 50000,
                      'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') AS BLOB) FROM numbers"
        ),
        format!(
            "INSERT INTO jobs (id, event_seq, handler, state, reason, run_at, attempt, failures, created_at, finished_at) {numbers}
             SELECT n, n, iif(n % 3, 'deploy', 'bill'), iif(n % {DEAD}, 'succeeded', 'dead'),
                    iif(n % {DEAD}, NULL, 'exit status 1'), {at}, 1, iif(n % {DEAD}, 0, 1), {at}, {at} + 50 FROM numbers"
        ),
        format!(
            "INSERT INTO attempts (job_id, number, started_at, finished_at, status, exit_code, stdout, stderr, stdout_bytes, stderr_bytes) {numbers}
             SELECT n, 1, {at}, {at} + 50, iif(n % {DEAD}, 'succeeded', 'dead'), iif(n % {DEAD}, 0, 1), x'6f6b', x'', 2, 0 FROM numbers"
        ),
                    "INSERT INTO hourly_counts (source, hour, accepted) SELECT source, received_at / 3600000 * 3600000, count(*) FROM events GROUP BY 1, 2".to_owned(),
        "INSERT INTO handlers (name, paused, paused_by, reason, paused_at) VALUES ('deploy', 1, 'operator', 'measured', 0)".to_owned(),
        "COMMIT".to_owned(),
    ];
    for sql in tables {
        inbox.execute_batch(&sql).expect("rows");
    }
}
