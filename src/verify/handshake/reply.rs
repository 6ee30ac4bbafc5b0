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

/// The values of a template.
pub(super) struct TemplateContext<'a> {
    pub(super) value: &'a str,
    pub(super) source: &'a Source,
    /// The decoded key of one secret.
    pub(super) key: &'a [u8],
}

pub(super) fn write(template: &'static HandshakeResponse, context: &TemplateContext<'_>) -> ProviderResponse {
    let header = |(name, text): (&'static String, &'static String)| (name.as_str(), fill(text, context));
    ProviderResponse {
        status: template.status,
        content_type: template.content_type.as_deref().map(Into::into),
        headers: template.headers.iter().map(header).collect(),
        body: fill(&template.body, context).into_bytes(),
    }
}

fn fill(template: &str, context: &TemplateContext<'_>) -> String {
    let mut filled = String::with_capacity(template.len() + context.value.len());
    let mut rest = template;
    while let Some((text, tail)) = rest.split_once('$') {
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        filled.push_str(text);
        filled.push_str(&variable(&tail[..end], context));
        rest = &tail[end..];
    }
    filled.push_str(rest);
    filled
}

fn variable(name: &str, context: &TemplateContext<'_>) -> String {
    let TemplateContext { value, source, key } = *context;
    match name {
        "value" => value.to_owned(),
        "json" => serde_json::Value::from(value).to_string(),
        "hmac_sha256_hex" => hex::encode(hmac::<Hmac<Sha256>>(key, value)),
        "hmac_sha256_base64" => STANDARD.encode(hmac::<Hmac<Sha256>>(key, value)),
        "hmac_sha1_hex" => hex::encode(hmac::<Hmac<Sha1>>(key, value)),
        "challenge_response" => {
            let token = source.verify_token.as_ref().map(Secret::reveal).unwrap_or_default();
            hex::encode(Sha256::digest([value, token, source.urls.first().map_or("", String::as_str)].concat()))
        }
        "key_id" => source.key_ids.first().map(|id| id.reveal().to_owned()).unwrap_or_default(),
        _ => String::new(),
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC accepts keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
