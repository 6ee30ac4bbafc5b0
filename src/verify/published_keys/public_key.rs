//! Public keys as providers publish them: X.509 certificates (RFC 5280) and JSON Web Keys (RFC 7517).
//!
//! Accepts RSA keys of at least 2048 bits, P-256 and Ed25519. Other keys of a set are skipped, as are keys for
//! encryption. Errors complete a sentence about the document.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::EncodePublicKey as _;
use rsa::BoxedUint;
use rsa::traits::PublicKeyParts as _;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};

use crate::providers::KeyKind;
use crate::support::time::Millis;
use crate::verify::signature_header::BASE64_URL;

/// The most keys that are read from one document.
const MAX_KEYS: usize = 64;
/// Shorter RSA keys can be broken.
const MIN_RSA_BITS: u32 = 2048;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// The key's name in its set.
    pub kid: Option<String>,
    pub kind: KeyKind,
    /// SubjectPublicKeyInfo in DER (RFC 5280, 4.1).
    pub der: Vec<u8>,
    /// The first and the last moment of validity; `None` if it is not limited.
    pub validity: Option<(Millis, Millis)>,
}

/// The keys at a URL; none if the provider does not know the requested name.
#[derive(Debug, Default)]
pub(super) struct FetchedKeys {
    pub(super) keys: Vec<PublishedKey>,
    /// How long they may be cached.
    pub(super) max_age: Option<Duration>,
}

#[derive(Debug, Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

pub(super) fn from_jwk_set(document: &[u8]) -> Result<Vec<PublishedKey>, String> {
    let set: JwkSet = serde_json::from_slice(document).map_err(|_| "is not a JSON Web Key Set".to_owned())?;
    let keys: Vec<_> = set.keys.iter().take(MAX_KEYS).filter_map(from_jwk).collect();
    if keys.is_empty() { Err("contains no usable key".to_owned()) } else { Ok(keys) }
}

/// The key of the first certificate of a PEM file.
pub(super) fn from_certificate(document: &[u8]) -> Result<PublishedKey, String> {
    let not_a_certificate = || "is not a certificate".to_owned();
    let text = std::str::from_utf8(document).map_err(|_| not_a_certificate())?;
    let end = "-----END CERTIFICATE-----";
    let first = text.find(end).map(|place| &text[..place + end.len()]);
    let certificate = Certificate::from_pem(first.unwrap_or_default()).map_err(|_| not_a_certificate())?;
    let tbs = certificate.tbs_certificate();
    let der = tbs.subject_public_key_info().to_der().map_err(|_| "contains no key".to_owned())?;
    let key: rsa::RsaPublicKey =
        rsa::pkcs8::DecodePublicKey::from_public_key_der(&der).map_err(|_| "contains no RSA key".to_owned())?;
    if key.n().bits() < MIN_RSA_BITS {
        return Err("contains an RSA key that is too short".to_owned());
    }
    let at =
        |time: x509_cert::time::Time| Millis(i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX));
    let validity = Some((at(tbs.validity().not_before), at(tbs.validity().not_after)));
    Ok(PublishedKey { kid: None, kind: KeyKind::Rsa, der, validity })
}

/// `None` if the key cannot be used.
pub(super) fn from_jwk(jwk: &Jwk) -> Option<PublishedKey> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (kind, der) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (KeyKind::Rsa, rsa_der(&decode(&jwk.n)?, &decode(&jwk.e)?)?),
        ("EC", Some("P-256")) => (KeyKind::P256, p256_der(&decode(&jwk.x)?, &decode(&jwk.y)?)?),
        ("OKP", Some("Ed25519")) => (KeyKind::Ed25519, ed25519_der(&decode(&jwk.x)?)?),
        _ => return None,
    };
    Some(PublishedKey { kid: jwk.kid.clone(), kind, der, validity: None })
}

/// A P-256 key in PEM, possibly without line breaks.
pub(super) fn from_p256_pem(pem: &str) -> Option<PublishedKey> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    <p256::ecdsa::VerifyingKey as p256::pkcs8::DecodePublicKey>::from_public_key_der(&der).ok()?;
    Some(PublishedKey { kid: None, kind: KeyKind::P256, der, validity: None })
}

fn decode(text: &Option<String>) -> Option<Vec<u8>> {
    BASE64_URL.decode(text.as_deref()?).ok()
}

fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let key =
        rsa::RsaPublicKey::new(BoxedUint::from_be_slice_vartime(modulus), BoxedUint::from_be_slice_vartime(exponent));
    let key = key.ok().filter(|key| key.n().bits() >= MIN_RSA_BITS)?;
    Some(key.to_public_key_der().ok()?.into_vec())
}

fn p256_der(x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    let point = [&[4][..], x, y].concat();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
    Some(key.to_public_key_der().ok()?.into_vec())
}

fn ed25519_der(x: &[u8]) -> Option<Vec<u8>> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(x.try_into().ok()?).ok()?;
    Some(key.to_public_key_der().ok()?.into_vec())
}
