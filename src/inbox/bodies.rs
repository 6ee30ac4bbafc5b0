//! Bodies that are known, for sources with `replay_guard = "id+body"`: one that came before under another id is a
//! duplicate of that event.
//!
//! Only such sources write here. When a source gets the guard, what it had stored without is filled in, so that the
//! guard knows everything the inbox knows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Inbox, InboxError, file, meta};
use crate::support::locks;
use crate::verify::VerifiedEvent;

/// Events looked at in one transaction.
const CHUNK: i64 = 20_000;

impl Inbox {
    /// From now on a body of these sources makes an event known, those stored before included.
    ///
    /// # Errors
    /// When what was stored before cannot be gone through.
    pub fn guard_bodies(&self, sources: &[Arc<str>]) -> Result<(), InboxError> {
        let before = self.guarded();
        let set = |guarded| *locks::write(&self.shared.guarded) = guarded;
        // First, so that what arrives meanwhile is remembered too.
        set(sources.into());
        let (path, durability) = self.shared.with_settings(|settings| (settings.path.clone(), settings.durability));
        for source in sources.iter().filter(|source| !before.contains(source)) {
            let caught_up = file::open(&path, durability)
                .map_err(|error| error.to_string())
                .and_then(|mut connection| catch_up(&mut connection, source).map_err(|error| error.to_string()));
            if let Err(why) = caught_up {
                set(before);
                return Err(InboxError::Passing(format!("{source}: replay_guard: {why}")));
            }
        }
        Ok(())
    }

    pub(super) fn guarded(&self) -> Arc<[Arc<str>]> {
        locks::read(&self.shared.guarded).clone()
    }
}

/// Whether the item's body is known under another id, and its own id is not. Counted as a delivery of the first then.
pub(super) fn is_replay(connection: &Connection, source: &str, item: &VerifiedEvent) -> rusqlite::Result<bool> {
    let first: Option<String> = connection
        .prepare_cached("SELECT event_id FROM seen_bodies WHERE source = ?1 AND body_sha256 = ?2")?
        .query_row((source, &item.sha256), |row| row.get(0))
        .optional()?;
    let Some(first) = first.filter(|first| *first != item.event_id) else { return Ok(false) };
    let is_known = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE source = ?1 AND event_id = ?2)")?
        .query_row((source, &item.event_id), |row| row.get(0))?;
    if is_known {
        return Ok(false);
    }
    for table in ["events", "seen_ids"] {
        let count = format!("UPDATE {table} SET deliveries = deliveries + 1 WHERE source = ?1 AND event_id = ?2");
        connection.prepare_cached(&count)?.execute((source, &first))?;
    }
    log::warn!(
        "{source}: the body of {first:?} came again as {:?}; it is not stored again (replay_guard)",
        item.event_id
    );
    Ok(true)
}

/// From now on the item's body is known.
pub(super) fn remember(connection: &Connection, source: &str, item: &VerifiedEvent) -> rusqlite::Result<()> {
    let insert = "INSERT INTO seen_bodies (source, body_sha256, event_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    connection.prepare_cached(insert)?.execute((source, &item.sha256, &item.event_id)).map(drop)
}

/// Fills in what was stored since the source was last looked at, some at a time: others write in between.
pub(super) fn catch_up(connection: &mut Connection, source: &str) -> rusqlite::Result<()> {
    let mark = format!("bodies:{source}");
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = meta::number(&transaction, &mark)?;
        let newest: i64 = transaction.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
        let until = newest.min(done + CHUNK);
        if done == 0 {
            let pruned = "INSERT INTO seen_bodies SELECT source, body_sha256, event_id FROM seen_ids WHERE source = ?1
                          ORDER BY received_at ON CONFLICT DO NOTHING";
            transaction.execute(pruned, [source])?;
        }
        let stored = "INSERT INTO seen_bodies SELECT source, body_sha256, event_id FROM events
                      WHERE source = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq ON CONFLICT DO NOTHING";
        transaction.execute(stored, (source, done, until))?;
        meta::set_number(&transaction, &mark, until)?;
        transaction.commit()?;
        if until >= newest {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    #[test]
    fn what_was_stored_without_the_guard_is_filled_in_and_the_first_id_stays() {
        let mut sample = Sample::new();
        for (id, body) in [("a", 1), ("b", 2), ("c", 1)] {
            let seq = sample.event("s", id, "t", 1);
            sample.run(&format!("UPDATE events SET body_sha256 = x'{body:064}' WHERE seq = {seq}"));
        }
        sample.event("other", "d", "t", 1);
        sample.run(&format!("INSERT INTO seen_ids VALUES ('s', 'pruned', 0, 1, x'{:064}')", 2));
        catch_up(&mut sample.connection, "s").unwrap();
        let ids = "SELECT group_concat(event_id, ' ') FROM (SELECT event_id FROM seen_bodies ORDER BY body_sha256)";
        assert_eq!(sample.line(ids), "a pruned");
        assert_eq!(meta::number(&sample.connection, "bodies:s"), Ok(4));
        let seq = sample.event("s", "e", "t", 1);
        sample.run(&format!("UPDATE events SET body_sha256 = x'{:064}' WHERE seq = {seq}", 3));
        catch_up(&mut sample.connection, "s").unwrap();
        assert_eq!(sample.line(ids), "a pruned e");
    }
}
