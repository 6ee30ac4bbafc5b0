//! Rows as they are listed and serialized. Keys are the column names of `schema.sql`, times are unix milliseconds.
//!
//! An event also has its `state`; a job the source, id and type of its event, and `behind`.

use std::str::FromStr;

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Result, Row};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::event::{AttemptStatus, EventState, JobState, UnknownName};
use crate::support::time::Millis;

#[derive(Debug, Clone, Serialize)]
pub struct Event {
    pub seq: i64,
    pub source: String,
    pub event_id: String,
    /// Empty if the provider names no type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When the first delivery arrived.
    pub received_at: Millis,
    /// The first delivery and all duplicates.
    pub deliveries: i64,
    /// Duplicates that had another body, which was not stored.
    pub deviating_deliveries: i64,
    pub body_bytes: i64,
    #[serde(serialize_with = "as_hex")]
    pub body_sha256: Vec<u8>,
    pub state: EventState,
}

impl Event {
    /// Columns of `events e`; [`Event::read`] also takes `state`.
    pub(super) const COLUMNS: &str = "e.seq, e.source, e.event_id, e.type, e.received_at, e.deliveries, \
         e.deviating_deliveries, e.body_bytes, e.body_sha256";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            source: row.get("source")?,
            event_id: row.get("event_id")?,
            event_type: row.get("type")?,
            received_at: Millis(row.get("received_at")?),
            deliveries: row.get("deliveries")?,
            deviating_deliveries: row.get("deviating_deliveries")?,
            body_bytes: row.get("body_bytes")?,
            body_sha256: row.get("body_sha256")?,
            state: parsed(row, "state")?,
        })
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Job {
    pub id: i64,
    pub event_seq: i64,
    pub source: String,
    pub event_id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub handler: String,
    pub state: JobState,
    /// Why it is dead or skipped, or its last failure.
    pub reason: Option<String>,
    /// When it is due, if it is pending.
    pub run_at: Millis,
    /// Number of the latest attempt.
    pub attempt: i64,
    /// Failures and deferrals since the last manual retry or replay.
    pub failures: i64,
    pub deferrals: i64,
    /// Consecutive attempts during which hookbox was killed.
    pub lost: i64,
    pub replays: i64,
    pub order_key: Option<String>,
    /// 1 behind another job with its key, 2 if that is not decided yet.
    pub blocked: i64,
    /// The event whose job runs first, if `blocked` is 1.
    pub behind: Option<i64>,
    pub created_at: Millis,
    pub finished_at: Option<Millis>,
}

impl Job {
    /// Columns of `jobs j` and `events e`.
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
            state: parsed(row, "state")?,
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

/// The newest job that meets a condition on `jobs j` and `events e`.
pub(super) fn job_where(connection: &Connection, condition: &str, values: impl Params) -> Result<Option<Job>> {
    let sql = format!(
        "SELECT {} FROM jobs j CROSS JOIN events e ON e.seq = j.event_seq WHERE {condition} ORDER BY j.id DESC LIMIT 1",
        Job::COLUMNS
    );
    connection.prepare_cached(&sql)?.query_row(values, Job::read).optional()
}

#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    pub job_id: i64,
    /// 1, 2, … over all retries and replays of the job.
    pub number: i64,
    pub started_at: Millis,
    pub finished_at: Option<Millis>,
    /// `None` while it is running.
    pub status: Option<AttemptStatus>,
    pub exit_code: Option<i64>,
    pub http_status: Option<i64>,
    /// The signal that ended the process.
    pub signal: Option<i64>,
    /// Serialized as text, with U+FFFD for bytes that are not UTF-8. Long output lacks its middle.
    #[serde(serialize_with = "as_text")]
    pub stdout: Option<Vec<u8>>,
    #[serde(serialize_with = "as_text")]
    pub stderr: Option<Vec<u8>>,
    /// Bytes that the handler wrote.
    pub stdout_bytes: i64,
    pub stderr_bytes: i64,
    pub note: Option<String>,
}

impl Attempt {
    /// Columns of `attempts a`.
    pub(super) const COLUMNS: &str = "a.job_id, a.number, a.started_at, a.finished_at, a.status, a.exit_code, a.http_status, a.signal, \
         a.stdout, a.stderr, a.stdout_bytes, a.stderr_bytes, a.note";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        let is_running = row.get_ref("status")? == ValueRef::Null;
        Ok(Self {
            job_id: row.get("job_id")?,
            number: row.get("number")?,
            started_at: Millis(row.get("started_at")?),
            finished_at: row.get::<_, Option<i64>>("finished_at")?.map(Millis),
            status: (!is_running).then(|| parsed(row, "status")).transpose()?,
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

#[derive(Debug, Serialize)]
pub struct EventDetail {
    #[serde(flatten)]
    pub event: Event,
    /// `None` if the delivery had none or the payload is no longer stored.
    pub content_type: Option<String>,
    /// A JSON object; `None` if the payload is no longer stored.
    pub headers: Option<Box<RawValue>>,
    /// By id.
    pub jobs: Vec<JobDetail>,
}

#[derive(Debug, Serialize)]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: Job,
    /// By number.
    pub attempts: Vec<Attempt>,
}

/// A state or status from a text column.
pub(super) fn parsed<T: FromStr<Err = UnknownName>>(row: &Row<'_>, column: &str) -> Result<T> {
    let index = row.as_ref().column_index(column)?;
    let unknown = |unknown| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(unknown));
    row.get_ref(index)?.as_str()?.parse().map_err(unknown)
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

fn as_text<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes)).serialize(serializer)
}
