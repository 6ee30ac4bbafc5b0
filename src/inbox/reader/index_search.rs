//! Searches that jump through an index instead of reading all rows.

use rusqlite::{Connection, OptionalExtension, Result};

use crate::support::time::{HOUR_MS, Millis};

/// How far the clock may have been stepped back without [`lower_bound`] and [`upper_bound`] missing an event.
const CLOCK_MARGIN: i64 = HOUR_MS;

/// The distinct values of a column that is the first of an index, sorted.
pub(super) fn distinct(connection: &Connection, table: &str, column: &str) -> Result<Vec<String>> {
    let sql = format!(
        "WITH RECURSIVE hop(value) AS (
           SELECT min({column}) FROM {table}
           UNION ALL
           SELECT (SELECT min({column}) FROM {table} WHERE {column} > hop.value) FROM hop WHERE hop.value IS NOT NULL
         )
         SELECT value FROM hop WHERE value IS NOT NULL"
    );
    connection.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Sources that have events.
pub(super) fn sources(connection: &Connection) -> Result<Vec<String>> {
    distinct(connection, "events", "source")
}

/// A `seq` below which no event arrived since this time.
pub(super) fn lower_bound(connection: &Connection, since: Millis) -> Result<i64> {
    seq_at_time(connection, Millis(since.0.saturating_sub(CLOCK_MARGIN)))
}

/// A `seq` from which on no event arrived before this time.
pub(super) fn upper_bound(connection: &Connection, until: Millis) -> Result<i64> {
    seq_at_time(connection, Millis(until.0.saturating_add(CLOCK_MARGIN)))
}

/// The `seq` of the first event at this time or later, or one above the newest. A binary search, exact if the clock was
/// never stepped back: there is no index on the time.
pub(super) fn seq_at_time(connection: &Connection, Millis(instant): Millis) -> Result<i64> {
    let mut next =
        connection.prepare_cached("SELECT seq, received_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1")?;
    let sql = "SELECT coalesce((SELECT min(seq) FROM events), 0), coalesce((SELECT max(seq) FROM events), 0)";
    let (mut low, newest): (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut high = newest + 1;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((seq, at)) if at < instant => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
