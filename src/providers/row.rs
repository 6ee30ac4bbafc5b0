//! A provider's row as it is written, in `table.toml` or under `[sources.NAME.verify]`.
//!
//! Only shapes are checked here (known keys, strings and lists); what the words mean, and whether they fit
//! together, is [`super::Scheme::from_row`]'s to say.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A provider's row as written. Every key but `signature` and `algorithm` has a default.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderRow {
    /// Name for people: `GitHub`.
    pub title: String,
    /// Where the scheme was taken from: documentation or SDK with its version.
    pub provenance: String,
    /// Whether the provenance is the provider's own: shown by `providers`.
    pub confirmed: bool,
    /// What a user should know.
    pub notes: String,
    /// Why hookbox cannot take this provider's deliveries yet; a row that has it needs no further keys.
    pub unsupported: Option<String>,

    /// Where the signature or token is: `header:NAME`, `query:NAME`, `json:/POINTER`, `form:FIELD`,
    /// `form_json:FIELD/POINTER`, `item:/POINTER` (each item of a batch has its own), `body`; `header:NAME-{n}` is numbered
    /// from 1. Of several places any may hold one that matches.
    pub signature: OneOrMany,
    /// `plain` (the default), `prefixed`, `kv_list` or `positional` (first the timestamp, then signatures).
    pub syntax: Option<String>,
    /// `prefixed`: the literal that must come first.
    pub prefix: Option<String>,
    /// `prefixed`: whether it may be missing.
    pub prefix_optional: bool,
    /// `kv_list` and `positional`: what stands between items.
    pub item_separator: Option<String>,
    /// `kv_list`: what stands between an item's key and value.
    pub kv_separator: Option<String>,
    /// `kv_list`: the key whose values are signatures; `{key_id}` is the source's own.
    pub field: Option<String>,
    /// `kv_list`: whether only the first signature counts.
    pub first_only: bool,
    /// What stands between whole values of the syntax, where several may come in one.
    pub set_separator: Option<String>,
    /// Whether the header may come several times, each with a signature.
    pub repeatable: bool,

    /// `hmac-sha256`, `hmac-sha1`, `hmac-sha512`, `hmac-md5`; `sha256`, `sha1` (a plain hash with `{secret}` in what is
    /// signed); `ed25519`, `ecdsa-p256-sha256`, `rsa-sha256`, `rsa-sha1`; `jwt`; `token`, `basic`, `bearer` (the secret itself
    /// is sent); `aws-sns`, `paypal`, `ebay` (code of their own).
    pub algorithm: String,
    /// Other algorithms that a source's `algorithm` may name.
    pub algorithm_choices: Vec<String>,
    /// The header that says which algorithm of `algorithm_names` was used.
    pub algorithm_header: Option<String>,
    /// By the header's value: the algorithm. A value that is not listed is refused.
    #[serde(deserialize_with = "table")]
    pub algorithm_names: BTreeMap<String, String>,
    /// Of the signature: `hex` (the default), `base64` or `base64url`.
    pub encoding: Option<String>,
    /// How the configured text becomes the key: `utf8` (the default), `base64`, `base64-if-prefixed` (else utf8), `hex`,
    /// `sha1` (its digest), `nfkd` (of the text, as UTF-8), `pem` (a public key in PEM, or its DER in base64).
    pub secret_decoding: Option<String>,
    /// Prefixes of the configured secret that do not belong to the key, the first that fits is left out: `whsec_`.
    pub secret_prefix: OneOrMany,
    /// What is signed, as a template: `{timestamp}.{body}`; `{body}` unless written. Of several any may match.
    pub signed_content: OneOrMany,
    /// That the signature does not cover the body: without it such a template is refused.
    pub body_unsigned: bool,
    /// Whether the provider may sign `url` with its default port written out or left out.
    pub url_default_port: bool,
    /// Where the name of the key is, which must be one of the source's `key_id`.
    pub key_id: Option<String>,
    /// Where the provider publishes its public keys: the address of a set of JSON Web Keys, `keys_url` where each user hosts
    /// one, or `plaid`, whose API gives one key at a time. A source that has a `public_key` of its own uses that.
    pub keys: Option<String>,
    /// Where the name of the key in that set is; of a token, in its header.
    pub key_name: Option<String>,
    /// Headers that must have this value.
    #[serde(deserialize_with = "table")]
    pub required_headers: BTreeMap<String, String>,

    /// `jwt`: the algorithms a token may name: `HS256`, `HS384`, `HS512`, `RS256`, `ES256`, `EdDSA`.
    pub jwt_algorithms: Vec<String>,
    /// `jwt`: claims, and what each must say, as a template: `{ iss = "netlify", sha256 = "{sha256_hex(body)}" }`.
    #[serde(deserialize_with = "table")]
    pub claims: BTreeMap<String, String>,
    /// `jwt`: claims that must be there: `exp`.
    pub required_claims: Vec<String>,
    /// `jwt`: whether claims about the body may be missing where the body is empty.
    pub empty_body_unclaimed: bool,

    /// Where the timestamp is: a place as of `signature`, `field:t` for a field of the signature's list, `claim:iat`.
    pub timestamp: Option<String>,
    /// `s` (the default), `ms`, `rfc3339` or `iso8601_naive_utc`.
    pub timestamp_unit: Option<String>,
    /// How old and how far ahead a timestamp may be; `5m` unless written.
    pub tolerance: Option<String>,

    /// Header names to try, in order, where the first is absent: `{ "svix-id" = ["webhook-id"] }`.
    pub header_aliases: BTreeMap<String, Vec<String>>,
    /// Further headers that handlers have no use for, beside signature and tokens.
    pub private_headers: Vec<String>,
    /// Where one delivery carries several events: the pointer to their array (`""` is the body itself, `/a/*/b` is `b` of each
    /// element), or `form:FIELD` for an array in a form's field. Selectors are then relative to the item.
    pub batch: Option<String>,
    /// Selectors tried in order; an inner list is joined by colons. The last may be `body` or `none`.
    pub event_id: Vec<SelectorEntry>,
    /// Selectors tried in order; an inner list is joined by dots, leaving out what is absent.
    pub event_type: Vec<SelectorEntry>,
    /// Name of a handshake.
    pub handshake: Option<String>,
    /// Status of the answer to what was stored; 200 unless written.
    pub answer_status: Option<u16>,
    /// Body of that answer; hookbox's own unless written.
    pub answer_body: Option<String>,
    /// Content-Type of that body; `text/plain` unless written.
    pub answer_content_type: Option<String>,
    /// Longest body the provider sends: `25MiB`.
    pub max_body: Option<String>,
}

