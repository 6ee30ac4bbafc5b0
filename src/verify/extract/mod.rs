//! An event's names, its id and type, read out of a delivery that was found genuine.
//!
//! Selectors are tried as the scheme lists them; JSON and forms are parsed at most once and only when a selector
//! asks. What goes out can be stored: text, bounded, free of control characters.

pub(crate) mod batch;
pub(crate) mod form;
pub(crate) mod json;
mod xml;

use std::borrow::Cow;
use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use self::form::Content;
use self::json::{NotJson, OneOrMany, Wanted};
use self::xml::NotXml;
use crate::model::event::MAX_NAME_BYTES;
use crate::model::request::{Repeated, Request};
use crate::providers::{EventId, EventType, Pointer, Scheme, Selector};
use crate::verify::context;
use crate::verify::error::{ExtractError, Name};
use crate::verify::jwt;

/// A genuine delivery, about to be read.
pub(crate) struct Delivery<'a> {
    scheme: &'a Scheme,
    request: &'a Request,
    /// The item of a batch, or all of it.
    body: &'a [u8],
    claims: Option<&'a Value>,
    wanted: &'a Wanted,
    sha256: [u8; 32],
    content: Content,
    json: OnceCell<Result<OneOrMany<'a, 'a>, NotJson>>,
}

impl<'a> Delivery<'a> {
    /// `wanted` holds every pointer that will be asked for.
    pub(crate) fn new(scheme: &'a Scheme, request: &'a Request, wanted: &'a Wanted, sha256: [u8; 32]) -> Self {
        let content = Content::of(request);
        Self { scheme, request, body: &request.body, claims: None, wanted, sha256, content, json: OnceCell::new() }
    }

    /// One item of it, with the digest of its bytes.
    pub(crate) fn item(self, body: &'a [u8], sha256: [u8; 32]) -> Self {
        Self { body, sha256, content: Content::Json, json: OnceCell::new(), ..self }
    }

