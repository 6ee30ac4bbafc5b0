//! Stores a refused delivery that has been verified since, as if it had just arrived.

use rusqlite::{Connection, Result};

use crate::inbox::Receipt;
use crate::inbox::insert::Insertion;
use crate::inbox::rejections::HourlyTotals;
use crate::support::time::Millis;

/// Stores the events and marks the refusal. `None` if it is marked already or no longer stored.
pub(super) fn accept_refusal(
    connection: &Connection,
    totals: &mut HourlyTotals,
    refusal: i64,
    insertion: &Insertion,
) -> Result<Option<Receipt>> {
    let mark = "UPDATE refusals SET taken_at = ?2 WHERE id = ?1 AND taken_at IS NULL";
    if connection.execute(mark, (refusal, Millis::now().0))? == 0 {
        return Ok(None);
    }
    Ok(Some(insertion.write(connection, totals)?.receipt))
}
