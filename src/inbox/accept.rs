//! One verified delivery becomes rows: its events, their payloads and their jobs, or one more delivery on the events
//! that are there already.
//!
//! Dedup is the unique key's conflict, decided inside the transaction. A [`Receipt`] exists only after the commit.

use rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use super::answers::{Awaited, Board, Sought};
use super::tally::Counts;
use super::{NotStored, answers, bodies, sequence};
use crate::routing::{NewJob, Responder, RoutedEvent, Routes};
use crate::verify::{VerifiedDelivery, VerifiedEvent};

/// Proof that a delivery is stored and synced; only the writer makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    events: u32,
    duplicates: u32,
}

impl Receipt {
    /// Events in the delivery.
    #[must_use]
    pub fn events(self) -> u32 {
        self.events
    }

    /// Those of them that were stored before.
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

/// A delivery that is stored, and the answer in a handler's words that may come.
#[derive(Debug)]
pub struct Accepted {
    /// That it is stored.
    pub receipt: Receipt,
    /// `None` where no handler responds, or none will in time.
    pub answer: Option<Awaited>,
}

/// A delivery that is written, and committed with its transaction.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) receipt: Receipt,
    sought: Option<Sought>,
}

impl Stored {
    /// After the commit.
    pub(super) fn accepted(self, board: &Board) -> Accepted {
        Accepted { receipt: self.receipt, answer: self.sought.and_then(|sought| board.await_answer(sought)) }
    }
}

/// A delivery and what is to become of it.
#[derive(Debug)]
pub(super) struct Routed {
    verified: VerifiedDelivery,
    /// Per item, the jobs it is to have.
    drafts: Vec<Vec<NewJob>>,
    /// Who answers the provider.
    responder: Option<Responder>,
    /// Whether a body that is known makes an event known (`replay_guard`).
    guards_bodies: bool,
}

/// A delivery on its way to the writer, with the one who waits for it.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) routed: Routed,
    pub(super) answer: oneshot::Sender<Result<Accepted, NotStored>>,
}

impl Delivery {
    /// Whether the one who waited has been answered otherwise, or has gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Whoever waited and has gone learns nothing; the provider will send again.
    pub(super) fn answer(self, result: Result<Accepted, NotStored>) {
        if self.answer.send(result).is_err() {
            log::debug!("a delivery was answered after its client had gone");
        }
    }
}

impl Routed {
    pub(super) fn new(verified: VerifiedDelivery, routes: &Routes, guards_bodies: bool) -> Self {
        let route = |item: &VerifiedEvent| {
            routes.drafts(RoutedEvent {
                source: verified.source(),
                event_type: &item.event_type,
                headers: verified.headers_json(),
                body: &item.body,
            })
        };
        let drafts: Vec<_> = verified.items().iter().map(route).collect();
        let responder = match &drafts[..] {
            [one] => routes.responder(one),
            _ => None,
        };
        Self { verified, drafts, responder, guards_bodies }
    }

    /// Roughly what it adds to the transaction, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.verified.items().iter().map(|item| item.body.len()).sum()
    }

    /// Jobs it makes when all its events are new.
    pub(super) fn jobs(&self) -> usize {
        self.drafts.iter().map(Vec::len).sum()
    }

    /// Whether all its events are stored already, so that it adds nothing but a count.
    pub(super) fn is_known(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut known = connection.prepare_cached(
            "SELECT 1 FROM events WHERE source = ?1 AND event_id = ?2
             UNION ALL SELECT 1 FROM seen_ids WHERE source = ?1 AND event_id = ?2",
        )?;
        for item in self.verified.items() {
            if !known.exists((self.verified.source().as_ref(), &item.event_id))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes all its events, within the caller's transaction.
    pub(super) fn store(&self, connection: &Connection, counts: &mut Counts) -> rusqlite::Result<Stored> {
        let mut receipt = Receipt { events: 0, duplicates: 0 };
        for (item, drafts) in self.verified.items().iter().zip(&self.drafts) {
            receipt.events += 1;
            if !self.store_item(connection, item, drafts)? {
                receipt.duplicates += 1;
            }
        }
        let accepted = receipt.events - receipt.duplicates;
        counts.deliveries(self.verified.source(), self.verified.received_at(), accepted, receipt.duplicates);
        Ok(Stored { receipt, sought: self.sought(connection)? })
    }

    fn sought(&self, connection: &Connection) -> rusqlite::Result<Option<Sought>> {
        let (Some(responder), [item]) = (&self.responder, self.verified.items()) else { return Ok(None) };
        let event = (self.verified.source().as_ref(), item.event_id.as_str());
        answers::seek(connection, event, responder, self.verified.received_at())
    }

    /// Whether the event is new.
    fn store_item(&self, connection: &Connection, item: &VerifiedEvent, drafts: &[NewJob]) -> rusqlite::Result<bool> {
        let source = self.verified.source().as_ref();
        if is_pruned(connection, source, item)? || self.guards_bodies && bodies::is_replay(connection, source, item)? {
            return Ok(false);
        }
        let received_at = self.verified.received_at().0;
        let inserted = connection
            .prepare_cached(
                "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((source, &item.event_id, &item.event_type, received_at, item.body.len(), &item.sha256));
        // Not `ON CONFLICT DO NOTHING`: that would use up a seq for every duplicate.
        match inserted {
            Err(error) if is_duplicate(&error) => return count_duplicate(connection, source, item).map(|()| false),
            inserted => drop(inserted?),
        }
        let event_seq = connection.last_insert_rowid();
        if self.guards_bodies {
            bodies::remember(connection, source, item)?;
        }
        connection
            .prepare_cached("INSERT INTO payloads (event_seq, headers, content_type, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute((event_seq, self.verified.headers_json(), self.verified.content_type(), item.body.as_ref()))?;
        for draft in drafts {
            sequence::make(connection, event_seq, draft, self.verified.received_at())?;
        }
        Ok(true)
    }
}

fn is_duplicate(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_UNIQUE)
}

fn count_duplicate(connection: &Connection, source: &str, item: &VerifiedEvent) -> rusqlite::Result<()> {
    let first: Vec<u8> = connection
        .prepare_cached(
            "UPDATE events SET deliveries = deliveries + 1 WHERE source = ?1 AND event_id = ?2 RETURNING body_sha256",
        )?
        .query_row((source, &item.event_id), |row| row.get(0))?;
    if first != item.sha256 {
        warn_of_other_body(source, &item.event_id);
    }
    Ok(())
}

/// Whether the event was stored once and has been pruned; counted as a delivery of its key then.
fn is_pruned(connection: &Connection, source: &str, item: &VerifiedEvent) -> rusqlite::Result<bool> {
    let first: Option<Vec<u8>> = connection
        .prepare_cached(
            "UPDATE seen_ids SET deliveries = deliveries + 1 WHERE source = ?1 AND event_id = ?2 RETURNING body_sha256",
        )?
        .query_row((source, &item.event_id), |row| row.get(0))
        .optional()?;
    if first.as_ref().is_some_and(|first| first != &item.sha256) {
        warn_of_other_body(source, &item.event_id);
    }
    Ok(first.is_some())
}

fn warn_of_other_body(source: &str, event_id: &str) {
    log::warn!("{source}: a duplicate of {event_id:?} came with another body; the first one stays");
}
