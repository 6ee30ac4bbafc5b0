//! Answers to what a provider asks before it sends events: `handshakes.toml`, interpreted.
//!
//! A request comes in, before or after its signature was checked; out goes what to answer, or that it is no
//! handshake. What is sent back of a request is bounded in length and characters, and text/plain or inside a JSON
//! string. Nothing of a handshake is stored; a secret that one teaches is only handed on.

mod reply;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use subtle::ConstantTimeEq;

use crate::config::Source;
use crate::model::request::Request;
use crate::providers::{
    Characters, Expectation, Handshake, HandshakeCondition, HandshakeResponse, HandshakeSelector, Pointer, Selector,
    Setting,
};
use crate::support::secret::{MASK, Secret};
use crate::verify::error::{ExtractError, HandshakeMismatch, SignatureError, VerifyError};
use crate::verify::extract::form;
use crate::verify::extract::json::Wanted;

/// Longest body that is parsed before anything proves it.
const LONGEST_UNSIGNED: usize = 8 << 10;

/// What a provider's handshake, or a stored delivery, is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderResponse {
    /// HTTP status.
    pub status: u16,
    /// Content-Type of the body; `None` where there is none.
    pub content_type: Option<Cow<'static, str>>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

impl ProviderResponse {
    pub(super) fn new(status: u16, content_type: Cow<'static, str>, body: Vec<u8>) -> Self {
        let content_type = (!body.is_empty()).then_some(content_type);
        Self { status, content_type, headers: Vec::new(), body }
    }
}

/// A secret that the provider says is the source's. Whether it is believed is the inbox's to say.
#[derive(Debug, Clone)]
pub struct SecretEnrollment {
    /// The secret.
    pub secret: Secret,
    /// What to answer once it is kept.
    pub answer: ProviderResponse,
}

/// What a request turned out to be.
#[derive(Debug)]
pub(super) enum Heard {
    /// No handshake.
    Nothing,
    Respond(ProviderResponse),
    SecretEnrollment(SecretEnrollment),
    /// An address to be visited, as the provider wrote it, and what to answer then.
    Visit(String, ProviderResponse),
}

/// Answers the handshakes of one source.
pub(super) struct Handshaker {
    handshake: Option<&'static Handshake>,
    settings: Settings,
    unsigned: Wanted,
}

/// What of a source its handshakes need.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) secrets: Vec<Secret>,
    /// Of the newest secret.
    pub(super) key: Vec<u8>,
    pub(super) verify_token: Option<Secret>,
    pub(super) topics: Vec<String>,
    pub(super) url: String,
    pub(super) key_id: String,
}

impl Settings {
    /// With the key of one of the source's secrets.
    pub(super) fn of(source: &Source, secret: Option<&Secret>) -> Self {
        let key = secret.and_then(|secret| source.scheme.key(secret).ok());
        let key_id = source.key_ids.first().map(|key_id| key_id.reveal().to_owned());
        Self {
            secrets: source.secrets.clone(),
            key: key.unwrap_or_default(),
            verify_token: source.verify_token.clone(),
            topics: source.topics.clone(),
            url: source.url.clone().unwrap_or_default(),
            key_id: key_id.unwrap_or_default(),
        }
    }
}

/// Finds the text at a pointer of the JSON body.
type Json<'a> = dyn Fn(&str) -> Result<Option<String>, ExtractError> + 'a;

impl Handshaker {
    pub(super) fn new(handshake: Option<&'static Handshake>, settings: Settings) -> Self {
        let unsigned = Wanted::new(pointers(handshake).iter());
        Self { handshake, settings, unsigned }
    }

