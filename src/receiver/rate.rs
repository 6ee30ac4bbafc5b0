//! How many genuine deliveries of a source are let through: a bucket that fills again with time.
//!
//! Kept in memory on the monotonic clock; a fresh one is full, so a burst of a whole `rate_limit` may come at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Rate;

/// The deliveries that may still come.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When the bucket is full again.
    full_at: Mutex<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: Mutex::new(now) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let one = self.rate.per / self.rate.count;
        let then = now.max(*full_at) + one;
        match then.duration_since(now).checked_sub(one * self.rate.count) {
            None | Some(Duration::ZERO) => {
                *full_at = then;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_rate_may_come_at_once_and_then_as_it_fills() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let bucket = Bucket::new(Rate { count: 4, per: Duration::from_secs(60) }, start);
        let taken = |at| (0..10).take_while(|_| bucket.take(at).is_ok()).count();
        assert_eq!(taken(start), 4);
        assert_eq!(bucket.take(start), Err(Duration::from_secs(15)));
        assert_eq!(bucket.take(at(5_000)), Err(Duration::from_secs(10)));
        assert_eq!((taken(at(15_000)), taken(at(44_999)), taken(at(45_000))), (1, 1, 1));
        assert_eq!(taken(at(3_600_000)), 4, "never more than the rate");
    }
}
