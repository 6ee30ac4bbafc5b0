//! Explains why a delivery was refused and which change to the configuration would have accepted it.
//!
//! The verifier is asked about one variation after another, so no secret and no expected signature is ever computed for
//! display. Pure, except that the verifier may fetch a provider's public keys once.

mod body;
mod configured;
mod headers;
mod probe;
mod reverify;
mod scheme;
mod secret;
mod suspect_secret;
#[cfg(test)]
mod tests;
mod url;
mod variant;

use std::sync::Arc;

use crate::config::Source;
use crate::metrics::NO_SOURCE;
use crate::model::refusal::RefusedDelivery;
use crate::support::net::nearest_path::nearest_path;
use crate::support::net::secret_path;
use crate::support::secret::DigestKey;

pub use probe::Finding;
pub use reverify::{ReverifyResult, reverify};
pub use suspect_secret::suspicion;

use probe::Probe;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// The likeliest first; empty if nothing that was tried matches.
    pub findings: Vec<Finding>,
    /// What was tried, for the operator.
    pub tried: Vec<&'static str>,
}

/// One kind of cause for a signature that does not match.
struct CauseCheck {
    tries: &'static str,
    applies: fn(&Probe<'_>) -> bool,
    find: fn(&Probe<'_>) -> Vec<Finding>,
}

/// In the order in which they are tried.
const CAUSES: &[CauseCheck] = &[
    CauseCheck { tries: "every secret of every source", applies: |_| true, find: secret::other_secrets },
    CauseCheck {
        tries: "secrets with and without white space, newlines, quotes, invisible characters, `NAME=` and prefixes, decoded and not decoded",
        applies: |probe| !probe.source.scheme.auth.takes_public_key(),
        find: secret::other_forms,
    },
    CauseCheck {
        tries: "another hash, encoding or prefix; the body with and without timestamp, URL, path or method",
        applies: |probe| probe.source.scheme.template_signature().is_some(),
        find: scheme::other_schemes,
    },
    CauseCheck {
        tries: "`url` with and without slash, port and query, with http for https, with another host",
        applies: |probe| probe.source.scheme.required_settings().url,
        find: url::other_urls,
    },
    CauseCheck {
        tries: "a timestamp signed in another unit than it was sent in",
        applies: |probe| probe.source.scheme.timestamp.is_some(),
        find: scheme::other_timestamps,
    },
    CauseCheck {
        tries: "the body with other line ends, re-serialised, with sorted keys, decoded from a form",
        applies: |probe| !probe.ignores_body(),
        find: body::other_bodies,
    },
];

/// Explains a refusal. `key` is the key that its tokens were digested with.
pub fn diagnose(refused: &RefusedDelivery, sources: &[Arc<Source>], key: Option<&DigestKey>) -> Explanation {
    if refused.source == NO_SOURCE {
        return Explanation { findings: vec![no_such_path(refused, sources)], tried: Vec::new() };
    }
    let Some(source) = sources.iter().find(|source| *source.name == *refused.source) else {
        let finding = by_status(refused).unwrap_or_else(|| {
            Finding::new(
                format!("Its source `{}` is not in the configuration, or has errors there.", refused.source),
                "Fix or restore that section of the configuration first. `hookbox check` reports the errors.",
            )
        });
        return Explanation { findings: vec![finding], tried: Vec::new() };
    };
    let probe = Probe::new(refused, source, sources, key);
    let certain = by_status(refused)
        .or_else(|| configured::matches_now(&probe))
        .or_else(|| secret::wrong_path(&probe))
        .or_else(|| uncheckable(&probe))
        .or_else(|| headers::missing_header(&probe))
        .or_else(|| truncated(&probe));
    if let Some(finding) = certain {
        return Explanation { findings: vec![finding], tried: Vec::new() };
    }
    let mut tried = Vec::new();
    for cause in CAUSES.iter().filter(|cause| (cause.applies)(&probe)) {
        tried.push(cause.tries);
        let findings = (cause.find)(&probe);
        if !findings.is_empty() {
            return Explanation { findings, tried };
        }
    }
    Explanation { findings: Vec::new(), tried }
}

/// No source has the path of the request.
fn no_such_path(refused: &RefusedDelivery, sources: &[Arc<Source>]) -> Finding {
    let path = refused.target.split_once('?').map_or(&*refused.target, |(path, _)| path);
    let what = format!("No source has the path {path}.");
    match nearest_path(path, sources.iter().map(|source| &*source.path)) {
        Some(nearest) => Finding::new(
            what,
            format!(
                "Did you mean {}? Change the URL at the provider, or the `path` of the source, and have it sent again.",
                secret_path::masked(nearest)
            ),
        ),
        None => Finding::new(
            what,
            "Compare it with the paths that `hookbox check` shows. Strangers who scan for other software cause such \
             requests, too.",
        ),
    }
}

/// Causes that the response's status shows: limits, and the client's address.
fn by_status(refused: &RefusedDelivery) -> Option<Finding> {
    Some(match refused.status {
        403 if refused.reason.contains("allow_ips") => Finding::new(
            format!("It was rejected because of its address: {}.", refused.reason),
            "Add the provider's networks to the source's `allow_ips`. Behind a proxy, add the proxy to \
             `server.trusted_proxies`, so that the client's address is used.",
        ),
        408 => Finding::new(
            "It did not arrive within `server.request_timeout`.",
            "Check the proxy and the network between the provider and hookbox, or raise the timeout.",
        ),
        413 => Finding::new(
            format!("Its body of {} bytes is over the limit ({}).", refused.body_bytes, refused.reason),
            "Raise `max_body` of the source, or make the provider send less.",
        ),
        429 => Finding::new(
            "It is genuine, but deliveries exceeded the source's `rate_limit`.",
            "Raise `rate_limit` if this rate is expected. `hookbox reverify` accepts this delivery.",
        ),
        _ => return None,
    })
}

/// The signature cannot be checked: its token was not stored, or public keys are unavailable.
fn uncheckable(probe: &Probe<'_>) -> Option<Finding> {
    if reverify::has_lost_its_token(probe.source, &probe.refused.request()) {
        return Some(Finding::new(
            "Its token would be valid for other deliveries too, so it was not stored and cannot be checked.",
            format!("The reason for the refusal was: {}.", probe.refused.reason),
        ));
    }
    let why = probe.unavailable_keys()?;
    Some(Finding::new(
        format!("Its signature is checked with the provider's public keys, which cannot be fetched now: {why}."),
        "Check that this machine can reach that address over HTTPS (firewall, DNS, `keys_url`), then run the command again.",
    ))
}

fn truncated(probe: &Probe<'_>) -> Option<Finding> {
    let refused = probe.refused;
    let finding = || {
        Finding::new(
            format!(
                "Only {} of its {} bytes were stored, so its signature cannot be computed again.",
                refused.body.len(),
                refused.body_bytes
            ),
            "Make the provider send a shorter delivery, such as its test event, and explain that one.",
        )
    };
    (!refused.is_whole() && !probe.ignores_body()).then(finding)
}
