//! Secrets, which print as `***` so that no log line, error or `--json` output can contain one.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Shown instead of a secret.
pub const MASK: &str = "***";

/// The text of a secret, exactly as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Nothing is trimmed.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Only for computing with the text, not for showing it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Digests tokens (HMAC-SHA-256), so that they can be compared without being stored.
#[derive(Clone)]
pub struct DigestKey(Hmac<Sha256>);

impl DigestKey {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut block = hmac::digest::array::Array::default();
        block[..bytes.len()].copy_from_slice(&bytes);
        Self(Hmac::new(&block))
    }

    /// In hex.
    #[must_use]
    pub fn digest(&self, token: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(token);
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_hmac_of_the_token() {
        // RFC 4231, 4.2 has a key of 20 bytes; padding it with zeros does not change the HMAC.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(DigestKey::new(key).digest(b"Hi There"), expected);
        assert_eq!(format!("{:?}", DigestKey::new(key)), "***");
    }

    #[test]
    fn secret_prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
