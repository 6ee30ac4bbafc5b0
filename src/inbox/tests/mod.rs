//! A scratch inbox for the tests of this room, built from `schema.sql`.
//!
//! Rows go in by short names and lines of text come out; the file goes with the value.

mod identity;
mod model;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::reader::Reader;
use super::schema::SCHEMA;

/// An empty inbox in memory.
pub(super) fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

/// A database file in a folder of its own, and a connection that writes to it.
pub(super) struct Sample {
    folder: TempDir,
    pub(super) connection: Connection,
}

impl Sample {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("hookbox.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        Self { folder, connection }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("hookbox.db")
    }

    /// An event with a body; answers its seq.
    pub(super) fn event(&self, source: &str, event_id: &str, event_type: &str, received_at: i64) -> i64 {
        let insert = "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
                      VALUES (?, ?, ?, ?, 2, zeroblob(32))";
        self.connection.execute(insert, params![source, event_id, event_type, received_at]).unwrap();
        let seq = self.connection.last_insert_rowid();
        let insert = r#"INSERT INTO payloads VALUES (?, '{"A":"1"}', 'application/json', CAST('{}' AS BLOB))"#;
        self.connection.execute(insert, [seq]).unwrap();
        seq
    }

    /// A job in a state, with one attempt unless it is new; answers its id.
    pub(super) fn job(&self, event_seq: i64, handler: &str, state: &str) -> i64 {
        let insert = "INSERT INTO jobs (event_seq, handler, state, run_at, attempt, failures, lost, created_at, finished_at)
                      VALUES (?1, ?2, ?3, 1000, 1, 2, 1, 900, CASE WHEN ?3 IN ('succeeded', 'dead', 'skipped') THEN 1500 END)";
        self.connection.execute(insert, params![event_seq, handler, state]).unwrap();
        let id = self.connection.last_insert_rowid();
        let insert =
            "INSERT INTO attempts (job_id, number, started_at, finished_at, status, exit_code, stderr, stderr_bytes)
                      VALUES (?1, 1, 1000, CASE ?2 WHEN 'running' THEN NULL ELSE 1400 END,
                              CASE ?2 WHEN 'running' THEN NULL ELSE 'failed' END, 1, CAST('oh' AS BLOB), 2)";
        self.connection.execute(insert, params![id, state]).unwrap();
        id
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader::of_file(&self.connection, Path::new("hookbox.db"))
    }

    pub(super) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// One line of a query, columns joined by `|` as sqlite3 prints them.
    pub(super) fn line(&self, sql: &str) -> String {
        let mut statement = self.connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| {
            let value = |column| match row.get(column).unwrap() {
                rusqlite::types::Value::Null => String::new(),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            Ok((0..columns).map(value).collect::<Vec<_>>().join("|"))
        };
        statement.query_row([], read).unwrap()
    }
}
