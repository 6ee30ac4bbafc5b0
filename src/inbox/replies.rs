//! Synchronous replies: requests that wait for the reply of a handler with `respond`.
//!
//! Only the writer adds and removes waiters, each time after a commit. So a request waits before its job can be
//! claimed, and gets a reply only after that is synced. The first reply is stored and sent to duplicates too.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{Either, select};
use rusqlite::{Connection, OptionalExtension, Result, Row};
use tokio::sync::{oneshot, watch};

use super::types::{AttemptResult, HandlerReply, JobRef};
use crate::model::event::JobState;
use crate::model::response::HandlerResponse;
use crate::retry::JobOutcome;
use crate::routing::Responder;
use crate::support::locks;
use crate::support::time::Millis;

/// Requests that may wait at the same time. Further ones get the plain response.
const MAX_WAITERS: usize = 1024;
/// How long a request still waits once hookbox is stopping. The receiver closes connections about a second after that
/// begins, so the plain response must be on its way well before.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// A reply that may come in time.
#[derive(Debug)]
pub struct PendingReply {
    reply: oneshot::Receiver<HandlerResponse>,
    until: Millis,
    timeout: Duration,
    closing: watch::Receiver<bool>,
}

impl PendingReply {
    /// Waits for the reply. Returns `None` if it does not come in time.
    pub async fn wait(mut self) -> Option<HandlerResponse> {
        // `until` is wall-clock time: the timeout limits the wait if the clock is stepped.
        let timeout = self.until.since(Millis::now()).min(self.timeout);
        let closing = pin!(async {
            self.closing.wait_for(|is_closing| *is_closing).await.map(drop).unwrap_or_default();
            tokio::time::sleep(STOP_TIMEOUT).await;
        });
        match tokio::time::timeout(timeout, select(self.reply, closing)).await {
            Ok(Either::Left((reply, _))) => reply.ok(),
            Ok(Either::Right(_)) | Err(_) => None,
        }
    }
}

/// What the database knows of a reply when its delivery is stored.
#[derive(Debug)]
pub(super) enum ReplyLookup {
    Stored(HandlerResponse),
    MayCome { event_seq: i64, responder: Responder, until: Millis },
}

/// The waiting requests, by `events.seq`.
#[derive(Debug)]
pub(super) struct ReplyWaiters {
    waiting: Mutex<HashMap<i64, Vec<ReplyWaiter>>>,
    closing: watch::Sender<bool>,
}

#[derive(Debug)]
struct ReplyWaiter {
    handler: Arc<str>,
    until: Millis,
    reply: oneshot::Sender<HandlerResponse>,
}

impl Default for ReplyWaiters {
    fn default() -> Self {
        Self { waiting: Mutex::default(), closing: watch::Sender::new(false) }
    }
}

impl ReplyWaiters {
    /// Returns `None` if too many requests are waiting.
    pub(super) fn add(&self, lookup: ReplyLookup) -> Option<PendingReply> {
        let (sender, reply) = oneshot::channel();
        let closing = self.closing.subscribe();
        match lookup {
            ReplyLookup::Stored(response) => {
                send(sender, response);
                Some(PendingReply { reply, until: Millis(i64::MAX), timeout: STOP_TIMEOUT, closing })
            }
            ReplyLookup::MayCome { event_seq, responder: Responder { handler, timeout }, until } => {
                let mut waiting = self.live();
                if waiting.values().map(Vec::len).sum::<usize>() >= MAX_WAITERS {
                    return None;
                }
                waiting.entry(event_seq).or_default().push(ReplyWaiter { handler, until, reply: sender });
                Some(PendingReply { reply, until, timeout, closing })
            }
        }
    }

