//! Verifies a delivery's signature or token with keys, then the age of the signed timestamp.
//!
//! The signed content goes to the hash piece by piece, and decoded bytes are compared in constant time.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::context::Context;
use super::error::{SignatureError, SignatureResult};
use super::extract::batch;
use super::jwt;
use super::key::SignatureKey;
use super::signature_header::{self, SignatureHeader};
use super::signed_content::{self, TemplateValues};
use super::timestamp;
use crate::providers::{
    Algorithm, AuthMethod, Encoding, NamedAlgorithms, Scheme, TemplateSignature, TimestampLocation, ValueLocation,
};
use crate::support::secret::Secret;
use crate::support::time::Millis;

/// What a valid signature covers besides the body.
#[derive(Debug, Default)]
pub(super) struct SignedMetadata<'a> {
    pub(super) timestamp: Option<Cow<'a, [u8]>>,
    /// The claims of a JSON Web Token.
    pub(super) claims: Option<Value>,
}

/// Succeeds if one of the keys made a signature of the delivery (of every item, if items are signed one by one) and the
/// timestamp is within the tolerance.
pub(super) fn verify<'a>(
    context: &Context<'a>,
    keys: &[SignatureKey],
    now: Millis,
) -> SignatureResult<SignedMetadata<'a>> {
    let (ValueLocation::Item(_), Some(batch)) = (&context.scheme.signature, &context.scheme.batch) else {
        let signed = check(context, keys, now)?;
        check_age(context.scheme, &signed, now)?;
        return Ok(signed);
    };
    let items = batch::split(batch, context.request).ok().flatten().filter(|items| !items.is_empty());
    for item in items.ok_or_else(|| SignatureError::Missing(context.signature_place()))? {
        check(&Context { item: Some(&item), ..*context }, keys, now)?;
    }
    Ok(SignedMetadata::default())
}

pub(super) fn check_age(scheme: &Scheme, signed: &SignedMetadata<'_>, now: Millis) -> SignatureResult<()> {
    let Some(timestamp) = &scheme.timestamp else { return Ok(()) };
    // Without a signed timestamp, the empty text is malformed. Without a tolerance, zero applies.
    let text = signed.timestamp.as_deref().unwrap_or_default();
    timestamp::check(text, timestamp.unit, scheme.tolerance.unwrap_or_default(), now)
}

fn check<'a>(context: &Context<'a>, keys: &[SignatureKey], now: Millis) -> SignatureResult<SignedMetadata<'a>> {
    check_headers(context)?;
    let check = SignatureCheck { context, keys, now };
    let mut first: Option<SignatureError> = None;
    for place in context.scheme.signature_locations() {
        match check.place(place) {
            Ok(metadata) => return Ok(metadata),
            // An error about a signature that is present is more helpful than one about a missing one.
            Err(error) => match &first {
                None => first = Some(error),
                Some(SignatureError::Missing(_)) if !matches!(error, SignatureError::Missing(_)) => first = Some(error),
                Some(_) => {}
            },
        }
    }
    Err(first.unwrap_or_else(|| SignatureError::Missing(context.signature_place())))
}

/// Checks the headers with fixed values, and the name of the key.
fn check_headers(context: &Context<'_>) -> SignatureResult<()> {
    for (name, expected) in &context.scheme.required_headers {
        let place = ValueLocation::Header(name.clone());
        if !context.required(&place)?.eq_ignore_ascii_case(expected.as_bytes()) {
            return Err(SignatureError::UnexpectedValue(place, expected.clone()));
        }
    }
    let Some(place) = &context.scheme.key_id else { return Ok(()) };
    let found = Sha256::digest(&context.required(place)?);
    let is_known = |id: &Secret| bool::from(Sha256::digest(id.reveal()).ct_eq(&found));
    if context.source.key_ids.iter().any(is_known) { Ok(()) } else { Err(SignatureError::UnknownKeyId(place.clone())) }
}

/// The first success, or else the first error, or else that the place is empty.
fn first_match<T>(place: &ValueLocation, results: impl Iterator<Item = SignatureResult<T>>) -> SignatureResult<T> {
    let mut first = None;
    for result in results {
        match result {
            Ok(found) => return Ok(found),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| SignatureError::Missing(place.clone())))
}

struct SignatureCheck<'c, 'a> {
    context: &'c Context<'a>,
    keys: &'c [SignatureKey],
    now: Millis,
}

