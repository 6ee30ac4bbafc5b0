//! Public keys of providers, read from what they publish.
//!
//! Bytes go in (DER of RFC 5280, 4.1, or the bare key), a key that can verify comes out, or nothing. Only the curves
//! and sizes that providers use are taken.

use ed25519_dalek::pkcs8::DecodePublicKey as _;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey as _;

/// A key that verifies signatures.
#[derive(Debug, Clone)]
pub enum PublicKey {
    /// RFC 8032.
    Ed25519(ed25519_dalek::VerifyingKey),
    /// NIST P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// RSA of 1024 to 4096 bits.
    Rsa(RsaPublicKey),
}

/// What kind of key is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RFC 8032.
    Ed25519,
    /// NIST P-256.
    P256,
    /// RSA.
    Rsa,
}

impl PublicKey {
    /// Reads a key of the kind.
    #[must_use]
    pub fn read(kind: KeyKind, bytes: &[u8]) -> Option<Self> {
        match kind {
            KeyKind::Ed25519 => {
                let bare = <[u8; 32]>::try_from(bytes).ok();
                let key = match bare {
                    Some(bare) => ed25519_dalek::VerifyingKey::from_bytes(&bare).ok()?,
                    None => ed25519_dalek::VerifyingKey::from_public_key_der(bytes).ok()?,
                };
                (!key.is_weak()).then_some(Self::Ed25519(key))
            }
            KeyKind::P256 => {
                let der = p256::ecdsa::VerifyingKey::from_public_key_der(bytes);
                der.or_else(|_| p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes)).ok().map(Self::P256)
            }
            KeyKind::Rsa => {
                let key = RsaPublicKey::from_public_key_der(bytes);
                key.or_else(|_| RsaPublicKey::from_pkcs1_der(bytes)).ok().map(Self::Rsa)
            }
        }
    }
}
