//! A row as meant: what the engine in `verify` interprets, as types.
//!
//! A [`Scheme`] comes from [`Scheme::from_row`] alone, which checks that its parts fit together: whoever holds one
//! needs no further checks. Which settings a source needs and what must stay hidden are told here; what the
//! signature covers, in `cover`; how secrets become keys, in `key`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::auth::{AuthMethod, BuiltinScheme, TemplateSignature};
use super::handshake::Handshake;
use super::place::ValueLocation;
use super::pointer::{BatchLocation, Pointer};
use super::selectors::{EventId, EventType, Selector};
use super::template::TemplateSegment;

/// Stands for the source's `key_id` where a list's field is named after it.
const KEY_ID: &str = "{key_id}";

/// How a provider proves itself, and where it puts what matters.
#[derive(Debug, Clone)]
pub struct Scheme {
    /// Where the signature or token is.
    pub signature: ValueLocation,
    /// Further places that may hold one.
    pub further_signatures: Vec<ValueLocation>,
    /// How signatures stand there.
    pub syntax: SignatureSyntax,
    /// What stands between whole values of the syntax, where several may come in one.
    pub set_separator: Option<String>,
    /// Whether the header may come several times, each with a signature.
    pub repeatable: bool,
    /// What proves that a delivery is genuine.
    pub auth: AuthMethod,
    /// That the signature is known not to cover the body.
    pub body_unsigned: bool,
    /// Whether the provider may sign the URL with its default port written out or left out.
    pub url_default_port: bool,
    /// How the configured text becomes the key.
    pub secret_decoding: SecretDecoding,
    /// Prefixes of the configured secret that do not belong to the key; they may be missing.
    pub secret_prefixes: Vec<String>,
    /// Where the name of the key is.
    pub key_id: Option<ValueLocation>,
    /// Where the provider publishes its public keys.
    pub keys: Option<KeySource>,
    /// Where the name of the key among them is.
    pub key_name: Option<ValueLocation>,
    /// Headers that must have this value.
    pub required_headers: Vec<(String, String)>,
    /// Where the time of sending is; `None` where the provider signs none.
    pub timestamp: Option<Timestamp>,
    /// How old and how far ahead a timestamp may be; `None` exactly where there is no timestamp.
    pub tolerance: Option<Duration>,
    /// By the header's lower-case name: names to try, in order, where it is absent.
    pub header_aliases: BTreeMap<String, Vec<String>>,
    /// Where one delivery carries several events.
    pub batch: Option<BatchLocation>,
    /// Where the event's id is.
    pub event_id: EventId,
    /// Where the event's type is.
    pub event_type: EventType,
    /// What the provider asks for before it sends events.
    pub handshake: Option<&'static Handshake>,
    /// How the provider wants to hear that its delivery is stored.
    pub success_response: Option<SuccessResponse>,
    /// Longest body the provider sends, in bytes.
    pub max_body: Option<u64>,
    pub(super) further_private: Vec<String>,
}

/// How signatures stand in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureSyntax {
    /// The value is the signature.
    Plain,
    /// This literal, then the signature.
    Prefixed {
        /// The literal.
        prefix: String,
        /// Whether it may be missing.
        is_optional: bool,
    },
    /// Items with a key and a value.
    KvList {
        /// Between items.
        item_separator: String,
        /// Between key and value.
        kv_separator: String,
        /// The key whose values are signatures; other items are not looked at.
        field: String,
        /// Whether only the first signature counts.
        first_only: bool,
    },
    /// First the timestamp, then signatures.
    Positional {
        /// Between them.
        item_separator: String,
    },
}

/// How a configured text becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretDecoding {
    /// Its bytes.
    Utf8,
    /// Its bytes after Unicode's compatibility decomposition (NFKD).
    Nfkd,
    /// RFC 4648, 8.
    Hex,
    /// RFC 4648, 4 or 5.
    Base64,
    /// Base64 after the prefix, and its bytes without it.
    Base64IfPrefixed,
    /// The SHA-1 of its bytes.
    Sha1,
    /// A public key (RFC 5280, 4.1) in PEM, or its DER in base64.
    Pem,
}

/// How a provider wants to hear that its delivery is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessResponse {
    /// HTTP status.
    pub status: u16,
    /// Content-Type of the body.
    pub content_type: String,
    /// The exact text; `None` for hookbox's own.
    pub body: Option<String>,
}

/// Where the time of sending is, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// Where it is.
    pub place: TimestampLocation,
    /// How it is written.
    pub unit: TimestampUnit,
}

/// Where a provider publishes its public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a set of JSON Web Keys at this address.
    Set(String),
    /// In such a set at the source's `keys_url`.
    OwnSet,
    /// At Plaid's API, one at a time.
    Plaid,
}

