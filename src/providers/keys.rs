//! Secrets and public keys: reading them as a scheme requires, and generating them for local tests.
//!
//! Error messages never contain any part of a secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::pkcs8::KeypairBytes;
use p256::pkcs8::{DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey, LineEnding};
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::rand_core::UnwrapErr;
use sha1::{Digest, Sha1};
use unicode_normalization::UnicodeNormalization;

use super::auth::{AuthMethod, KeyKind};
use super::scheme::{Scheme, SecretDecoding};
use crate::support::secret::Secret;

/// Modulus of a generated RSA key, in bits.
const RSA_BITS: usize = 2048;

/// RFC 4648, 4. Users paste secrets with and without padding.
const LENIENT: base64::engine::GeneralPurposeConfig = base64::engine::GeneralPurposeConfig::new()
    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
const BASE64_SECRET: base64::engine::GeneralPurpose =
    base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);

/// A key that verifies signatures. Only the curves and sizes that providers use are supported.
#[derive(Debug, Clone)]
pub enum PublicKey {
    /// RFC 8032.
    Ed25519(ed25519_dalek::VerifyingKey),
    /// NIST P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// RSA of 1024 to 4096 bits.
    Rsa(RsaPublicKey),
}

/// Freshly generated keys for trying a source.
#[derive(Debug)]
pub enum GeneratedKeys {
    KeyPair {
        /// PEM (PKCS #8, RFC 5958).
        private: Secret,
        /// In the form that the source's `public_key` takes.
        public: String,
    },
    /// In the form that the source's `secret` takes.
    Shared(Secret),
}

