//! What the inbox holds, row by row, as people and scripts get to see it.
//!
//! The keys of every serialised row are the column names of `schema.sql`, instants are unix milliseconds and
//! digests hex. `state` is added to events; source, event id, type and `behind` to jobs.

use rusqlite::{Result, Row};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::event::{AttemptStatus, EventState, JobState};
use crate::support::time::Millis;

/// A row of `events`, and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Order of arrival.
    pub seq: i64,
    /// NAME of `[sources.NAME]`.
    pub source: String,
    /// The provider's id.
    pub event_id: String,
    /// Empty when the provider names none.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Of the first delivery.
    pub received_at: Millis,
    /// The first and all duplicates.
    pub deliveries: i64,
    /// Length of the body.
    pub body_bytes: i64,
    /// Of the body; serialised as hex.
    #[serde(serialize_with = "as_hex")]
    pub body_sha256: Vec<u8>,
    /// The first that holds among its jobs.
    #[serde(serialize_with = "as_word")]
    pub state: EventState,
}

impl Event {
    /// The columns that [`Event::read`] takes, from `events e`.
    pub(super) const COLUMNS: &str =
        "e.seq, e.source, e.event_id, e.type, e.received_at, e.deliveries, e.body_bytes, e.body_sha256";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            source: row.get("source")?,
            event_id: row.get("event_id")?,
            event_type: row.get("type")?,
            received_at: Millis(row.get("received_at")?),
            deliveries: row.get("deliveries")?,
            body_bytes: row.get("body_bytes")?,
            body_sha256: row.get("body_sha256")?,
            state: word(row, "state")?,
        })
    }
}

/// A row of `jobs`, and the event it is for.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// The job.
    pub id: i64,
    /// Its event.
    pub event_seq: i64,
    /// Its event's source.
    pub source: String,
    /// Its event's id.
    pub event_id: String,
    /// Its event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// NAME of `[handlers.NAME]`.
    pub handler: String,
    /// Where it stands.
    #[serde(serialize_with = "as_word")]
    pub state: JobState,
    /// Why it is dead or skipped, or what the last failure was.
    pub reason: Option<String>,
    /// Due then, while pending.
    pub run_at: Millis,
    /// Number of the newest attempt.
    pub attempt: i64,
    /// Counted failures since the last retry or replay.
    pub failures: i64,
    /// Times the handler asked for a later run, likewise.
    pub deferrals: i64,
    /// Attempts in a row under which hookbox died.
    pub lost: i64,
    /// Times a person replayed it.
    pub replays: i64,
    /// Its value for the handler's `order_by` or `coalesce`.
    pub order_key: Option<String>,
    /// 1 while another job of its value comes first, 2 until that is judged anew.
    pub blocked: i64,
    /// The event whose job of the same value comes first, where `blocked` is 1.
    pub behind: Option<i64>,
    /// When it was made.
    pub created_at: Millis,
    /// When it became succeeded, dead or skipped.
    pub finished_at: Option<Millis>,
}

impl Job {
    /// The columns that [`Job::read`] takes, from `jobs j` and `events e`.
    pub(super) const COLUMNS: &str = "j.id, j.event_seq, e.source, e.event_id, e.type, j.handler, j.state, j.reason, j.run_at, \
         j.attempt, j.failures, j.deferrals, j.lost, j.replays, j.order_key, j.blocked, j.created_at, j.finished_at, \
         CASE WHEN j.blocked = 1 THEN (SELECT f.event_seq FROM jobs f WHERE f.handler = j.handler AND f.order_key = j.order_key \
           AND f.order_key IS NOT NULL AND f.blocked = 0 AND f.state IN ('pending', 'running')) END AS behind";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            event_seq: row.get("event_seq")?,
            source: row.get("source")?,
            event_id: row.get("event_id")?,
            event_type: row.get("type")?,
            handler: row.get("handler")?,
            state: word(row, "state")?,
            reason: row.get("reason")?,
            run_at: Millis(row.get("run_at")?),
            attempt: row.get("attempt")?,
            failures: row.get("failures")?,
            deferrals: row.get("deferrals")?,
            lost: row.get("lost")?,
            replays: row.get("replays")?,
            order_key: row.get("order_key")?,
            blocked: row.get("blocked")?,
            behind: row.get("behind")?,
            created_at: Millis(row.get("created_at")?),
            finished_at: row.get::<_, Option<i64>>("finished_at")?.map(Millis),
        })
    }
}

