//! Decides which commits are synced.
//!
//! A commit that something outside relies on is synced immediately. Claims and results only have to survive `kill -9`,
//! for which the commit is enough. If the power fails, no handler survives either, and a job whose result is lost runs
//! again. So their commits are not synced: the next synced commit covers them, at the latest after [`SYNC_WITHIN`].

use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

use crate::config::Durability;
use crate::inbox::file;
use crate::inbox::schema::set_meta;

/// How long a commit may stay unsynced.
const SYNC_WITHIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct SyncPolicy {
    durability: Durability,
    /// The connection's current setting; `Full` syncs at every commit.
    level: Durability,
    /// Time of the oldest unsynced commit.
    unsynced_since: Option<Instant>,
    /// The connection's change counter before the transaction.
    changes: u64,
}

impl SyncPolicy {
    pub(super) fn new(durability: Durability) -> Self {
        Self { durability, level: durability, unsynced_since: None, changes: 0 }
    }

    pub(super) fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    pub(super) fn before_transaction(&mut self, connection: &Connection, needs_sync: bool) -> Result<()> {
        let level = if needs_sync { self.durability } else { Durability::Normal };
        if level != self.level {
            file::set_durability(connection, level)?;
            self.level = level;
        }
        self.changes = connection.total_changes();
        Ok(())
    }

    /// A commit without changes writes nothing, and so syncs nothing.
    pub(super) fn after_commit(&mut self, connection: &Connection, now: Instant) {
        match (self.level, self.durability) {
            _ if connection.total_changes() == self.changes => {}
            (Durability::Normal, Durability::Full) => self.unsynced_since = self.unsynced_since.or(Some(now)),
            (Durability::Full, _) | (_, Durability::Normal) => self.unsynced_since = None,
        }
    }

    /// Returns when a synced commit is due, if any commit is unsynced.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.unsynced_since.map(|since| since + SYNC_WITHIN)
    }

    /// Writes a value, so that the commit has something to sync.
    pub(super) fn write_if_unsynced(&self, connection: &Connection, now: i64) -> Result<()> {
        if self.unsynced_since.is_some() { set_meta(connection, "synced_at", now) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    #[test]
    fn unsynced_commit_is_synced_by_the_next_or_after_a_moment() {
        let Sample { connection, .. } = &Sample::new();
        let mut policy = SyncPolicy::new(Durability::Full);
        let mut commit = |needs_sync, sql: &str| {
            policy.before_transaction(connection, needs_sync).unwrap();
            let level: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            connection.execute_batch(sql).unwrap();
            policy.after_commit(connection, Instant::now());
            (level, policy.due_at().is_some())
        };
        let write = "INSERT INTO meta VALUES (random(), 1)";
        connection.pragma_update(None, "synchronous", "FULL").unwrap();
        assert_eq!(commit(true, write), (2, false));
        assert_eq!(commit(false, "SELECT 1"), (1, false), "nothing was written");
        assert_eq!(commit(false, write), (1, true));
        assert_eq!(commit(true, "SELECT 1"), (2, true), "nothing was written, so nothing was synced");
        assert_eq!(commit(true, write), (2, false));
        commit(false, write);
        policy.before_transaction(connection, true).unwrap();
        policy.write_if_unsynced(connection, 7).unwrap();
        policy.after_commit(connection, Instant::now());
        assert_eq!(policy.due_at(), None);
    }

    #[test]
    fn durability_normal_schedules_no_sync() {
        let Sample { connection, .. } = &Sample::new();
        let mut policy = SyncPolicy::new(Durability::Normal);
        policy.before_transaction(connection, true).unwrap();
        connection.execute("INSERT INTO meta VALUES ('x', 1)", []).unwrap();
        policy.after_commit(connection, Instant::now());
        assert_eq!(policy.due_at(), None);
    }
}
