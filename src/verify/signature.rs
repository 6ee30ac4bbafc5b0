//! Does one of the source's secrets prove this delivery?
//!
//! What is signed goes to the hash piece by piece, the body as received and, where the scheme allows, unparsed;
//! decoded bytes are compared in constant time. Out goes the timestamp as the text that was signed: how old it is, is
//! `age`'s to judge.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::providers::{
    Algorithm, AuthMethod, Encoding, NamedAlgorithms, TemplateSignature, TimestampLocation, ValueLocation,
};
use crate::support::time::Millis;
use crate::verify::context::Case;
use crate::verify::error::SignatureError;
use crate::verify::jwt;
use crate::verify::key::Key;
use crate::verify::signature_header::{self, Claim};
use crate::verify::signed_content::{self, Filling};

/// What is known of a delivery that is proven.
#[derive(Debug, Default)]
pub(super) struct Proven<'a> {
    /// The timestamp that was signed, where the scheme has one.
    pub(super) timestamp: Option<Cow<'a, [u8]>>,
    /// The claims of a JSON Web Token.
    pub(super) claims: Option<Value>,
}

/// Whether one of the keys proves the delivery.
pub(super) fn check<'a>(case: &Case<'a>, keys: &[(Algorithm, Key)], now: Millis) -> Result<Proven<'a>, SignatureError> {
    check_headers(case)?;
    let mut first: Option<SignatureError> = None;
    for place in case.scheme.signature_locations() {
        match check_place(case, keys, place, now) {
            Ok(proven) => return Ok(proven),
            // What is there and wrong says more than what is not there.
            Err(why @ SignatureError::Missing(_)) => first = first.or(Some(why)),
            Err(why) => {
                if first.as_ref().is_none_or(|first| matches!(first, SignatureError::Missing(_))) {
                    first = Some(why);
                }
            }
        }
    }
    Err(first.unwrap_or_else(|| SignatureError::Missing(case.scheme.signature.clone())))
}

/// Headers that must say something, and the name of the key.
fn check_headers(case: &Case<'_>) -> Result<(), SignatureError> {
    for (name, wanted) in &case.scheme.required_headers {
        let place = ValueLocation::Header(name.clone());
        if !case.required(&place)?.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Err(SignatureError::UnexpectedValue(place, wanted.clone()));
        }
    }
    let Some(place) = &case.scheme.key_id else { return Ok(()) };
    let said = Sha256::digest(&case.required(place)?);
    let is_known = |id: &String| bool::from(Sha256::digest(id).ct_eq(&said));
    if case.own.key_ids.iter().any(is_known) { Ok(()) } else { Err(SignatureError::UnknownKeyId(place.clone())) }
}

fn check_place<'a>(
    case: &Case<'a>,
    keys: &[(Algorithm, Key)],
    place: &ValueLocation,
    now: Millis,
) -> Result<Proven<'a>, SignatureError> {
    if !case.scheme.repeatable && !matches!(place, ValueLocation::Numbered(_)) {
        return check_value(case, keys, (place, &case.required(place)?), now);
    }
    let mut first = None;
    for value in case.written(place)? {
        match check_value(case, keys, (place, &value), now) {
            Ok(proven) => return Ok(proven),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(first.unwrap_or_else(|| SignatureError::Missing(place.clone())))
}

fn check_value<'a>(
    case: &Case<'a>,
    keys: &[(Algorithm, Key)],
    (place, value): (&ValueLocation, &[u8]),
    now: Millis,
) -> Result<Proven<'a>, SignatureError> {
    let text = std::str::from_utf8(value).map_err(|_| undecodable(case, place))?;
    let mut first = None;
    for set in signature_header::sets(case.scheme, text) {
        match check_set(case, keys, (place, set), now) {
            Ok(proven) => return Ok(proven),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(first.unwrap_or_else(|| SignatureError::Missing(place.clone())))
}

fn check_set<'a>(
    case: &Case<'a>,
    keys: &[(Algorithm, Key)],
    (place, written): (&ValueLocation, &str),
    now: Millis,
) -> Result<Proven<'a>, SignatureError> {
    let claim = signature_header::read(case.scheme, written)?;
    match &case.scheme.auth {
        AuthMethod::Signature(signed) => {
            let timestamp = signed_at(case, &claim)?;
            check_signed(case, signed, keys, (place, &claim, timestamp.as_deref().unwrap_or_default()))?;
            Ok(Proven { timestamp, claims: None })
        }
        AuthMethod::Jwt(jwt) => {
            let token = claim.signatures.first().copied().unwrap_or_default();
            let token = bearer(token).unwrap_or(token);
            let claims = jwt::check(case, jwt, keys, (token, now))?;
            let timestamp = jwt::timestamp(case, &claims).map(|text| Cow::Owned(text.into_bytes()));
            Ok(Proven { timestamp, claims: Some(claims) })
        }
        AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => {
            let tokens: Vec<_> = claim.signatures.iter().filter_map(|text| token(&case.scheme.auth, text)).collect();
            if tokens.is_empty() {
                return Err(undecodable(case, place));
            }
            let is_known = |(_, key): &(Algorithm, Key)| key.proves(&[], &tokens);
            if keys.iter().any(is_known) { Ok(Proven::default()) } else { Err(SignatureError::NoMatch(place.clone())) }
        }
        AuthMethod::Builtin(_) => Err(SignatureError::NoMatch(place.clone())),
    }
}

