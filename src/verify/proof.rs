//! Does one of the source's secrets prove this delivery?
//!
//! What is signed goes to the hash piece by piece, the body as received and unparsed; decoded bytes are compared
//! in constant time. Out goes the timestamp as the text that was signed: how old it is, is `age`'s to judge.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::claim::{self, Claim};
use super::form;
use super::refusal::Why;
use crate::provider::{Algorithm, Encoding, Hash, Place, Proof, Scheme, Segment, Signed, TimestampPlace};
use crate::request::{Headers, Repeated, Request};

/// A secret, ready for use.
pub(super) enum Key {
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
    /// The digest of a token, so that tokens of any length compare in the same time.
    Token([u8; 32]),
}

impl Key {
    /// `None` for bytes that the algorithm cannot use.
    pub(super) fn new(proof: &Proof, bytes: &[u8]) -> Option<Self> {
        match proof {
            Proof::Signed(Signed { algorithm: Algorithm::Hmac(Hash::Sha256), .. }) => {
                Hmac::new_from_slice(bytes).ok().map(Self::Sha256)
            }
            Proof::Signed(Signed { algorithm: Algorithm::Hmac(Hash::Sha512), .. }) => {
                Hmac::new_from_slice(bytes).ok().map(Self::Sha512)
            }
            Proof::Token => Some(Self::Token(Sha256::digest(bytes).into())),
            _ => None,
        }
    }

    /// The signature this key makes; of a token, its digest.
    pub(super) fn sign(&self, pieces: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256(keyed) => finish(keyed.clone(), pieces),
            Self::Sha512(keyed) => finish(keyed.clone(), pieces),
            Self::Token(digest) => digest.to_vec(),
        }
    }
}

fn finish(mut mac: impl Mac, pieces: &[&[u8]]) -> Vec<u8> {
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

/// Whether one of the keys proves the request; out goes the timestamp that was signed, where the scheme has one.
pub(super) fn check<'a>(scheme: &Scheme, keys: &[Key], request: &'a Request) -> Result<Option<Cow<'a, [u8]>>, Why> {
    let written = required(scheme, &scheme.signature, request)?;
    let undecodable = || Why::Undecodable(scheme.signature.clone(), claim::name_of(encoding(scheme)));
    let claim = claim::read(scheme, std::str::from_utf8(&written).map_err(|_| undecodable())?)?;
    let signatures = decode(scheme, &claim);
    if signatures.is_empty() {
        return Err(undecodable());
    }
    let timestamp = match scheme.timestamp.as_ref().map(|timestamp| &timestamp.place) {
        Some(TimestampPlace::At(place)) => Some(required(scheme, place, request)?),
        _ => claim.timestamp.map(|text| Cow::Owned(text.as_bytes().to_vec())),
    };
    let pieces = pieces(scheme, request, timestamp.as_deref().unwrap_or_default())?;
    let matches = |key: &Key| {
        let expected = key.sign(&pieces);
        signatures.iter().any(|signature| bool::from(expected.ct_eq(signature)))
    };
    if keys.iter().any(matches) { Ok(timestamp) } else { Err(Why::Wrong(scheme.signature.clone())) }
}

fn encoding(scheme: &Scheme) -> Encoding {
    match &scheme.proof {
        Proof::Signed(Signed { encoding, .. }) => *encoding,
        _ => Encoding::Utf8,
    }
}

/// The signatures that can be decoded; of tokens, their digests.
fn decode(scheme: &Scheme, claim: &Claim<'_>) -> Vec<Vec<u8>> {
    let decode = |text: &&str| match &scheme.proof {
        Proof::Signed(Signed { encoding, .. }) => claim::decode(*encoding, text),
        _ => Some(Sha256::digest(text.as_bytes()).to_vec()),
    };
    claim.signatures.iter().filter_map(decode).collect()
}

/// What is signed, in order; every header of the template must be there.
pub(super) fn pieces<'a>(scheme: &'a Scheme, request: &'a Request, timestamp: &'a [u8]) -> Result<Vec<&'a [u8]>, Why> {
    let Some(content) = scheme.signed().and_then(|signed| signed.contents.first()) else { return Ok(Vec::new()) };
    let piece = |segment: &'a Segment| match segment {
        Segment::Text(text) => Ok(text.as_bytes()),
        Segment::Body => Ok(&request.body[..]),
        Segment::Timestamp => Ok(timestamp),
        Segment::Header(name) => match header(scheme, name, &request.headers) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Why::Missing(Place::Header(name.clone()))),
            Err(Repeated) => Err(Why::Repeated(Place::Header(name.clone()))),
        },
        _ => Err(Why::Wrong(scheme.signature.clone())),
    };
    content.iter().map(piece).collect()
}

/// A header's value under its name or the first alias that has one; an empty value is none.
pub(super) fn header<'a>(scheme: &Scheme, name: &str, headers: &'a Headers) -> Result<Option<&'a [u8]>, Repeated> {
    for name in scheme.header_names(name) {
        if let Some(value) = headers.one(name)?.filter(|value| !value.is_empty()) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn required<'a>(scheme: &Scheme, place: &Place, request: &'a Request) -> Result<Cow<'a, [u8]>, Why> {
    let found = match place {
        Place::Header(name) => header(scheme, name, &request.headers).map(|value| value.map(Cow::Borrowed)),
        Place::Query(name) => form::field(request.query.as_bytes(), name),
        _ => Ok(None),
    };
    let value = found.map_err(|Repeated| Why::Repeated(place.clone()))?;
    value.filter(|value| !value.is_empty()).ok_or_else(|| Why::Missing(place.clone()))
}
