//! What a row means, as types: how to verify a provider's deliveries and where the event's id and type are.
//!
//! [`Scheme::from_row`] is the only constructor and checks that the parts fit together, so no further checks are needed.
//! `coverage` adds what the signature covers, `keys` how secrets become keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::auth::{AuthMethod, BuiltinScheme, TemplateSignature};
use super::handshake::Handshake;
use super::identity::{EventId, EventType};
use super::row::ProviderRow;
use super::selectors::{BatchLocation, Pointer, Selector, ValueLocation};
use super::template::TemplateSegment;

/// Placeholder for the source's `key_id` in the name of a list's field.
const KEY_ID: &str = "{key_id}";

/// A row as written. Two rows may mean the same scheme, so it is not part of what `Debug` shows of one.
#[derive(Clone, Default)]
pub struct WrittenRow(pub Arc<ProviderRow>);

impl std::ops::Deref for WrittenRow {
    type Target = ProviderRow;

    fn deref(&self) -> &ProviderRow {
        &self.0
    }
}

impl std::fmt::Debug for WrittenRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

#[derive(Debug, Clone)]
pub struct Scheme {
    /// The row that it was read from, for diagnosis.
    pub row: WrittenRow,
    /// Other ways to verify a delivery, tried in order. They have no alternatives themselves.
    pub alternatives: Vec<Self>,
    /// Where the signature or token is.
    pub signature: ValueLocation,
    /// Other locations that may contain it instead.
    pub further_signatures: Vec<ValueLocation>,
    pub syntax: SignatureSyntax,
    /// Separates several values of the syntax within one header.
    pub set_separator: Option<String>,
    /// Whether the header may occur several times, each with a signature.
    pub repeatable: bool,
    pub auth: AuthMethod,
    /// The signature does not cover the body, and the row says so.
    pub body_unsigned: bool,
    pub signs_unpacked: bool,
    pub secret_decoding: SecretDecoding,
    /// Optional prefixes of the configured secret that are not part of the key.
    pub secret_prefixes: Vec<String>,
    /// Where the id of the key is.
    pub key_id: Option<ValueLocation>,
    pub keys: Option<KeySource>,
    /// Where the name of the key among the published ones is.
    pub key_name: Option<ValueLocation>,
    /// Headers that must have this value.
    pub required_headers: Vec<(String, String)>,
    /// `None` if the provider signs no timestamp.
    pub timestamp: Option<Timestamp>,
    /// How far a timestamp may be in the past or future; `None` only without a timestamp.
    pub tolerance: Option<Duration>,
    /// By lower-case header name: names to try, in order, if that header is absent.
    pub header_aliases: BTreeMap<String, Vec<String>>,
    pub batch: Option<BatchLocation>,
    pub event_id: EventId,
    pub event_type: EventType,
    pub handshake: Option<&'static Handshake>,
    pub success_response: Option<SuccessResponse>,
    /// Largest body the provider sends, in bytes.
    pub max_body: Option<u64>,
    pub(super) further_private: Vec<String>,
}

/// How the signature is written in its header or field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureSyntax {
    /// The whole value.
    Plain,
    /// After a literal prefix.
    Prefixed { prefix: String, is_optional: bool },
    /// In a list of keys and values.
    KvList {
        item_separator: String,
        kv_separator: String,
        /// The key of the signatures; other items are ignored.
        field: String,
        /// Only the first signature counts.
        first_only: bool,
    },
    /// In a list that starts with the timestamp.
    Positional { item_separator: String },
}

/// How a configured text becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretDecoding {
    Utf8,
    /// UTF-8 after Unicode compatibility decomposition.
    Nfkd,
    /// RFC 4648, 8.
    Hex,
    /// RFC 4648, 4 or 5.
    Base64,
    /// Base64 if the prefix is present, else UTF-8.
    Base64IfPrefixed,
    /// The SHA-1 digest of the text.
    Sha1,
    /// A public key (RFC 5280, 4.1) in PEM, or its DER in base64.
    Pem,
}

/// The response that a provider expects to a stored delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessResponse {
    pub status: u16,
    pub content_type: String,
    /// `None` for hookbox's own body.
    pub body: Option<String>,
}

impl fmt::Display for SuccessResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, content_type, body } = self;
        match body.as_deref() {
            None => write!(f, "{status}"),
            Some("") => write!(f, "{status}, empty"),
            Some(body) => write!(f, "{status}, {content_type}, `{}`", body.escape_debug()),
        }
    }
}

/// When the delivery was sent, according to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    pub location: TimestampLocation,
    pub unit: TimestampUnit,
}

/// Where a provider publishes its public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JSON Web Key Set at this URL.
    Set(String),
    /// A JSON Web Key Set at the source's `keys_url`.
    OwnSet,
    /// Plaid's API, which returns one key at a time.
    Plaid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampLocation {
    At(ValueLocation),
    /// A field of the signature's list.
    Field(String),
    /// The first item of the signature.
    First,
    /// A claim of the JSON Web Token.
    Claim(Pointer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Millis,
    Rfc3339,
    /// ISO 8601 in UTC, without a zone.
    NaiveUtc,
}

/// The settings that a source of this scheme must or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredSettings {
    /// `None` if the secret may also be enrolled by the provider's handshake.
    pub secret: Option<bool>,
    /// `public_key` instead of `secret`.
    pub public_key: bool,
    /// `public_key` may replace `secret` or come in addition to it.
    pub may_have_public_key: bool,
    pub url: bool,
    pub key_id: bool,
    pub api_key: bool,
    /// `api_key` and `secret`, unless there is a `public_key`: the provider's key API requires them.
    pub credentials: bool,
    pub verify_token: bool,
    pub topics: bool,
    /// Keys are fetched unless there is a `public_key`.
    pub may_fetch: bool,
    /// `keys_url` has an effect.
    pub keys_url: bool,
    /// `keys_url` is the only place that keys could be fetched from.
    pub own_keys: bool,
    /// `confirm_subscriptions` has an effect.
    pub confirm_subscriptions: bool,
}

