//! Answers in a handler's words: who waits for one, what has been said, and the board on which both meet.
//!
//! The writer alone puts waiters on the board and takes them off, each time after a commit: whoever waits is there
//! before the job can be claimed, and what is said has been synced before it is heard. The first answer stays for good.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{Either, select};
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::{oneshot, watch};

use super::Inbox;
use super::turn::{Finished, JobRef};
use crate::model::event::JobState;
use crate::model::response::HandlerResponse;
use crate::retry::JobOutcome;
use crate::routing::Responder;
use crate::support::locks;
use crate::support::time::Millis;

/// Requests that may wait for an answer; more are answered plainly.
const MOST_WAITERS: usize = 1024;
/// How much longer a request waits once hookbox is stopping.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(1);

/// What an attempt of a handler that responds had to say.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// `events.seq`
    pub event_seq: i64,
    /// `None` when it failed, or said what cannot be sent.
    pub response: Option<HandlerResponse>,
}

/// An answer that is there, or may come in time.
#[derive(Debug)]
pub struct Awaited {
    answer: oneshot::Receiver<HandlerResponse>,
    until: Millis,
    patience: Duration,
    closing: watch::Receiver<bool>,
}

impl Awaited {
    /// Waits for it; `None` when it does not come in time.
    pub async fn wait(mut self) -> Option<HandlerResponse> {
        // The span bounds it where the wall clock jumps.
        let patience = self.until.since(Millis::now()).min(self.patience);
        let closing = pin!(async {
            self.closing.wait_for(|is_closing| *is_closing).await.map(drop).unwrap_or_default();
            tokio::time::sleep(PATIENCE_AT_THE_END).await;
        });
        match tokio::time::timeout(patience, select(self.answer, closing)).await {
            Ok(Either::Left((answer, _))) => answer.ok(),
            Ok(Either::Right(_)) | Err(_) => None,
        }
    }
}

/// What is known of an answer when its delivery is stored.
#[derive(Debug)]
pub(super) enum Sought {
    Known(HandlerResponse),
    Coming { event_seq: i64, responder: Responder, until: Millis },
}

/// Everyone who waits, by `events.seq`.
#[derive(Debug)]
pub(super) struct Board {
    waiting: Mutex<HashMap<i64, Vec<Waiter>>>,
    closing: watch::Sender<bool>,
}

#[derive(Debug)]
struct Waiter {
    handler: Arc<str>,
    until: Millis,
    answer: oneshot::Sender<HandlerResponse>,
}

impl Default for Board {
    fn default() -> Self {
        Self { waiting: Mutex::default(), closing: watch::Sender::new(false) }
    }
}

impl Board {
    /// Puts a waiter on the board, or gives him what is there; `None` when too many wait already.
    pub(super) fn await_answer(&self, sought: Sought) -> Option<Awaited> {
        let (sender, answer) = oneshot::channel();
        let closing = self.closing.subscribe();
        match sought {
            Sought::Known(response) => {
                tell(sender, response);
                Some(Awaited { answer, until: Millis(i64::MAX), patience: PATIENCE_AT_THE_END, closing })
            }
            Sought::Coming { event_seq, responder: Responder { handler, timeout: patience }, until } => {
                let mut waiting = self.live();
                if waiting.values().map(Vec::len).sum::<usize>() >= MOST_WAITERS {
                    return None;
                }
                waiting.entry(event_seq).or_default().push(Waiter { handler, until, answer: sender });
                Some(Awaited { answer, until, patience, closing })
            }
        }
    }

    /// Tells those who wait what has come of these attempts; `stale` ones did not count.
    pub(super) fn settle(&self, finished: &[Finished], stale: &[JobRef]) {
        for Finished { job, spoken, outcome, .. } in finished {
            let Some(Spoken { event_seq, response }) = spoken else { continue };
            match outcome {
                JobOutcome::Retry { at, .. } => self.retain(|seq, waiter| seq != *event_seq || waiter.until > *at),
                JobOutcome::Succeeded if !stale.contains(job) => {
                    let waiters = self.live().remove(event_seq).unwrap_or_default();
                    if let Some(response) = response {
                        waiters.into_iter().for_each(|waiter| tell(waiter.answer, response.clone()));
                    }
                }
                _ => self.retain(|seq, _| seq != *event_seq),
            }
        }
    }

