//! Filters for events, jobs and refusals, and the parsing of their text values.
//!
//! The command line, the API and the dashboard share them. A value that cannot be parsed is an error: a filter that
//! ignores it would list, or change, too much.

use std::str::FromStr;
use std::time::Instant;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::event::{EventState, JobState, UnknownName};
use crate::support::time::Millis;

/// Longest glob, in bytes. SQLite has a limit too, and reports it less clearly.
pub const MAX_PATTERN_BYTES: usize = 1000;
/// Events or jobs that a filter can name one by one.
pub const MAX_IDS: usize = 1000;

/// Limits a list by when and from where the events arrived.
#[derive(Debug, Clone, Default)]
pub struct ArrivalFilter {
    pub source: Option<String>,
    /// A type with all types below it (`pull_request` matches `pull_request.opened`), or a glob with `*`, `?`, `[…]`.
    pub event_type: Option<String>,
    /// Received at this time or later.
    pub since: Option<Millis>,
    /// Received before this time.
    pub until: Option<Millis>,
}

#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub arrival: ArrivalFilter,
    /// Any of these; empty matches all.
    pub states: Vec<EventState>,
    /// Bytes that the body contains. Large bodies are not searched.
    pub body_text: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub arrival: ArrivalFilter,
    /// Any of these; empty matches all.
    pub states: Vec<JobState>,
    pub handler: Option<String>,
    /// The exact reason, or a glob.
    pub reason: Option<String>,
    /// Jobs of these events, by `seq`.
    pub events: Option<Vec<i64>>,
    /// These jobs, by `id`.
    pub jobs: Option<Vec<i64>>,
    /// Jobs that are not finished or finished before this time.
    pub finished_before: Option<Millis>,
}

/// Which part of a list to read, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only rows below this `seq` or `id`, where the page before ended.
    pub before: Option<i64>,
    pub limit: u32,
    /// When to stop searching, even if the page is not full.
    pub deadline: Option<Instant>,
}

/// A filter value that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

/// The text values that all filters have, as they were typed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArrivalText<'a> {
    pub source: Option<&'a str>,
    pub event_type: Option<&'a str>,
    pub since: Option<&'a str>,
    pub until: Option<&'a str>,
}

impl ArrivalText<'_> {
    pub fn parse(self, now: Millis) -> Result<ArrivalFilter, FilterError> {
        Ok(ArrivalFilter {
            source: self.source.map(str::to_owned),
            event_type: pattern("type", self.event_type)?,
            since: instant("since", self.since, now)?,
            until: instant("until", self.until, now)?,
        })
    }
}

/// Parses the time of the filter `name`.
pub fn instant(name: &str, text: Option<&str>, now: Millis) -> Result<Option<Millis>, FilterError> {
    let parse = |text| parse_instant(text, now).map_err(|error| FilterError(format!("`{name}`: {error}: {text}")));
    text.map(parse).transpose()
}

/// Parses RFC 3339, a date or a time without a zone (both UTC), or a duration before `now`.
pub fn parse_instant(text: &str, now: Millis) -> Result<Millis, FilterError> {
    if let Ok(duration) = humantime::parse_duration(text) {
        let duration = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        return Ok(Millis(now.0.saturating_sub(duration)));
    }
    let in_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let instant = text.parse::<Timestamp>().ok().or_else(in_utc);
    instant.map(|instant| Millis(instant.as_millisecond())).ok_or_else(|| {
        FilterError(
            "neither a time such as 2026-01-31T12:00:00Z or 2026-01-31 nor a duration such as 2h or 7d".to_owned(),
        )
    })
}

/// Parses states separated by commas.
pub fn states<T: FromStr<Err = UnknownName>>(text: Option<&str>) -> Result<Vec<T>, FilterError> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    words.map(|word| word.trim().parse().map_err(|unknown| FilterError(format!("`state`: {unknown}")))).collect()
}

/// Checks the length of the glob that the filter `name` may be.
pub fn pattern(name: &str, text: Option<&str>) -> Result<Option<String>, FilterError> {
    match text {
        Some(text) if text.len() > MAX_PATTERN_BYTES => {
            Err(FilterError(format!("`{name}` has more than {MAX_PATTERN_BYTES} bytes")))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// Parses the `seq` of an event, with or without `#`, or the `id` of a job.
pub fn id(name: &str, text: &str) -> Result<i64, FilterError> {
    text.trim().trim_start_matches('#').parse().map_err(|_| FilterError(format!("`{name}` is not a number: {text}")))
}

/// Parses ids separated by commas.
pub fn ids(name: &str, text: &str) -> Result<Vec<i64>, FilterError> {
    let ids = text.split(',').map(|part| id(name, part)).collect::<Result<Vec<_>, _>>()?;
    check_ids(name, &ids).map(|()| ids)
}

/// Checks how many events or jobs the filter `name` lists.
pub fn check_ids(name: &str, ids: &[i64]) -> Result<(), FilterError> {
    match ids.len() {
        0..=MAX_IDS => Ok(()),
        _ => Err(FilterError(format!("`{name}` lists more than {MAX_IDS}; use another filter"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_769_860_800_000);

    #[test]
    fn times_are_parsed_in_every_form() {
        for (text, expected) in [
            ("2026-01-31T12:00:00Z", 1_769_860_800_000),
            ("2026-01-31T13:00:00.007+01:00", 1_769_860_800_007),
            ("2026-01-31T12:00", 1_769_860_800_000),
            ("2026-01-31", 1_769_817_600_000),
            ("2h 30m", NOW.0 - 9_000_000),
        ] {
            assert_eq!(parse_instant(text, NOW), Ok(Millis(expected)), "{text}");
        }
        for wrong in ["", "yesterday", "2026-13-01", "-2h", "12"] {
            assert!(parse_instant(wrong, NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_name_the_filter_and_the_value() {
        let arrival = ArrivalText { since: Some("yesterday"), ..ArrivalText::default() };
        let error = arrival.parse(NOW).unwrap_err().to_string();
        assert!(error.starts_with("`since`: neither a time") && error.ends_with(": yesterday"), "{error}");
        let error = states::<JobState>(Some("dead,deed")).unwrap_err().to_string();
        assert!(error.starts_with("`state`: `deed` is not one of pending"), "{error}");
        assert_eq!(ids("jobs", "1,x").unwrap_err().to_string(), "`jobs` is not a number: x");
    }

    #[test]
    fn lists_and_globs_have_a_limit() {
        let many = |count| vec!["7"; count].join(",");
        assert_eq!(ids("jobs", &many(MAX_IDS)).unwrap().len(), MAX_IDS);
        assert!(ids("jobs", &many(MAX_IDS + 1)).is_err());
        assert!(pattern("type", Some(&"*".repeat(MAX_PATTERN_BYTES))).is_ok());
        assert!(pattern("type", Some(&"*".repeat(MAX_PATTERN_BYTES + 1))).is_err());
        assert_eq!(states::<JobState>(Some("dead, pending")).unwrap(), [JobState::Dead, JobState::Pending]);
    }
}
