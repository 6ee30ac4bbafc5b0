//! What proves that a delivery is genuine, as types.
//!
//! One of a few kinds: a signature over a template, a JSON Web Token, or the secret itself. What they look like in a
//! row is `parse_proof`'s to read; computing with them is `verify`'s.

use super::public_key::KeyKind;
use super::template::TemplateSegment;

/// What proves that a delivery is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// A signature over a template.
    Signature(TemplateSignature),
    /// A JSON Web Token (RFC 7519), signed, with claims about the delivery.
    Jwt(JwtScheme),
    /// The secret itself.
    Token,
    /// `Basic` credentials (RFC 7617); the secret is `user:password`.
    Basic,
    /// A `Bearer` token (RFC 6750), which is the secret.
    Bearer,
    /// A scheme that takes code, and keys that are fetched.
    Builtin(BuiltinScheme),
}

/// Schemes that take code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltinScheme {
    /// Amazon SNS.
    AwsSns,
    /// PayPal.
    PayPal,
    /// eBay.
    Ebay,
}

/// A signature over a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSignature {
    /// How it is made, unless a header says otherwise.
    pub algorithm: Algorithm,
    /// The header that names the algorithm, and what its values mean.
    pub by_header: Option<NamedAlgorithms>,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What is signed: one of these.
    pub contents: Vec<Vec<TemplateSegment>>,
}

/// A header that names the algorithm, and what its values mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAlgorithms {
    /// The header's name.
    pub header: String,
    /// What each value means; any other is refused.
    pub names: Vec<(String, Algorithm)>,
}

/// A JSON Web Token as a provider makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtScheme {
    /// The algorithms it may name.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Claims, and what each must say.
    pub claims: Vec<(String, Vec<TemplateSegment>)>,
    /// Claims that must be there.
    pub required: Vec<String>,
    /// Whether claims about the body may be missing where the body is empty.
    pub empty_body_unclaimed: bool,
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// A keyed hash (RFC 2104).
    Hmac(Hash),
    /// A plain hash of a template with the secret in it.
    Digest(Hash),
    /// RFC 8032.
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (FIPS 186-5), in DER.
    EcdsaP256Sha256,
    /// The same with SHA-1: eBay's alone, and no word of rows.
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

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// MD5, within HMAC alone.
    Md5,
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are (tokens only).
    Utf8,
    /// RFC 4648, 8; in either case.
    Hex,
    /// RFC 4648, 4.
    Base64,
    /// RFC 4648, 5; with or without padding.
    Base64Url,
}

impl AuthMethod {
    /// Whether deliveries are checked with a public key, which only the provider can sign for.
    #[must_use]
    pub fn is_asymmetric(&self) -> bool {
        match self {
            Self::Signature(signed) => signed.algorithm.is_asymmetric(),
            Self::Jwt(jwt) => jwt.algorithms.iter().all(|algorithm| algorithm.is_asymmetric()),
            Self::Token | Self::Basic | Self::Bearer | Self::Builtin(_) => false,
        }
    }

    /// Whether deliveries may be checked with a public key that the source has configured.
    #[must_use]
    pub fn takes_public_key(&self) -> bool {
        self.is_asymmetric() || matches!(self, Self::Builtin(_))
    }

    /// Whether the secret itself is sent, so that nothing of the delivery is signed.
    #[must_use]
    pub fn is_token(&self) -> bool {
        matches!(self, Self::Token | Self::Basic | Self::Bearer)
    }

    /// Every template that goes into the proof.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Vec<TemplateSegment>> {
        let (contents, claims) = match self {
            Self::Signature(signed) => (&signed.contents[..], &[][..]),
            Self::Jwt(jwt) => (&[][..], &jwt.claims[..]),
            Self::Token | Self::Basic | Self::Bearer | Self::Builtin(_) => (&[][..], &[][..]),
        };
        contents.iter().chain(claims.iter().map(|(_, template)| template))
    }
}

impl BuiltinScheme {
    /// The kind of public key it takes.
    #[must_use]
    pub fn key_kind(self) -> KeyKind {
        match self {
            Self::AwsSns | Self::PayPal => KeyKind::Rsa,
            Self::Ebay => KeyKind::P256,
        }
    }
}

impl Algorithm {
    /// Whether it takes a public key.
    #[must_use]
    pub fn is_asymmetric(self) -> bool {
        self.key_kind().is_some()
    }
}

impl Algorithm {
    /// The kind of public key it takes.
    #[must_use]
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
    #[must_use]
    pub fn key_kind(self) -> Option<KeyKind> {
        match self {
            Self::Hs(_) => None,
            Self::Rs256 => Some(KeyKind::Rsa),
            Self::Es256 => Some(KeyKind::P256),
            Self::EdDsa => Some(KeyKind::Ed25519),
        }
    }

    /// Whether it takes a public key.
    #[must_use]
    pub fn is_asymmetric(self) -> bool {
        self.key_kind().is_some()
    }
}
