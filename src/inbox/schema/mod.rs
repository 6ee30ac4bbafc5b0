//! The database schema: its version, upgrades, the conditions of its indices, and the `meta` table.

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior};
use sha2::{Digest, Sha256};

use crate::support::secret::DigestKey;

/// The current schema.
pub(super) const SCHEMA: &str = include_str!("../../../schema.sql");
/// `PRAGMA application_id` of an inbox: "hoob".
pub(super) const APPLICATION_ID: i32 = 0x686f_6f62;
/// `PRAGMA user_version` of [`SCHEMA`].
pub(super) const SCHEMA_VERSION: i32 = version_after(UPGRADES);
/// SQL scripts: the one at index N upgrades version N+1 to N+2.
pub(super) const UPGRADES: &[&str] = &[];

// SQL conditions on `jobs`. A query uses a partial index only if it repeats the index's condition.

/// A job that is not finished. Index: `jobs_by_key`.
pub(super) const OPEN: &str = "state IN ('pending', 'running')";
/// A pending job that may run once `run_at` has passed. Index: `jobs_due`.
pub(super) const DUE: &str = "state = 'pending' AND lost = 0 AND blocked = 0";
/// Like [`DUE`], but the last attempt was lost. Index: `jobs_suspect`.
pub(super) const SUSPECT: &str = "state = 'pending' AND lost > 0 AND blocked = 0";
/// A job that waits for another one with its ordering key, or is undecided. Index: `jobs_blocked`.
pub(super) const BLOCKED: &str = "blocked > 0";
/// The conditions that together match every pending job (and undecided jobs in other states).
pub(super) const PENDING: [&str; 3] = [DUE, SUSPECT, BLOCKED];
/// SQL assignment for a job that has changed: the next claim decides whether it is blocked.
pub(super) const UNDECIDED: &str = "blocked = CASE WHEN order_key IS NULL THEN 0 ELSE 2 END";

const TOKEN_KEY: &str = "token_key";

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "there are few scripts")]
pub(super) const fn version_after(upgrades: &[&str]) -> i32 {
    upgrades.len() as i32 + 1
}

/// Creates the schema if `found` is 0, else runs the upgrades after version `found`.
pub(super) fn create_or_upgrade(connection: &mut Connection, found: i32, upgrades: &[&str]) -> Result<()> {
    // Disabled before the transaction: otherwise dropping a table would delete the rows that refer to it.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if found == 0 {
        transaction.execute_batch(SCHEMA)?;
    } else {
        for script in upgrades.iter().skip(usize::try_from(found - 1).unwrap_or(0)) {
            transaction.execute_batch(script)?;
        }
        transaction.pragma_update(None, "user_version", version_after(upgrades))?;
    }
    transaction.commit()?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Returns the key of the token digests; creates it from the system's randomness if there is none.
pub(super) fn make_token_key(connection: &Connection) -> Result<DigestKey> {
    let random: [u8; 32] =
        Sha256::new_with_prefix(uuid::Uuid::new_v4()).chain_update(uuid::Uuid::new_v4()).finalize().into();
    connection.execute("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (TOKEN_KEY, random))?;
    Ok(token_key(connection)?.unwrap_or(DigestKey::new(random)))
}

/// Returns the key of the token digests; `None` if the inbox was never served.
pub(super) fn token_key(connection: &Connection) -> Result<Option<DigestKey>> {
    Ok(meta::<[u8; 32]>(connection, TOKEN_KEY)?.map(DigestKey::new))
}

pub(super) fn meta<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<Option<T>> {
    connection.prepare_cached("SELECT value FROM meta WHERE name = ?")?.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: impl rusqlite::ToSql) -> Result<()> {
    let set = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(set)?.execute((name, value)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_carries_version_and_application_id() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let read = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).unwrap();
        assert_eq!((read("application_id"), read("user_version")), (APPLICATION_ID, SCHEMA_VERSION));
    }

    #[test]
    fn each_condition_uses_its_index() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let of_key = "order_key = 'k' AND order_key IS NOT NULL";
        for (condition, index) in [
            (format!("{DUE} AND run_at <= 9"), "jobs_due"),
            (format!("{SUSPECT} AND run_at <= 9"), "jobs_suspect"),
            (BLOCKED.to_owned(), "jobs_blocked"),
            (format!("blocked = 2 AND {BLOCKED} ORDER BY order_key LIMIT 9"), "jobs_blocked"),
            (format!("{of_key} AND {OPEN}"), "jobs_by_key"),
            (format!("{of_key} AND {OPEN} AND state = 'pending' ORDER BY event_seq DESC LIMIT 1"), "jobs_by_key"),
            (format!("{of_key} AND blocked = 0 AND {OPEN}"), "jobs_one_per_key"),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE handler = 'h' AND {condition}");
            let plan: String = connection.query_row(&sql, [], |row| row.get("detail")).unwrap();
            assert!(plan.starts_with("SEARCH") && plan.contains(index), "{condition}: {plan}");
        }
    }
}