/// The digest of a token as its scheme writes it.
fn token(proof: &AuthMethod, text: &str) -> Option<Vec<u8>> {
    let token = match proof {
        AuthMethod::Basic => signature_header::decode(Encoding::Base64, after_word(text, "Basic")?)?,
        AuthMethod::Bearer => bearer(text)?.as_bytes().to_vec(),
        _ => text.as_bytes().to_vec(),
    };
    Some(Sha256::digest(token).to_vec())
}

fn bearer(text: &str) -> Option<&str> {
    after_word(text, "Bearer")
}

/// What comes after the name of an authentication scheme, whose case does not matter (RFC 9110, 11.1).
fn after_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (own, rest) = text.split_once(' ')?;
    own.eq_ignore_ascii_case(word).then(|| rest.trim_ascii())
}

fn signed_at<'a>(case: &Case<'a>, claim: &Claim<'_>) -> Result<Option<Cow<'a, [u8]>>, SignatureError> {
    match case.scheme.timestamp.as_ref().map(|timestamp| &timestamp.place) {
        Some(TimestampLocation::At(place)) => case.required(place).map(Some),
        _ => Ok(claim.timestamp.map(|text| Cow::Owned(text.as_bytes().to_vec()))),
    }
}

fn check_signed(
    case: &Case<'_>,
    signed: &TemplateSignature,
    keys: &[(Algorithm, Key)],
    (place, claim, timestamp): (&ValueLocation, &Claim<'_>, &[u8]),
) -> Result<(), SignatureError> {
    let algorithm = algorithm(case, signed)?;
    let decode = |text: &&str| signature_header::decode(signed.encoding, text);
    let signatures: Vec<_> = claim.signatures.iter().filter_map(decode).collect();
    if signatures.is_empty() {
        return Err(undecodable(case, place));
    }
    let mut why = None;
    for content in &signed.contents {
        for (_, key) in keys.iter().filter(|(own, _)| *own == algorithm) {
            for url in &case.own.urls {
                let filling = Filling { claim, timestamp, url, secret: key.secret() };
                match signed_content::pieces(case, content, &filling) {
                    Ok(pieces) if key.proves(&pieces, &signatures) => return Ok(()),
                    Ok(_) => why = Some(SignatureError::NoMatch(place.clone())),
                    Err(absent) => why = why.or(Some(absent)),
                }
            }
        }
    }
    Err(why.unwrap_or_else(|| SignatureError::NoMatch(place.clone())))
}

/// The algorithm that was used: the scheme's, or of those it allows the one that the header names.
pub(super) fn algorithm(case: &Case<'_>, signed: &TemplateSignature) -> Result<Algorithm, SignatureError> {
    let Some(NamedAlgorithms { header, names }) = &signed.by_header else { return Ok(signed.algorithm) };
    let place = ValueLocation::Header(header.clone());
    let said = case.required(&place)?;
    let named = names.iter().find(|(name, _)| name.as_bytes() == &said[..]);
    named.map(|(_, algorithm)| *algorithm).ok_or(SignatureError::AlgorithmNotAllowed(place))
}

fn undecodable(case: &Case<'_>, place: &ValueLocation) -> SignatureError {
    let written_as = match &case.scheme.auth {
        AuthMethod::Signature(signed) => signature_header::name_of(signed.encoding),
        AuthMethod::Jwt(_) => "a JSON Web Token",
        AuthMethod::Basic => "Basic credentials",
        AuthMethod::Bearer => "a Bearer token",
        AuthMethod::Token | AuthMethod::Builtin(_) => "UTF-8",
    };
    SignatureError::Undecodable(place.clone(), written_as)
}
