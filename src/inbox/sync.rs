//! Which commits are synced: those that somebody outside relies on, at once; those of the dispatcher within a moment.
//!
//! A claim or an ending must survive `kill -9`, for which a commit is enough: the system has it. When the power fails no
//! handler lives on, and a job whose ending is lost runs again. So turns are committed without a sync, the next synced
//! commit carries them along, and where none comes one is made after [`LATEST`].

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::file;
use crate::config::Durability;

/// How long a commit may stay unsynced.
const LATEST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Syncing {
    durability: Durability,
    /// What the connection does at a commit; `Full` syncs.
    level: Durability,
    /// The oldest commit that is not synced.
    unsynced_since: Option<Instant>,
    changes: u64,
}

impl Syncing {
    pub(super) fn new(durability: Durability) -> Self {
        Self { durability, level: durability, unsynced_since: None, changes: 0 }
    }

    pub(super) fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    /// Before a transaction begins: whether its commit must be synced before anyone is told.
    pub(super) fn prepare(&mut self, connection: &Connection, is_relied_on: bool) -> rusqlite::Result<()> {
        let level = if is_relied_on { self.durability } else { Durability::Normal };
        if level != self.level {
            file::set_durability(connection, level)?;
            self.level = level;
        }
        self.changes = connection.total_changes();
        Ok(())
    }

    /// After its commit. What has changed nothing was not written, and has synced nothing.
    pub(super) fn committed(&mut self, connection: &Connection, now: Instant) {
        match (self.level, self.durability) {
            _ if connection.total_changes() == self.changes => {}
            (Durability::Normal, Durability::Full) => self.unsynced_since = self.unsynced_since.or(Some(now)),
            (Durability::Full, _) | (_, Durability::Normal) => self.unsynced_since = None,
        }
    }

    /// When a synced commit must come, if none comes before.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.unsynced_since.map(|since| since + LATEST)
    }

    /// Gives a commit something to write, so that it syncs what came before.
    pub(super) fn touch(&self, connection: &Connection, now: i64) -> rusqlite::Result<()> {
        if self.unsynced_since.is_none() {
            return Ok(());
        }
        let touch = "INSERT INTO meta (name, value) VALUES ('synced_at', ?)
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        connection.prepare_cached(touch)?.execute([now]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    #[test]
    fn what_nobody_relies_on_is_synced_by_the_next_commit_or_after_a_moment() {
        let Sample { connection, .. } = &Sample::new();
        let mut syncing = Syncing::new(Durability::Full);
        let mut commit = |is_relied_on, sql: &str| {
            syncing.prepare(connection, is_relied_on).unwrap();
            let level: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            connection.execute_batch(sql).unwrap();
            syncing.committed(connection, Instant::now());
            (level, syncing.due_at().is_some())
        };
        let write = "INSERT INTO meta VALUES (random(), 1)";
        connection.pragma_update(None, "synchronous", "FULL").unwrap();
        assert_eq!(commit(true, write), (2, false));
        assert_eq!(commit(false, "SELECT 1"), (1, false), "nothing was written");
        assert_eq!(commit(false, write), (1, true));
        assert_eq!(commit(true, "SELECT 1"), (2, true), "nothing was written, so nothing was synced");
        assert_eq!(commit(true, write), (2, false));
        commit(false, write);
        syncing.prepare(connection, true).unwrap();
        syncing.touch(connection, 7).unwrap();
        syncing.committed(connection, Instant::now());
        assert_eq!(syncing.due_at(), None);
    }

    #[test]
    fn an_inbox_that_is_not_synced_anyway_waits_for_nothing() {
        let Sample { connection, .. } = &Sample::new();
        let mut syncing = Syncing::new(Durability::Normal);
        syncing.prepare(connection, true).unwrap();
        connection.execute("INSERT INTO meta VALUES ('x', 1)", []).unwrap();
        syncing.committed(connection, Instant::now());
        assert_eq!(syncing.due_at(), None);
    }
}
