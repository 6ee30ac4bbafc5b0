//! Deliveries that cannot be stored for the moment, told once when it begins and once when it is over.
//!
//! Every answer comes by here; in quiet times that costs one read of a number.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::support::time::Millis;

/// So long must all go well before it is said to be over.
const OVER_AFTER: Duration = Duration::from_secs(5);
const QUIET: i64 = i64::MIN;

/// When the last delivery was turned away for want of something of ours.
#[derive(Debug)]
pub(super) struct OutageLog(AtomicI64);

impl Default for OutageLog {
    fn default() -> Self {
        Self(AtomicI64::new(QUIET))
    }
}

impl OutageLog {
    /// A delivery got 503.
    pub(super) fn turned_away(&self, why: &str) {
        if self.0.swap(Millis::now().0, Ordering::Relaxed) == QUIET {
            log::warn!("deliveries get 503: {why}");
        }
    }

    /// A delivery got its 200.
    pub(super) fn stored(&self) {
        let last = self.0.load(Ordering::Relaxed);
        if last != QUIET
            && Millis::now().since(Millis(last)) >= OVER_AFTER
            && self.0.compare_exchange(last, QUIET, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            log::info!("deliveries are stored again");
        }
    }
}
