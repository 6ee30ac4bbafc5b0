//! Deliveries whose proof holds as configured: it has been mended since, the time is out of the window, or the id is
//! not where it is looked for.
//!
//! A time that reads well in another unit is told apart from a clock that is wrong.

use super::Finding;
use super::probe::{Probe, ProbeResult};
use crate::config::Source;
use crate::providers::TimestampUnit;
use crate::verify::{SignatureError, VerifyError};

/// Whether the signature matches as things are configured now, and what is in the way then.
pub(super) fn as_configured(case: &Probe<'_>) -> Option<Finding> {
    let is_whole = case.refused.is_whole() || case.needs_no_body();
    match case.judged_by(case.source) {
        ProbeResult::Matches if is_whole => Some(mended(case)),
        ProbeResult::Answers => Some(Finding::new(
            "It carries no event, and would be answered as things are configured now.",
            "Have the provider send it again, such as by entering the address once more.",
        )),
        ProbeResult::MatchesBut(VerifyError::Malformed(fault)) => Some(Finding::new(
            format!("Its signature matches, but {fault}."),
            format!(
                "Say with `event_id` or `event_type` of `{}` where they are, or end `event_id` in \"body\"; then `hookbox reverify` \
                 takes it in.",
                case.source.name
            ),
        )),
        ProbeResult::MatchesBut(VerifyError::NotGenuine(why)) => Some(out_of_window(case, &why)),
        ProbeResult::Matches | ProbeResult::MatchesBut(_) | ProbeResult::No(_) => None,
    }
}

fn mended(case: &Probe<'_>) -> Finding {
    let alone =
        |position: usize| Source { secrets: vec![case.source.secrets[position].clone()], ..case.source.clone() };
    let count = case.source.secrets.len();
    let by = (0..count).find(|position| case.judged_by(&alone(*position)).holds());
    let secret = match by {
        Some(position) if count > 1 => format!("secret {} of `{}`", position + 1, case.source.name),
        _ => format!("`{}` as it is configured now", case.source.name),
    };
    Finding::new(
        format!("It matches {secret}."),
        "The configuration was mended since: `hookbox reverify` takes it in (and `hookbox reload`, if not done yet).",
    )
}

fn out_of_window(case: &Probe<'_>, why: &SignatureError) -> Finding {
    let name = &case.source.name;
    if let Some(unit) = other_unit(case) {
        return Finding::new(
            format!("Its signature matches, and its timestamp is within the window when it is read as {unit}."),
            format!("Set `timestamp_unit` of `{name}` to what the sender writes."),
        );
    }
    match why {
        SignatureError::TooOld { age, allowed } => Finding::new(
            format!(
                "Its signature matches, but it was signed {} s before it came, and {} s are allowed.",
                age.as_secs(),
                allowed.as_secs()
            ),
            "If that is so for every delivery, the clock of this machine is ahead by about as much: set it (`timedatectl`); \
             if for this one only, it was sent again by someone, or late.",
        ),
        SignatureError::InFuture { ahead, allowed } => Finding::new(
            format!(
                "Its signature matches, but it was signed {} s after it came, and {} s are allowed.",
                ahead.as_secs(),
                allowed.as_secs()
            ),
            "The clock of this machine is behind, or the sender's is ahead, by about as much: set it (`timedatectl`).",
        ),
        other => Finding::new(
            format!("Its signature matches, but {other}."),
            format!("Set `timestamp` and `timestamp_unit` of `{name}` to what the sender writes."),
        ),
    }
}

fn other_unit(case: &Probe<'_>) -> Option<&'static str> {
    let units = [
        (TimestampUnit::Seconds, "unix seconds"),
        (TimestampUnit::Millis, "unix milliseconds"),
        (TimestampUnit::Rfc3339, "RFC 3339"),
        (TimestampUnit::NaiveUtc, "ISO 8601 in UTC without a zone"),
    ];
    let fits = |unit: TimestampUnit| {
        let mut scheme = (*case.source.scheme).clone();
        let Some(timestamp) = scheme.timestamp.as_mut().filter(|timestamp| timestamp.unit != unit) else {
            return false;
        };
        timestamp.unit = unit;
        matches!(case.judged_by(&Source { scheme: scheme.into(), ..case.source.clone() }), ProbeResult::Matches)
    };
    units.into_iter().find(|(unit, _)| fits(*unit)).map(|(_, name)| name)
}
