//! How the text of a secret becomes the bytes of a key.
//!
//! What is wrong with a text is said without showing any of it.

use base64::Engine;
use sha1::{Digest, Sha1};
use unicode_normalization::UnicodeNormalization;

use super::auth::AuthMethod;
use super::public_key::PublicKey;
use super::scheme::{Scheme, SecretDecoding};
use crate::support::secret::Secret;

/// RFC 4648, 4, for secrets: people paste them with and without padding.
const LENIENT: base64::engine::GeneralPurposeConfig = base64::engine::GeneralPurposeConfig::new()
    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
const BASE64_SECRET: base64::engine::GeneralPurpose =
    base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);

impl Scheme {
    /// The key that a configured text stands for; of a public key, its DER (or the bare bytes where it is hex).
    ///
    /// # Errors
    /// Says what is wrong with the text, without showing any of it.
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
                der(rest).ok_or_else(|| "is no public key in PEM, nor its DER in base64".to_owned())?
            }
        };
        match &self.auth {
            _ if key.is_empty() || rest.is_empty() => Err("is empty".to_owned()),
            proof if proof.takes_public_key() && !self.is_public_key(&key) => {
                Err("is no public key of the kind that this provider signs with".to_owned())
            }
            AuthMethod::Basic if !rest.contains(':') => Err("is not `user:password`".to_owned()),
            _ => Ok(key),
        }
    }

    fn is_public_key(&self, key: &[u8]) -> bool {
        let kinds: Vec<_> = match &self.auth {
            AuthMethod::Signature(signed) => signed.algorithm.key_kind().into_iter().collect(),
            AuthMethod::Jwt(jwt) => jwt.algorithms.iter().filter_map(|algorithm| algorithm.key_kind()).collect(),
            AuthMethod::Builtin(code) => vec![code.key_kind()],
            AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => Vec::new(),
        };
        kinds.into_iter().any(|kind| PublicKey::read(kind, key).is_some())
    }

    fn undecodable(&self, encoding: &str) -> String {
        match self.secret_prefixes.first() {
            None => format!("is not {encoding}"),
            Some(prefix) => format!("is not {encoding} (after `{prefix}`, which may be there or not)"),
        }
    }

    /// Whether the configured text can be a secret of this scheme.
    ///
    /// # Errors
    /// Says what is wrong with the text, without showing any of it.
    pub fn check_secret(&self, secret: &Secret) -> Result<(), String> {
        self.key(secret).map(drop)
    }
}

/// What stands between the lines of PEM, or base64 alone.
fn der(text: &str) -> Option<Vec<u8>> {
    let is_body = |line: &&str| !line.starts_with("-----");
    let lines = text.split(['\n', '\r']).map(str::trim).filter(is_body).collect::<String>();
    BASE64_SECRET.decode(lines.replace("\\n", "")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ProviderRow;

    fn key(row: &str, text: &str) -> Result<Vec<u8>, String> {
        let row: ProviderRow =
            toml::from_str(&format!("signature = 'header:X'\nalgorithm = 'hmac-sha256'\n{row}")).unwrap();
        Scheme::from_row(&row).unwrap().key(&Secret::new(text))
    }

    #[test]
    fn secrets_are_decoded_as_the_scheme_says() {
        let base64 = "secret_decoding = 'base64'\nsecret_prefix = ['v1,whsec_', 'whsec_']";
        assert_eq!(key(base64, "whsec_YWI="), Ok(b"ab".to_vec()));
        assert_eq!(key(base64, "v1,whsec_YWI"), Ok(b"ab".to_vec()));
        assert_eq!(key(base64, "YWI"), Ok(b"ab".to_vec()));
        assert_eq!(key(base64, "whsec_"), Err("is empty".to_owned()));
        let message = "is not base64 (after `v1,whsec_`, which may be there or not)";
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
}
