//! Handshakes: what providers ask before they send events, and the responses they expect. Types of `handshakes.toml`.
//!
//! The file is embedded, and a test checks all of it. `verify` recognises and answers handshakes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::selectors::Selector;

/// Default limit of the value that is sent back, in bytes.
const MAX_VALUE_BYTES: usize = 2048;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// Where the description was taken from.
    pub provenance: String,
    #[serde(default = "post")]
    pub methods: Vec<String>,
    /// Whether the request's signature must match.
    #[serde(default)]
    pub signed: bool,
    /// All of these must be true.
    #[serde(default)]
    pub when: Vec<HandshakeCondition>,
    /// The JSON body must be an object with the value as its only member.
    #[serde(default)]
    pub only: bool,
    #[serde(default)]
    pub expects: Option<Expectation>,
    /// Status of the response if `expects` does not match.
    #[serde(default)]
    pub otherwise: u16,
    /// Where the value is that the response is made of.
    #[serde(default)]
    pub value: Option<HandshakeSelector>,
    #[serde(default)]
    pub characters: Characters,
    /// Minimum and maximum length of the value, in bytes.
    #[serde(default = "any_length")]
    pub length: (usize, usize),
    /// The value is the source's secret.
    #[serde(default)]
    pub teaches: bool,
    /// The value is a URL that confirms the subscription.
    #[serde(default)]
    pub confirms: bool,
    /// A 401 has no body.
    #[serde(default)]
    pub bare_refusals: bool,
    #[serde(default)]
    pub answer: Option<HandshakeResponse>,
    /// The response to every stored delivery.
    #[serde(default)]
    pub acknowledgement: Option<HandshakeResponse>,
}

/// A selector, alone or with the texts it may find: `json:/type = a | b`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HandshakeCondition {
    pub place: Selector,
    /// Empty if any text will do.
    pub texts: Vec<String>,
}

/// A `header:`, `query:` or `json:` selector.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HandshakeSelector(pub Selector);

/// A value that must match a setting of the source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub place: HandshakeSelector,
    pub setting: Setting,
    /// If this is true, the value must not match the setting.
    #[serde(default)]
    pub not_when: Option<HandshakeCondition>,
}

/// A setting of the source that a handshake is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    VerifyToken,
    /// One of the secrets.
    Secret,
    /// One of the topics.
    Topics,
}

impl Setting {
    /// Its key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::VerifyToken => "verify_token",
            Self::Secret => "secret",
            Self::Topics => "topics",
        }
    }
}

/// The characters that a value may contain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Characters {
    /// Printable characters; only ASCII unless the handshake is signed.
    #[default]
    Text,
    /// Digits and `a` to `f`.
    Hex,
}

/// A response with placeholders, which the header of handshakes.toml lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeResponse {
    #[serde(default = "ok")]
    pub status: u16,
    /// `None` if there is no body.
    #[serde(default)]
    pub content_type: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
}

/// The source's settings that a handshake requires, in addition to the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HandshakeSettings {
    pub(super) verify_token: bool,
    pub(super) url: bool,
    pub(super) key_id: bool,
    pub(super) topics: bool,
}

fn post() -> Vec<String> {
    vec!["POST".to_owned()]
}

fn any_length() -> (usize, usize) {
    (1, MAX_VALUE_BYTES)
}

fn ok() -> u16 {
    200
}

impl TryFrom<String> for HandshakeSelector {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match Selector::parse(written.trim())? {
            found @ (Selector::Header(_) | Selector::Query(_) | Selector::Json(_)) => Ok(Self(found)),
            _ => Err(format!("`{written}` is none of header:, query: and json:")),
        }
    }
}

impl TryFrom<String> for HandshakeCondition {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (place, texts) = written.split_once(" = ").unwrap_or((&written, ""));
        let texts = texts.split(" | ").filter(|text| !text.is_empty()).map(ToOwned::to_owned).collect();
        Ok(Self { place: HandshakeSelector::try_from(place.to_owned())?.0, texts })
    }
}

