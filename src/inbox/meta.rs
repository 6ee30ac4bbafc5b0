//! What the inbox knows of itself: the key that digests tokens, and how far `seen_bodies` has been filled in.
//!
//! The key is made once, from the system's randomness, and never leaves the file but as a [`DigestKey`].

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::support::secret::DigestKey;

const TOKEN_KEY: &str = "token_key";

/// The key, made when there is none.
pub(super) fn make_token_key(connection: &Connection) -> rusqlite::Result<DigestKey> {
    let random: [u8; 32] =
        Sha256::new_with_prefix(uuid::Uuid::new_v4()).chain_update(uuid::Uuid::new_v4()).finalize().into();
    connection.execute("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (TOKEN_KEY, random))?;
    Ok(token_key(connection)?.unwrap_or(DigestKey::new(random)))
}

/// The key, where the inbox has been served.
pub(super) fn token_key(connection: &Connection) -> rusqlite::Result<Option<DigestKey>> {
    let find = "SELECT value FROM meta WHERE name = ?";
    Ok(connection.query_row(find, [TOKEN_KEY], |row| row.get(0)).optional()?.map(DigestKey::new))
}

/// A number; 0 where there is none.
pub(super) fn number(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let find = "SELECT value FROM meta WHERE name = ?";
    Ok(connection.query_row(find, [name], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn set_number(connection: &Connection, name: &str, number: i64) -> rusqlite::Result<()> {
    let set = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.execute(set, (name, number)).map(drop)
}
