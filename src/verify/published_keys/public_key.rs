//! Public keys as providers publish them: X.509 certificates (RFC 5280) and JSON Web Keys (RFC 7517).
//!
//! Text of a document comes in, keys go out: RSA of at least 2048 bits, P-256, Ed25519; others are passed over, and
//! so are keys for encryption. Limits keep a document from costing much.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use p256::pkcs8::EncodePublicKey as _;
use rsa::BoxedUint;
use rsa::traits::PublicKeyParts as _;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};

use crate::support::time::Millis;

/// Keys of one document.
const MAX_KEYS: usize = 64;
/// Below this RSA can be broken.
const LEAST_RSA_BITS: u32 = 2048;
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// Its name in the set.
    pub kid: Option<String>,
    /// What it is for.
    pub kind: Kind,
    /// SubjectPublicKeyInfo in DER (RFC 5280, 4.1).
    pub der: Vec<u8>,
    /// From when to when it may be used.
    pub valid: Option<(Millis, Millis)>,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RSA
    Rsa,
    /// ECDSA with P-256
    P256,
    /// Ed25519
    Ed25519,
}

#[derive(Debug, Deserialize)]
struct Set {
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

/// The keys of a set.
pub(super) fn of_set(document: &[u8]) -> Result<Vec<PublishedKey>, String> {
    let set: Set = serde_json::from_slice(document).map_err(|_| "is no set of JSON Web Keys".to_owned())?;
    let keys: Vec<_> = set.keys.iter().take(MAX_KEYS).filter_map(of_jwk).collect();
    if keys.is_empty() { Err("holds no key that can be used".to_owned()) } else { Ok(keys) }
}

/// The key of a certificate in PEM; of several, the first.
pub(super) fn of_certificate(document: &[u8]) -> Result<PublishedKey, String> {
    let text = std::str::from_utf8(document).map_err(|_| "is no certificate".to_owned())?;
    let end = "-----END CERTIFICATE-----";
    let first = text.find(end).map(|place| &text[..place + end.len()]);
    let certificate = Certificate::from_pem(first.unwrap_or_default()).map_err(|_| "is no certificate".to_owned())?;
    let tbs = certificate.tbs_certificate();
    let der = tbs.subject_public_key_info().to_der().map_err(|_| "holds no key".to_owned())?;
    let key: rsa::RsaPublicKey =
        rsa::pkcs8::DecodePublicKey::from_public_key_der(&der).map_err(|_| "holds no RSA key".to_owned())?;
    if key.n().bits() < LEAST_RSA_BITS {
        return Err("holds an RSA key that is too short".to_owned());
    }
    let at =
        |time: x509_cert::time::Time| Millis(i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX));
    let valid = Some((at(tbs.validity().not_before), at(tbs.validity().not_after)));
    Ok(PublishedKey { kid: None, kind: Kind::Rsa, der, valid })
}

/// The key, if it can be used.
pub(super) fn of_jwk(jwk: &Jwk) -> Option<PublishedKey> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (kind, der) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Kind::Rsa, rsa_der(&bytes(&jwk.n)?, &bytes(&jwk.e)?)?),
        ("EC", Some("P-256")) => (Kind::P256, p256_der(&bytes(&jwk.x)?, &bytes(&jwk.y)?)?),
        ("OKP", Some("Ed25519")) => (Kind::Ed25519, ed25519_der(&bytes(&jwk.x)?)?),
        _ => return None,
    };
    Some(PublishedKey { kid: jwk.kid.clone(), kind, der, valid: None })
}

/// A P-256 key in PEM, which may lack its line ends.
pub(super) fn of_p256_pem(pem: &str) -> Option<PublishedKey> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    <p256::ecdsa::VerifyingKey as p256::pkcs8::DecodePublicKey>::from_public_key_der(&der).ok()?;
    Some(PublishedKey { kid: None, kind: Kind::P256, der, valid: None })
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    BASE64_URL.decode(text.as_deref()?).ok()
}

fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let key =
        rsa::RsaPublicKey::new(BoxedUint::from_be_slice_vartime(modulus), BoxedUint::from_be_slice_vartime(exponent));
    let key = key.ok().filter(|key| key.n().bits() >= LEAST_RSA_BITS)?;
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