/// A row of `attempts`. Output is shown as text; bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The job it is a run of.
    pub job_id: i64,
    /// 1, 2, … over all retries and replays of the job.
    pub number: i64,
    /// When the run began.
    pub started_at: Millis,
    /// `None` while it runs.
    pub finished_at: Option<Millis>,
    /// `None` while it runs.
    #[serde(serialize_with = "as_maybe_word")]
    pub status: Option<AttemptStatus>,
    /// `None` unless the process exited by itself.
    pub exit_code: Option<i64>,
    /// `None` unless the handler's URL answered.
    pub http_status: Option<i64>,
    /// `None` unless a signal ended it.
    pub signal: Option<i64>,
    /// All of it, or its first 4 KiB and its last 12 KiB.
    #[serde(serialize_with = "as_text")]
    pub stdout: Option<Vec<u8>>,
    /// Likewise.
    #[serde(serialize_with = "as_text")]
    pub stderr: Option<Vec<u8>>,
    /// How much was written in all.
    pub stdout_bytes: i64,
    /// Likewise.
    pub stderr_bytes: i64,
    /// What the handler or hookbox had to say.
    pub note: Option<String>,
}

impl Attempt {
    pub(super) const COLUMNS: &str = "a.job_id, a.number, a.started_at, a.finished_at, a.status, a.exit_code, a.http_status, a.signal, \
         a.stdout, a.stderr, a.stdout_bytes, a.stderr_bytes, a.note";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            job_id: row.get("job_id")?,
            number: row.get("number")?,
            started_at: Millis(row.get("started_at")?),
            finished_at: row.get::<_, Option<i64>>("finished_at")?.map(Millis),
            status: if row.get_ref("status")? == rusqlite::types::ValueRef::Null {
                None
            } else {
                Some(word(row, "status")?)
            },
            exit_code: row.get("exit_code")?,
            http_status: row.get("http_status")?,
            signal: row.get("signal")?,
            stdout: row.get("stdout")?,
            stderr: row.get("stderr")?,
            stdout_bytes: row.get("stdout_bytes")?,
            stderr_bytes: row.get("stderr_bytes")?,
            note: row.get("note")?,
        })
    }
}

/// One event with everything but its body.
#[derive(Debug, Serialize)]
pub struct EventDetail {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// What came as Content-Type; `None` when nothing did, or when the payload is gone.
    pub content_type: Option<String>,
    /// One JSON object; `None` when the payload is gone.
    pub headers: Option<Box<RawValue>>,
    /// Its jobs, in the order in which they were made.
    pub jobs: Vec<JobDetail>,
}

/// One job with all its attempts.
#[derive(Debug, Serialize)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// In order.
    pub attempts: Vec<Attempt>,
}

/// A word of [`crate::model::event`] from a text column.
fn word<T: std::str::FromStr<Err = crate::model::event::UnknownWord>>(row: &Row<'_>, column: &str) -> Result<T> {
    let index = row.as_ref().column_index(column)?;
    row.get_ref(index)?.as_str()?.parse().map_err(|unknown| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(unknown))
    })
}

fn as_word<T: std::fmt::Display, S: Serializer>(word: &T, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(word)
}

fn as_maybe_word<S: Serializer>(word: &Option<AttemptStatus>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match word {
        Some(word) => serializer.collect_str(word),
        None => serializer.serialize_none(),
    }
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

fn as_text<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
        None => serializer.serialize_none(),
    }
}
