//! A required header is missing: which similar header came instead, and what may have removed it.

use super::probe::{Finding, Probe, ProbeResult};
use super::scheme;
use super::variant::RowVariant;
use crate::providers::{OneOrMany, ValueLocation};
use crate::verify::{SignatureError, VerifyError};

/// Words that many header names share.
const COMMON_WORDS: [&str; 6] = ["x", "http", "webhook", "hook", "event", "id"];
const SIGNATURE_WORDS: [&str; 5] = ["signature", "sign", "sig", "hmac", "token"];

/// The header of the signature, or another that is signed, is missing.
pub(super) fn missing_header(probe: &Probe<'_>) -> Option<Finding> {
    let ProbeResult::No(VerifyError::NotGenuine(SignatureError::Missing(location))) = probe.check(probe.source) else {
        return None;
    };
    let ValueLocation::Header(name) = &location else {
        return Some(Finding::new(
            format!("The {location} is missing."),
            "Check that the provider sends it and that the proxy does not change it.",
        ));
    };
    let request = probe.refused.request();
    let received: Vec<&str> = request.headers.iter().map(|(name, _)| name).collect();
    let similar = received.iter().filter(|other| is_similar(name, other));
    let mut similar: Vec<String> = similar.map(|name| format!("`{name}`")).collect();
    similar.dedup();
    let finding = if similar.is_empty() {
        let agent = request.headers.all("user-agent").next().map(String::from_utf8_lossy);
        let sender = agent.map(|agent| format!(" (user agent {agent:?})")).unwrap_or_default();
        Finding::new(
            format!("Header `{name}` is missing, and there is no similar one{sender}."),
            format!(
                "If {} sent it, configure the secret there and make the proxy forward the header. If anyone else sent it, \
                 the refusal is correct.",
                probe.source.provider
            ),
        )
    } else if let Some((other, variant)) = matching_header(probe, &received) {
        let changes = match variant.description() {
            description if description.is_empty() => String::new(),
            description => format!(" if the signature is {description}"),
        };
        Finding::new(
            format!("Header `{name}` is missing, but `{other}` matches the secret{changes}."),
            format!(
                "The secret is correct. Make the proxy forward `{name}`, update how the provider signs, or use a `custom` \
                 scheme with {}.",
                variant.changed_keys(probe.source)
            ),
        )
        .with_settings(variant.settings(probe.source))
    } else {
        Finding::new(
            format!("Header `{name}` is missing, but there is {}.", similar.join(", ")),
            format!(
                "Make the proxy forward `{name}` unchanged. If the provider sends the other header, the source names the \
                 wrong provider, or the provider signs in an older way."
            ),
        )
    };
    Some(finding)
}

/// A header that contains a matching signature, with the changes to the scheme that this takes.
fn matching_header<'a>(probe: &Probe<'_>, received: &[&'a str]) -> Option<(&'a str, RowVariant)> {
    received.iter().find_map(|other| {
        let mut start = RowVariant::of(probe.source);
        start.row.signature = OneOrMany::One(format!("header:{other}"));
        let variant = if start.matches(probe) { start } else { scheme::matching_variant(probe, start)? };
        Some((*other, variant))
    })
}

fn is_similar(wanted: &str, other: &str) -> bool {
    let words = |name: &str| -> Vec<String> {
        let words = name.split(['-', '_']).map(str::to_ascii_lowercase);
        words.filter(|word| !COMMON_WORDS.contains(&word.as_str()) && !word.is_empty()).collect()
    };
    let (wanted, other) = (words(wanted), words(other));
    let is_signature = |word: &String| SIGNATURE_WORDS.contains(&word.as_str());
    other.iter().any(|word| wanted.contains(word) || is_signature(word) && wanted.iter().any(is_signature))
}