impl Scheme {
    pub fn required_settings(&self) -> RequiredSettings {
        let uses = |wanted: &[TemplateSegment]| self.segments().any(|segment| wanted.contains(segment));
        let has_hash = self.segments().any(|segment| matches!(segment, TemplateSegment::UrlWithBodyHash(_)));
        let handshake = self.handshake.map(Handshake::required_settings).unwrap_or_default();
        let builtin = match self.auth {
            AuthMethod::Builtin(scheme) => Some(scheme),
            _ => None,
        };
        RequiredSettings {
            secret: match self.handshake {
                Some(handshake) if handshake.teaches => None,
                _ => Some(builtin.is_none() && !self.auth.is_asymmetric()),
            },
            public_key: self.auth.is_asymmetric() && self.keys.is_none(),
            may_have_public_key: self.alternatives.iter().any(|other| other.auth.is_asymmetric()),
            url: has_hash || uses(&[TemplateSegment::Url, TemplateSegment::UrlSha256Hex]) || handshake.url,
            key_id: self.key_id.is_some()
                || uses(&[TemplateSegment::KeyId])
                || builtin == Some(BuiltinScheme::PayPal)
                || handshake.key_id
                || matches!(&self.syntax, SignatureSyntax::KvList { field, .. } if field == KEY_ID),
            api_key: uses(&[TemplateSegment::ApiKey]),
            credentials: builtin == Some(BuiltinScheme::Ebay) || self.keys == Some(KeySource::Plaid),
            verify_token: handshake.verify_token,
            topics: builtin == Some(BuiltinScheme::AwsSns) || handshake.topics,
            may_fetch: builtin.is_some() || self.keys.is_some(),
            own_keys: self.keys == Some(KeySource::OwnSet),
            keys_url: builtin.is_some() || self.keys.is_some(),
            confirm_subscriptions: self.handshake.is_some_and(|handshake| handshake.confirms),
        }
    }

    /// Whether the signature covers the URL of each request. The audience of a token is not such a URL.
    pub fn signs_url(&self) -> bool {
        let is_signed = |scheme: &Self| {
            scheme.segments().any(|segment| match segment {
                TemplateSegment::UrlWithBodyHash(_) | TemplateSegment::UrlSha256Hex => true,
                TemplateSegment::Url => !matches!(scheme.auth, AuthMethod::Jwt(_)),
                _ => false,
            })
        };
        is_signed(self) || self.alternatives.iter().any(is_signed)
    }

    /// Inserts the source's `key_id` where it is part of the syntax.
    pub fn with_key_id(mut self, key_id: &str) -> Self {
        self.alternatives = self.alternatives.into_iter().map(|other| other.with_key_id(key_id)).collect();
        match &mut self.syntax {
            SignatureSyntax::KvList { field, .. } if field == KEY_ID => key_id.clone_into(field),
            _ => {}
        }
        self
    }

    /// Every location that may contain the signature.
    pub fn signature_locations(&self) -> impl Iterator<Item = &ValueLocation> {
        std::iter::once(&self.signature).chain(&self.further_signatures)
    }

    /// Every segment of every template, nested ones included.
    pub(super) fn segments(&self) -> impl Iterator<Item = &TemplateSegment> {
        self.auth.templates().flatten().flat_map(TemplateSegment::flatten)
    }

    /// The name of a header and its aliases.
    pub fn header_names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let aliases = self.header_aliases.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        std::iter::once(name).chain(aliases.flat_map(|(_, names)| names.iter().map(String::as_str)))
    }

    /// Whether the provider sends forms rather than JSON.
    pub fn is_form(&self) -> bool {
        let of_form =
            |part: &Selector| matches!(part, Selector::Form(_) | Selector::FormJson(..) | Selector::FormXml(..));
        let of_json = |part: &Selector| matches!(part, Selector::Json(_) | Selector::BodyJson(_) | Selector::Key(_));
        let mut parts = self.event_id.alternatives.iter().chain(&self.event_type.alternatives).flatten();
        let in_form = matches!(self.signature, ValueLocation::Form(_) | ValueLocation::FormJson(..))
            || self.batch.as_ref().is_some_and(|batch| batch.form.is_some())
            || matches!(
                self.segments().find(|segment| segment.covers_body()),
                Some(TemplateSegment::FormSorted | TemplateSegment::FormReceived)
            );
        in_form || parts.clone().any(of_form) && !parts.any(of_json)
    }

    pub fn template_signature(&self) -> Option<&TemplateSignature> {
        match &self.auth {
            AuthMethod::Signature(signature) => Some(signature),
            _ => None,
        }
    }
}