    /// After the commit of these results: sends their replies, and releases requests whose reply cannot come in time.
    pub(super) fn notify(&self, results: &[AttemptResult], stale: &[JobRef]) {
        for AttemptResult { job, reply, outcome, .. } in results {
            let Some(HandlerReply { event_seq, response }) = reply else { continue };
            match outcome {
                JobOutcome::Retry { at, .. } => self.retain(|seq, waiter| seq != *event_seq || waiter.until > *at),
                JobOutcome::Succeeded if !stale.contains(job) => {
                    let waiters = self.live().remove(event_seq).unwrap_or_default();
                    if let Some(response) = response {
                        waiters.into_iter().for_each(|waiter| send(waiter.reply, response.clone()));
                    }
                }
                _ => self.retain(|seq, _| seq != *event_seq),
            }
        }
    }

    /// Returns the events for which a request waits for this handler, oldest first.
    pub(super) fn events_awaiting(&self, handler: &str) -> Vec<i64> {
        let waiting = self.live();
        let awaits = |waiters: &[ReplyWaiter]| waiters.iter().any(|waiter| *waiter.handler == *handler);
        let mut events: Vec<_> = waiting.iter().filter(|(_, waiters)| awaits(waiters)).map(|(seq, _)| *seq).collect();
        events.sort_unstable();
        events
    }

    /// Releases the requests that wait for this handler: it does not run now.
    pub(super) fn release(&self, handler: &str) {
        self.retain(|_, waiter| *waiter.handler != *handler);
    }

    /// hookbox is stopping: limits the remaining wait to [`STOP_TIMEOUT`].
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    fn retain(&self, keep: impl Fn(i64, &ReplyWaiter) -> bool) {
        let mut waiting = self.live();
        for (seq, waiters) in &mut *waiting {
            waiters.retain(|waiter| keep(*seq, waiter));
        }
        waiting.retain(|_, waiters| !waiters.is_empty());
    }

    /// Removes waiters whose request has timed out.
    fn live(&self) -> MutexGuard<'_, HashMap<i64, Vec<ReplyWaiter>>> {
        let mut waiting = locks::lock(&self.waiting);
        waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.reply.is_closed());
            !waiters.is_empty()
        });
        waiting
    }
}

fn send(waiter: oneshot::Sender<HandlerResponse>, response: HandlerResponse) {
    if waiter.send(response).is_err() {
        log::debug!("a reply came after its request had timed out");
    }
}

/// Looks up the reply to an event, identified by source and id, that was just stored or is a duplicate.
pub(super) fn look_up(
    connection: &Connection,
    source: &str,
    event_id: &str,
    responder: &Responder,
    received_at: Millis,
) -> Result<Option<ReplyLookup>> {
    let until = received_at.after(responder.timeout);
    let read = |row: &Row<'_>| {
        if let Some(status) = row.get(3)? {
            let stored = HandlerResponse::new(Some(status), row.get(4)?, row.get(5)?);
            return Ok(stored.ok().map(ReplyLookup::Stored));
        }
        let (state, run_at): (Option<String>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let may_come = match state.as_deref().map(str::parse) {
            Some(Ok(JobState::Running)) => true,
            Some(Ok(JobState::Pending)) => run_at.is_some_and(|at| at < until.0),
            _ => false,
        };
        let lookup = || Ok(ReplyLookup::MayCome { event_seq: row.get(0)?, responder: responder.clone(), until });
        may_come.then(lookup).transpose()
    };
    let found = connection
        .prepare_cached(
            "SELECT e.seq, j.state, j.run_at, r.status, r.content_type, r.body FROM events e
             LEFT JOIN jobs j ON j.event_seq = e.seq AND j.handler = ?3
             LEFT JOIN replies r ON r.event_seq = e.seq
             WHERE e.source = ?1 AND e.event_id = ?2",
        )?
        .query_row((source, event_id, responder.handler.as_ref()), read)
        .optional()?;
    Ok(found.flatten())
}

/// Stores a reply for duplicates, unless the event already has one.
pub(super) fn store(connection: &Connection, event_seq: i64, response: &HandlerResponse) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO replies (event_seq, status, content_type, body)
             SELECT seq, ?2, ?3, ?4 FROM events WHERE seq = ?1",
        )?
        .execute((event_seq, response.status(), response.named_content_type(), response.body()))
        .map(drop)
}