impl<'a> SignatureCheck<'_, 'a> {
    fn place(&self, place: &ValueLocation) -> SignatureResult<SignedMetadata<'a>> {
        if !self.context.scheme.repeatable && !matches!(place, ValueLocation::Numbered(_)) {
            return self.value(place, &self.context.required(place)?);
        }
        let values = self.context.signature_values(place)?;
        first_match(place, values.iter().map(|value| self.value(place, value)))
    }

    fn value(&self, place: &ValueLocation, value: &[u8]) -> SignatureResult<SignedMetadata<'a>> {
        let text = std::str::from_utf8(value).map_err(|_| self.undecodable(place))?;
        let sets = signature_header::split_sets(self.context.scheme, text);
        first_match(place, sets.map(|set| self.set(place, set)))
    }

    fn set(&self, place: &ValueLocation, text: &str) -> SignatureResult<SignedMetadata<'a>> {
        let context = self.context;
        let header = signature_header::read(context.scheme, text)?;
        match &context.scheme.auth {
            AuthMethod::Signature(signed) => {
                let timestamp = match context.scheme.timestamp.as_ref().map(|timestamp| &timestamp.location) {
                    Some(TimestampLocation::At(place)) => Some(context.required(place)?),
                    _ => header.timestamp.map(|text| Cow::Owned(text.as_bytes().to_vec())),
                };
                self.signed(signed, place, &header, timestamp.as_deref().unwrap_or_default())?;
                Ok(SignedMetadata { timestamp, claims: None })
            }
            AuthMethod::Jwt(jwt) => {
                let token = header.signatures.first().copied().unwrap_or_default();
                let token = after_scheme(token, "Bearer").unwrap_or(token);
                let claims = jwt::check(context, jwt, self.keys, token, self.now)?;
                let timestamp = jwt::timestamp(context, &claims).map(|text| Cow::Owned(text.into_bytes()));
                Ok(SignedMetadata { timestamp, claims: Some(claims) })
            }
            auth @ (AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer) => {
                let digests: Vec<_> = header.signatures.iter().filter_map(|text| token_digest(auth, text)).collect();
                if digests.is_empty() {
                    return Err(self.undecodable(place));
                }
                let is_known = self.keys.iter().any(|key| key.verifies(&[], &digests));
                if is_known { Ok(SignedMetadata::default()) } else { Err(SignatureError::NoMatch(place.clone())) }
            }
            AuthMethod::Builtin(_) => Err(SignatureError::NoMatch(place.clone())),
        }
    }

    /// Tries every template with every key of the algorithm and every form of the source's URL.
    fn signed(
        &self,
        signed: &TemplateSignature,
        place: &ValueLocation,
        header: &SignatureHeader<'_>,
        timestamp: &[u8],
    ) -> SignatureResult<()> {
        let algorithm = algorithm(self.context, signed)?;
        let decode = |text: &&str| signature_header::decode(signed.encoding, text);
        let signatures: Vec<_> = header.signatures.iter().filter_map(decode).collect();
        if signatures.is_empty() {
            return Err(self.undecodable(place));
        }
        let mut reason = None;
        for template in &signed.contents {
            for key in self.keys.iter().filter(|key| key.algorithm == algorithm) {
                for url in self.context.urls {
                    let values = TemplateValues { header, timestamp, url, secret: key.secret() };
                    match signed_content::pieces(self.context, template, &values) {
                        Ok(pieces) if key.verifies(&pieces, &signatures) => return Ok(()),
                        Ok(_) => reason = Some(SignatureError::NoMatch(place.clone())),
                        Err(error) => reason = reason.or(Some(error)),
                    }
                }
            }
        }
        Err(reason.unwrap_or_else(|| SignatureError::NoMatch(place.clone())))
    }

    fn undecodable(&self, place: &ValueLocation) -> SignatureError {
        let expected = match &self.context.scheme.auth {
            AuthMethod::Signature(signed) => signature_header::encoding_name(signed.encoding),
            AuthMethod::Jwt(_) => "a JSON Web Token",
            AuthMethod::Basic => "Basic credentials",
            AuthMethod::Bearer => "a Bearer token",
            AuthMethod::Token | AuthMethod::Builtin(_) => "UTF-8",
        };
        SignatureError::Undecodable(place.clone(), expected)
    }
}

fn token_digest(auth: &AuthMethod, text: &str) -> Option<Vec<u8>> {
    let token = match auth {
        AuthMethod::Basic => signature_header::decode(Encoding::Base64, after_scheme(text, "Basic")?)?,
        AuthMethod::Bearer => after_scheme(text, "Bearer")?.as_bytes().to_vec(),
        _ => text.as_bytes().to_vec(),
    };
    Some(Sha256::digest(token).to_vec())
}

/// The credentials after an authentication scheme, whose name is case-insensitive (RFC 9110, 11.1).
fn after_scheme<'t>(text: &'t str, scheme: &str) -> Option<&'t str> {
    let (name, rest) = text.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}

/// The algorithm of the signature: the scheme's, or the allowed one that a header names.
pub(super) fn algorithm(context: &Context<'_>, signed: &TemplateSignature) -> SignatureResult<Algorithm> {
    let Some(NamedAlgorithms { header, names }) = &signed.by_header else { return Ok(signed.algorithm) };
    let place = ValueLocation::Header(header.clone());
    let found = context.required(&place)?;
    let named = names.iter().find(|(name, _)| name.as_bytes() == &found[..]);
    named.map(|(_, algorithm)| *algorithm).ok_or(SignatureError::AlgorithmNotAllowed(place))
}
