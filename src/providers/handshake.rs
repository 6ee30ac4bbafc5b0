//! What providers ask before they send events, and what they want to hear of each: `handshakes.toml` as types.
//!
//! The file is embedded and a test reads it as a whole, so that a row can only name a handshake that exists and can
//! be interpreted. Recognising and answering one is the verify room's.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::selectors::Selector;

/// Longest text that is sent back, unless the handshake says otherwise: in bytes.
const LONGEST: usize = 2048;

/// One handshake.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// Where it was taken from.
    pub provenance: String,
    /// Methods of the request that asks.
    #[serde(default = "post")]
    pub methods: Vec<String>,
    /// Whether the request must be proven genuine first.
    #[serde(default)]
    pub signed: bool,
    /// All of these must hold.
    #[serde(default)]
    pub when: Vec<HandshakeCondition>,
    /// Whether the JSON body must be an object that holds the value alone.
    #[serde(default)]
    pub only: bool,
    /// What a place must hold, by the configuration.
    #[serde(default)]
    pub expects: Option<Expectation>,
    /// The status where `expects` does not hold.
    #[serde(default)]
    pub otherwise: u16,
    /// What the answer is made of.
    #[serde(default)]
    pub value: Option<HandshakeSelector>,
    /// Which characters the value may hold.
    #[serde(default)]
    pub characters: Characters,
    /// Least and most bytes of the value.
    #[serde(default = "any_length")]
    pub length: (usize, usize),
    /// Whether the value is the source's secret.
    #[serde(default)]
    pub teaches: bool,
    /// Whether the value is an address to be visited.
    #[serde(default)]
    pub confirms: bool,
    /// Whether a 401 has no body.
    #[serde(default)]
    pub bare_refusals: bool,
    /// What is answered.
    #[serde(default)]
    pub answer: Option<HandshakeResponse>,
    /// What is answered to every delivery that is stored.
    #[serde(default)]
    pub acknowledgement: Option<HandshakeResponse>,
}

/// A place that holds something, or one of several texts: `json:/type = a | b`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HandshakeCondition {
    /// Where to look.
    pub place: Selector,
    /// What may stand there; anything where this is empty.
    pub texts: Vec<String>,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HandshakeSelector(pub Selector);

/// What a place must hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Where to look.
    pub place: HandshakeSelector,
    /// The setting that it must match.
    pub setting: Setting,
    /// Where this holds, it must match none.
    #[serde(default)]
    pub not_when: Option<HandshakeCondition>,
}

/// A setting of the source that a handshake compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// `verify_token`
    VerifyToken,
    /// One of the secrets.
    Secret,
    /// One of `topics`.
    Topics,
}

impl Setting {
    /// Its key in the configuration.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::VerifyToken => "verify_token",
            Self::Secret => "secret",
            Self::Topics => "topics",
        }
    }
}

/// Which characters a value may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Characters {
    /// Printable; ASCII unless it is signed.
    #[default]
    Text,
    /// Digits and `a` to `f`.
    Hex,
}

/// An answer, with names in place of what is not known before.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeResponse {
    /// HTTP status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Of the body; none where there is no body.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

/// Settings of the source that a handshake needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandshakeSettings {
    /// `verify_token`
    pub verify_token: bool,
    /// `url`
    pub url: bool,
    /// `key_id`
    pub key_id: bool,
    /// `topics`
    pub topics: bool,
}

fn post() -> Vec<String> {
    vec!["POST".to_owned()]
}

fn any_length() -> (usize, usize) {
    (1, LONGEST)
}

fn ok() -> u16 {
    200
}

impl TryFrom<String> for HandshakeSelector {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match Selector::parse(written.trim())? {
            found @ (Selector::Header(_) | Selector::Query(_) | Selector::Json(_)) => Ok(Self(found)),
            _ => Err(format!("`{written}` is neither header:, query: nor json:")),
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

// A test reads the file, so that it cannot be empty here.
static ALL: LazyLock<BTreeMap<String, Handshake>> =
    LazyLock::new(|| toml::from_str(include_str!("handshakes.toml")).unwrap_or_default());

impl Handshake {
    /// The handshake of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.get(name)
    }

    /// Every handshake by its name.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Self)> {
        ALL.iter().map(|(name, handshake)| (name.as_str(), handshake))
    }

    /// Settings that the answer is made of, beside the secret.
    #[must_use]
    pub fn required_settings(&self) -> HandshakeSettings {
        let compares = |setting| self.expects.as_ref().is_some_and(|expected| expected.setting == setting);
        let writes = |name: &str| self.answer.as_ref().is_some_and(|answer| answer.body.contains(name));
        HandshakeSettings {
            verify_token: compares(Setting::VerifyToken) || writes("$challenge_response"),
            url: writes("$challenge_response"),
            key_id: writes("$key_id"),
            topics: compares(Setting::Topics),
        }
    }

    /// Whether it is signed, and answered with something made of the secret that signed it.
    #[must_use]
    pub fn needs_signing_key(&self) -> bool {
        self.signed && self.answer.as_ref().is_some_and(|answer| answer.body.contains("$hmac"))
    }

    /// Whether it asks by this method.
    #[must_use]
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
    fn every_handshake_can_be_interpreted() {
        let all: BTreeMap<String, Handshake> = toml::from_str(include_str!("handshakes.toml")).unwrap();
        assert_eq!(all.len(), 31);
        for (name, handshake) in all {
            let Handshake { methods, answer, acknowledgement, value, .. } = &handshake;
            assert!(!handshake.provenance.is_empty(), "{name}");
            assert!(methods.iter().all(|method| ["GET", "HEAD", "OPTIONS", "POST"].contains(&method.as_str())));
            assert!(!handshake.signed || *methods == ["POST"], "{name}: only a POST is signed");
            assert!(answer.is_some() || acknowledgement.is_some(), "{name}");
            // Otherwise it would swallow every delivery.
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
    fn conditions_read_as_written() {
        let condition = HandshakeCondition::try_from("json:/type = a | b".to_owned()).unwrap();
        assert_eq!((condition.place.to_string().as_str(), condition.texts.len()), ("json:/type", 2));
        assert!(HandshakeCondition::try_from("header:X".to_owned()).unwrap().texts.is_empty());
        assert!(HandshakeCondition::try_from("form:x".to_owned()).is_err());
        assert!(HandshakeCondition::try_from("x".to_owned()).is_err());
    }
}
