//! Deliveries counted per source and hour, in memory until the next commit carries them into `hours`.
//!
//! Accepted and duplicates are counted by the writer inside their own transaction; refusals come from the listener
//! and never hold it up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::clock::Millis;

const HOUR: i64 = 3_600_000;

/// Refusals not yet written, per source.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<Arc<str>, u64>>);

impl Tally {
    pub(super) fn refused(&self, source: &Arc<str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(source.clone()).or_default() += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes what has been counted; [`Tally::give_back`] returns it when the commit failed.
    pub(super) fn take(&self) -> HashMap<Arc<str>, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn give_back(&self, counted: HashMap<Arc<str>, u64>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, count) in counted {
            *waiting.entry(source).or_default() += count;
        }
    }
}

/// What one transaction adds to `hours`.
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
            "INSERT INTO hours (source, hour, accepted, duplicate, refused) VALUES (?1, ?2, ?3, ?4, ?5)
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
    at.0.div_euclid(HOUR) * HOUR
}