    /// Of the item, or of the whole body.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    pub(crate) fn with_claims(self, claims: Option<&'a Value>) -> Self {
        Self { claims, ..self }
    }

    /// The event's id: of the first entry whose parts are all there. One that belongs to the whole delivery tells its
    /// items apart by `index`.
    pub(crate) fn event_id(&self, places: &EventId, index: Option<usize>) -> Result<String, ExtractError> {
        for parts in &places.alternatives {
            let texts = self.texts(parts)?;
            if texts.len() == parts.len() {
                let id = texts.join(":");
                let is_own = parts.iter().any(Selector::is_of_item);
                let index = index.filter(|_| !is_own).map(|index| format!("#{index}"));
                return bounded(Name::Id, id + &index.unwrap_or_default());
            }
        }
        if places.or_fresh {
            Ok(uuid::Uuid::new_v4().to_string())
        } else {
            Err(ExtractError::NoId(listed(&places.alternatives)))
        }
    }

    /// The event's type: of the first entry of which anything is there; empty where nothing is.
    pub(crate) fn event_type(&self, places: &EventType) -> Result<String, ExtractError> {
        for parts in &places.alternatives {
            let texts = self.texts(parts)?;
            if !texts.is_empty() {
                return bounded(Name::Type, texts.join("."));
            }
        }
        Ok(String::new())
    }

    /// What is there of several parts.
    fn texts(&self, parts: &[Selector]) -> Result<Vec<Cow<'_, str>>, ExtractError> {
        parts.iter().filter_map(|part| self.text(part).transpose()).collect()
    }

    /// What a selector finds; an empty text is none.
    pub(crate) fn text(&self, selector: &Selector) -> Result<Option<Cow<'_, str>>, ExtractError> {
        let found = match selector {
            Selector::Header(name) => self.decoded(
                selector,
                context::header(self.scheme, name, &self.request.headers).map(|value| value.map(Cow::Borrowed)),
            )?,
            Selector::Query(name) => self.decoded(selector, form::field(self.request.query.as_bytes(), name))?,
            Selector::Form(name) => self.form_field(selector, name)?,
            Selector::FormJson(name, pointer) => match self.form_field(selector, name)? {
                Some(document) => Wanted::new(std::iter::once(pointer))
                    .read(document.as_bytes())
                    .map_err(|NotJson| ExtractError::NotJson)?
                    .at(pointer.as_str())
                    .map(|text| Cow::Owned(text.clone().into_owned())),
                None => None,
            },
            Selector::Json(pointer) => self.json(pointer.as_str())?.map(Cow::Borrowed),
            Selector::BodyJson(pointer) => self.whole(pointer)?,
            Selector::Key(except) => match json::first_key(self.body, except) {
                Ok(key) => key.map(Cow::Owned),
                Err(NotJson) if self.content == Content::Json => return Err(ExtractError::NotJson),
                Err(NotJson) => None,
            },
            Selector::Xml(pointer) => {
                xml::text(self.body, pointer).map_err(|NotXml| ExtractError::NotXml)?.map(Cow::Owned)
            }
            Selector::FormXml(name, pointer) => match self.form_field(selector, name)? {
                Some(text) => packed_xml(&text, pointer)?.map(Cow::Owned),
                None => None,
            },
            Selector::Claim(pointer) => self.claims.and_then(|claims| jwt::text(claims, pointer.steps())),
            Selector::Body => Some(Cow::Owned(hex::encode(self.sha256))),
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    /// What a pointer finds in the whole body.
    fn whole(&self, pointer: &Pointer) -> Result<Option<Cow<'_, str>>, ExtractError> {
        if self.body.len() == self.request.body.len() {
            return Ok(self.json(pointer.as_str())?.map(Cow::Borrowed));
        }
        let wanted = Wanted::new(std::iter::once(pointer));
        let texts = wanted.read(&self.request.body).map_err(|NotJson| ExtractError::NotJson)?;
        Ok(texts.at(pointer.as_str()).map(|text| Cow::Owned(text.clone().into_owned())))
    }

    /// What a pointer finds. A body that is no JSON holds nothing, unless it claims to be JSON.
    pub(crate) fn json(&self, pointer: &str) -> Result<Option<&str>, ExtractError> {
        match self.json.get_or_init(|| self.wanted.read(self.body)) {
            Ok(texts) => Ok(texts.at(pointer).map(|text| &**text)),
            Err(NotJson) if self.content == Content::Json => Err(ExtractError::NotJson),
            Err(NotJson) => Ok(None),
        }
    }

    fn form_field(&self, selector: &Selector, name: &str) -> Result<Option<Cow<'_, str>>, ExtractError> {
        self.decoded(selector, form::of_body(self.request, name))
    }

    fn decoded<'b>(
        &self,
        selector: &Selector,
        found: Result<Option<Cow<'b, [u8]>>, Repeated>,
    ) -> Result<Option<Cow<'b, str>>, ExtractError> {
        match found {
            Err(Repeated) => Err(ExtractError::Repeated(selector.to_string())),
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => text_of(bytes).map(Some).ok_or_else(|| ExtractError::NotText(selector.to_string())),
        }
    }
}

fn packed_xml(text: &str, pointer: &Pointer) -> Result<Option<String>, ExtractError> {
    let packed: String = text.split_ascii_whitespace().collect();
    let document = STANDARD.decode(packed).map_err(|_| ExtractError::NotXml)?;
    xml::text(&document, pointer).map_err(|NotXml| ExtractError::NotXml)
}

fn text_of(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

fn bounded(name: Name, text: String) -> Result<String, ExtractError> {
    if text.len() > MAX_NAME_BYTES {
        Err(ExtractError::TooLong(name, text.len()))
    } else if text.chars().any(char::is_control) {
        Err(ExtractError::ControlCharacter(name))
    } else {
        Ok(text)
    }
}

/// Places as people write them.
pub(crate) fn listed(tries: &[Vec<Selector>]) -> String {
    let joined =
        |parts: &Vec<Selector>| parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(" with ");
    match tries {
        [] => "nowhere".to_owned(),
        _ => tries.iter().map(joined).collect::<Vec<_>>().join(" or "),
    }
}

/// Every place of the JSON body that a scheme asks for.
pub(crate) fn wanted(scheme: &Scheme, further: &[Pointer]) -> Wanted {
    let selectors = scheme.event_id.alternatives.iter().chain(&scheme.event_type.alternatives).flatten();
    let pointers = selectors.filter_map(|selector| match selector {
        Selector::Json(pointer) | Selector::BodyJson(pointer) => Some(pointer),
        _ => None,
    });
    Wanted::new(pointers.chain(further))
}
