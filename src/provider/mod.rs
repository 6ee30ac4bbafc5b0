//! Providers as data: one row says where the signature is, how it is made, and where id and type are.
//!
//! Rows stand in `table.toml`, embedded; `custom` sources write the same keys under `[sources.NAME.verify]`.
//! [`Row`] is what was written, [`Scheme`] what it means. Adding a provider is a row, no code.

use serde::Deserialize;

/// A provider's row as written. Every key but `signature` and `algorithm` has a default.
#[derive(Debug, Clone, Deserialize)]
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

    /// Where the signature is: a selector such as `header:X-Hub-Signature-256`.
    pub signature: String,
    /// `plain`, `prefixed`, `kv_list` or `positional`.
    #[serde(default)]
    pub syntax: Option<String>,
    /// `prefixed`: the literal that must come first.
    #[serde(default)]
    pub prefix: Option<String>,
    /// `kv_list`: between items, and between key and value; and whose values are signatures.
    #[serde(default)]
    pub item_separator: Option<String>,
    /// See `item_separator`.
    #[serde(default)]
    pub kv_separator: Option<String>,
    /// See `item_separator`.
    #[serde(default)]
    pub field: Option<String>,

    /// `hmac-sha256`, `hmac-sha1`, `hmac-sha512` or `token` (the signature is the secret itself).
    pub algorithm: String,
    /// Of the signature: `hex`, `base64` or `base64url`.
    #[serde(default)]
    pub encoding: Option<String>,
    /// How the configured text becomes the key: `utf8`, `base64` or `hex`.
    #[serde(default)]
    pub secret_decoding: Option<String>,
    /// A prefix of the configured secret that does not belong to the key: `whsec_`.
    #[serde(default)]
    pub secret_prefix: Option<String>,
    /// What is signed, as a template: `{timestamp}.{body}`.
    #[serde(default)]
    pub signed_content: Option<String>,

    /// Where the timestamp is: a selector, or `field:t` for a field of the signature's list.
    #[serde(default)]
    pub timestamp: Option<String>,
    /// `s`, `ms` or `rfc3339`.
    #[serde(default)]
    pub timestamp_unit: Option<String>,
    /// How old and how far ahead a timestamp may be: `5m`.
    #[serde(default)]
    pub tolerance: Option<String>,

    /// Header names to try, in order, where the first is absent: `{ "svix-id" = ["webhook-id"] }`.
    #[serde(default)]
    pub header_aliases: std::collections::BTreeMap<String, Vec<String>>,
    /// Selectors tried in order; an inner list is joined. The last may be `body` or `none`.
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

/// One selector, or several that are joined.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Selection {
    /// `"header:X-GitHub-Delivery"`
    One(String),
    /// `["header:X-GitHub-Event", "json:/action"]`
    Joined(Vec<String>),
}

/// A row as meant: parsed, checked, ready for the engine.
#[derive(Debug, Clone)]
pub struct Scheme {}
