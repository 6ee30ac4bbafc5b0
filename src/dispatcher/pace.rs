//! How many attempts of a handler may start now: its `rate_limit`, spread evenly.
//!
//! Pure, on the monotonic clock. Up to a tenth of a second's worth may start at once, so that a busy scheduler keeps the
//! rate; what was not used before that is lost, so that no storm follows a pause.

use std::time::{Duration, Instant};

use crate::config::Rate;

/// How long unused starts are kept.
const OUTPUT_KEPT_BYTES: Duration = Duration::from_millis(100);

/// The starts of one handler.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    rate: Rate,
    /// When everything that has been started was due: a start moves it by one interval.
    used_until: Instant,
}

impl Pace {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, used_until: now }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// How many may start now.
    pub(super) fn places(&self, now: Instant) -> usize {
        let used = self.used_until.saturating_duration_since(now);
        let left = self.allowance().saturating_sub(used).as_nanos() / self.interval().as_nanos().max(1);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// One has started.
    pub(super) fn started(&mut self, now: Instant) {
        self.used_until = self.used_until.max(now) + self.interval();
    }

    /// When the next may start, while none may.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let wait = (self.used_until + self.interval()).saturating_duration_since(now);
        (self.places(now) == 0).then(|| now + wait.saturating_sub(self.allowance()))
    }

    fn interval(&self) -> Duration {
        self.rate.per / self.rate.count
    }

    /// What may start at once, in time: at least one.
    fn allowance(&self) -> Duration {
        let starts = OUTPUT_KEPT_BYTES.as_nanos() / self.interval().as_nanos().max(1);
        self.interval() * u32::try_from(starts).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(count: u32, per: u64) -> (Pace, Instant) {
        let start = Instant::now();
        (Pace::new(Rate { count, per: Duration::from_secs(per) }, start), start)
    }

    /// Starts whatever may start, every ten milliseconds.
    fn started(pace: &mut Pace, from: Instant, span: Duration) -> usize {
        let mut count = 0;
        for step in 0..span.as_millis() / 10 {
            let now = from + Duration::from_millis(10) * u32::try_from(step).unwrap();
            for _ in 0..pace.places(now) {
                pace.started(now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn a_slow_rate_starts_one_at_a_time() {
        let (mut pace, start) = pace(10, 1);
        assert_eq!(pace.places(start), 1);
        pace.started(start);
        assert_eq!(pace.places(start), 0);
        assert_eq!(pace.next_at(start), Some(start + Duration::from_millis(100)));
        assert_eq!(pace.places(start + Duration::from_millis(99)), 0);
        assert_eq!(pace.places(start + Duration::from_millis(100)), 1);
        assert_eq!(pace.next_at(start + Duration::from_millis(100)), None);
    }

    #[test]
    fn over_time_the_rate_is_kept() {
        for (count, per, span, expected) in
            [(10, 1, 10, 100..=101), (1_000, 1, 10, 10_000..=10_100), (60, 60, 30, 30..=31), (7_200, 3600, 10, 20..=21)]
        {
            let (mut pace, start) = pace(count, per);
            let started = started(&mut pace, start, Duration::from_secs(span));
            assert!(expected.contains(&started), "{count}/{per}s: {started} in {span} s");
        }
    }

    #[test]
    fn no_storm_follows_a_pause() {
        let (mut pace, start) = pace(1_000, 1);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(pace.places(later), 100);
        let started = started(&mut pace, later, Duration::from_secs(1));
        assert!((1_000..=1_100).contains(&started), "{started}");
    }
}