impl ProviderRow {
    /// Every key a row may have, in the order of the struct.
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
        "url_default_port",
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
        "header_aliases",
        "private_headers",
        "batch",
        "event_id",
        "event_type",
        "handshake",
        "answer_status",
        "answer_body",
        "answer_content_type",
        "max_body",
    ];
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// `"whsec_"`
    One(String),
    /// `["v1,whsec_", "whsec_"]`
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// Each of them.
    #[must_use]
    pub fn each(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// One selector, or several that are joined.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum SelectorEntry {
    /// `"header:X-GitHub-Delivery"`
    One(String),
    /// `["header:X-GitHub-Event", "json:/action"]`
    Joined(Vec<String>),
}

impl SelectorEntry {
    /// The selectors as written.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Joined(parts) => parts,
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(written: D) -> Result<Self, D::Error> {
        written.deserialize_any(TextsVisitor)
    }
}

/// A date arrives as a table with one member, and is none.
fn table<'de, D: Deserializer<'de>>(written: D) -> Result<BTreeMap<String, String>, D::Error> {
    let table = BTreeMap::<String, String>::deserialize(written)?;
    if table.keys().any(|key| key.starts_with('$')) {
        return Err(D::Error::custom("invalid type: a date, expected a table"));
    }
    Ok(table)
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
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

impl fmt::Display for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.each().join(" or "))
    }
}

/// What is wrong with one key of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct RowError {
    /// The key, one of [`ProviderRow::KEYS`].
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
        let refusal = toml::from_str::<ProviderRow>("x = 1").unwrap_err().to_string();
        let named: Vec<&str> = refusal.split("expected one of").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(named, ProviderRow::KEYS);
    }
}
