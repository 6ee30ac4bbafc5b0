//! Stores a verified and routed delivery: its events with payloads and jobs, or a count on events stored before.
//!
//! A duplicate is recognised by a unique constraint inside the transaction. Only [`Delivery::answer`], after the commit,
//! hands out the [`Receipt`].

mod body_dedup;
mod known_event;

use std::borrow::Cow;

use rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
use rusqlite::{Connection, Result};
use tokio::sync::oneshot;

use self::known_event::{Found, KnownEvent};
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
        for event in self.routed.delivery().items() {
            if !self.known_event(connection, event).is_stored()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn known_event<'a>(&'a self, connection: &'a Connection, event: &'a VerifiedEvent) -> KnownEvent<'a> {
        let delivery = self.routed.delivery();
        KnownEvent {
            connection,
            source: delivery.source(),
            event,
            id: (&*event.event_id).into(),
            scope: delivery.id_scope(),
        }
    }

    /// Writes all its events within the caller's transaction.
    pub(super) fn write(&self, connection: &Connection, totals: &mut HourlyTotals) -> Result<Inserted> {
        let delivery = self.routed.delivery();
        let mut receipt = Receipt { events: 0, duplicates: 0 };
        let mut stored_id = Cow::Borrowed("");
        for (event, jobs) in self.routed.events() {
            receipt.events += 1;
            let is_new;
            (stored_id, is_new) = self.write_event(self.known_event(connection, event), jobs)?;
            receipt.duplicates += u32::from(!is_new);
        }
        let accepted = receipt.events - receipt.duplicates;
        totals.add_delivery(delivery.source(), delivery.received_at(), accepted, receipt.duplicates);
        let reply = match (self.routed.responder(), delivery.items()) {
            (Some(responder), [_]) => {
                replies::look_up(connection, delivery.source(), &stored_id, responder, delivery.received_at())?
            }
            _ => None,
        };
        Ok(Inserted { receipt, reply })
    }

    /// Returns the id under which the event is stored, and whether it is new.
    fn write_event<'a>(&self, known: KnownEvent<'a>, jobs: &[NewJob]) -> Result<(Cow<'a, str>, bool)> {
        let found = self.write_under_id(&known, jobs)?;
        if found != Found::OtherBody {
            return Ok((known.id, found == Found::New));
        }
        let further = known.of_further_state();
        let found = self.write_under_id(&further, jobs)?;
        Ok((further.id, found == Found::New))
    }

    fn write_under_id(&self, known: &KnownEvent<'_>, jobs: &[NewJob]) -> Result<Found> {
        let KnownEvent { connection, source, event, id, .. } = known;
        let found = known.count_in("seen_ids")?;
        if found != Found::New {
            return Ok(found);
        }
        if self.dedups_bodies && body_dedup::is_replay(connection, source, id, event)? {
            return Ok(Found::Duplicate);
        }
        let delivery = self.routed.delivery();
        let received_at = delivery.received_at();
        let inserted = connection
            .prepare_cached(
                "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((source, id, &event.event_type, received_at.0, event.body.len(), &event.sha256));
        // Not `ON CONFLICT DO NOTHING`: that would consume a seq for every duplicate.
        match inserted {
            Err(error) if is_unique_violation(&error) => return known.count_in("events"),
            inserted => drop(inserted?),
        }
        let event_seq = connection.last_insert_rowid();
        if self.dedups_bodies {
            body_dedup::remember(connection, source, id, event)?;
        }
        connection
            .prepare_cached("INSERT INTO payloads (event_seq, headers, content_type, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute((event_seq, delivery.headers_json(), delivery.content_type(), event.body.as_ref()))?;
        for job in jobs {
            ordering::insert_job(connection, event_seq, job, received_at)?;
        }
        Ok(Found::New)
    }
}

fn is_unique_violation(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_UNIQUE)
}
