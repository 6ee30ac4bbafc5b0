//! Responds to the requests that a provider makes before it sends events, as `handshakes.toml` describes.
//!
//! Text that is sent back is bounded in length and characters, and is text/plain or inside a JSON string. Nothing is
//! stored. A secret in a handshake is returned to the caller, which decides whether to accept it.

mod reply;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use subtle::ConstantTimeEq;

pub use self::reply::ProviderResponse;
use self::reply::TemplateContext;
use super::error::{ExtractError, HandshakeMismatch, SignatureError, VerifyError};
use super::extract::form;
use super::extract::json::Pointers;
use crate::config::Source;
use crate::model::request::Request;
use crate::providers::{
    Characters, Expectation, Handshake, HandshakeCondition, HandshakeResponse, HandshakeSelector, Pointer, Selector,
    Setting,
};
use crate::support::secret::{MASK, Secret};

/// Longest body that is parsed before its signature is checked, in bytes.
const MAX_UNSIGNED_BODY: usize = 8 << 10;

/// A secret that the provider sent. The inbox decides whether to accept it.
#[derive(Debug, Clone)]
pub struct SecretEnrollment {
    pub secret: Secret,
    /// The response to send once it is stored.
    pub response: ProviderResponse,
}

#[derive(Debug)]
pub(super) enum HandshakeOutcome {
    /// Not a handshake.
    None,
    Respond(ProviderResponse),
    Enroll(SecretEnrollment),
    /// A URL from the request that is to be requested before responding. Not yet checked.
    Visit {
        url: String,
        response: ProviderResponse,
    },
}

/// Responds to the handshakes of one source.
pub(super) struct HandshakeResponder {
    handshake: Option<&'static Handshake>,
    source: Arc<Source>,
    key: Vec<u8>,
    pointers: Pointers,
}

/// Reads the text at a pointer into the JSON body.
type JsonLookup<'a> = dyn Fn(&str) -> Result<Option<String>, ExtractError> + 'a;

/// A request that may be a handshake.
struct HandshakeRequest<'a> {
    request: &'a Request,
    json: &'a JsonLookup<'a>,
}

impl HandshakeResponder {
    /// `secret` is the one that responses are computed with.
    pub(super) fn new(source: &Arc<Source>, secret: Option<&Secret>) -> Self {
        let handshake = source.scheme.handshake;
        let key = secret.and_then(|secret| source.scheme.key(secret).ok()).unwrap_or_default();
        let pointers = Pointers::new(pointers(handshake).iter());
        Self { handshake, source: Arc::clone(source), key, pointers }
    }

    fn write(&self, template: &'static HandshakeResponse, value: &str) -> ProviderResponse {
        reply::write(template, &TemplateContext { value, source: &self.source, key: &self.key })
    }

