//! Limits the bytes of all requests that are received but not yet stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Bytes;

#[derive(Debug)]
pub(super) struct InFlight {
    /// Also the gauge that the metrics show.
    used: Bytes,
    limit: AtomicU64,
}

/// The bytes that one request has reserved. Dropping it returns them.
#[derive(Debug)]
pub(super) struct InFlightPermit {
    in_flight: Arc<InFlight>,
    bytes: u64,
}

impl InFlight {
    pub(super) fn new(limit: u64, used: Bytes) -> Arc<Self> {
        Arc::new(Self { used, limit: AtomicU64::new(limit) })
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A permit without any bytes yet.
    pub(super) fn permit(self: &Arc<Self>) -> InFlightPermit {
        InFlightPermit { in_flight: self.clone(), bytes: 0 }
    }

    fn reserve(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let add = |used: u64| used.checked_add(bytes).filter(|total| *total <= limit);
        self.used.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

impl InFlightPermit {
    /// Reserves `bytes` in total. Returns `false`, and changes nothing, if the limit does not allow it.
    pub(super) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = more == 0 || self.in_flight.reserve(more);
        if fits {
            self.bytes += more;
        }
        fits
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.in_flight.used.dec_by(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_respect_the_limit_and_are_returned() {
        let in_flight = InFlight::new(100, Bytes::default());
        let mut first = in_flight.permit();
        let mut second = in_flight.permit();
        assert!(first.grow_to(60) && first.grow_to(10));
        assert!(!second.grow_to(41));
        assert!(second.grow_to(40));
        drop(first);
        assert!(second.grow_to(100));
        drop(second);
        assert_eq!(in_flight.used.get(), 0);
    }
}
