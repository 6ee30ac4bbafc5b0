//! Deliveries whose signature matches the current configuration: it was fixed since, the timestamp is out of the window,
//! or the event id is not found.

use std::time::Duration;

use super::probe::{Finding, Probe, ProbeResult};
use super::variant::{RowVariant, setting};
use crate::config::Source;
use crate::providers::{CUSTOM, SelectorEntry};
use crate::verify::{SignatureError, VerifyError};

/// Longest `tolerance` that the configuration allows.
const MAX_TOLERANCE: Duration = Duration::from_hours(7 * 24);

/// What else is wrong, if the signature matches.
pub(super) fn matches_now(probe: &Probe<'_>) -> Option<Finding> {
    let is_whole = probe.refused.is_whole() || probe.ignores_body();
    match probe.check(probe.source) {
        ProbeResult::Matches if is_whole => Some(fixed_since(probe)),
        ProbeResult::Answered => Some(Finding::new(
            "It carries no event. With the current configuration hookbox would answer it.",
            "Make the provider send it again, for example by saving the webhook's URL again.",
        )),
        ProbeResult::MatchesExcept(VerifyError::Malformed(error)) => Some(
            Finding::new(
                format!("Its signature matches, but {error}."),
                format!(
                    "Set `event_id` or `event_type` of `{}` to where they are, or end `event_id` in \"body\". Then run \
                 `hookbox reverify`.",
                    probe.source.name
                ),
            )
            .with_settings(ids_by_body(probe)),
        ),
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
    if let Some(variant) = other_unit(probe) {
        let change = match probe.source.provider.as_str() {
            CUSTOM => format!("Set {} under [sources.{name}.verify].", variant.changed_keys(probe.source)),
            provider => format!(
                "Make {provider} send the unit that `hookbox providers {provider}` shows, or replace the provider of `{name}` \
                 with a `custom` scheme: its row with {}.",
                variant.changed_keys(probe.source)
            ),
        };
        let what = format!(
            "Its signature matches, and its timestamp is within the window if it is {}.",
            variant.description()
        );
        return Finding::new(what, change).with_settings(variant.settings(probe.source));
    }
    match error {
        SignatureError::TooOld { age, allowed } => {
            let tolerance = longer_tolerance(probe, *age);
            let raise = tolerance.as_ref().map(|text| {
                format!(
                    " If the provider retries with the first signature, set `tolerance = \"{text}\"` for `{name}`: copies of a \
                     delivery are accepted for as long, and duplicates are recognised by their id."
                )
            });
            Finding::new(
                format!(
                    "Its signature matches, but it was signed {} s before it was received. The limit is {} s.",
                    age.as_secs(),
                    allowed.as_secs()
                ),
                format!(
                    "If this happens to every delivery, this machine's clock is ahead: set it (`timedatectl`). If it \
                     happened once, the delivery was late or someone sent it again.{}",
                    raise.unwrap_or_default()
                ),
            )
            .with_settings(tolerance.and_then(|text| setting(probe.source, "tolerance", text)))
        }
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
            match probe.source.provider.as_str() {
                CUSTOM => format!(
                    "Set `timestamp` and `timestamp_unit` under [sources.{name}.verify] to what the sender uses."
                ),
                provider => format!("Compare the timestamp with what `hookbox providers {provider}` shows."),
            },
        ),
    }
}

/// The row's ids, and the body's digest where none of them is present.
fn ids_by_body(probe: &Probe<'_>) -> Option<String> {
    let mut variant = RowVariant::of(probe.source);
    let ids = &mut variant.row.event_id;
    ids.retain(|entry| !matches!(entry.parts(), [only] if only == "none" || only == "body"));
    ids.push(SelectorEntry::One("body".to_owned()));
    let written = |entry: &SelectorEntry| match entry.parts() {
        [one] => toml::Value::from(one.as_str()),
        parts => toml::Value::from(parts.to_vec()),
    };
    let ids: toml::value::Array = ids.iter().map(written).collect();
    // As in the configuration: what the row says of its own id does not apply to another one.
    (variant.row.id_scope, variant.row.digest_with) = (None, Vec::new());
    variant.accepts(probe).then(|| setting(probe.source, "event_id", ids)).flatten()
}

/// The row with the unit by which the timestamp is within the window.
fn other_unit(probe: &Probe<'_>) -> Option<RowVariant> {
    let units = [
        ("s", "unix seconds"),
        ("ms", "unix milliseconds"),
        ("rfc3339", "RFC 3339"),
        ("iso8601_naive_utc", "ISO 8601 in UTC without a zone"),
    ];
    let row = RowVariant::of(probe.source);
    let own = row.row.timestamp_unit.clone().unwrap_or_else(|| "s".to_owned());
    let variant = |(unit, name): &(&str, &str)| {
        row.with(|row| row.timestamp_unit = Some((*unit).to_owned()), format!("read as {name}"))
    };
    let mut others = units.iter().filter(|(unit, _)| *unit != own).map(variant);
    others.find(|variant| variant.accepts(probe))
}

/// A tolerance that would have accepted a delivery of this age.
fn longer_tolerance(probe: &Probe<'_>, age: Duration) -> Option<String> {
    let tolerance = Duration::from_secs(age.as_secs().div_ceil(60) * 60 + 60);
    let text = humantime::format_duration(tolerance).to_string();
    let mut variant = RowVariant::of(probe.source);
    variant.row.tolerance = Some(text.clone());
    (tolerance <= MAX_TOLERANCE && variant.accepts(probe)).then_some(text)
}
