//! The bytes of all requests that are received and not yet stored, and their limit.
//!
//! A request holds a [`InFlightPermit`] for as long as hookbox holds its body; what does not fit is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Bytes;

/// The budget of all requests together.
#[derive(Debug)]
pub(super) struct InFlight {
    used: Bytes,
    limit: AtomicU64,
}

impl InFlight {
    /// `used` is the gauge that the metrics show.
    pub(super) fn new(limit: u64, used: Bytes) -> Arc<Self> {
        Arc::new(Self { used, limit: AtomicU64::new(limit) })
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A share of nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> InFlightPermit {
        InFlightPermit { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let take = |used: u64| used.checked_add(bytes).filter(|total| *total <= limit);
        self.used.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// What one request holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct InFlightPermit {
    budget: Arc<InFlight>,
    bytes: u64,
}

impl InFlightPermit {
    /// Holds at least `bytes` from now on. `false`: there is no room, and nothing has changed.
    pub(super) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = more == 0 || self.budget.take(more);
        if fits {
            self.bytes += more;
        }
        fits
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.budget.used.dec_by(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_into_the_limit_and_are_given_back() {
        let budget = InFlight::new(100, Bytes::default());
        let mut first = budget.share();
        let mut second = budget.share();
        assert!(first.grow_to(60) && first.grow_to(10));
        assert!(!second.grow_to(41));
        assert!(second.grow_to(40));
        drop(first);
        assert!(second.grow_to(100));
        drop(second);
        assert_eq!(budget.used.get(), 0);
    }
}
