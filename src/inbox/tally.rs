//! Deliveries counted per source and hour: what one transaction adds to `hourly_counts`.
//!
//! Accepted and duplicates are counted inside their own transaction; refusals have waited in the ring.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use crate::support::time::{HOUR_MS, Millis};

/// What one transaction adds to `hourly_counts`.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<(Arc<str>, i64), [u64; 3]>);

impl Counts {
    pub(super) fn deliveries(&mut self, source: &Arc<str>, at: Millis, accepted: u32, duplicates: u32) {
        let counts = self.0.entry((source.clone(), hour_of(at))).or_default();
        counts[0] += u64::from(accepted);
        counts[1] += u64::from(duplicates);
    }

    pub(super) fn refusals(&mut self, counted: &HashMap<Arc<str>, u64>, at: Millis) {
        for (source, count) in counted {
            self.0.entry((source.clone(), hour_of(at))).or_default()[2] += count;
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO hourly_counts (source, hour, accepted, duplicate, refused) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (source, hour) DO UPDATE SET accepted = accepted + excluded.accepted,
               duplicate = duplicate + excluded.duplicate, refused = refused + excluded.refused",
        )?;
        for ((source, hour), [accepted, duplicates, refused]) in &self.0 {
            statement.execute((source.as_ref(), hour, accepted, duplicates, refused))?;
        }
        Ok(())
    }
}

fn hour_of(at: Millis) -> i64 {
    at.0.div_euclid(HOUR_MS) * HOUR_MS
}
