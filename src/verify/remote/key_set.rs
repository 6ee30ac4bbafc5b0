//! Schemes of the engine whose public keys are in a set that the provider publishes: JSON Web Tokens and others.
//!
//! Which key it is, is said by the token's header, or by a place that the scheme names; a name is bounded, and only
//! looked up. Everything else about the signature is the engine's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::providers::{Algorithm, AuthMethod, KeyKind, Scheme};
use crate::verify::context::Case;
use crate::verify::error::SignatureError;
use crate::verify::key::Key;
use crate::verify::published_keys::{Kind, PublishedKey};
use crate::verify::signature_header;

/// Longest name of a key.
const LONGEST_NAME: usize = 256;
/// Keys that are tried where a signature names none.
const MOST_KEYS: usize = 8;

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    kid: Option<String>,
}

/// The name of the key, where the delivery says one.
pub(super) fn key_name(case: &Case<'_>) -> Result<Option<String>, SignatureError> {
    let place = case.scheme.key_name.as_ref();
    let name = match (&case.scheme.auth, place) {
        (_, Some(place)) => Some(String::from_utf8_lossy(&case.required(place)?).into_owned()),
        (AuthMethod::Jwt(_), None) => {
            let unnamed =
                || SignatureError::Undecodable(case.scheme.signature.clone(), "a JSON Web Token that names its key");
            Some(of_token(case)?.ok_or_else(unnamed)?)
        }
        _ => None,
    };
    match name {
        Some(name) if name.len() > LONGEST_NAME => Err(SignatureError::UnknownKey),
        name => Ok(name),
    }
}

fn of_token(case: &Case<'_>) -> Result<Option<String>, SignatureError> {
    let written = case.required(&case.scheme.signature)?;
    let Ok(written) = std::str::from_utf8(&written) else { return Ok(None) };
    let claim = signature_header::read(case.scheme, written)?;
    let token = claim.signatures.first().copied().unwrap_or_default();
    let head = token.rsplit(' ').next().and_then(|token| token.split('.').next()).unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(head).ok().and_then(|head| serde_json::from_slice::<Header>(&head).ok());
    Ok(header.and_then(|header| header.kid))
}

/// Those of the keys that the scheme can use, each with its algorithms.
pub(super) fn usable(scheme: &Scheme, keys: &[PublishedKey]) -> Vec<(Algorithm, Key)> {
    let all = keys.iter().flat_map(|key| {
        let is_its = move |(algorithm, _): &(Algorithm, Key)| algorithm.key_kind() == Some(kind_of(key.kind));
        Key::all(&scheme.auth, &key.der).into_iter().filter(is_its)
    });
    all.take(MOST_KEYS).collect()
}

fn kind_of(kind: Kind) -> KeyKind {
    match kind {
        Kind::Rsa => KeyKind::Rsa,
        Kind::P256 => KeyKind::P256,
        Kind::Ed25519 => KeyKind::Ed25519,
    }
}
