//! Key pairs and secrets made for trying a source locally, in the forms that its settings take.
//!
//! A scheme comes in. Out goes what the provider would sign with, in PEM (PKCS #8, RFC 5958), and what it would publish,
//! or the one secret that both sides share. All of it is fresh from the system; nothing here is kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::pkcs8::KeypairBytes;
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::rand_core::UnwrapErr;

use super::auth::AuthMethod;
use super::public_key::KeyKind;
use super::scheme::{Scheme, SecretDecoding};
use crate::support::secret::Secret;

/// Size of an RSA key's modulus.
const RSA_BITS: usize = 2048;

/// What is needed to try a source.
#[derive(Debug)]
pub enum GeneratedKeys {
    /// Of a scheme that is checked with a public key.
    KeyPair {
        /// In PEM (PKCS #8).
        private: Secret,
        /// As the source's `public_key` takes it.
        public: String,
    },
    /// Of any other, as the source's `secret` takes it.
    Shared(Secret),
}

impl Scheme {
    /// The kind of public key that deliveries are checked with, where it is one.
    #[must_use]
    pub fn key_kind(&self) -> Option<KeyKind> {
        match &self.auth {
            AuthMethod::Signature(signed) => signed.algorithm.key_kind(),
            AuthMethod::Jwt(jwt) => jwt.algorithms.first().and_then(|algorithm| algorithm.key_kind()),
            AuthMethod::Builtin(code) => Some(code.key_kind()),
            AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => None,
        }
    }

    /// Fresh keys that fit.
    ///
    /// # Errors
    /// Says why the system gives none.
    pub fn generate_keys(&self) -> Result<GeneratedKeys, String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let Some(kind) = self.key_kind() else { return Ok(GeneratedKeys::Shared(self.shared(random))) };
        // Fails for the one in 2^32 of random numbers that is beyond the curve's order.
        let (private, pem, bare) = pair(kind, &random).ok_or("no key came of it; try again")?;
        let public = match self.secret_decoding {
            SecretDecoding::Hex => hex::encode(bare),
            SecretDecoding::Base64 => STANDARD.encode(bare),
            _ => pem,
        };
        Ok(GeneratedKeys::KeyPair { private: Secret::new(private), public })
    }

    fn shared(&self, random: [u8; 32]) -> Secret {
        let text = match (&self.auth, self.secret_decoding) {
            (AuthMethod::Basic, _) => format!("hookbox:{}", hex::encode(random)),
            (_, SecretDecoding::Base64 | SecretDecoding::Base64IfPrefixed) => STANDARD.encode(random),
            _ => hex::encode(random),
        };
        Secret::new(format!("{}{text}", self.secret_prefixes.first().map_or("", String::as_str)))
    }
}

/// Private key in PEM, public key in PEM, and the public key as providers write it that take no PEM.
fn pair(kind: KeyKind, random: &[u8; 32]) -> Option<(String, String, Vec<u8>)> {
    match kind {
        KeyKind::Ed25519 => {
            // Without the public key inside, which not every reader of PKCS #8 expects.
            let private = KeypairBytes { secret_key: *random, public_key: None }.to_pkcs8_pem(LineEnding::LF).ok()?;
            let public = ed25519_dalek::SigningKey::from_bytes(random).verifying_key();
            let pem = public.to_public_key_pem(LineEnding::LF).ok()?;
            Some((private.to_string(), pem, public.as_bytes().to_vec()))
        }
        KeyKind::P256 => {
            let key = p256::SecretKey::from_slice(random).ok()?;
            let public = key.public_key();
            let bare = public.to_public_key_der().ok()?.into_vec();
            Some((
                key.to_pkcs8_pem(LineEnding::LF).ok()?.to_string(),
                public.to_public_key_pem(LineEnding::LF).ok()?,
                bare,
            ))
        }
        KeyKind::Rsa => {
            let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(getrandom::SysRng), RSA_BITS).ok()?;
            let public = key.to_public_key();
            let bare = public.to_public_key_der().ok()?.into_vec();
            Some((
                key.to_pkcs8_pem(LineEnding::LF).ok()?.to_string(),
                public.to_public_key_pem(LineEnding::LF).ok()?,
                bare,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{all, find};

    #[test]
    fn every_provider_takes_what_is_made_for_it() {
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
    fn no_two_are_the_same() {
        let made = |name: &str| match Scheme::from_row(find(name).unwrap()).unwrap().generate_keys().unwrap() {
            GeneratedKeys::Shared(secret) => secret.reveal().to_owned(),
            GeneratedKeys::KeyPair { private, .. } => private.reveal().to_owned(),
        };
        for name in ["github", "svix", "sendgrid", "telnyx"] {
            assert_ne!(made(name), made(name), "{name}");
        }
    }
}
