//! The upper bound of SQLite: the same rows in synced transactions of the same size, and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

pub(crate) fn measure(path: &Path, (batch, bytes): (usize, usize), span: Duration) -> f64 {
    let inbox = Connection::open(path).expect("a database");
    inbox
        .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -4096;")
        .expect("settings");
    inbox.execute_batch(include_str!("../../schema.sql")).expect("the schema");
    let body = crate::load::body(bytes);
    let headers = r#"{"host":"127.0.0.1","content-type":"application/json","x-github-event":"push","x-github-delivery":"00000000-0000-0000-0000-000000000000","x-hub-signature-256":"sha256=0000000000000000000000000000000000000000000000000000000000000000"}"#;
    let sha256 = [7_u8; 32];
    let began = Instant::now();
    let mut stored = 0_u64;
    while began.elapsed() < span {
        inbox.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        for _ in 0..batch {
            let id = crate::load::id(stored);
            inbox
                .prepare_cached("INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (source, event_id) DO NOTHING")
                .unwrap()
                .execute(("github", id, "push", 1_700_000_000_000_i64, body.len() as i64, sha256))
                .unwrap();
            let seq = inbox.last_insert_rowid();
            inbox
                .prepare_cached("INSERT INTO payloads (event_seq, headers, content_type, body) VALUES (?1, ?2, ?3, ?4)")
                .unwrap()
                .execute((seq, headers, "application/json", &body))
                .unwrap();
            inbox
                .prepare_cached("INSERT INTO jobs (event_seq, handler, run_at, created_at) VALUES (?1, ?2, ?3, ?3)")
                .unwrap()
                .execute((seq, "later", 1_700_000_000_000_i64))
                .unwrap();
            stored += 1;
        }
        inbox.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }
    stored as f64 / began.elapsed().as_secs_f64()
}
