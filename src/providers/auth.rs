//! How a delivery is authenticated, as types: a signature over a template, a JSON Web Token, or the secret itself.
//!
//! `parse` reads these from a row; `verify` computes with them.

use super::template::TemplateSegment;

/// How a delivery is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// A signature over a template.
    Signature(TemplateSignature),
    /// A signed JSON Web Token (RFC 7519) with claims about the delivery.
    Jwt(JwtScheme),
    /// The secret itself.
    Token,
    /// `Basic` credentials (RFC 7617); the secret is `user:password`.
    Basic,
    /// A `Bearer` token (RFC 6750), which is the secret.
    Bearer,
    /// A scheme implemented in code, with keys fetched from the provider.
    Builtin(BuiltinScheme),
}

/// Schemes that a row cannot describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltinScheme {
    AwsSns,
    PayPal,
    Ebay,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSignature {
    /// Used unless a header names another one.
    pub algorithm: Algorithm,
    pub by_header: Option<NamedAlgorithms>,
    pub encoding: Encoding,
    /// Templates of the signed content; the signature must match one of them.
    pub contents: Vec<Vec<TemplateSegment>>,
}

/// A header that names the algorithm. Values that are not listed are rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAlgorithms {
    pub header: String,
    pub names: Vec<(String, Algorithm)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtScheme {
    /// Algorithms that a token may name.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Claims with the value that each must have.
    pub claims: Vec<(String, Vec<TemplateSegment>)>,
    /// Claims that must be present.
    pub required: Vec<String>,
    /// Claims about the body may be missing if the body is empty.
    pub empty_body_unclaimed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// A keyed hash (RFC 2104).
    Hmac(Hash),
    /// A plain hash of a template that contains the secret.
    Digest(Hash),
    /// RFC 8032.
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (FIPS 186-5), DER-encoded.
    EcdsaP256Sha256,
    /// The same with SHA-1. Only eBay uses it; rows cannot name it.
    EcdsaP256Sha1,
    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2).
    Rsa(Hash),
}

/// How a token is signed (RFC 7518, 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC.
    Hs(Hash),
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256, as two numbers of 32 bytes.
    Es256,
    /// Ed25519.
    EdDsa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Only within HMAC.
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Unchanged (tokens only).
    Utf8,
    /// RFC 4648, 8; upper or lower case.
    Hex,
    /// RFC 4648, 4.
    Base64,
    /// RFC 4648, 5; with or without padding.
    Base64Url,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RFC 8032.
    Ed25519,
    /// NIST P-256.
    P256,
    Rsa,
}

impl AuthMethod {
    /// Whether only the provider can sign: deliveries are checked with a public key.
    pub fn is_asymmetric(&self) -> bool {
        match self {
            Self::Signature(signature) => signature.algorithm.is_asymmetric(),
            Self::Jwt(jwt) => jwt.algorithms.iter().all(|algorithm| algorithm.is_asymmetric()),
            Self::Token | Self::Basic | Self::Bearer | Self::Builtin(_) => false,
        }
    }

    /// Whether a source may configure a `public_key`.
    pub fn takes_public_key(&self) -> bool {
        self.is_asymmetric() || matches!(self, Self::Builtin(_))
    }

    /// Whether the secret itself is sent, so that nothing of the delivery is signed.
    pub fn is_token(&self) -> bool {
        matches!(self, Self::Token | Self::Basic | Self::Bearer)
    }

    /// The kinds of public key that deliveries may be checked with.
    pub(super) fn key_kinds(&self) -> Vec<KeyKind> {
        match self {
            Self::Signature(signature) => signature.algorithm.key_kind().into_iter().collect(),
            Self::Jwt(jwt) => jwt.algorithms.iter().filter_map(|algorithm| algorithm.key_kind()).collect(),
            Self::Builtin(BuiltinScheme::AwsSns | BuiltinScheme::PayPal) => vec![KeyKind::Rsa],
            Self::Builtin(BuiltinScheme::Ebay) => vec![KeyKind::P256],
            Self::Token | Self::Basic | Self::Bearer => Vec::new(),
        }
    }

    /// The templates that the signature, or the token's claims, are made of.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Vec<TemplateSegment>> {
        let (contents, claims) = match self {
            Self::Signature(signature) => (&signature.contents[..], &[][..]),
            Self::Jwt(jwt) => (&[][..], &jwt.claims[..]),
            Self::Token | Self::Basic | Self::Bearer | Self::Builtin(_) => (&[][..], &[][..]),
        };
        contents.iter().chain(claims.iter().map(|(_, template)| template))
    }
}

impl Algorithm {
    pub fn is_asymmetric(self) -> bool {
        self.key_kind().is_some()
    }

    /// The kind of public key it takes.
    pub fn key_kind(self) -> Option<KeyKind> {
        match self {
            Self::Ed25519 => Some(KeyKind::Ed25519),
            Self::EcdsaP256Sha256 | Self::EcdsaP256Sha1 => Some(KeyKind::P256),
            Self::Rsa(_) => Some(KeyKind::Rsa),
            Self::Hmac(_) | Self::Digest(_) => None,
        }
    }
}

impl JwtAlgorithm {
    /// The kind of public key it takes.
    pub fn key_kind(self) -> Option<KeyKind> {
        match self {
            Self::Hs(_) => None,
            Self::Rs256 => Some(KeyKind::Rsa),
            Self::Es256 => Some(KeyKind::P256),
            Self::EdDsa => Some(KeyKind::Ed25519),
        }
    }

    pub fn is_asymmetric(self) -> bool {
        self.key_kind().is_some()
    }
}