    /// Methods other than POST by which the provider asks.
    pub(super) fn further_methods(&self) -> impl Iterator<Item = &'static str> + use<> {
        let asks = self.handshake.filter(|handshake| handshake.answer.is_some());
        asks.into_iter()
            .flat_map(|handshake| handshake.methods.iter().map(String::as_str))
            .filter(|name| *name != "POST")
    }

    /// Whether the source's secret may come from the provider itself.
    pub(super) fn teaches(&self) -> bool {
        self.handshake.is_some_and(|handshake| handshake.teaches)
    }

    pub(super) fn rejects_with_status_only(&self) -> bool {
        self.handshake.is_some_and(|handshake| handshake.bare_refusals)
    }

    /// Looks at a request that nothing has proven yet.
    pub(super) fn before_signature(&self, request: &Request) -> Result<Heard, VerifyError> {
        let Some(handshake) = self.handshake.filter(|known| !known.signed && known.accepts_method(&request.method))
        else {
            return Ok(Heard::Nothing);
        };
        let is_short = request.body.len() <= LONGEST_UNSIGNED;
        let texts = is_short.then(|| self.unsigned.read(&request.body).ok()).flatten();
        let json = |pointer: &str| Ok(texts.as_ref().and_then(|texts| texts.at(pointer).map(ToString::to_string)));
        match self.look(handshake, request, &json) {
            // Whatever it is, it may still be a signed delivery.
            Err(VerifyError::Malformed(_)) if request.method == "POST" => Ok(Heard::Nothing),
            heard => heard,
        }
    }

    /// Looks at a request that was proven genuine, with its body's places read by `json`.
    pub(super) fn after_signature(&self, request: &Request, json: &Json<'_>) -> Result<Heard, VerifyError> {
        match self.handshake.filter(|known| known.signed && known.accepts_method(&request.method)) {
            Some(handshake) => self.look(handshake, request, json),
            None => Ok(Heard::Nothing),
        }
    }

    /// What to answer to a stored delivery, where the provider wants to hear something of its own.
    pub(super) fn acknowledgement(&self, request: &Request) -> Option<ProviderResponse> {
        let handshake = self.handshake?;
        let reply = handshake.acknowledgement.as_ref()?;
        let value = match &handshake.value {
            Some(place) => read(&place.0, request, &|_| Ok(None)).ok().flatten().filter(|text| is_fit(handshake, text)),
            None => None,
        };
        Some(reply::write(reply, &value.unwrap_or_default(), &self.settings))
    }

    /// A body as it may be kept: without the secret that it teaches.
    pub(super) fn masked(&self, body: &Bytes) -> Bytes {
        let place = self.handshake.filter(|handshake| handshake.teaches).and_then(|handshake| handshake.value.as_ref());
        match place {
            Some(HandshakeSelector(Selector::Json(pointer))) if is_alone(body) => {
                let name = pointer.steps().last().map_or("", String::as_str);
                serde_json::json!({ name: MASK }).to_string().into()
            }
            _ => body.clone(),
        }
    }

    fn look(&self, handshake: &'static Handshake, request: &Request, json: &Json<'_>) -> Result<Heard, VerifyError> {
        let Some(reply) = &handshake.answer else { return Ok(Heard::Nothing) };
        for condition in &handshake.when {
            if !holds(condition, request, json).map_err(VerifyError::Malformed)? {
                return Ok(Heard::Nothing);
            }
        }
        if handshake.only && !is_alone(&request.body) {
            return Ok(Heard::Nothing);
        }
        if let Some(expected) = &handshake.expects {
            self.compare(expected, handshake.otherwise, request, json)?;
        }
        let value = match &handshake.value {
            None => String::new(),
            Some(place) => read(&place.0, request, json)
                .map_err(VerifyError::Malformed)?
                .filter(|text| is_fit(handshake, text))
                .ok_or_else(|| VerifyError::Malformed(ExtractError::NoChallenge(place.0.to_string())))?,
        };
        self.conclude(handshake, reply, value)
    }

    fn conclude(
        &self,
        handshake: &Handshake,
        reply: &'static HandshakeResponse,
        value: String,
    ) -> Result<Heard, VerifyError> {
        let answer = reply::write(reply, &value, &self.settings);
        if handshake.confirms {
            return Ok(Heard::Visit(value, answer));
        }
        if !handshake.teaches {
            return Ok(Heard::Respond(answer));
        }
        match self.settings.secrets.as_slice() {
            [] => Ok(Heard::SecretEnrollment(SecretEnrollment { secret: Secret::new(value), answer })),
            known if is_one_of(known.iter().map(Secret::reveal), &value) => Ok(Heard::Respond(answer)),
            _ => Err(VerifyError::NotGenuine(SignatureError::AlreadyEnrolled)),
        }
    }

    fn compare(
        &self,
        expected: &Expectation,
        status: u16,
        request: &Request,
        json: &Json<'_>,
    ) -> Result<(), VerifyError> {
        let found = read(&expected.place.0, request, json).map_err(VerifyError::Malformed)?.unwrap_or_default();
        let settings = &self.settings;
        let matches = match expected.setting {
            Setting::VerifyToken => is_one_of(settings.verify_token.iter().map(Secret::reveal), &found),
            Setting::Secret => is_one_of(settings.secrets.iter().map(Secret::reveal), &found),
            Setting::Topics => is_one_of(settings.topics.iter().map(String::as_str), &found),
        };
        let is_reversed = match &expected.not_when {
            Some(condition) => holds(condition, request, json).map_err(VerifyError::Malformed)?,
            None => false,
        };
        if matches == is_reversed {
            let place = expected.place.0.to_string();
            return Err(VerifyError::Handshake(HandshakeMismatch { status, place, setting: expected.setting }));
        }
        Ok(())
    }
}