// A test parses the file, so the default is never used.
static ALL: LazyLock<BTreeMap<String, Handshake>> =
    LazyLock::new(|| toml::from_str(include_str!("handshakes.toml")).unwrap_or_default());

impl Handshake {
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.get(name)
    }

    /// Every handshake with its name, sorted.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Self)> {
        ALL.iter().map(|(name, handshake)| (name.as_str(), handshake))
    }

    pub(super) fn required_settings(&self) -> HandshakeSettings {
        let compares = |setting| self.expects.as_ref().is_some_and(|expected| expected.setting == setting);
        let writes = |name: &str| self.answer.as_ref().is_some_and(|answer| answer.body.contains(name));
        HandshakeSettings {
            verify_token: compares(Setting::VerifyToken) || writes("$challenge_response"),
            url: writes("$challenge_response"),
            key_id: writes("$key_id"),
            topics: compares(Setting::Topics),
        }
    }

    /// Whether the response depends on which of the secrets signed the request.
    pub fn needs_signing_key(&self) -> bool {
        self.signed && self.answer.as_ref().is_some_and(|answer| answer.body.contains("$hmac"))
    }

    pub fn accepts_method(&self, method: &str) -> bool {
        self.answer.is_some() && self.methods.iter().any(|known| known == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 7] = [
        "$value",
        "$json",
        "$hmac_sha256_hex",
        "$hmac_sha256_base64",
        "$hmac_sha1_hex",
        "$challenge_response",
        "$key_id",
    ];

    #[test]
    fn every_handshake_is_valid() {
        let all: BTreeMap<String, Handshake> = toml::from_str(include_str!("handshakes.toml")).unwrap();
        assert_eq!(all.len(), 31);
        for (name, handshake) in all {
            let Handshake { methods, answer, acknowledgement, value, .. } = &handshake;
            assert!(!handshake.provenance.is_empty(), "{name}");
            assert!(methods.iter().all(|method| ["GET", "HEAD", "OPTIONS", "POST"].contains(&method.as_str())));
            assert!(!handshake.signed || *methods == ["POST"], "{name}: only a POST is signed");
            assert!(answer.is_some() || acknowledgement.is_some(), "{name}");
            // Otherwise every delivery would be taken for a handshake.
            assert!(answer.is_none() || *methods != ["POST"] || !handshake.when.is_empty(), "{name}");
            assert_eq!(handshake.expects.is_some(), handshake.otherwise >= 400, "{name}");
            assert!(!handshake.teaches && !handshake.confirms && !handshake.only || value.is_some(), "{name}");
            assert!(handshake.length.0 >= 1 && handshake.length.0 <= handshake.length.1, "{name}");
            for reply in answer.iter().chain(acknowledgement) {
                assert!((200..300).contains(&reply.status), "{name}");
                assert_eq!(reply.content_type.is_some(), !reply.body.is_empty(), "{name}");
                for text in reply.headers.values().chain([&reply.body]) {
                    let names: Vec<_> = text.match_indices('$').map(|(place, _)| &text[place..]).collect();
                    for rest in names {
                        assert!(NAMES.iter().any(|known| rest.starts_with(known)), "{name}: {rest}");
                        assert!(value.is_some(), "{name}: {rest}");
                    }
                }
            }
        }
    }

    #[test]
    fn conditions_are_parsed() {
        let condition = HandshakeCondition::try_from("json:/type = a | b".to_owned()).unwrap();
        assert_eq!((condition.place.to_string().as_str(), condition.texts.len()), ("json:/type", 2));
        assert!(HandshakeCondition::try_from("header:X".to_owned()).unwrap().texts.is_empty());
        assert!(HandshakeCondition::try_from("form:x".to_owned()).is_err());
        assert!(HandshakeCondition::try_from("x".to_owned()).is_err());
    }
}
