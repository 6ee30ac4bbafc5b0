//! An event's names, its id and type, read out of a delivery that was found genuine.
//!
//! Selectors are tried as the scheme lists them; JSON and forms are parsed at most once and only when a selector
//! asks. What goes out can be stored: text, bounded, free of control characters.

use std::borrow::Cow;
use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::case;
use super::form;
use super::json::{self, NotJson, Texts, Wanted};
use super::jwt;
use super::refusal::{Fault, Name};
use super::xml::{self, NotXml};
use crate::model::event::MAX_NAME_BYTES;
use crate::model::request::{Repeated, Request};
use crate::providers::{EventId, EventType, Pointer, Scheme, Selector};

/// A genuine delivery, about to be read.
pub(super) struct Delivery<'a> {
    scheme: &'a Scheme,
    request: &'a Request,
    /// The item of a batch, or all of it.
    body: &'a [u8],
    claims: Option<&'a Value>,
    wanted: &'a Wanted,
    sha256: [u8; 32],
    content: Content,
    json: OnceCell<Result<Texts<'a, 'a>, NotJson>>,
}

/// What Content-Type says of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Form,
    Multipart,
    Other,
}

impl<'a> Delivery<'a> {
    /// `wanted` holds every pointer that will be asked for.
    pub(super) fn new(scheme: &'a Scheme, request: &'a Request, wanted: &'a Wanted, sha256: [u8; 32]) -> Self {
        let content = Content::of(request);
        Self { scheme, request, body: &request.body, claims: None, wanted, sha256, content, json: OnceCell::new() }
    }

    /// One item of it, with the digest of its bytes.
    pub(super) fn item(self, body: &'a [u8], sha256: [u8; 32]) -> Self {
        Self { body, sha256, content: Content::Json, json: OnceCell::new(), ..self }
    }

    /// Of the item, or of the whole body.
    pub(super) fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    pub(super) fn with_claims(self, claims: Option<&'a Value>) -> Self {
        Self { claims, ..self }
    }

    /// The event's id: of the first entry whose parts are all there. One that belongs to the whole delivery tells its
    /// items apart by `index`.
    pub(super) fn event_id(&self, places: &EventId, index: Option<usize>) -> Result<String, Fault> {
        for parts in &places.tries {
            let texts = self.texts(parts)?;
            if texts.len() == parts.len() {
                let id = texts.join(":");
                let is_own = parts.iter().any(Selector::is_of_item);
                let index = index.filter(|_| !is_own).map(|index| format!("#{index}"));
                return bounded(Name::Id, id + &index.unwrap_or_default());
            }
        }
        if places.or_fresh { Ok(uuid::Uuid::new_v4().to_string()) } else { Err(Fault::NoId(listed(&places.tries))) }
    }

    /// The event's type: of the first entry of which anything is there; empty where nothing is.
    pub(super) fn event_type(&self, places: &EventType) -> Result<String, Fault> {
        for parts in &places.tries {
            let texts = self.texts(parts)?;
            if !texts.is_empty() {
                return bounded(Name::Type, texts.join("."));
            }
        }
        Ok(String::new())
    }

