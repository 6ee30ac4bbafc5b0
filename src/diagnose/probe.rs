//! Checks a refused delivery against variations of the configuration or of the request.
//!
//! Every check is the ordinary verifier's, at the time the delivery was received. Errors that come after a matching
//! signature (timestamp out of the window, no event id) are distinguished from a mismatch.

use std::sync::Arc;

use super::reverify::with_tokens;
use crate::config::Source;
use crate::model::refusal::RefusedDelivery;
use crate::model::request::Request;
use crate::support::secret::{DigestKey, Secret};
use crate::verify::{SharedKeys, SignatureError, VerifiedRequest, Verifier, VerifyError};

/// A cause of the refusal. Both parts are one sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub what: String,
    /// What to change.
    pub change: String,
    /// A section of the configuration that makes the change. Its keys replace those of the source.
    pub settings: Option<String>,
}

impl Finding {
    pub(super) fn new(what: impl Into<String>, change: impl Into<String>) -> Self {
        Self { what: what.into(), change: change.into(), settings: None }
    }

    pub(super) fn with_settings(self, settings: Option<String>) -> Self {
        Self { settings, ..self }
    }
}

/// A refused delivery with the configuration it is checked against.
pub(super) struct Probe<'a> {
    pub(super) refused: &'a RefusedDelivery,
    pub(super) source: &'a Source,
    pub(super) sources: &'a [Arc<Source>],
    key: Option<&'a DigestKey>,
    /// Public keys, fetched at most once for all checks.
    keys: Arc<SharedKeys>,
}

pub(super) enum ProbeResult {
    Matches,
    /// A handshake: answered, but there is no event and perhaps no signature.
    Answered,
    /// The signature matches, but this error follows.
    MatchesExcept(VerifyError),
    No(VerifyError),
}

/// A configured secret and its name for the operator: `secret 2 of stripe`.
pub(super) struct NamedSecret<'a> {
    pub(super) source: &'a Source,
    pub(super) secret: &'a Secret,
    pub(super) name: String,
}

impl<'a> Probe<'a> {
    pub(super) fn new(
        refused: &'a RefusedDelivery,
        source: &'a Source,
        sources: &'a [Arc<Source>],
        key: Option<&'a DigestKey>,
    ) -> Self {
        Self { refused, source, sources, key, keys: Arc::default() }
    }

    /// Checks the delivery against another source.
    pub(super) fn check(&self, source: &Source) -> ProbeResult {
        check(source, &with_tokens(self.refused, &source.secrets, self.key), &self.keys)
    }

    /// Checks a changed request against the source with these secrets.
    pub(super) fn check_changed(&self, change: impl FnOnce(&mut Request), secrets: &[Secret]) -> ProbeResult {
        let source = Source { secrets: secrets.to_vec(), ..self.source.clone() };
        let mut request = with_tokens(self.refused, secrets, self.key);
        change(&mut request);
        check(&source, &request, &self.keys)
    }

    /// Whether the signature matches with this text as the source's secret or public key.
    pub(super) fn matches_secret(&self, secret: Secret) -> bool {
        let (secrets, public_keys) = (vec![secret.clone()], vec![secret]);
        self.check(&Source { secrets, public_keys, ..self.source.clone() }).is_match()
    }

    /// Why the provider's public keys cannot be fetched, if that is the problem.
    pub(super) fn unavailable_keys(&self) -> Option<String> {
        match self.check(self.source) {
            ProbeResult::No(VerifyError::Unavailable(why)) => Some(why),
            _ => None,
        }
    }

    /// Whether the secret is sent as a token, so that the body does not matter.
    pub(super) fn ignores_body(&self) -> bool {
        self.source.scheme.auth.is_token()
    }

    /// Every configured secret and public key, the source's own first.
    pub(super) fn secrets(&self) -> Vec<NamedSecret<'a>> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.sources.iter().partition(|source: &&Arc<Source>| source.name == self.source.name);
        let named = |source: &'a Arc<Source>| {
            let of_kind = |kind: &'static str, keys: &'a [Secret]| {
                keys.iter().enumerate().map(move |(index, secret)| {
                    let name = match keys.len() {
                        1 => format!("the {kind} of `{}`", source.name),
                        _ => format!("{kind} {} of `{}`", index + 1, source.name),
                    };
                    NamedSecret { source, secret, name }
                })
            };
            of_kind("secret", &source.secrets).chain(of_kind("public key", &source.public_keys))
        };
        own.into_iter().chain(others).flat_map(named).collect()
    }
}

impl ProbeResult {
    pub(super) fn is_match(&self) -> bool {
        !matches!(self, Self::No(_))
    }
}

impl NamedSecret<'_> {
    pub(super) fn is_of(&self, source: &Source) -> bool {
        self.source.name == source.name
    }
}

/// Produces the variants that one kind of change makes of a value.
type Change<'a, T> = &'a dyn Fn(&T) -> Vec<T>;

/// Every combination of changes to `start`, without `start` itself. Each change may produce several variants.
pub(super) fn combinations<T>(start: T, changes: &[Change<'_, T>]) -> Vec<T> {
    let mut variants = vec![start];
    for change in changes {
        let changed: Vec<_> = variants.iter().flat_map(change).collect();
        variants.extend(changed);
    }
    variants.remove(0);
    variants
}

fn check(source: &Source, request: &Request, keys: &SharedKeys) -> ProbeResult {
    match Verifier::with_shared_keys(source, keys).check(request, request.received_at) {
        Ok(VerifiedRequest::Delivery(_)) => ProbeResult::Matches,
        Ok(_) => ProbeResult::Answered,
        Err(
            error @ (VerifyError::Malformed(_)
            | VerifyError::NotGenuine(
                SignatureError::TooOld { .. } | SignatureError::InFuture { .. } | SignatureError::MalformedTimestamp(_),
            )),
        ) => ProbeResult::MatchesExcept(error),
        Err(error) => ProbeResult::No(error),
    }
}
