//! How old is a timestamp? The window holds in both directions.
//!
//! Takes a text that a genuine signature covers; no number is too large to be judged. Seconds are compared as
//! whole seconds, as the providers' own libraries do.

use std::time::Duration;

use jiff::Timestamp;

use crate::providers::TimestampUnit;
use crate::support::time::Millis;
use crate::verify::error::SignatureError;

/// Whether a timestamp lies within the window around now.
pub(super) fn check(text: &[u8], unit: TimestampUnit, allowed: Duration, now: Millis) -> Result<(), SignatureError> {
    let sent_at = read(text, unit).ok_or(SignatureError::MalformedTimestamp(written_as(unit)))?;
    let now = if unit == TimestampUnit::Seconds { now.0.div_euclid(1000).saturating_mul(1000) } else { now.0 };
    let off = Duration::from_millis(now.abs_diff(sent_at));
    match (off > allowed, sent_at < now) {
        (false, _) => Ok(()),
        (true, true) => Err(SignatureError::TooOld { age: off, allowed }),
        (true, false) => Err(SignatureError::InFuture { ahead: off, allowed }),
    }
}

/// An instant as the provider writes it.
pub(super) fn write(instant: Millis, unit: TimestampUnit) -> String {
    match unit {
        TimestampUnit::Seconds => instant.0.div_euclid(1000).to_string(),
        TimestampUnit::Millis => instant.0.to_string(),
        TimestampUnit::Rfc3339 => instant.to_rfc3339(),
        TimestampUnit::NaiveUtc => instant.to_rfc3339().trim_end_matches('Z').to_owned(),
    }
}

pub(super) fn read(text: &[u8], unit: TimestampUnit) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    match unit {
        TimestampUnit::Seconds => number().map(|seconds| seconds.saturating_mul(1000)),
        TimestampUnit::Millis => number(),
        TimestampUnit::Rfc3339 => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        // A text with a zone means what it says; the bare date and time, UTC.
        TimestampUnit::NaiveUtc => {
            if let Ok(instant) = text.parse::<Timestamp>() {
                return Some(instant.as_millisecond());
            }
            let local = text.parse::<jiff::civil::DateTime>().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|instant| instant.timestamp().as_millisecond())
        }
    }
}

fn written_as(unit: TimestampUnit) -> &'static str {
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

    fn judge(text: &str, unit: TimestampUnit) -> Result<(), SignatureError> {
        check(text.as_bytes(), unit, WINDOW, NOW)
    }

    #[test]
    fn the_window_holds_in_both_directions_to_the_second() {
        assert_eq!(judge("1699999700", TimestampUnit::Seconds), Ok(()));
        assert_eq!(judge("1700000300", TimestampUnit::Seconds), Ok(()));
        let (age, ahead) = (Duration::from_secs(301), Duration::from_secs(301));
        assert_eq!(judge("1699999699", TimestampUnit::Seconds), Err(SignatureError::TooOld { age, allowed: WINDOW }));
        assert_eq!(
            judge("1700000301", TimestampUnit::Seconds),
            Err(SignatureError::InFuture { ahead, allowed: WINDOW })
        );
        assert_eq!(judge("1699999700500", TimestampUnit::Millis), Ok(()));
        assert!(matches!(judge("1699999700499", TimestampUnit::Millis), Err(SignatureError::TooOld { .. })));
        assert_eq!(judge("2023-11-14T22:13:20Z", TimestampUnit::Rfc3339), Ok(()));
        assert_eq!(judge("2023-11-15T00:13:20+02:00", TimestampUnit::Rfc3339), Ok(()));
        assert!(matches!(judge("2023-11-14T22:03:20Z", TimestampUnit::Rfc3339), Err(SignatureError::TooOld { .. })));
    }

    #[test]
    fn a_time_that_may_go_without_a_zone_counts_with_its_zone_where_it_has_one() {
        for text in ["2023-11-14T22:13:20", "2023-11-14T22:13:20.5Z", "2023-11-15T03:13:20+05:00"] {
            assert_eq!(judge(text, TimestampUnit::NaiveUtc), Ok(()), "{text}");
        }
        assert!(matches!(
            judge("2023-11-14T22:13:20+05:00", TimestampUnit::NaiveUtc),
            Err(SignatureError::TooOld { .. })
        ));
    }

    #[test]
    fn what_is_no_instant_is_malformed() {
        for text in
            ["", " 1700000000", "1700000000 ", "+1700000000", "-1", "1.7e9", "0x1", "1700000000.5", "now", "１７"]
        {
            assert_eq!(
                judge(text, TimestampUnit::Seconds),
                Err(SignatureError::MalformedTimestamp("unix seconds")),
                "{text}"
            );
            assert!(judge(text, TimestampUnit::Rfc3339).is_err(), "{text}");
        }
        assert!(matches!(
            judge("99999999999999999999", TimestampUnit::Seconds),
            Err(SignatureError::MalformedTimestamp(_))
        ));
    }

    #[test]
    fn no_number_is_too_large_to_be_judged() {
        for (text, now) in [("9223372036854775807", i64::MIN), ("9223372036854775807", 0), ("0", i64::MAX)] {
            for unit in [TimestampUnit::Seconds, TimestampUnit::Millis] {
                let verdict = check(text.as_bytes(), unit, WINDOW, Millis(now));
                assert!(
                    matches!(verdict, Err(SignatureError::InFuture { .. } | SignatureError::TooOld { .. })),
                    "{text} {now}"
                );
            }
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for unit in [TimestampUnit::Seconds, TimestampUnit::Millis, TimestampUnit::Rfc3339, TimestampUnit::NaiveUtc] {
            assert_eq!(judge(&write(NOW, unit), unit), Ok(()), "{unit:?}");
        }
    }
}
