//! Checks the age of a signed timestamp against the tolerance, in both directions.
//!
//! Seconds are compared as whole seconds, as the providers' own libraries do. Extreme numbers saturate instead of
//! overflowing.

use std::time::Duration;

use jiff::Timestamp;

use super::error::{SignatureError, SignatureResult};
use crate::providers::TimestampUnit;
use crate::support::time::Millis;

pub(super) fn check(text: &[u8], unit: TimestampUnit, allowed: Duration, now: Millis) -> SignatureResult<()> {
    let sent_at = read(text, unit).ok_or(SignatureError::MalformedTimestamp(unit_name(unit)))?;
    let now = if unit == TimestampUnit::Seconds { now.0.div_euclid(1000).saturating_mul(1000) } else { now.0 };
    let difference = Duration::from_millis(now.abs_diff(sent_at));
    if difference <= allowed {
        Ok(())
    } else if sent_at < now {
        Err(SignatureError::TooOld { age: difference, allowed })
    } else {
        Err(SignatureError::InFuture { ahead: difference, allowed })
    }
}

/// A time in the provider's format.
pub(super) fn write(time: Millis, unit: TimestampUnit) -> String {
    match unit {
        TimestampUnit::Seconds => time.0.div_euclid(1000).to_string(),
        TimestampUnit::Millis => time.0.to_string(),
        TimestampUnit::Rfc3339 => time.to_rfc3339(),
        TimestampUnit::NaiveUtc => time.to_rfc3339().trim_end_matches('Z').to_owned(),
    }
}

/// Unix milliseconds.
pub(super) fn read(text: &[u8], unit: TimestampUnit) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    match unit {
        TimestampUnit::Seconds => number().map(|seconds| seconds.saturating_mul(1000)),
        TimestampUnit::Millis => number(),
        TimestampUnit::Rfc3339 => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        // UTC unless the text has a zone.
        TimestampUnit::NaiveUtc => {
            if let Ok(instant) = text.parse::<Timestamp>() {
                return Some(instant.as_millisecond());
            }
            let local = text.parse::<jiff::civil::DateTime>().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|instant| instant.timestamp().as_millisecond())
        }
    }
}

fn unit_name(unit: TimestampUnit) -> &'static str {
    match unit {
        TimestampUnit::Seconds => "unix seconds",
        TimestampUnit::Millis => "unix milliseconds",
        TimestampUnit::Rfc3339 => "RFC 3339",
        TimestampUnit::NaiveUtc => "ISO 8601 without a zone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_500);
    const WINDOW: Duration = Duration::from_secs(300);

    fn checked(text: &str, unit: TimestampUnit) -> Result<(), SignatureError> {
        check(text.as_bytes(), unit, WINDOW, NOW)
    }

    #[test]
    fn window_applies_in_both_directions_to_the_second() {
        assert_eq!(checked("1699999700", TimestampUnit::Seconds), Ok(()));
        assert_eq!(checked("1700000300", TimestampUnit::Seconds), Ok(()));
        let (age, ahead) = (Duration::from_secs(301), Duration::from_secs(301));
        assert_eq!(checked("1699999699", TimestampUnit::Seconds), Err(SignatureError::TooOld { age, allowed: WINDOW }));
        assert_eq!(
            checked("1700000301", TimestampUnit::Seconds),
            Err(SignatureError::InFuture { ahead, allowed: WINDOW })
        );
        assert_eq!(checked("1699999700500", TimestampUnit::Millis), Ok(()));
        assert!(matches!(checked("1699999700499", TimestampUnit::Millis), Err(SignatureError::TooOld { .. })));
        assert_eq!(checked("2023-11-14T22:13:20Z", TimestampUnit::Rfc3339), Ok(()));
        assert_eq!(checked("2023-11-15T00:13:20+02:00", TimestampUnit::Rfc3339), Ok(()));
        assert!(matches!(checked("2023-11-14T22:03:20Z", TimestampUnit::Rfc3339), Err(SignatureError::TooOld { .. })));
    }

    #[test]
    fn naive_utc_respects_a_zone_that_is_present() {
        for text in ["2023-11-14T22:13:20", "2023-11-14T22:13:20.5Z", "2023-11-15T03:13:20+05:00"] {
            assert_eq!(checked(text, TimestampUnit::NaiveUtc), Ok(()), "{text}");
        }
        assert!(matches!(
            checked("2023-11-14T22:13:20+05:00", TimestampUnit::NaiveUtc),
            Err(SignatureError::TooOld { .. })
        ));
    }

    #[test]
    fn text_that_is_not_a_time_is_malformed() {
        for text in
            ["", " 1700000000", "1700000000 ", "+1700000000", "-1", "1.7e9", "0x1", "1700000000.5", "now", "１７"]
        {
            assert_eq!(
                checked(text, TimestampUnit::Seconds),
                Err(SignatureError::MalformedTimestamp("unix seconds")),
                "{text}"
            );
            assert!(checked(text, TimestampUnit::Rfc3339).is_err(), "{text}");
        }
        assert!(matches!(
            checked("99999999999999999999", TimestampUnit::Seconds),
            Err(SignatureError::MalformedTimestamp(_))
        ));
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        for (text, now) in [("9223372036854775807", i64::MIN), ("9223372036854775807", 0), ("0", i64::MAX)] {
            for unit in [TimestampUnit::Seconds, TimestampUnit::Millis] {
                let result = check(text.as_bytes(), unit, WINDOW, Millis(now));
                assert!(
                    matches!(result, Err(SignatureError::InFuture { .. } | SignatureError::TooOld { .. })),
                    "{text} {now}"
                );
            }
        }
    }

    #[test]
    fn every_unit_round_trips() {
        for unit in [TimestampUnit::Seconds, TimestampUnit::Millis, TimestampUnit::Rfc3339, TimestampUnit::NaiveUtc] {
            assert_eq!(checked(&write(NOW, unit), unit), Ok(()), "{unit:?}");
        }
    }
}
