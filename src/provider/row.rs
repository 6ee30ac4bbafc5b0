//! A provider's row as it is written, in `table.toml` or under `[sources.NAME.verify]`.
//!
//! Only shapes are checked here (known keys, strings and lists); what the words mean, and whether they fit
//! together, is [`super::Scheme::from_row`]'s to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A provider's row as written. Every key but `signature` and `algorithm` has a default.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name for people: `GitHub`.
    #[serde(default)]
    pub title: String,
    /// Where the scheme was taken from: documentation or SDK with its version.
    #[serde(default)]
    pub provenance: String,
    /// Whether the provenance is the provider's own: shown by `providers`.
    #[serde(default)]
    pub confirmed: bool,
    /// What a user should know.
    #[serde(default)]
    pub notes: String,

    /// Where the signature or token is: `header:NAME` or `query:NAME`.
    pub signature: String,
    /// `plain` (the default), `prefixed` or `kv_list`.
    #[serde(default)]
    pub syntax: Option<String>,
    /// `prefixed`: the literal that must come first.
    #[serde(default)]
    pub prefix: Option<String>,
    /// `kv_list`: what stands between items.
    #[serde(default)]
    pub item_separator: Option<String>,
    /// `kv_list`: what stands between an item's key and value.
    #[serde(default)]
    pub kv_separator: Option<String>,
    /// `kv_list`: the key whose values are signatures; several may stand in one list.
    #[serde(default)]
    pub field: Option<String>,

    /// `hmac-sha256`, `hmac-sha512` or `token` (the secret itself is sent).
    pub algorithm: String,
    /// Of the signature: `hex` (the default), `base64` or `base64url`.
    #[serde(default)]
    pub encoding: Option<String>,
    /// How the configured text becomes the key: `utf8` (the default), `base64` or `hex`.
    #[serde(default)]
    pub secret_decoding: Option<String>,
    /// A prefix of the configured secret that does not belong to the key: `whsec_`.
    #[serde(default)]
    pub secret_prefix: Option<String>,
    /// What is signed, as a template: `{timestamp}.{body}`; `{body}` unless written.
    #[serde(default)]
    pub signed_content: Option<String>,

    /// Where the timestamp is: `header:NAME`, `query:NAME`, or `field:t` for a field of the signature's list.
    #[serde(default)]
    pub timestamp: Option<String>,
    /// `s` (the default), `ms` or `rfc3339`.
    #[serde(default)]
    pub timestamp_unit: Option<String>,
    /// How old and how far ahead a timestamp may be; `5m` unless written.
    #[serde(default)]
    pub tolerance: Option<String>,

    /// Header names to try, in order, where the first is absent: `{ "svix-id" = ["webhook-id"] }`.
    #[serde(default)]
    pub header_aliases: BTreeMap<String, Vec<String>>,
    /// Further headers that handlers have no use for, beside signature and tokens.
    #[serde(default)]
    pub private_headers: Vec<String>,
    /// Selectors tried in order; an inner list is joined by colons. The last may be `body` or `none`.
    #[serde(default)]
    pub event_id: Vec<Selection>,
    /// Selectors tried in order; an inner list is joined by dots, leaving out what is absent.
    #[serde(default)]
    pub event_type: Vec<Selection>,
    /// Name of a handshake.
    #[serde(default)]
    pub handshake: Option<String>,
    /// Longest body the provider sends: `25MiB`.
    #[serde(default)]
    pub max_body: Option<String>,
}

impl Row {
    /// Every key a row may have, in the order of the struct.
    pub const KEYS: &[&str] = &[
        "title",
        "provenance",
        "confirmed",
        "notes",
        "signature",
        "syntax",
        "prefix",
        "item_separator",
        "kv_separator",
        "field",
        "algorithm",
        "encoding",
        "secret_decoding",
        "secret_prefix",
        "signed_content",
        "timestamp",
        "timestamp_unit",
        "tolerance",
        "header_aliases",
        "private_headers",
        "event_id",
        "event_type",
        "handshake",
        "max_body",
    ];
}

/// One selector, or several that are joined.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Selection {
    /// `"header:X-GitHub-Delivery"`
    One(String),
    /// `["header:X-GitHub-Event", "json:/action"]`
    Joined(Vec<String>),
}

impl Selection {
    /// The selectors as written.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Joined(parts) => parts,
        }
    }
}

/// What is wrong with one key of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct RowError {
    /// The key, one of [`Row::KEYS`].
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

impl RowError {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_keys_is_what_the_reader_takes() {
        let refusal = toml::from_str::<Row>("x = 1").unwrap_err().to_string();
        let named: Vec<&str> = refusal.split("expected one of").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(named, Row::KEYS);
    }
}
