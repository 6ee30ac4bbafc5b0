//! Fills in the response templates of `handshakes.toml`: names such as `$value` are replaced.
//!
//! A value was checked to be printable before; inside JSON it is escaped. Templates come only from `handshakes.toml`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::config::Source;
use crate::providers::HandshakeResponse;
use crate::support::secret::Secret;

/// A response in the form that the provider expects, to its handshake or to a stored delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderResponse {
    pub status: u16,
    /// `None` if there is no body.
    pub content_type: Option<Cow<'static, str>>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl ProviderResponse {
    pub(crate) fn new(status: u16, content_type: Cow<'static, str>, body: Vec<u8>) -> Self {
        let content_type = (!body.is_empty()).then_some(content_type);
        Self { status, content_type, headers: Vec::new(), body }
    }
}

/// The settings of a source that handshakes compare with or send back.
#[derive(Default)]
pub(crate) struct HandshakeContext {
    pub(super) secrets: Vec<Secret>,
    /// The decoded key of one secret.
    pub(super) key: Vec<u8>,
    pub(super) verify_token: Option<Secret>,
    pub(super) topics: Vec<String>,
    pub(super) url: String,
    pub(super) key_id: String,
}

impl HandshakeContext {
    /// `secret` is the one that responses are computed with.
    pub(crate) fn new(source: &Source, secret: Option<&Secret>) -> Self {
        let key_id = source.key_ids.first().map(|key_id| key_id.reveal().to_owned());
        Self {
            secrets: source.secrets.clone(),
            key: secret.and_then(|secret| source.scheme.key(secret).ok()).unwrap_or_default(),
            verify_token: source.verify_token.clone(),
            topics: source.topics.clone(),
            url: source.url.clone().unwrap_or_default(),
            key_id: key_id.unwrap_or_default(),
        }
    }
}

pub(super) fn write(template: &'static HandshakeResponse, value: &str, context: &HandshakeContext) -> ProviderResponse {
    let header = |(name, text): (&'static String, &'static String)| (name.as_str(), fill(text, value, context));
    ProviderResponse {
        status: template.status,
        content_type: template.content_type.as_deref().map(Into::into),
        headers: template.headers.iter().map(header).collect(),
        body: fill(&template.body, value, context).into_bytes(),
    }
}

fn fill(template: &str, value: &str, context: &HandshakeContext) -> String {
    let mut filled = String::with_capacity(template.len() + value.len());
    let mut rest = template;
    while let Some((text, tail)) = rest.split_once('$') {
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        filled.push_str(text);
        filled.push_str(&variable(&tail[..end], value, context));
        rest = &tail[end..];
    }
    filled.push_str(rest);
    filled
}

fn variable(name: &str, value: &str, context: &HandshakeContext) -> String {
    match name {
        "value" => value.to_owned(),
        "json" => serde_json::Value::from(value).to_string(),
        "hmac_sha256_hex" => hex::encode(hmac::<Hmac<Sha256>>(&context.key, value)),
        "hmac_sha256_base64" => STANDARD.encode(hmac::<Hmac<Sha256>>(&context.key, value)),
        "hmac_sha1_hex" => hex::encode(hmac::<Hmac<Sha1>>(&context.key, value)),
        "challenge_response" => {
            let token = context.verify_token.as_ref().map(Secret::reveal).unwrap_or_default();
            hex::encode(Sha256::digest([value, token, &context.url].concat()))
        }
        "key_id" => context.key_id.clone(),
        _ => String::new(),
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC accepts keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
