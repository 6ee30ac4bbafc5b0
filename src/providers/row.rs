//! A provider's row as written, in `table.toml` or under `[sources.NAME.verify]`.
//!
//! Only shapes are checked here: known keys, strings and lists. [`super::Scheme::from_row`] checks what the values mean
//! and whether they fit together.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A provider's row as written. Every key except `signature` and `algorithm` has a default.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderRow {
    /// Display name: `GitHub`.
    pub title: String,
    /// Where the scheme was taken from: documentation, or an SDK with its version.
    pub provenance: String,
    /// Whether the provenance is the provider's own documentation or SDK.
    pub confirmed: bool,
    pub notes: String,
    /// Why hookbox cannot verify this provider's deliveries yet. Such a row needs no further keys.
    pub unsupported: Option<String>,

    /// Where the signature or token is: `header:NAME`, `query:NAME`, `json:/POINTER`, `form:FIELD`,
    /// `form_json:FIELD/POINTER`, `item:/POINTER` (each item of a batch has its own), `body`. `header:NAME-{n}` is
    /// numbered from 1. With several locations, any of them may contain the signature that matches.
    pub signature: OneOrMany,
    /// `plain` (the default), `prefixed`, `kv_list` or `positional` (the timestamp, then signatures).
    pub syntax: Option<String>,
    /// `prefixed`: the literal before the signature.
    pub prefix: Option<String>,
    /// `prefixed`: the prefix may be missing.
    pub prefix_optional: bool,
    /// `kv_list` and `positional`: the separator between items.
    pub item_separator: Option<String>,
    /// `kv_list`: the separator between an item's key and value.
    pub kv_separator: Option<String>,
    /// `kv_list`: the key of the signatures. `{key_id}` is replaced by the source's `key_id`.
    pub field: Option<String>,
    /// `kv_list`: only the first signature counts.
    pub first_only: bool,
    /// Separates several values of the syntax within one header.
    pub set_separator: Option<String>,
    /// The header may occur several times, each with a signature.
    pub repeatable: bool,

    /// `hmac-sha256`, `hmac-sha1`, `hmac-sha512`, `hmac-md5`; `sha256`, `sha1` (a plain hash of content with `{secret}`);
    /// `ed25519`, `ecdsa-p256-sha256`, `rsa-sha256`, `rsa-sha1`; `jwt`; `token`, `basic`, `bearer` (the secret itself is
    /// sent); `aws-sns`, `paypal`, `ebay` (implemented in code).
    pub algorithm: String,
    /// Other algorithms that a source's `algorithm` may choose.
    pub algorithm_choices: Vec<String>,
    /// The header that names one of `algorithm_names`.
    pub algorithm_header: Option<String>,
    /// Header value to algorithm. Values that are not listed are rejected.
    #[serde(deserialize_with = "table")]
    pub algorithm_names: BTreeMap<String, String>,
    /// Encoding of the signature: `hex` (the default), `base64` or `base64url`.
    pub encoding: Option<String>,
    /// How the configured text becomes the key: `utf8` (the default), `base64`, `base64-if-prefixed` (else utf8), `hex`,
    /// `sha1` (its digest), `nfkd` (normalised UTF-8), `pem` (a public key in PEM, or its DER in base64).
    pub secret_decoding: Option<String>,
    /// Prefixes of the configured secret that are not part of the key: `whsec_`. The first that fits is removed.
    pub secret_prefix: OneOrMany,
    /// Template of the signed content: `{timestamp}.{body}`. Defaults to `{body}`. With several, any may match.
    pub signed_content: OneOrMany,
    /// The signature does not cover the body. Without this key, such a template is rejected.
    pub body_unsigned: bool,
    /// Whether the provider may compress a body after signing it (`Content-Encoding`). Every delivery that does not match is
    /// then unpacked, up to `max_body`, before it is rejected.
    pub signs_unpacked: bool,
    /// Where the id of the key is. It must be one of the source's `key_id`.
    pub key_id: Option<String>,
    /// Where the provider publishes its public keys: the URL of a JSON Web Key Set, `keys_url` if each user hosts one, or
    /// `plaid` for its API. A source's `public_key` takes precedence.
    pub keys: Option<String>,
    /// Where the name of the key in that set is; for a token, in its header.
    pub key_name: Option<String>,
    /// Headers that must have this value.
    #[serde(deserialize_with = "table")]
    pub required_headers: BTreeMap<String, String>,

    /// `jwt`: the algorithms that a token may name: `HS256`, `HS384`, `HS512`, `RS256`, `ES256`, `EdDSA`.
    pub jwt_algorithms: Vec<String>,
    /// `jwt`: claims and templates of their values: `{ iss = "netlify", sha256 = "{sha256_hex(body)}" }`.
    #[serde(deserialize_with = "table")]
    pub claims: BTreeMap<String, String>,
    /// `jwt`: claims that must be present: `exp`.
    pub required_claims: Vec<String>,
    /// `jwt`: claims about the body may be missing if the body is empty.
    pub empty_body_unclaimed: bool,

    /// Where the timestamp is: a location as in `signature`, `field:t` for a field of the signature's list, `claim:iat`.
    pub timestamp: Option<String>,
    /// `s` (the default), `ms`, `rfc3339` or `iso8601_naive_utc`.
    pub timestamp_unit: Option<String>,
    /// How far a timestamp may be in the past or future. Defaults to `5m`.
    pub tolerance: Option<String>,

    /// At most 4 other ways to verify a delivery, tried in order after the row's own: old and new keys or encodings. Each
    /// table has keys from `signature` to `tolerance` that replace the row's. With `algorithm`, it replaces all of them.
    pub or: Vec<toml::Table>,

    /// Header names to try, in order, if the header is absent: `{ "svix-id" = ["webhook-id"] }`.
    pub header_aliases: BTreeMap<String, Vec<String>>,
    /// More headers that handlers do not get, in addition to signatures and tokens.
    pub private_headers: Vec<String>,
    /// Where a batch of events is: the pointer to the array (`""` is the body itself, `/a/*/b` is `b` of each element), or
    /// `form:FIELD`. Selectors are then relative to the item.
    pub batch: Option<String>,
    /// Selectors tried in order. An inner list is joined by colons. The last may be `body` or `none`.
    pub event_id: Vec<SelectorEntry>,
    /// What that id identifies. `event`: the sender guarantees one id per event, also for its retries; a known id is a
    /// duplicate. `object`: something that changes; a known id with another body is a new event. `none`: nothing; every
    /// delivery is a new event. Defaults to `none` if `event_id` is `["none"]`, else to `event`.
    pub id_scope: Option<String>,
    /// What the digest of a body covers in addition to the body: `type`, `timestamp` (the signed one). A type that is
    /// never in the body is always covered.
    pub digest_with: Vec<String>,
    /// Selectors tried in order. An inner list is joined by dots, without those that are absent.
    pub event_type: Vec<SelectorEntry>,
    /// Name of a row of handshakes.toml.
    pub handshake: Option<String>,
    /// Status of the response to a stored delivery. Defaults to 200.
    pub answer_status: Option<u16>,
    /// Body of that response. Defaults to hookbox's own.
    pub answer_body: Option<String>,
    /// Content type of that body. Defaults to `text/plain`.
    pub answer_content_type: Option<String>,
    /// Largest body the provider sends: `25MiB`.
    pub max_body: Option<String>,
}

