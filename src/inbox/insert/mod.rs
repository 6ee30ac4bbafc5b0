//! Stores a verified and routed delivery: its events with payloads and jobs, or a count on events stored before.
//!
//! A duplicate is recognised by a unique constraint inside the transaction. Only [`Delivery::answer`], after the commit,
//! hands out the [`Receipt`].

mod body_dedup;

use rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
use rusqlite::{Connection, OptionalExtension, Result};
use tokio::sync::oneshot;

use super::ordering;
use super::rejections::HourlyTotals;
use super::replies::{self, PendingReply, ReplyLookup, ReplyWaiters};
use super::types::NotStored;
use crate::routing::{NewJob, RoutedDelivery};
use crate::verify::VerifiedEvent;

pub(super) use body_dedup::add_stored_bodies;

/// Proof that a delivery is stored and synced. Only this module creates one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    events: u32,
    duplicates: u32,
}

impl Receipt {
    /// Number of events in the delivery.
    #[must_use]
    pub fn events(self) -> u32 {
        self.events
    }

    /// Number of them that were stored before.
    #[must_use]
    pub fn duplicates(self) -> u32 {
        self.duplicates
    }

    /// Whether any event is new.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        self.duplicates < self.events
    }
}

/// The response to a stored delivery.
#[derive(Debug)]
pub struct Accepted {
    pub receipt: Receipt,
    /// `None` if no handler responds, or none can in time.
    pub reply: Option<PendingReply>,
}

/// A delivery that is written but not committed.
#[derive(Debug)]
pub(super) struct Inserted {
    pub(super) receipt: Receipt,
    reply: Option<ReplyLookup>,
}

/// What to insert.
#[derive(Debug)]
pub(super) struct Insertion {
    pub(super) routed: RoutedDelivery,
    /// Whether an event with a known body is a duplicate (`replay_guard`).
    pub(super) dedups_bodies: bool,
}

/// An insertion on its way to the writer, and the request that waits for it.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) insertion: Insertion,
    pub(super) answer: oneshot::Sender<std::result::Result<Accepted, NotStored>>,
}

impl Delivery {
    /// Whether its request has timed out or was closed.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// After the commit, or its failure.
    pub(super) fn answer(self, result: std::result::Result<Inserted, NotStored>, waiters: &ReplyWaiters) {
        let accepted = |inserted: Inserted| Accepted {
            receipt: inserted.receipt,
            reply: inserted.reply.and_then(|lookup| waiters.add(lookup)),
        };
        if self.answer.send(result.map(accepted)).is_err() {
            log::debug!("a delivery was answered after its request had gone; the provider will send it again");
        }
    }
}

impl Insertion {
    /// Approximate size of what it adds to the transaction.
    pub(super) fn bytes(&self) -> usize {
        self.routed.delivery().items().iter().map(|event| event.body.len()).sum()
    }

    /// Whether all its events are stored already.
    pub(super) fn is_duplicate(&self, connection: &Connection) -> Result<bool> {
        let delivery = self.routed.delivery();
        let mut is_known = connection.prepare_cached(
            "SELECT 1 FROM events WHERE source = ?1 AND event_id = ?2
             UNION ALL SELECT 1 FROM seen_ids WHERE source = ?1 AND event_id = ?2",
        )?;
        for event in delivery.items() {
            if !is_known.exists((delivery.source().as_ref(), &event.event_id))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes all its events within the caller's transaction.
    pub(super) fn write(&self, connection: &Connection, totals: &mut HourlyTotals) -> Result<Inserted> {
        let delivery = self.routed.delivery();
        let mut receipt = Receipt { events: 0, duplicates: 0 };
        for (event, jobs) in self.routed.events() {
            receipt.events += 1;
            if !self.write_event(connection, event, jobs)? {
                receipt.duplicates += 1;
            }
        }
        let accepted = receipt.events - receipt.duplicates;
        totals.add_delivery(delivery.source(), delivery.received_at(), accepted, receipt.duplicates);
        let reply = match (self.routed.responder(), delivery.items()) {
            (Some(responder), [event]) => {
                replies::look_up(connection, delivery.source(), &event.event_id, responder, delivery.received_at())?
            }
            _ => None,
        };
        Ok(Inserted { receipt, reply })
    }

    /// Returns whether the event is new.
    fn write_event(&self, connection: &Connection, event: &VerifiedEvent, jobs: &[NewJob]) -> Result<bool> {
        let delivery = self.routed.delivery();
        let source = delivery.source().as_ref();
        if is_deleted(connection, source, event)?
            || self.dedups_bodies && body_dedup::is_replay(connection, source, event)?
        {
            return Ok(false);
        }
        let received_at = delivery.received_at();
        let inserted = connection
            .prepare_cached(
                "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((source, &event.event_id, &event.event_type, received_at.0, event.body.len(), &event.sha256));
        // Not `ON CONFLICT DO NOTHING`: that would consume a seq for every duplicate.
        match inserted {
            Err(error) if is_unique_violation(&error) => {
                return count_duplicate(connection, "events", source, event).map(|_| false);
            }
            inserted => drop(inserted?),
        }
        let event_seq = connection.last_insert_rowid();
        if self.dedups_bodies {
            body_dedup::remember(connection, source, event)?;
        }
        connection
            .prepare_cached("INSERT INTO payloads (event_seq, headers, content_type, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute((event_seq, delivery.headers_json(), delivery.content_type(), event.body.as_ref()))?;
        for job in jobs {
            ordering::insert_job(connection, event_seq, job, received_at)?;
        }
        Ok(true)
    }
}

fn is_unique_violation(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_UNIQUE)
}

/// Whether the event was stored and has been deleted since. Counts the delivery then.
fn is_deleted(connection: &Connection, source: &str, event: &VerifiedEvent) -> Result<bool> {
    count_duplicate(connection, "seen_ids", source, event)
}

/// Counts a delivery of an event in `events` or `seen_ids`. Returns whether it is there.
fn count_duplicate(connection: &Connection, table: &str, source: &str, event: &VerifiedEvent) -> Result<bool> {
    let sql = format!(
        "UPDATE {table} SET deliveries = deliveries + 1 WHERE source = ?1 AND event_id = ?2 RETURNING body_sha256"
    );
    let first: Option<Vec<u8>> =
        connection.prepare_cached(&sql)?.query_row((source, &event.event_id), |row| row.get(0)).optional()?;
    if first.as_ref().is_some_and(|first| *first != event.sha256) {
        log::warn!("{source}: a duplicate of {:?} came with another body; the first one stays", event.event_id);
    }
    Ok(first.is_some())
}