    /// The methods other than POST that handshakes use.
    pub(super) fn further_methods(&self) -> impl Iterator<Item = &'static str> + use<> {
        let handshake = self.handshake.filter(|handshake| handshake.answer.is_some());
        let methods = handshake.into_iter().flat_map(|handshake| handshake.methods.iter().map(String::as_str));
        methods.filter(|name| *name != "POST")
    }

    /// Whether the provider may send the source's secret.
    pub(super) fn enrolls_secret(&self) -> bool {
        self.handshake.is_some_and(|handshake| handshake.teaches)
    }

    pub(super) fn rejects_with_status_only(&self) -> bool {
        self.handshake.is_some_and(|handshake| handshake.bare_refusals)
    }

    /// Handles a request whose signature has not been checked.
    pub(super) fn before_signature(&self, request: &Request) -> Result<HandshakeOutcome, VerifyError> {
        let Some(handshake) = self.handshake.filter(|known| !known.signed && known.accepts_method(&request.method))
        else {
            return Ok(HandshakeOutcome::None);
        };
        let is_short = request.body.len() <= MAX_UNSIGNED_BODY;
        let values = is_short.then(|| self.pointers.read(&request.body).ok()).flatten();
        let json = |pointer: &str| Ok(values.as_ref().and_then(|values| values.at(pointer).map(ToString::to_string)));
        match self.outcome(handshake, &HandshakeRequest { request, json: &json }) {
            // It may still be a signed delivery.
            Err(VerifyError::Malformed(_)) if request.method == "POST" => Ok(HandshakeOutcome::None),
            outcome => outcome,
        }
    }

    /// Handles a request with a valid signature.
    pub(super) fn after_signature(
        &self,
        request: &Request,
        json: &JsonLookup<'_>,
    ) -> Result<HandshakeOutcome, VerifyError> {
        match self.handshake.filter(|known| known.signed && known.accepts_method(&request.method)) {
            Some(handshake) => self.outcome(handshake, &HandshakeRequest { request, json }),
            None => Ok(HandshakeOutcome::None),
        }
    }

    /// The response to a stored delivery, if the provider expects a particular one.
    pub(super) fn acknowledgement(&self, request: &Request) -> Option<ProviderResponse> {
        let handshake = self.handshake?;
        let template = handshake.acknowledgement.as_ref()?;
        let value = match &handshake.value {
            Some(HandshakeSelector(selector)) => {
                HandshakeRequest { request, json: &|_| Ok(None) }.read(selector).ok().flatten()
            }
            None => None,
        };
        let value = value.filter(|text| is_allowed(handshake, text));
        Some(self.write(template, &value.unwrap_or_default()))
    }

    /// The body of a rejected request without the secret that it may contain.
    pub(super) fn redacted_body(&self, body: &Bytes) -> Bytes {
        let secret =
            self.handshake.filter(|handshake| handshake.teaches).and_then(|handshake| handshake.value.as_ref());
        match secret {
            Some(HandshakeSelector(Selector::Json(pointer))) if has_one_member(body) => {
                let name = pointer.steps().last().map_or("", String::as_str);
                serde_json::json!({ name: MASK }).to_string().into()
            }
            _ => body.clone(),
        }
    }

    fn outcome(
        &self,
        handshake: &'static Handshake,
        request: &HandshakeRequest<'_>,
    ) -> Result<HandshakeOutcome, VerifyError> {
        let Some(template) = &handshake.answer else { return Ok(HandshakeOutcome::None) };
        for condition in &handshake.when {
            if !request.meets(condition)? {
                return Ok(HandshakeOutcome::None);
            }
        }
        if handshake.only && !has_one_member(&request.request.body) {
            return Ok(HandshakeOutcome::None);
        }
        if let Some(expected) = &handshake.expects {
            self.compare(expected, handshake.otherwise, request)?;
        }
        let value = match &handshake.value {
            None => String::new(),
            Some(HandshakeSelector(selector)) => request
                .read(selector)?
                .filter(|text| is_allowed(handshake, text))
                .ok_or_else(|| ExtractError::NoChallenge(selector.to_string()))?,
        };
        self.respond(handshake, template, value)
    }

    fn respond(
        &self,
        handshake: &Handshake,
        template: &'static HandshakeResponse,
        value: String,
    ) -> Result<HandshakeOutcome, VerifyError> {
        let response = self.write(template, &value);
        if handshake.confirms {
            return Ok(HandshakeOutcome::Visit { url: value, response });
        }
        if !handshake.teaches {
            return Ok(HandshakeOutcome::Respond(response));
        }
        match self.source.secrets.as_slice() {
            [] => Ok(HandshakeOutcome::Enroll(SecretEnrollment { secret: Secret::new(value), response })),
            known if is_one_of(known.iter().map(Secret::reveal), &value) => Ok(HandshakeOutcome::Respond(response)),
            _ => Err(SignatureError::AlreadyEnrolled.into()),
        }
    }

    /// Fails with `status` if the request does not match the source's settings.
    fn compare(&self, expected: &Expectation, status: u16, request: &HandshakeRequest<'_>) -> Result<(), VerifyError> {
        let found = request.read(&expected.place.0)?.unwrap_or_default();
        let source = &self.source;
        let matches = match expected.setting {
            Setting::VerifyToken => is_one_of(source.verify_token.iter().map(Secret::reveal), &found),
            Setting::Secret => is_one_of(source.secrets.iter().map(Secret::reveal), &found),
            Setting::Topics => is_one_of(source.topics.iter().map(String::as_str), &found),
        };
        let is_reversed = match &expected.not_when {
            Some(condition) => request.meets(condition)?,
            None => false,
        };
        if matches == is_reversed {
            let place = expected.place.0.to_string();
            return Err(VerifyError::Handshake(HandshakeMismatch { status, place, setting: expected.setting }));
        }
        Ok(())
    }
}

/// The pointers into a JSON body that a handshake needs.
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

/// Compares with all known texts in constant time. Empty texts match nothing.
fn is_one_of<'a>(known: impl Iterator<Item = &'a str>, found: &str) -> bool {
    known.fold(false, |so_far, text| so_far | (!text.is_empty() & bool::from(text.as_bytes().ct_eq(found.as_bytes()))))
}

impl HandshakeRequest<'_> {
    fn meets(&self, condition: &HandshakeCondition) -> Result<bool, ExtractError> {
        let found = self.read(&condition.place)?;
        Ok(found.is_some_and(|text| condition.texts.is_empty() || condition.texts.contains(&text)))
    }

    /// The text that a selector finds. An empty text counts as absent.
    fn read(&self, selector: &Selector) -> Result<Option<String>, ExtractError> {
        let repeated = |_| ExtractError::Repeated(selector.to_string());
        let bytes = match selector {
            Selector::Json(pointer) => return Ok((self.json)(pointer.as_str())?.filter(|text| !text.is_empty())),
            Selector::Header(name) => self.request.headers.one(name).map_err(repeated)?.map(Cow::Borrowed),
            Selector::Query(name) => form::field(self.request.query.as_bytes(), name).map_err(repeated)?,
            _ => None,
        };
        let text = bytes.and_then(|bytes| String::from_utf8(bytes.into_owned()).ok());
        Ok(text.filter(|text| !text.is_empty()))
    }
}

/// Whether a text may be sent back.
fn is_allowed(handshake: &Handshake, text: &str) -> bool {
    let (shortest, longest) = handshake.length;
    let is_allowed = |c: char| match handshake.characters {
        Characters::Text if handshake.signed => !c.is_control(),
        Characters::Text => (' '..='~').contains(&c),
        Characters::Hex => c.is_ascii_digit() || ('a'..='f').contains(&c),
    };
    (shortest..=longest).contains(&text.len()) && text.chars().all(is_allowed)
}

/// Whether the body is a short JSON object with exactly one member.
fn has_one_member(body: &[u8]) -> bool {
    body.len() <= MAX_UNSIGNED_BODY
        && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok_and(|all| all.len() == 1)
}
