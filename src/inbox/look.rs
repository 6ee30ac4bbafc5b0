//! What a served inbox tells those who only look: one short read each, from the pool.
//!
//! A query of [`super::view`] goes in, its answer comes out. The writer is never waited for; a read that cannot be made
//! now is a passing error.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::turn::{self, HandlerState, Payload};
use super::{Inbox, InboxError};

impl Inbox {
    /// Runs a query of [`super::view`] or [`super::edit::plan`].
    ///
    /// # Errors
    /// [`InboxError::Passing`] when it could not be read now.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, InboxError> {
        let passing = |error: &dyn std::error::Error| InboxError::Passing(error.to_string());
        let connection = self.readers.get().map_err(|error| passing(&error))?;
        query(&connection).map_err(|error| passing(&error))
    }

    /// Whether deliveries are turned away for want of room on the disk.
    #[must_use]
    pub fn is_disk_low(&self) -> bool {
        self.shared.disk_low.load(Ordering::Relaxed)
    }

    /// Rises with every commit: at once with those made here, within a second with those of other processes.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// After a commit that a desk of this process has made: what runs is held to it with the next turn of the
    /// dispatcher, which would not look before long.
    pub fn note_change(&self) {
        self.shared.changed_outside.store(true, Ordering::Relaxed);
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// What came with an event: headers, content type, body.
    ///
    /// # Errors
    /// [`InboxError::Passing`] when it could not be read now; `None` when its body has been pruned.
    pub fn payload(&self, event_seq: i64) -> Result<Option<Payload>, InboxError> {
        self.read(|connection| turn::payload(connection, event_seq))
    }

    /// What is known of the handlers beyond the configuration.
    ///
    /// # Errors
    /// [`InboxError::Passing`] when it could not be read now.
    pub fn handler_states(&self) -> Result<Vec<HandlerState>, InboxError> {
        self.read(turn::handler_states)
    }
}
