//! A row as meant: what the engine in `verify` interprets, as types.
//!
//! A [`Scheme`] comes from [`Scheme::from_row`] alone, which checks that its parts fit together: whoever holds one
//! needs no further checks. Names of headers, keys of secrets and what must stay hidden are told here.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;

use super::handshake::Handshake;
use super::selector::{EventId, EventType};
use super::template::Segment;
use crate::secret::Secret;

/// Headers that carry tokens whatever the provider, in lower case.
const ALWAYS_TOKENS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// How a provider proves itself, and where it puts what matters.
#[derive(Debug, Clone)]
pub struct Scheme {
    /// Where the signature or token is.
    pub signature: Place,
    /// How signatures stand there.
    pub syntax: Syntax,
    /// What proves that a delivery is genuine.
    pub proof: Proof,
    /// How the configured text becomes the key.
    pub secret_decoding: Encoding,
    /// A prefix of the configured secret that does not belong to the key; it may be missing.
    pub secret_prefix: String,
    /// Where the time of sending is; `None` where the provider signs none.
    pub timestamp: Option<Timestamp>,
    /// How old and how far ahead a timestamp may be; `None` exactly where there is no timestamp.
    pub tolerance: Option<Duration>,
    /// By the header's lower-case name: names to try, in order, where it is absent.
    pub header_aliases: BTreeMap<String, Vec<String>>,
    /// Where the event's id is.
    pub event_id: EventId,
    /// Where the event's type is.
    pub event_type: EventType,
    /// What the provider asks for before it sends events.
    pub handshake: Option<&'static Handshake>,
    /// Longest body the provider sends, in bytes.
    pub max_body: Option<u64>,
    pub(super) further_private: Vec<String>,
}

/// Where a single value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A header's value.
    Header(String),
    /// A parameter of the query string.
    Query(String),
}

/// How signatures stand in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syntax {
    /// The value is the signature.
    Plain,
    /// This literal, then the signature.
    Prefixed(String),
    /// Items with a key and a value.
    KvList {
        /// Between items.
        item_separator: String,
        /// Between key and value.
        kv_separator: String,
        /// The key whose values are signatures; other items are not looked at.
        field: String,
    },
}

/// What proves that a delivery is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A keyed hash (RFC 2104) of what is signed.
    Hmac {
        /// The hash.
        hash: Hash,
        /// How the signature is written.
        encoding: Encoding,
        /// What is signed.
        content: Vec<Segment>,
    },
    /// The secret itself.
    Token,
}

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are (secrets only).
    Utf8,
    /// RFC 4648, 8; in either case.
    Hex,
    /// RFC 4648, 4.
    Base64,
    /// RFC 4648, 5; with or without padding.
    Base64Url,
}

/// Where the time of sending is, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// Where it is.
    pub place: TimestampPlace,
    /// How it is written.
    pub unit: Unit,
}

/// Where a timestamp is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In a place of its own.
    At(Place),
    /// A field of the signature's list.
    Field(String),
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Millis,
    /// RFC 3339.
    Rfc3339,
}

/// RFC 4648, 4 and 5, for secrets: people paste them with and without padding.
const LENIENT: base64::engine::GeneralPurposeConfig = base64::engine::GeneralPurposeConfig::new()
    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
const BASE64_SECRET: base64::engine::GeneralPurpose =
    base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);

impl Scheme {
    /// The key that a configured text stands for.
    ///
    /// # Errors
    /// Says what is wrong with the text, without showing any of it.
    pub fn key(&self, secret: &Secret) -> Result<Vec<u8>, String> {
        let text = secret.reveal();
        let rest = text.strip_prefix(self.secret_prefix.as_str()).unwrap_or(text);
        let key = match self.secret_decoding {
            Encoding::Utf8 => rest.as_bytes().to_vec(),
            Encoding::Hex => hex::decode(rest).map_err(|_| self.undecodable("hex"))?,
            Encoding::Base64 | Encoding::Base64Url => {
                BASE64_SECRET.decode(rest).map_err(|_| self.undecodable("base64"))?
            }
        };
        if key.is_empty() { Err("is empty".to_owned()) } else { Ok(key) }
    }

    fn undecodable(&self, encoding: &str) -> String {
        match self.secret_prefix.as_str() {
            "" => format!("is not {encoding}"),
            prefix => format!("is not {encoding} (after `{prefix}`, which may be there or not)"),
        }
    }

    /// Whether the configured text can be a secret of this scheme.
    ///
    /// # Errors
    /// Says what is wrong with the text, without showing any of it.
    pub fn check_secret(&self, secret: &Secret) -> Result<(), String> {
        self.key(secret).map(drop)
    }

    /// The names a header may come under: its own, then its aliases.
    pub fn header_names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let aliases = self.header_aliases.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        std::iter::once(name).chain(aliases.flat_map(|(_, names)| names.iter().map(String::as_str)))
    }

    /// Lower-case names of headers whose values are secret: they are stored as `***`.
    #[must_use]
    pub fn token_headers(&self) -> Vec<String> {
        let own = match &self.signature {
            Place::Header(name) if self.proof == Proof::Token => Some(name),
            _ => None,
        };
        let own = own.into_iter().flat_map(|name| self.header_names(name)).map(str::to_ascii_lowercase);
        distinct(ALWAYS_TOKENS.into_iter().map(str::to_owned).chain(own))
    }

    /// Lower-case names of headers that carry signatures or tokens: they are never handed to handlers.
    #[must_use]
    pub fn private_headers(&self) -> Vec<String> {
        let signature = match &self.signature {
            Place::Header(name) => Some(name),
            Place::Query(_) => None,
        };
        let signature = signature.into_iter().flat_map(|name| self.header_names(name)).map(str::to_ascii_lowercase);
        distinct(self.token_headers().into_iter().chain(signature).chain(self.further_private.iter().cloned()))
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
        }
    }
}
