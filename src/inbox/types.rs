//! What callers exchange with the inbox: claims, attempt results, handler states and errors.

use std::sync::Arc;
use std::time::Instant;

use crate::config::OrderingMode;
use crate::model::event::AttemptStatus;
use crate::model::response::HandlerResponse;
use crate::retry::{JobOutcome, RetryCounters};
use crate::support::time::Millis;

/// One attempt of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobRef {
    pub id: i64,
    /// The fence: a result is written only while the job is running this attempt.
    pub attempt: u32,
}

/// Results to write and jobs to claim, in one transaction.
#[derive(Debug, Clone, Default)]
pub struct CompleteAndClaim {
    pub results: Vec<AttemptResult>,
    /// Claimed attempts that were certainly not started. Their claim is undone.
    pub not_started: Vec<JobRef>,
    /// Jobs to claim at most, over all of `requests`.
    pub max_jobs: usize,
    /// Served in this order; each handler gets a fair share of `max_jobs` before any gets more.
    pub requests: Vec<ClaimRequest>,
    /// Requests for jobs whose reply a provider is waiting for. They do not count against `max_jobs`.
    pub sync_requests: Vec<ClaimRequest>,
    /// Attempts in progress. Their jobs are not claimed, whatever their state in the database.
    pub running: Vec<JobRef>,
    /// Whether one job whose last attempt was lost may be claimed.
    pub may_claim_suspect: bool,
    /// Milliseconds by which the wall clock was stepped since the last exchange.
    pub clock_step: i64,
    /// Handlers whose pause state has changed.
    pub handlers: Vec<HandlerState>,
    /// When the request was made, so that a clock step before it is carried out makes no job due.
    pub requested_at: Option<(Millis, Instant)>,
}

/// How many jobs of a handler to claim.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    pub handler: Arc<str>,
    pub slots: usize,
    /// `None` if the handler's jobs have no ordering key.
    pub ordering: Option<OrderingMode>,
}

/// A finished attempt.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    pub job: JobRef,
    pub status: AttemptStatus,
    pub outcome: JobOutcome,
    pub started_at: Millis,
    pub finished_at: Millis,
    pub exit_code: Option<i32>,
    pub http_status: Option<u16>,
    pub signal: Option<i32>,
    /// The output to store, and its total length before it was cut.
    pub stdout: (Vec<u8>, u64),
    pub stderr: (Vec<u8>, u64),
    pub note: Option<String>,
    /// Set if the handler has `respond`.
    pub reply: Option<HandlerReply>,
}

/// The reply of a handler with `respond`.
#[derive(Debug, Clone)]
pub struct HandlerReply {
    pub event_seq: i64,
    /// `None` if the attempt failed, or its reply cannot be sent.
    pub response: Option<HandlerResponse>,
}

/// The result of a [`CompleteAndClaim`].
#[derive(Debug, Clone, Default)]
pub struct ClaimResult {
    /// Jobs that are running now, oldest first per handler.
    pub claimed: Vec<ClaimedJob>,
    /// When the next job that could not be claimed yet is due.
    pub next_due_at: Option<Millis>,
    /// Whether more jobs may be due than were looked at.
    pub may_claim_more: bool,
    /// Number of older jobs skipped because a newer one with the same key was claimed.
    pub coalesced: usize,
    /// Results that came too late: the job was no longer running that attempt.
    pub stale: Vec<JobRef>,
    /// Running attempts whose job an operator has skipped or reset. Filled only with `changed_externally`.
    pub revoked: Vec<JobRef>,
    /// Whether another process has changed the database since the last exchange.
    pub changed_externally: bool,
}

/// A claimed job, with what its attempt needs except the payload.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub job: JobRef,
    pub handler: Arc<str>,
    pub event_seq: i64,
    pub source: String,
    pub event_id: String,
    pub event_type: String,
    pub received_at: Millis,
    /// Failures and deferrals before this attempt.
    pub counters: RetryCounters,
    pub replays: u32,
    /// Whether the last attempt was lost.
    pub is_suspect: bool,
    /// Whether it was claimed for a waiting provider and takes no shared slot.
    pub is_sync: bool,
}

/// The pause state of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerState {
    pub name: Arc<str>,
    /// `operator` or `hookbox`; `None` if it is not paused.
    pub paused_by: Option<String>,
    pub reason: Option<String>,
    pub paused_at: Option<Millis>,
    /// Failed probes since hookbox paused the handler.
    pub probes: u32,
    pub probe_at: Option<Millis>,
}

/// Headers and body of an event.
#[derive(Debug, Clone)]
pub struct Payload {
    /// A JSON object.
    pub headers: String,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Why a verified delivery was not acknowledged. It may have been stored all the same; the provider can send it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    #[error("the queue to the inbox is full")]
    QueueFull,
    #[error("too many jobs are pending (inbox.max_pending)")]
    Backlog,
    #[error("the disk is low on space (inbox.min_free_disk)")]
    DiskLow,
    #[error("another process holds the inbox's lock")]
    Busy,
    #[error("the inbox is failing: {0}")]
    Failing(String),
    #[error("shutting down")]
    Closing,
}

/// Why the inbox could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InboxError {
    /// May be retried: another process holds the lock, or the disk is full.
    #[error("{0}")]
    Passing(String),
    /// Must not be retried.
    #[error("{0}")]
    Final(String),
}

impl From<&NotStored> for InboxError {
    fn from(why: &NotStored) -> Self {
        match why {
            NotStored::QueueFull | NotStored::Backlog | NotStored::DiskLow | NotStored::Busy => {
                Self::Passing(why.to_string())
            }
            NotStored::Failing(_) | NotStored::Closing => Self::Final(why.to_string()),
        }
    }
}