    /// Events for which a provider waits for this handler, oldest first.
    pub(super) fn awaited(&self, handler: &str) -> Vec<i64> {
        let waiting = self.live();
        let is_his = |waiters: &[Waiter]| waiters.iter().any(|waiter| *waiter.handler == *handler);
        let mut events: Vec<_> = waiting.iter().filter(|(_, waiters)| is_his(waiters)).map(|(seq, _)| *seq).collect();
        events.sort_unstable();
        events
    }

    /// This handler will not run now: nobody need wait for it.
    pub(super) fn release(&self, handler: &str) {
        self.retain(|_, waiter| *waiter.handler != *handler);
    }

    /// hookbox is stopping: who waits now waits for a moment only.
    pub(super) fn hurry(&self) {
        self.closing.send_replace(true);
    }

    fn retain(&self, keep: impl Fn(i64, &Waiter) -> bool) {
        let mut waiting = self.live();
        for (seq, waiters) in &mut *waiting {
            waiters.retain(|waiter| keep(*seq, waiter));
        }
        waiting.retain(|_, waiters| !waiters.is_empty());
    }

    /// Without those whose requests have been answered otherwise.
    fn live(&self) -> MutexGuard<'_, HashMap<i64, Vec<Waiter>>> {
        let mut waiting = locks::lock(&self.waiting);
        waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.answer.is_closed());
            !waiters.is_empty()
        });
        waiting
    }
}

impl Inbox {
    /// Whether a provider waits for this handler's answer.
    #[must_use]
    pub fn is_awaited(&self, handler: &str) -> bool {
        !self.shared.board.awaited(handler).is_empty()
    }

    /// This handler runs nothing now: providers that wait for it are answered plainly.
    pub fn release(&self, handler: &str) {
        self.shared.board.release(handler);
    }
}

fn tell(waiter: oneshot::Sender<HandlerResponse>, response: HandlerResponse) {
    if waiter.send(response).is_err() {
        log::debug!("an answer came after its request had been answered plainly");
    }
}

/// What is known of the answer to an event that has just been stored, or was there.
pub(super) fn seek(
    connection: &Connection,
    (source, event_id): (&str, &str),
    responder: &Responder,
    received_at: Millis,
) -> rusqlite::Result<Option<Sought>> {
    let until = received_at.after(responder.timeout);
    let read = |row: &Row<'_>| {
        if let Some(status) = row.get(3)? {
            return Ok(HandlerResponse::new(Some(status), row.get(4)?, row.get(5)?).ok().map(Sought::Known));
        }
        let (state, run_at): (Option<String>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let may_come = match state.as_deref().map(str::parse) {
            Some(Ok(JobState::Running)) => true,
            Some(Ok(JobState::Pending)) => run_at.is_some_and(|at| at < until.0),
            _ => false,
        };
        let coming = || Ok(Sought::Coming { event_seq: row.get(0)?, responder: responder.clone(), until });
        may_come.then(coming).transpose()
    };
    let found = connection
        .prepare_cached(
            "SELECT e.seq, j.state, j.run_at, a.status, a.content_type, a.body FROM events e
             LEFT JOIN jobs j ON j.event_seq = e.seq AND j.handler = ?3
             LEFT JOIN replies a ON a.event_seq = e.seq
             WHERE e.source = ?1 AND e.event_id = ?2",
        )?
        .query_row((source, event_id, responder.handler.as_ref()), read)
        .optional()?;
    Ok(found.flatten())
}

/// Keeps an answer for duplicates, unless there is one.
pub(super) fn keep(connection: &Connection, event_seq: i64, response: &HandlerResponse) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO replies (event_seq, status, content_type, body)
             SELECT seq, ?2, ?3, ?4 FROM events WHERE seq = ?1",
        )?
        .execute((event_seq, response.status(), response.named_content_type(), response.body()))
        .map(drop)
}
