//! Deliveries whose signature matches the current configuration: it was fixed since, the timestamp is out of the window,
//! or the event id is not found.

use super::probe::{Finding, Probe, ProbeResult};
use crate::config::Source;
use crate::providers::TimestampUnit;
use crate::verify::{SignatureError, VerifyError};

/// What else is wrong, if the signature matches.
pub(super) fn matches_now(probe: &Probe<'_>) -> Option<Finding> {
    let is_whole = probe.refused.is_whole() || probe.ignores_body();
    match probe.check(probe.source) {
        ProbeResult::Matches if is_whole => Some(fixed_since(probe)),
        ProbeResult::Answered => Some(Finding::new(
            "It carries no event. With the current configuration hookbox would answer it.",
            "Make the provider send it again, for example by saving the webhook's URL again.",
        )),
        ProbeResult::MatchesExcept(VerifyError::Malformed(error)) => Some(Finding::new(
            format!("Its signature matches, but {error}."),
            format!(
                "Set `event_id` or `event_type` of `{}` to where they are, or end `event_id` in \"body\". Then run \
                 `hookbox reverify`.",
                probe.source.name
            ),
        )),
        ProbeResult::MatchesExcept(VerifyError::NotGenuine(error)) => Some(out_of_window(probe, &error)),
        ProbeResult::Matches | ProbeResult::MatchesExcept(_) | ProbeResult::No(_) => None,
    }
}

fn fixed_since(probe: &Probe<'_>) -> Finding {
    let secrets = &probe.source.secrets;
    let only = |index: usize| Source { secrets: vec![secrets[index].clone()], ..probe.source.clone() };
    let matching = (0..secrets.len()).find(|index| probe.check(&only(*index)).is_match());
    let name = match matching {
        Some(index) if secrets.len() > 1 => format!("secret {} of `{}`", index + 1, probe.source.name),
        _ => format!("`{}` as it is configured now", probe.source.name),
    };
    Finding::new(
        format!("It matches {name}."),
        "The configuration was fixed since. Run `hookbox reload` if that is not done, then `hookbox reverify`.",
    )
}

fn out_of_window(probe: &Probe<'_>, error: &SignatureError) -> Finding {
    let name = &probe.source.name;
    if let Some(unit) = other_unit(probe) {
        return Finding::new(
            format!("Its signature matches, and its timestamp is within the window if it is read as {unit}."),
            format!("Set `timestamp_unit` of `{name}` to the unit that the sender uses."),
        );
    }
    match error {
        SignatureError::TooOld { age, allowed } => Finding::new(
            format!(
                "Its signature matches, but it was signed {} s before it was received. The limit is {} s.",
                age.as_secs(),
                allowed.as_secs()
            ),
            "If this happens to every delivery, this machine's clock is ahead: set it (`timedatectl`). If it happened \
             once, the delivery was late or someone sent it again.",
        ),
        SignatureError::InFuture { ahead, allowed } => Finding::new(
            format!(
                "Its signature matches, but it was signed {} s after it was received. The limit is {} s.",
                ahead.as_secs(),
                allowed.as_secs()
            ),
            "This machine's clock is behind, or the sender's is ahead: set it (`timedatectl`).",
        ),
        other => Finding::new(
            format!("Its signature matches, but {other}."),
            format!("Set `timestamp` and `timestamp_unit` of `{name}` to what the sender uses."),
        ),
    }
}

fn other_unit(probe: &Probe<'_>) -> Option<&'static str> {
    let units = [
        (TimestampUnit::Seconds, "unix seconds"),
        (TimestampUnit::Millis, "unix milliseconds"),
        (TimestampUnit::Rfc3339, "RFC 3339"),
        (TimestampUnit::NaiveUtc, "ISO 8601 in UTC without a zone"),
    ];
    let matches = |unit: TimestampUnit| {
        let mut scheme = (*probe.source.scheme).clone();
        let Some(timestamp) = scheme.timestamp.as_mut().filter(|timestamp| timestamp.unit != unit) else {
            return false;
        };
        timestamp.unit = unit;
        matches!(probe.check(&Source { scheme: scheme.into(), ..probe.source.clone() }), ProbeResult::Matches)
    };
    units.into_iter().find(|(unit, _)| matches(*unit)).map(|(_, name)| name)
}
