//! From an instant to a place in the order of arrival, without an index over time.
//!
//! Events are stored as they arrive, so their times rise with their `seq`, but for a clock that was set. A place is
//! found by halving, an hour too far out, and whoever asks compares the times themselves as well.

use rusqlite::{Connection, OptionalExtension, Result};

use crate::support::time::Millis;

/// How far the clock may have been set without an event being missed.
const MARGIN: i64 = 3_600_000;

/// A `seq` below which no event has arrived since.
pub(super) fn first_since(connection: &Connection, since: Millis) -> Result<i64> {
    place_of(connection, Millis(since.0.saturating_sub(MARGIN)))
}

/// A `seq` from which on every event has arrived later.
pub(super) fn end_of(connection: &Connection, until: Millis) -> Result<i64> {
    place_of(connection, Millis(until.0.saturating_add(MARGIN)))
}

/// The `seq` of the first event at `instant` or later, if the clock was never set; one beyond the newest when there is none.
pub(super) fn place_of(connection: &Connection, Millis(instant): Millis) -> Result<i64> {
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