impl ProviderRow {
    /// Keys that only describe the provider. A `verify` table does not have them.
    pub const DESCRIPTIVE: [&str; 5] = ["title", "provenance", "confirmed", "notes", "unsupported"];

    /// Every key of a row, in the order of the struct.
    pub const KEYS: &[&str] = &[
        "title",
        "provenance",
        "confirmed",
        "notes",
        "unsupported",
        "signature",
        "syntax",
        "prefix",
        "prefix_optional",
        "item_separator",
        "kv_separator",
        "field",
        "first_only",
        "set_separator",
        "repeatable",
        "algorithm",
        "algorithm_choices",
        "algorithm_header",
        "algorithm_names",
        "encoding",
        "secret_decoding",
        "secret_prefix",
        "signed_content",
        "body_unsigned",
        "signs_unpacked",
        "key_id",
        "keys",
        "key_name",
        "required_headers",
        "jwt_algorithms",
        "claims",
        "required_claims",
        "empty_body_unclaimed",
        "timestamp",
        "timestamp_unit",
        "tolerance",
        "or",
        "header_aliases",
        "private_headers",
        "batch",
        "event_id",
        "id_scope",
        "digest_with",
        "event_type",
        "handshake",
        "answer_status",
        "answer_body",
        "answer_content_type",
        "max_body",
    ];
}

/// A text, or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A selector, or a list of selectors whose values are joined.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum SelectorEntry {
    One(String),
    Joined(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    pub fn each(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl SelectorEntry {
    pub fn parts(&self) -> &[String] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Joined(parts) => parts,
        }
    }
}

impl fmt::Display for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.each().join(" or "))
    }
}

/// Written by hand because the error of an untagged enum would not name the expected types.
impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(written: D) -> Result<Self, D::Error> {
        written.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<OneOrMany, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = elements.next_element()? {
            texts.push(text);
        }
        Ok(OneOrMany::Many(texts))
    }
}

/// Rejects a TOML date, which serde presents as a table with one key.
fn table<'de, D: Deserializer<'de>>(written: D) -> Result<BTreeMap<String, String>, D::Error> {
    let table = BTreeMap::<String, String>::deserialize(written)?;
    if table.keys().any(|key| key.starts_with('$')) {
        return Err(D::Error::custom("invalid type: a date, expected a table"));
    }
    Ok(table)
}

/// An error in one key of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct RowError {
    /// One of [`ProviderRow::KEYS`].
    pub key: &'static str,
    pub message: String,
    /// The next step for the user, if there is an obvious one.
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
    fn list_of_keys_equals_what_serde_accepts() {
        let refusal = toml::from_str::<ProviderRow>("x = 1").unwrap_err().to_string();
        let named: Vec<&str> = refusal.split("expected one of").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(named, ProviderRow::KEYS);
    }
}
