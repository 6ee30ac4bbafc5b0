//! Instants as hookbox stores and prints them: unix milliseconds, shown as RFC 3339 in UTC.
//!
//! Only for points in time. Time limits use [`std::time::Instant`], because the wall clock may be stepped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// An instant in unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// The wall clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// With milliseconds, in UTC: `2026-01-31T12:00:00.000Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |instant| format!("{instant:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instant_is_shown_in_utc_with_milliseconds() {
        assert_eq!(Millis(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Millis(1_769_860_800_007).to_rfc3339(), "2026-01-31T12:00:00.007Z");
        assert_eq!(Millis(i64::MAX).to_rfc3339(), i64::MAX.to_string());
    }

    #[test]
    fn time_differences_are_never_negative() {
        assert_eq!(Millis(5).since(Millis(9)), Duration::ZERO);
        assert_eq!(Millis(9).since(Millis(5)), Duration::from_millis(4));
        assert_eq!(Millis(i64::MAX).after(Duration::from_secs(1)), Millis(i64::MAX));
    }
}
