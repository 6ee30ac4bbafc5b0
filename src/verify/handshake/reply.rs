//! Writes a handshake's answer: names such as `$value` in a template, replaced.
//!
//! What replaces a name was checked to be printable ASCII before; inside JSON it is escaped. Templates come from
//! `handshakes.toml` alone.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{ProviderResponse, Settings};
use crate::providers::HandshakeResponse;
use crate::support::secret::Secret;

/// The answer that a template stands for.
pub(super) fn write(reply: &'static HandshakeResponse, value: &str, settings: &Settings) -> ProviderResponse {
    ProviderResponse {
        status: reply.status,
        content_type: reply.content_type.as_deref().map(Into::into),
        headers: reply.headers.iter().map(|(name, text)| (name.as_str(), fill(text, value, settings))).collect(),
        body: fill(&reply.body, value, settings).into_bytes(),
    }
}

fn fill(template: &str, value: &str, settings: &Settings) -> String {
    let mut written = String::with_capacity(template.len() + value.len());
    let mut rest = template;
    while let Some((text, tail)) = rest.split_once('$') {
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        written.push_str(text);
        written.push_str(&meaning(&tail[..end], value, settings));
        rest = &tail[end..];
    }
    written.push_str(rest);
    written
}

fn meaning(name: &str, value: &str, settings: &Settings) -> String {
    match name {
        "value" => value.to_owned(),
        "json" => serde_json::Value::from(value).to_string(),
        "hmac_sha256_hex" => hex::encode(hmac::<Hmac<Sha256>>(&settings.key, value)),
        "hmac_sha256_base64" => base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            hmac::<Hmac<Sha256>>(&settings.key, value),
        ),
        "hmac_sha1_hex" => hex::encode(hmac::<Hmac<Sha1>>(&settings.key, value)),
        "challenge_response" => {
            let token = settings.verify_token.as_ref().map(Secret::reveal).unwrap_or_default();
            hex::encode(Sha256::digest([value, token, &settings.url].concat()))
        }
        "key_id" => settings.key_id.clone(),
        _ => String::new(),
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length fit.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
