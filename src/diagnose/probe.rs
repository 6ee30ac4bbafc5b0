//! One refusal beside its source: the question that all causes ask, put to the ordinary verifier.
//!
//! A cause changes the source or the request and asks whether the proof holds then. What else stands in the way is
//! told apart: a timestamp out of its window and a missing id come after a signature that matches.

use std::sync::Arc;

use super::reverify::with_tokens;
use crate::config::Source;
use crate::model::refusal::RefusedDelivery;
use crate::model::request::Request;
use crate::support::secret::{DigestKey, Secret};
use crate::verify::{SharedKeys, SignatureError, VerifiedRequest, Verifier, VerifyError};

/// A refusal and what is configured.
pub(super) struct Probe<'a> {
    pub(super) refused: &'a RefusedDelivery,
    pub(super) source: &'a Source,
    pub(super) sources: &'a [Arc<Source>],
    key: Option<&'a DigestKey>,
    /// Fetched at most once, however many tries are made.
    keys: Arc<SharedKeys>,
}

/// What the verifier says.
pub(super) enum ProbeResult {
    /// The proof holds.
    Matches,
    /// It would be answered, and carries no event: perhaps nothing of it is proven.
    Answers,
    /// The proof holds, and this is in the way.
    MatchesBut(VerifyError),
    No(VerifyError),
}

/// A secret and how people find it: `secret 2 of stripe`.
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

    /// The same refusal beside another source.
    pub(super) fn beside<'b>(&self, source: &'b Source) -> Probe<'b>
    where
        'a: 'b,
    {
        Probe { source, refused: self.refused, sources: self.sources, key: self.key, keys: Arc::clone(&self.keys) }
    }

    /// Judges the delivery by another source.
    pub(super) fn judged_by(&self, source: &Source) -> ProbeResult {
        judge(source, &with_tokens(self.refused, &source.secrets, self.key), &self.keys)
    }

    /// Judges another request by the source.
    pub(super) fn judged_as(&self, change: impl FnOnce(&mut Request), secrets: &[Secret]) -> ProbeResult {
        let source = Source { secrets: secrets.to_vec(), ..self.source.clone() };
        let mut request = with_tokens(self.refused, secrets, self.key);
        change(&mut request);
        judge(&source, &request, &self.keys)
    }

    /// Whether the source's scheme takes this text as its secret and then holds.
    pub(super) fn holds_with(&self, secret: Secret) -> bool {
        let (secrets, public_keys) = (vec![secret.clone()], vec![secret]);
        self.judged_by(&Source { secrets, public_keys, ..self.source.clone() }).holds()
    }

    /// SignatureError the provider's own keys, which alone can tell, cannot be had.
    pub(super) fn lacks_keys(&self) -> Option<String> {
        match self.judged_by(self.source) {
            ProbeResult::No(VerifyError::Unavailable(why)) => Some(why),
            _ => None,
        }
    }

    /// Whether the proof is a token, which says nothing of the body.
    pub(super) fn needs_no_body(&self) -> bool {
        self.source.scheme.auth.is_token()
    }

    /// Every secret that is configured, the source's own first.
    pub(super) fn secrets(&self) -> Vec<NamedSecret<'a>> {
        let own = self.sources.iter().filter(|source| source.name == self.source.name);
        let others = self.sources.iter().filter(|source| source.name != self.source.name);
        let named = |source: &'a Arc<Source>| {
            let of_kind = |kind: &str, keys: &'a [Secret]| -> Vec<NamedSecret<'a>> {
                let name = |index: usize| match keys.len() {
                    1 => format!("the {kind} of `{}`", source.name),
                    _ => format!("{kind} {} of `{}`", index + 1, source.name),
                };
                keys.iter()
                    .enumerate()
                    .map(|(index, secret)| NamedSecret { source, secret, name: name(index) })
                    .collect()
            };
            of_kind("secret", &source.secrets).into_iter().chain(of_kind("public key", &source.public_keys))
        };
        own.chain(others).flat_map(named).collect()
    }
}

impl ProbeResult {
    pub(super) fn holds(&self) -> bool {
        !matches!(self, Self::No(_))
    }
}

impl NamedSecret<'_> {
    pub(super) fn is_of(&self, source: &Source) -> bool {
        self.source.name == source.name
    }
}

/// What came is judged as of the moment it came.
fn judge(source: &Source, request: &Request, keys: &SharedKeys) -> ProbeResult {
    match Verifier::with_shared_keys(source, keys).check(request, request.received_at) {
        Ok(VerifiedRequest::Delivery(_)) => ProbeResult::Matches,
        Ok(_) => ProbeResult::Answers,
        Err(
            refusal @ (VerifyError::Malformed(_)
            | VerifyError::NotGenuine(
                SignatureError::TooOld { .. } | SignatureError::InFuture { .. } | SignatureError::MalformedTimestamp(_),
            )),
        ) => ProbeResult::MatchesBut(refusal),
        Err(refusal) => ProbeResult::No(refusal),
    }
}
