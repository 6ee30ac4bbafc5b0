//! A header that the scheme asks for and that did not come: what came instead, and who may have taken it.
//!
//! Names alone are compared. A request without anything of the kind may be no delivery at all, and is told so.

use super::Finding;
use super::probe::{Probe, ProbeResult};
use crate::config::Source;
use crate::providers::ValueLocation;
use crate::verify::{SignatureError, VerifyError};

/// Words of names that many headers share.
const COMMON: [&str; 6] = ["x", "http", "webhook", "hook", "event", "id"];

/// The signature's header, or another that is signed, is missing.
pub(super) fn missing(case: &Probe<'_>) -> Vec<Finding> {
    let ProbeResult::No(VerifyError::NotGenuine(SignatureError::Missing(place))) = case.judged_by(case.source) else {
        return Vec::new();
    };
    let ValueLocation::Header(name) = &place else {
        return vec![Finding::new(
            format!("The {place} is missing."),
            "Have the provider send it, or the proxy pass it on unchanged.",
        )];
    };
    let request = case.refused.request();
    let came: Vec<&str> = request.headers.iter().map(|(name, _)| name).collect();
    let mut similar: Vec<String> =
        came.iter().filter(|other| is_similar(name, other)).map(|name| format!("`{name}`")).collect();
    similar.dedup();
    if similar.is_empty() {
        let agent = request.headers.all("user-agent").next().map(String::from_utf8_lossy);
        let sent_by = agent.map(|agent| format!(" (it calls itself {agent:?})")).unwrap_or_default();
        return vec![Finding::new(
            format!("No header `{name}` came, and none like it{sent_by}."),
            format!(
                "If {} sent it: enter the secret there, or nothing is signed, and have the proxy pass the header on; if \
                 somebody else did, it is refused rightly.",
                case.source.provider
            ),
        )];
    }
    if let Some((other, words)) = matching(case, &came) {
        return vec![Finding::new(
            format!("No header `{name}` came, but `{other}` matches the secret{words}."),
            format!("The secret is right: have the proxy pass `{name}` on, or the provider sign as it does today."),
        )];
    }
    vec![Finding::new(
        format!("No header `{name}` came, but {}.", similar.join(", ")),
        format!(
            "Have the proxy pass `{name}` on unchanged; if the provider sends the other one, the source has the wrong provider or \
             the provider an older way of signing."
        ),
    )]
}

/// The header that holds a signature as the source's scheme or one near it has it.
fn matching<'a>(case: &Probe<'_>, came: &[&'a str]) -> Option<(&'a str, String)> {
    came.iter().find_map(|other| {
        let mut scheme = (*case.source.scheme).clone();
        scheme.signature = ValueLocation::Header((*other).to_owned());
        let there = Source { scheme: scheme.into(), ..case.source.clone() };
        if case.judged_by(&there).holds() {
            return Some((*other, String::new()));
        }
        let near = case.beside(&there);
        let variant =
            super::scheme::variants(&near).into_iter().find(|variant| super::scheme::holds(&near, variant))?;
        Some((*other, format!(", taken to be {}", variant.words())))
    })
}

fn is_similar(wanted: &str, other: &str) -> bool {
    let words = |name: &str| -> Vec<String> {
        let words = name.split(['-', '_']).map(str::to_ascii_lowercase);
        words.filter(|word| !COMMON.contains(&word.as_str()) && !word.is_empty()).collect()
    };
    let (wanted, other) = (words(wanted), words(other));
    let is_signature = |word: &String| ["signature", "sign", "sig", "hmac", "token"].contains(&word.as_str());
    other.iter().any(|word| wanted.contains(word) || is_signature(word) && wanted.iter().any(is_signature))
}
