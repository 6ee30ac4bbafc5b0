//! A rate limiter (generic cell rate algorithm) on the monotonic clock: the caller passes the time.
//!
//! The receiver limits the deliveries of a source with it, the dispatcher the attempts of a handler.

use std::fmt;
use std::time::{Duration, Instant};

/// How much unused capacity a paced limiter keeps.
const PACED_BURST: Duration = Duration::from_millis(100);

/// A `rate_limit` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// A second, a minute or an hour.
    pub per: Duration,
}

/// Limits events to a rate, with a burst of unused capacity.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    rate: Rate,
    interval: Duration,
    /// The burst, as the time in which it refills.
    capacity: Duration,
    /// When the full burst is available again. Each event moves it by one interval.
    full_at: Instant,
}

impl Rate {
    fn interval(self) -> Duration {
        (self.per / self.count.max(1)).max(Duration::from_nanos(1))
    }
}

impl fmt::Display for Rate {
    /// The configuration's notation: `600/m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            60 => "m",
            3600 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl RateLimiter {
    /// Allows a burst of the whole `count`.
    pub fn bursty(rate: Rate, now: Instant) -> Self {
        let interval = rate.interval();
        Self { rate, interval, capacity: interval * rate.count, full_at: now }
    }

    /// Spreads events evenly. The burst is a tenth of a second's worth, at least one: enough for a busy caller to reach
    /// the rate, too little for a storm after a pause.
    pub fn paced(rate: Rate, now: Instant) -> Self {
        let interval = rate.interval();
        let burst = u32::try_from(PACED_BURST.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
        Self { rate, interval, capacity: interval * burst.max(1), full_at: now }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many events may happen now.
    pub fn available(&self, now: Instant) -> usize {
        let left = self.capacity.saturating_sub(self.full_at.saturating_duration_since(now));
        usize::try_from(left.as_nanos() / self.interval.as_nanos()).unwrap_or(usize::MAX)
    }

    /// How long until the next event may happen; `None` if it may happen now.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let used = (self.full_at + self.interval).max(now + self.interval).saturating_duration_since(now);
        used.checked_sub(self.capacity).filter(|wait| !wait.is_zero())
    }

    /// Counts an event, whether or not one was available.
    pub fn record(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.interval;
    }

    /// Counts an event if one is available. The error is how long until the next one is.
    pub fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        match self.wait(now) {
            Some(wait) => Err(wait),
            None => {
                self.record(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, per: u64) -> Rate {
        Rate { count, per: Duration::from_secs(per) }
    }

    fn paced(count: u32, per: u64) -> (RateLimiter, Instant) {
        let start = Instant::now();
        (RateLimiter::paced(rate(count, per), start), start)
    }

    /// Takes what is available every ten milliseconds.
    fn taken(limiter: &mut RateLimiter, from: Instant, span: Duration) -> usize {
        let mut count = 0;
        for step in 0..span.as_millis() / 10 {
            let now = from + Duration::from_millis(10) * u32::try_from(step).unwrap();
            for _ in 0..limiter.available(now) {
                limiter.record(now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn bursty_limiter_allows_the_whole_count_then_refills() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut limiter = RateLimiter::bursty(rate(4, 60), start);
        let taken = |limiter: &mut RateLimiter, at| (0..10).take_while(|_| limiter.try_take(at).is_ok()).count();
        assert_eq!(taken(&mut limiter, start), 4);
        assert_eq!(limiter.try_take(start), Err(Duration::from_secs(15)));
        assert_eq!(limiter.try_take(at(5_000)), Err(Duration::from_secs(10)));
        assert_eq!([15_000, 44_999, 45_000].map(|millis| taken(&mut limiter, at(millis))), [1, 1, 1]);
        assert_eq!(taken(&mut limiter, at(3_600_000)), 4, "never more than the count");
    }

    #[test]
    fn slow_paced_limiter_allows_one_at_a_time() {
        let (mut limiter, start) = paced(10, 1);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(limiter.available(start), 1);
        limiter.record(start);
        assert_eq!((limiter.available(start), limiter.wait(start)), (0, Some(Duration::from_millis(100))));
        assert_eq!(limiter.available(at(99)), 0);
        assert_eq!((limiter.available(at(100)), limiter.wait(at(100))), (1, None));
    }

    #[test]
    fn paced_limiter_keeps_the_rate_over_time() {
        for (count, per, span, expected) in
            [(10, 1, 10, 100..=101), (1_000, 1, 10, 10_000..=10_100), (60, 60, 30, 30..=31), (7_200, 3600, 10, 20..=21)]
        {
            let (mut limiter, start) = paced(count, per);
            let taken = taken(&mut limiter, start, Duration::from_secs(span));
            assert!(expected.contains(&taken), "{count}/{per}s: {taken} in {span} s");
        }
    }

    #[test]
    fn paced_limiter_has_no_storm_after_a_pause() {
        let (mut limiter, start) = paced(1_000, 1);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(limiter.available(later), 100);
        let taken = taken(&mut limiter, later, Duration::from_secs(1));
        assert!((1_000..=1_100).contains(&taken), "{taken}");
    }
}