impl PublicKey {
    /// Reads a DER-encoded key (RFC 5280, 4.1), a bare Ed25519 or P-256 key, or a PKCS #1 RSA key.
    pub fn read(kind: KeyKind, bytes: &[u8]) -> Option<Self> {
        match kind {
            KeyKind::Ed25519 => {
                let key = match <[u8; 32]>::try_from(bytes) {
                    Ok(bare) => ed25519_dalek::VerifyingKey::from_bytes(&bare).ok()?,
                    Err(_) => ed25519_dalek::VerifyingKey::from_public_key_der(bytes).ok()?,
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

impl Scheme {
    /// The kind of public key that deliveries are checked with, if any.
    pub fn key_kind(&self) -> Option<KeyKind> {
        self.auth.key_kinds().first().copied()
    }

    /// Decodes a configured secret. A public key is returned as DER, or as bare bytes if it is configured in hex.
    ///
    /// # Errors
    /// Why the text is not a key of this scheme.
    pub fn key(&self, secret: &Secret) -> Result<Vec<u8>, String> {
        let text = secret.reveal();
        let stripped = self.secret_prefixes.iter().find_map(|prefix| text.strip_prefix(prefix.as_str()));
        let rest = stripped.unwrap_or(text);
        let key = match self.secret_decoding {
            SecretDecoding::Utf8 => rest.as_bytes().to_vec(),
            SecretDecoding::Base64IfPrefixed if stripped.is_none() => rest.as_bytes().to_vec(),
            SecretDecoding::Nfkd => rest.nfkd().collect::<String>().into_bytes(),
            SecretDecoding::Sha1 => Sha1::digest(rest.as_bytes()).to_vec(),
            SecretDecoding::Hex => hex::decode(rest).map_err(|_| self.undecodable("hex"))?,
            SecretDecoding::Base64 | SecretDecoding::Base64IfPrefixed => {
                BASE64_SECRET.decode(rest).map_err(|_| self.undecodable("base64"))?
            }
            SecretDecoding::Pem => {
                pem_to_der(rest).ok_or_else(|| "is neither a public key in PEM nor base64-encoded DER".to_owned())?
            }
        };
        let is_public_key = || self.auth.key_kinds().into_iter().any(|kind| PublicKey::read(kind, &key).is_some());
        match &self.auth {
            _ if key.is_empty() || rest.is_empty() => Err("is empty".to_owned()),
            auth if auth.takes_public_key() && !is_public_key() => {
                Err("is not a public key of the kind that this provider signs with".to_owned())
            }
            AuthMethod::Basic if !rest.contains(':') => Err("is not `user:password`".to_owned()),
            _ => Ok(key),
        }
    }

    fn undecodable(&self, encoding: &str) -> String {
        match self.secret_prefixes.first() {
            None => format!("is not {encoding}"),
            Some(prefix) => format!("is not {encoding} (after the optional prefix `{prefix}`)"),
        }
    }

    /// Checks that a configured text can be a secret of this scheme.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check_secret(&self, secret: &Secret) -> Result<(), String> {
        let mut others = self.alternatives.iter().filter(|other| !other.auth.is_asymmetric());
        self.key(secret).map(drop).or_else(|error| match others.any(|other| other.key(secret).is_ok()) {
            true => Ok(()),
            false => Err(error),
        })
    }

    /// Checks that a configured text can be a public key of this scheme or of an alternative.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check_public_key(&self, key: &Secret) -> Result<(), String> {
        let other = self.alternatives.iter().find(|other| other.auth.is_asymmetric());
        other.filter(|_| !self.auth.takes_public_key()).unwrap_or(self).key(key).map(drop)
    }

    /// Generates keys for this scheme from the system's random numbers.
    ///
    /// # Errors
    /// The system returned no random bytes.
    pub fn generate_keys(&self) -> Result<GeneratedKeys, String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let Some(kind) = self.key_kind() else { return Ok(GeneratedKeys::Shared(self.shared_secret(random))) };
        // Fails for one random number in 2^32, which exceeds the order of the curve.
        let pair = generate_pair(kind, &random).ok_or("the random number is not a valid key; try again")?;
        let public = match self.secret_decoding {
            SecretDecoding::Hex => hex::encode(pair.public_bare),
            SecretDecoding::Base64 => STANDARD.encode(pair.public_bare),
            _ => pair.public_pem,
        };
        Ok(GeneratedKeys::KeyPair { private: Secret::new(pair.private_pem), public })
    }

    fn shared_secret(&self, random: [u8; 32]) -> Secret {
        let text = match (&self.auth, self.secret_decoding) {
            (AuthMethod::Basic, _) => format!("hookbox:{}", hex::encode(random)),
            (_, SecretDecoding::Base64 | SecretDecoding::Base64IfPrefixed) => STANDARD.encode(random),
            _ => hex::encode(random),
        };
        Secret::new(format!("{}{text}", self.secret_prefixes.first().map_or("", String::as_str)))
    }
}

/// Accepts PEM, or the base64 within it alone. `\n` may be written as two characters.
fn pem_to_der(text: &str) -> Option<Vec<u8>> {
    let is_body = |line: &&str| !line.starts_with("-----");
    let lines = text.split(['\n', '\r']).map(str::trim).filter(is_body).collect::<String>();
    BASE64_SECRET.decode(lines.replace("\\n", "")).ok()
}

struct PemPair {
    private_pem: String,
    public_pem: String,
    /// DER, or the 32 bytes of an Ed25519 key: what providers publish that do not use PEM.
    public_bare: Vec<u8>,
}

fn generate_pair(kind: KeyKind, random: &[u8; 32]) -> Option<PemPair> {
    let (private_pem, public_pem, public_bare) = match kind {
        KeyKind::Ed25519 => {
            // Not every PKCS #8 reader accepts a private key that includes the public key.
            let private = KeypairBytes { secret_key: *random, public_key: None }.to_pkcs8_pem(LineEnding::LF);
            let public = ed25519_dalek::SigningKey::from_bytes(random).verifying_key();
            (private, public.to_public_key_pem(LineEnding::LF), public.as_bytes().to_vec())
        }
        KeyKind::P256 => {
            let key = p256::SecretKey::from_slice(random).ok()?;
            let public = key.public_key();
            let der = public.to_public_key_der().ok()?.into_vec();
            (key.to_pkcs8_pem(LineEnding::LF), public.to_public_key_pem(LineEnding::LF), der)
        }
        KeyKind::Rsa => {
            let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(getrandom::SysRng), RSA_BITS).ok()?;
            let public = key.to_public_key();
            let der = public.to_public_key_der().ok()?.into_vec();
            (key.to_pkcs8_pem(LineEnding::LF), public.to_public_key_pem(LineEnding::LF), der)
        }
    };
    Some(PemPair { private_pem: private_pem.ok()?.to_string(), public_pem: public_pem.ok()?, public_bare })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{ProviderRow, all, find};

    fn key(row: &str, text: &str) -> Result<Vec<u8>, String> {
        let row = format!("signature = 'header:X'\nalgorithm = 'hmac-sha256'\n{row}");
        let row: ProviderRow = toml::from_str(&row).unwrap();
        Scheme::from_row(&row).unwrap().key(&Secret::new(text))
    }

    #[test]
    fn secrets_are_decoded_as_the_row_says() {
        let base64 = "secret_decoding = 'base64'\nsecret_prefix = ['v1,whsec_', 'whsec_']";
        assert_eq!(key(base64, "whsec_YWI="), Ok(b"ab".to_vec()));
        assert_eq!(key(base64, "v1,whsec_YWI"), Ok(b"ab".to_vec()));
        assert_eq!(key(base64, "YWI"), Ok(b"ab".to_vec()));
        assert_eq!(key(base64, "whsec_"), Err("is empty".to_owned()));
        let message = "is not base64 (after the optional prefix `v1,whsec_`)";
        assert_eq!(key(base64, "hunter2!"), Err(message.to_owned()));
        let either = "secret_decoding = 'base64-if-prefixed'\nsecret_prefix = 'whsec_'";
        assert_eq!(key(either, "whsec_YWI="), Ok(b"ab".to_vec()));
        assert_eq!(key(either, "YWI="), Ok(b"YWI=".to_vec()));
        assert_eq!(key("secret_decoding = 'hex'", "6162"), Ok(b"ab".to_vec()));
        assert_eq!(key("secret_decoding = 'hex'", "61 62"), Err("is not hex".to_owned()));
        assert_eq!(key("secret_decoding = 'nfkd'", "ﬁé"), Ok("fie\u{301}".into()));
        let sha1 = hex::decode("a9993e364706816aba3e25717850c26c9cd0d89d").unwrap();
        assert_eq!(key("secret_decoding = 'sha1'", "abc"), Ok(sha1));
        assert_eq!(key("secret_decoding = 'sha1'", ""), Err("is empty".to_owned()));
        let pem = "-----BEGIN PUBLIC KEY-----\nYW\nI=\n-----END PUBLIC KEY-----\n";
        assert_eq!(key("secret_decoding = 'pem'", pem), Ok(b"ab".to_vec()));
        assert_eq!(key("secret_decoding = 'pem'", "YWI="), Ok(b"ab".to_vec()));
        assert!(key("secret_decoding = 'pem'", "no key").is_err());
    }

    #[test]
    fn every_provider_accepts_its_generated_keys() {
        let scheme_of = |(name, row)| Some((name, Scheme::from_row(row).ok()?));
        for (name, scheme) in all().filter_map(scheme_of) {
            let configured = match scheme.generate_keys().unwrap() {
                GeneratedKeys::Shared(secret) => secret,
                GeneratedKeys::KeyPair { public, .. } => Secret::new(public),
            };
            assert_eq!(scheme.check_secret(&configured), Ok(()), "{name}");
        }
    }

    #[test]
    fn generated_keys_differ_each_time() {
        let generate = |name: &str| match Scheme::from_row(find(name).unwrap()).unwrap().generate_keys().unwrap() {
            GeneratedKeys::Shared(secret) => secret.reveal().to_owned(),
            GeneratedKeys::KeyPair { private, .. } => private.reveal().to_owned(),
        };
        for name in ["github", "svix", "sendgrid", "telnyx"] {
            assert_ne!(generate(name), generate(name), "{name}");
        }
    }
}
