//! Why was this delivery refused, and which change would have made it match?
//!
//! A refusal as it was kept comes in, with the sources as they are configured; sentences for the operator go out.
//! The verifier is asked about one change after another, so that nothing is computed here that could be shown: no
//! secret and no expected signature is in any sentence. Pure, but for keys that a provider publishes, which the verifier
//! fetches once, within its time limit; whoever asks reads the inbox.

mod body;
mod configured;
mod headers;
mod json;
mod probe;
mod reverify;
mod scheme;
mod secret;
mod url;

use std::sync::Arc;

use crate::config::Source;
use crate::model::refusal::RefusedDelivery;
use crate::support::secret::DigestKey;

pub use reverify::{ReverifyResult, reverify};

use probe::Probe;

/// One cause: what it is, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// One sentence.
    pub what: String,
    /// One sentence.
    pub change: String,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// The likeliest first; none where nothing that was tried makes it match.
    pub findings: Vec<Finding>,
    /// What was tried, in words.
    pub tried: Vec<&'static str>,
}

/// Causes of one kind.
struct CauseCheck {
    /// What is tried, in words.
    what: &'static str,
    /// Whether it can be one with this scheme.
    applies: fn(&Probe<'_>) -> bool,
    look: fn(&Probe<'_>) -> Vec<Finding>,
}

/// What is tried where a signature does not match, in this order.
const CAUSES: &[CauseCheck] = &[
    CauseCheck { what: "every secret of every source", applies: |_| true, look: secret::other },
    CauseCheck {
        what: "secrets with and without white space, newlines, quotes and prefixes, decoded and not",
        applies: |case| !case.source.scheme.auth.takes_public_key(),
        look: secret::otherwise_written,
    },
    CauseCheck {
        what: "its signature made with another hash, in another encoding, behind another prefix, over other content",
        applies: |case| case.source.scheme.template_signature().is_some(),
        look: scheme::otherwise_signed,
    },
    CauseCheck {
        what: "`url` with and without slash, port and query, http for https, another host",
        applies: |case| case.source.scheme.required_settings().url,
        look: url::otherwise_written,
    },
    CauseCheck {
        what: "its time signed in another unit than it was sent in",
        applies: |case| case.source.scheme.timestamp.is_some(),
        look: scheme::other_time,
    },
    CauseCheck {
        what: "the body with other line ends, re-serialised, with its keys sorted, decoded from a form",
        applies: |case| !case.needs_no_body(),
        look: body::otherwise_written,
    },
];

impl Finding {
    fn new(what: impl Into<String>, change: impl Into<String>) -> Self {
        Self { what: what.into(), change: change.into() }
    }
}

/// Explains one refusal. `sources` are those that are configured, and `key` what its tokens were digested with.
#[must_use]
pub fn diagnose(refused: &RefusedDelivery, sources: &[Arc<Source>], key: Option<&DigestKey>) -> Explanation {
    let only = |finding: Finding| Explanation { findings: vec![finding], tried: Vec::new() };
    if let Some(finding) = before_the_signature(refused) {
        return only(finding);
    }
    let Some(source) = sources.iter().find(|source| *source.name == *refused.source) else {
        return only(Finding::new(
            format!("Its source `{}` is not in the configuration, or cannot be read from it.", refused.source),
            "Mend or restore that section of the configuration first; `hookbox check` tells what is wrong.",
        ));
    };
    let case = Probe::new(refused, source, sources, key);
    if let Some(finding) = configured::as_configured(&case).or_else(|| secret::of_another_source(&case)) {
        return only(finding);
    }
    if reverify::has_lost_its_proof(source, &refused.request()) {
        return only(Finding::new(
            "Its proof is good for other deliveries too, so it was not kept, and nothing can be tried on it.",
            format!("Look at the reason: {}.", refused.reason),
        ));
    }
    if let Some(why) = case.lacks_keys() {
        return only(Finding::new(
            format!(
                "Its signature is checked with keys that are fetched from the provider, and they cannot be had now: {why}."
            ),
            "See that this machine can reach that address over HTTPS (firewall, DNS, `keys_url`), and explain it again.",
        ));
    }
    let mut tried = Vec::new();
    let mut findings = headers::missing(&case);
    if !findings.is_empty() {
        return Explanation { findings, tried };
    }
    if !refused.is_whole() && !case.needs_no_body() {
        let bytes = refused.body_bytes;
        findings.push(Finding::new(
            format!(
                "Of its {bytes} bytes {} were kept, so its signature cannot be computed again.",
                refused.body.len()
            ),
            "Have the provider send a shorter one, such as its test event, and explain that.",
        ));
        return Explanation { findings, tried };
    }
    for cause in CAUSES.iter().filter(|cause| (cause.applies)(&case)) {
        tried.push(cause.what);
        findings.extend((cause.look)(&case));
        if !findings.is_empty() {
            break;
        }
    }
    Explanation { findings, tried }
}

/// What was turned away before its signature counted, or after.
fn before_the_signature(refused: &RefusedDelivery) -> Option<Finding> {
    let limits = "Raise `max_body` of the source";
    Some(match refused.status {
        403 if refused.reason.contains("allow_ips") => Finding::new(
            format!("It was turned away for its address: {}.", refused.reason),
            "Put the provider's networks into the source's `allow_ips`; behind a proxy, name the proxy in \
             `server.trusted_proxies`, so that the client's own address counts.",
        ),
        408 => Finding::new(
            "It did not arrive within `server.request_timeout`.",
            "Look at the proxy and the network between the provider and hookbox, or give requests more time.",
        ),
        413 => Finding::new(
            format!("Its body of {} bytes is over the limit ({}).", refused.body_bytes, refused.reason),
            format!("{limits}, or have the provider send less."),
        ),
        429 => Finding::new(
            "It is genuine, and more came than the source's `rate_limit` lets through.",
            "Raise `rate_limit` if that many are meant to come; `hookbox reverify` takes this one in.",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
