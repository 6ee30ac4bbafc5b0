//! Secrets and public keys that verify signatures; secrets also make them.
//!
//! Signatures are compared in constant time. Bytes that are not a key of an algorithm yield no key, which matches
//! nothing.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1v15;
use rsa::signature::Verifier as _;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::config::Source;
use crate::providers::{Algorithm, AuthMethod, Hash, JwtAlgorithm, PublicKey, Scheme};
use crate::support::secret::Secret;

/// The signed bytes, in order.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

pub(super) struct SignatureKey {
    pub(super) algorithm: Algorithm,
    kind: SignatureKeyKind,
}

enum SignatureKeyKind {
    HmacMd5(Hmac<Md5>),
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
    /// A plain hash. The secret is part of the signed content.
    Digest(Hash, Vec<u8>),
    Ed25519(ed25519_dalek::VerifyingKey),
    /// Signatures in DER.
    P256(p256::ecdsa::VerifyingKey),
    /// SHA-1, signatures in DER.
    P256Sha1(p256::ecdsa::VerifyingKey),
    /// Signatures of 64 bytes, as in JSON Web Tokens.
    P256Fixed(p256::ecdsa::VerifyingKey),
    RsaSha1(pkcs1v15::VerifyingKey<Sha1>),
    RsaSha256(pkcs1v15::VerifyingKey<Sha256>),
    /// The digest of a token, so that comparing takes the same time for tokens of any length.
    TokenDigest([u8; 32]),
}

impl SignatureKey {
    /// The keys that these bytes are for a proof, one for each algorithm that can use them.
    pub(super) fn all(auth: &AuthMethod, bytes: &[u8]) -> Vec<Self> {
        match auth {
            AuthMethod::Signature(signed) => {
                let named =
                    signed.by_header.iter().flat_map(|named| named.names.iter().map(|(_, algorithm)| *algorithm));
                let mut algorithms: Vec<_> = std::iter::once(signed.algorithm).chain(named).collect();
                algorithms.dedup();
                algorithms.into_iter().filter_map(|algorithm| Self::new(algorithm, bytes)).collect()
            }
            AuthMethod::Jwt(jwt) => {
                jwt.algorithms.iter().filter_map(|algorithm| Self::for_jwt(*algorithm, bytes)).collect()
            }
            AuthMethod::Builtin(_) => Vec::new(),
            AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => {
                let kind = SignatureKeyKind::TokenDigest(Sha256::digest(bytes).into());
                vec![Self { algorithm: Algorithm::Digest(Hash::Sha256), kind }]
            }
        }
    }

    fn for_jwt(algorithm: JwtAlgorithm, bytes: &[u8]) -> Option<Self> {
        let key = Self::new(jwt_signature_algorithm(algorithm), bytes)?;
        let kind = match key.kind {
            SignatureKeyKind::P256(key) => SignatureKeyKind::P256Fixed(key),
            other => other,
        };
        Some(Self { kind, ..key })
    }

    fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        use SignatureKeyKind::{Digest, HmacMd5, HmacSha1, HmacSha256, HmacSha384, HmacSha512};
        let kind = match algorithm {
            Algorithm::Hmac(Hash::Md5) => HmacMd5(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::Hmac(Hash::Sha1) => HmacSha1(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::Hmac(Hash::Sha256) => HmacSha256(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::Hmac(Hash::Sha384) => HmacSha384(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::Hmac(Hash::Sha512) => HmacSha512(Hmac::new_from_slice(bytes).ok()?),
            Algorithm::Digest(hash) => Digest(hash, bytes.to_vec()),
            Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP256Sha1 | Algorithm::Rsa(_) => {
                return Self::public(algorithm, PublicKey::read(algorithm.key_kind()?, bytes)?);
            }
        };
        Some(Self { algorithm, kind })
    }

    /// `None` if the algorithm does not take this kind of key.
    pub(super) fn public(algorithm: Algorithm, key: PublicKey) -> Option<Self> {
        use SignatureKeyKind::{Ed25519, P256, P256Sha1, RsaSha1, RsaSha256};
        let kind = match (algorithm, key) {
            (Algorithm::Ed25519, PublicKey::Ed25519(key)) => Ed25519(key),
            (Algorithm::EcdsaP256Sha256, PublicKey::P256(key)) => P256(key),
            (Algorithm::EcdsaP256Sha1, PublicKey::P256(key)) => P256Sha1(key),
            (Algorithm::Rsa(Hash::Sha1), PublicKey::Rsa(key)) => RsaSha1(pkcs1v15::VerifyingKey::new(key)),
            (Algorithm::Rsa(Hash::Sha256), PublicKey::Rsa(key)) => RsaSha256(pkcs1v15::VerifyingKey::new(key)),
            _ => return None,
        };
        Some(Self { algorithm, kind })
    }

    /// Whether one of the signatures over the pieces is by this key.
    pub(super) fn verifies(&self, pieces: &[Cow<'_, [u8]>], signatures: &[Vec<u8>]) -> bool {
        let is_one_of = |expected: &[u8]| signatures.iter().any(|signature| bool::from(expected.ct_eq(signature)));
        // The two usual cases, without an allocation.
        match &self.kind {
            SignatureKeyKind::HmacSha256(mac) => return is_one_of(&finish(mac.clone(), pieces)),
            SignatureKeyKind::HmacSha1(mac) => return is_one_of(&finish(mac.clone(), pieces)),
            _ => {}
        }
        if let Some(expected) = self.sign(pieces) {
            return is_one_of(&expected);
        }
        let message = pieces.concat();
        signatures.iter().any(|signature| self.verifies_public(&message, signature))
    }

    fn verifies_public(&self, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::Signature;
        use pkcs1v15::Signature as RsaSignature;
        match &self.kind {
            SignatureKeyKind::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            SignatureKeyKind::P256(key) => {
                Signature::from_der(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            SignatureKeyKind::P256Sha1(key) => Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha1::digest(message), &signature).is_ok()),
            SignatureKeyKind::P256Fixed(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            SignatureKeyKind::RsaSha1(key) => {
                RsaSignature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            SignatureKeyKind::RsaSha256(key) => {
                RsaSignature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            _ => false,
        }
    }

    /// The signature that this key makes; for a token, its digest; `None` for a public key.
    pub(super) fn sign(&self, pieces: &[Cow<'_, [u8]>]) -> Option<Vec<u8>> {
        Some(match &self.kind {
            SignatureKeyKind::HmacMd5(mac) => finish(mac.clone(), pieces).to_vec(),
            SignatureKeyKind::HmacSha1(mac) => finish(mac.clone(), pieces).to_vec(),
            SignatureKeyKind::HmacSha256(mac) => finish(mac.clone(), pieces).to_vec(),
            SignatureKeyKind::HmacSha384(mac) => finish(mac.clone(), pieces).to_vec(),
            SignatureKeyKind::HmacSha512(mac) => finish(mac.clone(), pieces).to_vec(),
            SignatureKeyKind::Digest(Hash::Sha1, _) => digest::<Sha1>(pieces),
            SignatureKeyKind::Digest(Hash::Sha256, _) => digest::<Sha256>(pieces),
            SignatureKeyKind::TokenDigest(digest) => digest.to_vec(),
            _ => return None,
        })
    }

    /// The secret, for a template that contains it; empty otherwise.
    pub(super) fn secret(&self) -> &[u8] {
        match &self.kind {
            SignatureKeyKind::Digest(_, secret) => secret,
            _ => &[],
        }
    }
}

/// The signature algorithm of a JSON Web Token's algorithm.
pub(super) fn jwt_signature_algorithm(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs(hash) => Algorithm::Hmac(hash),
        JwtAlgorithm::Rs256 => Algorithm::Rsa(Hash::Sha256),
        JwtAlgorithm::Es256 => Algorithm::EcdsaP256Sha256,
        JwtAlgorithm::EdDsa => Algorithm::Ed25519,
    }
}

fn finish<M: Mac>(mut mac: M, pieces: &[Cow<'_, [u8]>]) -> hmac::digest::Output<M> {
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes()
}

fn digest<D: Digest>(pieces: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut hash = D::new();
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finalize().to_vec()
}

/// The keys of all secrets of a source, as one of its schemes reads them.
pub(super) fn configured_keys(source: &Source, scheme: &Scheme) -> Vec<SignatureKey> {
    let secrets = if scheme.auth.is_asymmetric() { &source.public_keys } else { &source.secrets };
    secrets.iter().flat_map(|secret| keys(scheme, secret)).collect()
}

/// The keys of one secret. A secret that cannot be decoded has none.
pub(super) fn keys(scheme: &Scheme, secret: &Secret) -> Vec<SignatureKey> {
    scheme.key(secret).map(|bytes| SignatureKey::all(&scheme.auth, &bytes)).unwrap_or_default()
}