/// The places of a JSON body that a handshake looks at.
pub(super) fn pointers(handshake: Option<&Handshake>) -> Vec<Pointer> {
    let Some(handshake) = handshake else { return Vec::new() };
    let places = handshake.when.iter().map(|condition| &condition.place);
    let places = places.chain(handshake.value.iter().map(|place| &place.0));
    let pointer = |place: &Selector| match place {
        Selector::Json(pointer) => Some(pointer.clone()),
        _ => None,
    };
    places.filter_map(pointer).collect()
}

/// Compared in constant time, all of them, whichever matches.
fn is_one_of<'a>(known: impl Iterator<Item = &'a str>, found: &str) -> bool {
    known.fold(false, |so_far, text| so_far | (!text.is_empty() & bool::from(text.as_bytes().ct_eq(found.as_bytes()))))
}

fn holds(condition: &HandshakeCondition, request: &Request, json: &Json<'_>) -> Result<bool, ExtractError> {
    let found = read(&condition.place, request, json)?;
    Ok(found.is_some_and(|text| condition.texts.is_empty() || condition.texts.contains(&text)))
}

/// The text at a place; an empty one is none.
fn read(place: &Selector, request: &Request, json: &Json<'_>) -> Result<Option<String>, ExtractError> {
    let repeated = |_| ExtractError::Repeated(place.to_string());
    let bytes = match place {
        Selector::Json(pointer) => return Ok(json(pointer.as_str())?.filter(|text| !text.is_empty())),
        Selector::Header(name) => request.headers.one(name).map_err(repeated)?.map(Cow::Borrowed),
        Selector::Query(name) => form::field(request.query.as_bytes(), name).map_err(repeated)?,
        _ => None,
    };
    let text = bytes.and_then(|bytes| String::from_utf8(bytes.into_owned()).ok());
    Ok(text.filter(|text| !text.is_empty()))
}

/// Whether a text may be sent back.
fn is_fit(handshake: &Handshake, text: &str) -> bool {
    let (least, most) = handshake.length;
    let fits = |c: char| match handshake.characters {
        Characters::Text if handshake.signed => !c.is_control(),
        Characters::Text => (' '..='~').contains(&c),
        Characters::Hex => c.is_ascii_digit() || ('a'..='f').contains(&c),
    };
    (least..=most).contains(&text.len()) && text.chars().all(fits)
}

/// Whether the body is a JSON object of one member.
fn is_alone(body: &[u8]) -> bool {
    body.len() <= LONGEST_UNSIGNED
        && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok_and(|all| all.len() == 1)
}
