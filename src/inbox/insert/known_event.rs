//! Compares an event with those that are stored or were deleted, by its id and its body.
//!
//! What a known id with another body means depends on [`IdScope`]: a duplicate whose body is dropped and counted, or a
//! further state of an object, which is a new event under `ID#DIGEST`.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Result};

use crate::model::event::id_with_digest;
use crate::providers::IdScope;
use crate::verify::VerifiedEvent;

/// An event with the id under which it is to be stored.
pub(super) struct KnownEvent<'a> {
    pub(super) connection: &'a Connection,
    pub(super) source: &'a str,
    pub(super) event: &'a VerifiedEvent,
    pub(super) id: Cow<'a, str>,
    pub(super) scope: IdScope,
}

/// What is known of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    New,
    Duplicate,
    /// The id is that of an object with another body, so the event is a further state of the object.
    OtherBody,
}

impl<'a> KnownEvent<'a> {
    /// The same event under the id of a further state of its object.
    pub(super) fn of_further_state(&self) -> Self {
        let id = Cow::Owned(id_with_digest(&self.event.event_id, &self.event.sha256));
        Self { id, scope: IdScope::Event, ..*self }
    }

    /// Whether it is stored or was deleted.
    pub(super) fn is_stored(&self) -> Result<bool> {
        for table in ["events", "seen_ids"] {
            match self.has_same_body(table)? {
                Some(is_same) if is_same || self.scope != IdScope::Object => return Ok(true),
                Some(_) => return self.of_further_state().is_stored(),
                None => {}
            }
        }
        Ok(false)
    }

    /// Looks the event up in `events` or `seen_ids`, and counts the delivery if it is a duplicate.
    pub(super) fn count_in(&self, table: &str) -> Result<Found> {
        if self.scope == IdScope::Object {
            match self.has_same_body(table)? {
                Some(true) => {}
                Some(false) => return Ok(Found::OtherBody),
                None => return Ok(Found::New),
            }
        }
        let deviating = match table {
            "events" => ", deviating_deliveries = deviating_deliveries + (body_sha256 <> ?3)",
            _ => "",
        };
        let sql = format!(
            "UPDATE {table} SET deliveries = deliveries + 1{deviating} WHERE source = ?1 AND event_id = ?2
             RETURNING body_sha256 = ?3"
        );
        let is_same = self.connection.prepare_cached(&sql)?.query_row(self.key(), |row| row.get(0)).optional()?;
        if is_same == Some(false) {
            log::warn!(
                "{}: a duplicate of {:?} has another body, which is not stored (if its id is not that of one event, set id_scope = \"object\")",
                self.source,
                self.id
            );
        }
        Ok(if is_same.is_some() { Found::Duplicate } else { Found::New })
    }

    /// `None` if the table does not have the id.
    fn has_same_body(&self, table: &str) -> Result<Option<bool>> {
        let sql = format!("SELECT body_sha256 = ?3 FROM {table} WHERE source = ?1 AND event_id = ?2");
        self.connection.prepare_cached(&sql)?.query_row(self.key(), |row| row.get(0)).optional()
    }

    fn key(&self) -> (&str, &str, &[u8; 32]) {
        (self.source, &self.id, &self.event.sha256)
    }
}
