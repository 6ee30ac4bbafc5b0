//! Body digests of sources with `replay_guard = "id+body"`: the same body with another id is a duplicate.
//!
//! Only such sources write here. When a source gets the guard, the bodies that it has stored before are added.

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior};

use crate::inbox::schema::{meta, set_meta};
use crate::verify::VerifiedEvent;

/// Events looked at in one transaction.
const CHUNK: i64 = 20_000;

/// Whether the event's id is new and its body is known under another id. Counts a delivery of that event then.
pub(super) fn is_replay(connection: &Connection, source: &str, id: &str, event: &VerifiedEvent) -> Result<bool> {
    let first: Option<String> = connection
        .prepare_cached("SELECT event_id FROM seen_bodies WHERE source = ?1 AND body_sha256 = ?2")?
        .query_row((source, &event.sha256), |row| row.get(0))
        .optional()?;
    let Some(first) = first.filter(|first| first != id) else { return Ok(false) };
    let is_known =
        connection.prepare_cached("SELECT 1 FROM events WHERE source = ?1 AND event_id = ?2")?.exists((source, id))?;
    if is_known {
        return Ok(false);
    }
    for table in ["events", "seen_ids"] {
        let count = format!("UPDATE {table} SET deliveries = deliveries + 1 WHERE source = ?1 AND event_id = ?2");
        connection.prepare_cached(&count)?.execute((source, &first))?;
    }
    log::warn!("{source}: the body of {first:?} came again as {id:?} and is not stored again (replay_guard)");
    Ok(true)
}

pub(super) fn remember(connection: &Connection, source: &str, id: &str, event: &VerifiedEvent) -> Result<()> {
    let insert = "INSERT INTO seen_bodies (source, body_sha256, event_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    connection.prepare_cached(insert)?.execute((source, &event.sha256, id)).map(drop)
}

/// Adds the bodies stored since the source last had the guard, in chunks, so that others can write in between.
pub(in crate::inbox) fn add_stored_bodies(connection: &mut Connection, source: &str) -> Result<()> {
    let progress = format!("bodies:{source}");
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done: i64 = meta(&transaction, &progress)?.unwrap_or(0);
        let newest: i64 = transaction.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
        let until = newest.min(done + CHUNK);
        if done == 0 {
            let deleted = "INSERT INTO seen_bodies SELECT source, body_sha256, event_id FROM seen_ids WHERE source = ?1
                           ORDER BY received_at ON CONFLICT DO NOTHING";
            transaction.execute(deleted, [source])?;
        }
        let stored = "INSERT INTO seen_bodies SELECT source, body_sha256, event_id FROM events
                      WHERE source = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq ON CONFLICT DO NOTHING";
        transaction.execute(stored, (source, done, until))?;
        set_meta(&transaction, &progress, until)?;
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
    fn stored_bodies_are_added_and_the_first_id_stays() {
        let mut sample = Sample::new();
        for (id, body) in [("a", 1), ("b", 2), ("c", 1)] {
            let seq = sample.event("s", id, "t", 1);
            sample.run(&format!("UPDATE events SET body_sha256 = x'{body:064}' WHERE seq = {seq}"));
        }
        sample.event("other", "d", "t", 1);
        sample.run(&format!("INSERT INTO seen_ids VALUES ('s', 'deleted', 0, 1, x'{:064}')", 2));
        add_stored_bodies(&mut sample.connection, "s").unwrap();
        let ids = "SELECT group_concat(event_id, ' ') FROM (SELECT event_id FROM seen_bodies ORDER BY body_sha256)";
        assert_eq!(sample.line(ids), "a deleted");
        assert_eq!(meta(&sample.connection, "bodies:s"), Ok(Some(4)));
        let seq = sample.event("s", "e", "t", 1);
        sample.run(&format!("UPDATE events SET body_sha256 = x'{:064}' WHERE seq = {seq}", 3));
        add_stored_bodies(&mut sample.connection, "s").unwrap();
        assert_eq!(sample.line(ids), "a deleted e");
    }
}