    /// What is there of several parts.
    fn texts(&self, parts: &[Selector]) -> Result<Vec<Cow<'_, str>>, Fault> {
        parts.iter().filter_map(|part| self.text(part).transpose()).collect()
    }

    /// What a selector finds; an empty text is none.
    pub(super) fn text(&self, selector: &Selector) -> Result<Option<Cow<'_, str>>, Fault> {
        let found = match selector {
            Selector::Header(name) => self.decoded(
                selector,
                case::header(self.scheme, name, &self.request.headers).map(|value| value.map(Cow::Borrowed)),
            )?,
            Selector::Query(name) => self.decoded(selector, form::field(self.request.query.as_bytes(), name))?,
            Selector::Form(name) => self.form_field(selector, name)?,
            Selector::FormJson(name, pointer) => match self.form_field(selector, name)? {
                Some(document) => Wanted::new(std::iter::once(pointer))
                    .read(document.as_bytes())
                    .map_err(|NotJson| Fault::NotJson)?
                    .at(pointer.as_str())
                    .map(|text| Cow::Owned(text.clone().into_owned())),
                None => None,
            },
            Selector::Json(pointer) => self.json(pointer.as_str())?.map(Cow::Borrowed),
            Selector::BodyJson(pointer) => self.whole(pointer)?,
            Selector::Key(except) => match json::first_key(self.body, except) {
                Ok(key) => key.map(Cow::Owned),
                Err(NotJson) if self.content == Content::Json => return Err(Fault::NotJson),
                Err(NotJson) => None,
            },
            Selector::Xml(pointer) => xml::text(self.body, pointer).map_err(|NotXml| Fault::NotXml)?.map(Cow::Owned),
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
    fn whole(&self, pointer: &Pointer) -> Result<Option<Cow<'_, str>>, Fault> {
        if self.body.len() == self.request.body.len() {
            return Ok(self.json(pointer.as_str())?.map(Cow::Borrowed));
        }
        let wanted = Wanted::new(std::iter::once(pointer));
        let texts = wanted.read(&self.request.body).map_err(|NotJson| Fault::NotJson)?;
        Ok(texts.at(pointer.as_str()).map(|text| Cow::Owned(text.clone().into_owned())))
    }

    /// What a pointer finds. A body that is no JSON holds nothing, unless it claims to be JSON.
    pub(super) fn json(&self, pointer: &str) -> Result<Option<&str>, Fault> {
        match self.json.get_or_init(|| self.wanted.read(self.body)) {
            Ok(texts) => Ok(texts.at(pointer).map(|text| &**text)),
            Err(NotJson) if self.content == Content::Json => Err(Fault::NotJson),
            Err(NotJson) => Ok(None),
        }
    }

    fn form_field(&self, selector: &Selector, name: &str) -> Result<Option<Cow<'_, str>>, Fault> {
        self.decoded(selector, form::of_body(self.request, name))
    }

    fn decoded<'b>(
        &self,
        selector: &Selector,
        found: Result<Option<Cow<'b, [u8]>>, Repeated>,
    ) -> Result<Option<Cow<'b, str>>, Fault> {
        match found {
            Err(Repeated) => Err(Fault::Repeated(selector.to_string())),
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => text_of(bytes).map(Some).ok_or_else(|| Fault::NotText(selector.to_string())),
        }
    }
}

fn packed_xml(text: &str, pointer: &Pointer) -> Result<Option<String>, Fault> {
    let packed: String = text.split_ascii_whitespace().collect();
    let document = STANDARD.decode(packed).map_err(|_| Fault::NotXml)?;
    xml::text(&document, pointer).map_err(|NotXml| Fault::NotXml)
}

fn text_of(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

fn bounded(name: Name, text: String) -> Result<String, Fault> {
    if text.len() > MAX_NAME_BYTES {
        Err(Fault::TooLong(name, text.len()))
    } else if text.chars().any(char::is_control) {
        Err(Fault::Control(name))
    } else {
        Ok(text)
    }
}

/// Places as people write them.
pub(super) fn listed(tries: &[Vec<Selector>]) -> String {
    let joined =
        |parts: &Vec<Selector>| parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(" with ");
    match tries {
        [] => "nowhere".to_owned(),
        _ => tries.iter().map(joined).collect::<Vec<_>>().join(" or "),
    }
}

impl Content {
    pub(super) fn of(request: &Request) -> Self {
        let written = request.headers.all("content-type").next().unwrap_or_default();
        let kind = written.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_json = |kind: &[u8]| {
            kind.eq_ignore_ascii_case(b"application/json")
                || kind.eq_ignore_ascii_case(b"text/json")
                || kind.len() > 5 && kind[kind.len() - 5..].eq_ignore_ascii_case(b"+json")
        };
        if is_json(kind) {
            Self::Json
        } else if kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Self::Form
        } else if kind.eq_ignore_ascii_case(b"multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

/// Every place of the JSON body that a scheme asks for.
pub(super) fn wanted(scheme: &Scheme, further: &[Pointer]) -> Wanted {
    let selectors = scheme.event_id.tries.iter().chain(&scheme.event_type.tries).flatten();
    let pointers = selectors.filter_map(|selector| match selector {
        Selector::Json(pointer) | Selector::BodyJson(pointer) => Some(pointer),
        _ => None,
    });
    Wanted::new(pointers.chain(further))
}