/// Where a timestamp is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampLocation {
    /// In a place of its own.
    At(ValueLocation),
    /// A field of the signature's list.
    Field(String),
    /// The first item of the signature.
    First,
    /// A claim of the JSON Web Token.
    Claim(Pointer),
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Millis,
    /// RFC 3339.
    Rfc3339,
    /// ISO 8601 without a zone, in UTC.
    NaiveUtc,
}

/// What a source must have configured for its scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredSettings {
    /// `secret`; `None` where it may also be taught by the provider.
    pub secret: Option<bool>,
    /// `public_key` in place of `secret`.
    pub public_key: bool,
    /// `url`
    pub url: bool,
    /// `key_id`
    pub key_id: bool,
    /// `api_key`
    pub api_key: bool,
    /// `api_key` and `secret`, unless there is a `public_key`: the provider asks for them before it gives its keys.
    pub credentials: bool,
    /// `verify_token`
    pub verify_token: bool,
    /// `topics`
    pub topics: bool,
    /// Whether keys are fetched unless there is a `public_key`.
    pub may_fetch: bool,
    /// Whether `keys_url` means something.
    pub keys_url: bool,
    /// Whether there is no other address that keys could be fetched from.
    pub own_keys: bool,
    /// Whether `confirm_subscriptions` means something.
    pub confirm_subscriptions: bool,
}

impl Scheme {
    /// What a source must have configured.
    #[must_use]
    pub fn required_settings(&self) -> RequiredSettings {
        let uses = |wanted: &[TemplateSegment]| self.segments().any(|segment| wanted.contains(segment));
        let has_hash = self.segments().any(|segment| matches!(segment, TemplateSegment::UrlWithBodyHash(_)));
        let handshake = self.handshake.map(Handshake::required_settings);
        let code = match self.auth {
            AuthMethod::Builtin(code) => Some(code),
            _ => None,
        };
        RequiredSettings {
            secret: match self.handshake {
                Some(handshake) if handshake.teaches => None,
                _ => Some(code.is_none() && !self.auth.is_asymmetric()),
            },
            public_key: self.auth.is_asymmetric() && self.keys.is_none(),
            url: has_hash
                || uses(&[TemplateSegment::Url, TemplateSegment::UrlSha256Hex])
                || handshake.is_some_and(|needs| needs.url),
            key_id: self.key_id.is_some()
                || uses(&[TemplateSegment::KeyId])
                || code == Some(BuiltinScheme::PayPal)
                || handshake.is_some_and(|needs| needs.key_id)
                || matches!(&self.syntax, SignatureSyntax::KvList { field, .. } if field == KEY_ID),
            api_key: uses(&[TemplateSegment::ApiKey]),
            credentials: code == Some(BuiltinScheme::Ebay) || self.keys == Some(KeySource::Plaid),
            verify_token: handshake.is_some_and(|needs| needs.verify_token),
            topics: code == Some(BuiltinScheme::AwsSns) || handshake.is_some_and(|needs| needs.topics),
            may_fetch: code.is_some() || self.keys.is_some(),
            own_keys: self.keys == Some(KeySource::OwnSet),
            keys_url: code.is_some() || self.keys.is_some(),
            confirm_subscriptions: self.handshake.is_some_and(|handshake| handshake.confirms),
        }
    }

    /// The same scheme for a source whose key has this name, where the name is part of the syntax.
    #[must_use]
    pub fn with_key_id(mut self, key_id: &str) -> Self {
        match &mut self.syntax {
            SignatureSyntax::KvList { field, .. } if field == KEY_ID => key_id.clone_into(field),
            _ => {}
        }
        self
    }

    /// Every place that may hold the signature.
    pub fn signature_locations(&self) -> impl Iterator<Item = &ValueLocation> {
        std::iter::once(&self.signature).chain(&self.further_signatures)
    }

    /// Every segment of every template, those inside others included.
    pub(super) fn segments(&self) -> impl Iterator<Item = &TemplateSegment> {
        self.auth.templates().flatten().flat_map(TemplateSegment::flat)
    }

    /// The names a header may come under: its own, then its aliases.
    pub fn header_names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let aliases = self.header_aliases.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        std::iter::once(name).chain(aliases.flat_map(|(_, names)| names.iter().map(String::as_str)))
    }

    /// Whether the provider sends forms rather than JSON.
    #[must_use]
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

    /// The signature's template and encoding, where there is one.
    #[must_use]
    pub fn template_signature(&self) -> Option<&TemplateSignature> {
        match &self.auth {
            AuthMethod::Signature(signed) => Some(signed),
            _ => None,
        }
    }
}
