//! Reads of the inbox file as any other program would do them: SQLite, read-only, the tables of `schema.sql`.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Params, Row};

/// The inbox file of one hookbox.
#[derive(Debug, Clone)]
pub struct Inbox {
    pub file: PathBuf,
}

/// A row of `attempts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub number: i64,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub ending: Option<String>,
    pub exit_code: Option<i64>,
    pub signal: Option<i64>,
    pub note: Option<String>,
}

impl Attempt {
    /// `exit 1`, `signal 9`, or another status: `timeout`, `lost`, `running`.
    pub fn summary(&self) -> String {
        match (self.ending.as_deref(), self.exit_code, self.signal) {
            (None, ..) => "running".to_owned(),
            (Some("succeeded" | "failed" | "dead" | "deferred"), Some(code), _) => format!("exit {code}"),
            (Some("failed" | "dead"), None, Some(signal)) => format!("signal {signal}"),
            (Some(ending), ..) => ending.to_owned(),
        }
    }
}

/// A row of `jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    pub handler: String,
    pub state: String,
    pub reason: Option<String>,
    pub run_at: i64,
    pub attempt: i64,
    pub failures: i64,
    pub deferrals: i64,
    pub lost: i64,
    pub replays: i64,
}

/// A row of `refusals`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub id: i64,
    pub source: String,
    pub status: i64,
    pub reason: String,
    pub remote: Option<String>,
    pub headers: String,
    pub body: Vec<u8>,
    pub body_bytes: i64,
}

impl Inbox {
    /// Stored refusals, oldest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        let sql = "SELECT id, source, status, reason, remote, headers, body, body_bytes FROM refusals ORDER BY id";
        self.rows(sql, [], |row| {
            Ok(Refusal {
                id: row.get(0)?,
                source: row.get(1)?,
                status: row.get(2)?,
                reason: row.get(3)?,
                remote: row.get(4)?,
                headers: row.get(5)?,
                body: row.get(6)?,
                body_bytes: row.get(7)?,
            })
        })
    }

    /// All rows of a query.
    pub fn rows<T>(&self, sql: &str, values: impl Params, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map(values, read).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    /// One number.
    pub fn number(&self, sql: &str) -> i64 {
        self.rows(sql, [], |row| row.get(0))[0]
    }

    /// A text column.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql, [], |row| row.get(0))
    }

    /// A writing connection, as another program would open it.
    pub fn writer(&self) -> Connection {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        connection
    }

    /// The overall state of an event; `None` if it is not stored.
    pub fn state(&self, source: &str, id: &str) -> Option<String> {
        self.rows("SELECT state FROM inbox WHERE source = ? AND event_id = ?", [source, id], |row| row.get(0)).pop()
    }

    /// The type of a stored event.
    pub fn event_type(&self, source: &str, id: &str) -> String {
        let sql = "SELECT type FROM events WHERE source = ? AND event_id = ?";
        self.rows(sql, [source, id], |row| row.get(0)).pop().expect("the event is stored")
    }

    /// An event's jobs, by handler's name.
    pub fn jobs(&self, source: &str, id: &str) -> Vec<Job> {
        let sql = "SELECT j.id, handler, state, reason, run_at, attempt, failures, deferrals, lost, replays \
                   FROM jobs j JOIN events e ON e.seq = j.event_seq WHERE source = ? AND event_id = ? ORDER BY handler";
        self.rows(sql, [source, id], |row| {
            Ok(Job {
                id: row.get(0)?,
                handler: row.get(1)?,
                state: row.get(2)?,
                reason: row.get(3)?,
                run_at: row.get(4)?,
                attempt: row.get(5)?,
                failures: row.get(6)?,
                deferrals: row.get(7)?,
                lost: row.get(8)?,
                replays: row.get(9)?,
            })
        })
    }

    /// A job's attempts.
    pub fn attempts(&self, job: i64) -> Vec<Attempt> {
        let sql = "SELECT number, started_at, finished_at, status, exit_code, signal, note \
                   FROM attempts WHERE job_id = ? ORDER BY number";
        self.rows(sql, [job], |row| {
            Ok(Attempt {
                number: row.get(0)?,
                started_at: row.get(1)?,
                finished_at: row.get(2)?,
                ending: row.get(3)?,
                exit_code: row.get(4)?,
                signal: row.get(5)?,
                note: row.get(6)?,
            })
        })
    }

    /// The exact body that was stored.
    pub fn body(&self, source: &str, id: &str) -> Vec<u8> {
        let sql = "SELECT body FROM payloads JOIN events ON seq = event_seq WHERE source = ? AND event_id = ?";
        self.rows(sql, [source, id], |row| row.get(0)).pop().expect("the event is stored")
    }

    /// Panics unless the integrity check and the foreign key check pass.
    pub fn assert_sound(&self) {
        assert_eq!(self.texts("PRAGMA integrity_check"), ["ok"]);
        let broken = self.rows("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0));
        assert!(broken.is_empty(), "dangling references in {broken:?}");
    }
}
