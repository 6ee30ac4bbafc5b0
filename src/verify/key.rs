//! A secret or public key, ready for use: what it proves, and what it makes.
//!
//! Decoded bytes are compared in constant time. Whatever bytes a key cannot use make no key at all.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1v15;
use rsa::signature::Verifier as _;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::providers::{Algorithm, AuthMethod, Hash, JwtAlgorithm, PublicKey};

/// What is signed, in order.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// A secret or public key.
pub(super) enum Key {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
    /// The secret, which stands in the template.
    Plain(Hash, Vec<u8>),
    Ed25519(ed25519_dalek::VerifyingKey),
    /// With signatures in DER.
    P256(p256::ecdsa::VerifyingKey),
    /// With SHA-1, and signatures in DER.
    P256Sha1(p256::ecdsa::VerifyingKey),
    /// With signatures of twice 32 bytes.
    P256Fixed(p256::ecdsa::VerifyingKey),
    RsaSha1(pkcs1v15::VerifyingKey<Sha1>),
    RsaSha256(pkcs1v15::VerifyingKey<Sha256>),
    /// The digest of a token, so that tokens of any length compare in the same time.
    Token([u8; 32]),
}

impl Key {
    /// Every key that these bytes are for a proof, each with its algorithm. None for bytes that it cannot use.
    pub(super) fn all(proof: &AuthMethod, bytes: &[u8]) -> Vec<(Algorithm, Self)> {
        let with = |algorithm: Algorithm| Self::new(algorithm, bytes).map(|key| (algorithm, key));
        match proof {
            AuthMethod::Signature(signed) => {
                let named =
                    signed.by_header.iter().flat_map(|named| named.names.iter().map(|(_, algorithm)| *algorithm));
                let mut algorithms: Vec<_> = std::iter::once(signed.algorithm).chain(named).collect();
                algorithms.dedup();
                algorithms.into_iter().filter_map(with).collect()
            }
            AuthMethod::Jwt(jwt) => {
                jwt.algorithms.iter().filter_map(|algorithm| Self::of_jwt(*algorithm, bytes)).collect()
            }
            AuthMethod::Builtin(_) => Vec::new(),
            AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => {
                vec![(Algorithm::Digest(Hash::Sha256), Self::Token(Sha256::digest(bytes).into()))]
            }
        }
    }

    fn of_jwt(algorithm: JwtAlgorithm, bytes: &[u8]) -> Option<(Algorithm, Self)> {
        let own = algorithm_of(algorithm);
        let key = match Self::new(own, bytes)? {
            Self::P256(key) => Self::P256Fixed(key),
            other => other,
        };
        Some((own, key))
    }

    fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Hmac(Hash::Md5) => Hmac::new_from_slice(bytes).ok().map(Self::Md5),
            Algorithm::Hmac(Hash::Sha1) => Hmac::new_from_slice(bytes).ok().map(Self::Sha1),
            Algorithm::Hmac(Hash::Sha256) => Hmac::new_from_slice(bytes).ok().map(Self::Sha256),
            Algorithm::Hmac(Hash::Sha384) => Hmac::new_from_slice(bytes).ok().map(Self::Sha384),
            Algorithm::Hmac(Hash::Sha512) => Hmac::new_from_slice(bytes).ok().map(Self::Sha512),
            Algorithm::Digest(hash) => Some(Self::Plain(hash, bytes.to_vec())),
            Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP256Sha1 | Algorithm::Rsa(_) => {
                Self::public(algorithm, PublicKey::read(algorithm.key_kind()?, bytes)?)
            }
        }
    }

    /// A public key, for an algorithm that takes it.
    pub(super) fn public(algorithm: Algorithm, key: PublicKey) -> Option<Self> {
        match (algorithm, key) {
            (Algorithm::Ed25519, PublicKey::Ed25519(key)) => Some(Self::Ed25519(key)),
            (Algorithm::EcdsaP256Sha256, PublicKey::P256(key)) => Some(Self::P256(key)),
            (Algorithm::EcdsaP256Sha1, PublicKey::P256(key)) => Some(Self::P256Sha1(key)),
            (Algorithm::Rsa(Hash::Sha1), PublicKey::Rsa(key)) => Some(Self::RsaSha1(pkcs1v15::VerifyingKey::new(key))),
            (Algorithm::Rsa(Hash::Sha256), PublicKey::Rsa(key)) => {
                Some(Self::RsaSha256(pkcs1v15::VerifyingKey::new(key)))
            }
            _ => None,
        }
    }

    /// Whether one of the signatures is this key's over the pieces.
    pub(super) fn proves(&self, pieces: &[Cow<'_, [u8]>], signatures: &[Vec<u8>]) -> bool {
        let is_one_of = |expected: &[u8]| signatures.iter().any(|signature| bool::from(expected.ct_eq(signature)));
        match self {
            Self::Sha256(keyed) => return is_one_of(&finish(keyed.clone(), pieces)),
            Self::Sha1(keyed) => return is_one_of(&finish(keyed.clone(), pieces)),
            _ => {}
        }
        if let Some(expected) = self.sign(pieces) {
            return is_one_of(&expected);
        }
        let message = pieces.concat();
        signatures.iter().any(|signature| self.verifies(&message, signature))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::Signature;
        match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::P256(key) => {
                Signature::from_der(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::P256Sha1(key) => Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha1::digest(message), &signature).is_ok()),
            Self::P256Fixed(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::RsaSha1(key) => {
                pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::RsaSha256(key) => {
                pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            _ => false,
        }
    }

    /// The signature this key makes; of a token, its digest. `None` of a public key.
    pub(super) fn sign(&self, pieces: &[Cow<'_, [u8]>]) -> Option<Vec<u8>> {
        Some(match self {
            Self::Md5(keyed) => finish(keyed.clone(), pieces).to_vec(),
            Self::Sha1(keyed) => finish(keyed.clone(), pieces).to_vec(),
            Self::Sha256(keyed) => finish(keyed.clone(), pieces).to_vec(),
            Self::Sha384(keyed) => finish(keyed.clone(), pieces).to_vec(),
            Self::Sha512(keyed) => finish(keyed.clone(), pieces).to_vec(),
            Self::Plain(Hash::Sha1, _) => digest::<Sha1>(pieces),
            Self::Plain(Hash::Sha256, _) => digest::<Sha256>(pieces),
            Self::Token(digest) => digest.to_vec(),
            _ => return None,
        })
    }

    /// What stands for `{secret}`.
    pub(super) fn secret(&self) -> &[u8] {
        match self {
            Self::Plain(_, secret) => secret,
            _ => &[],
        }
    }
}

/// How a token of this algorithm is signed.
pub(super) fn algorithm_of(algorithm: JwtAlgorithm) -> Algorithm {
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
