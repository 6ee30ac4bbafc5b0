//! Reads the id and type of each event from a genuine delivery.
//!
//! Selectors are tried in the order of the scheme. One that cannot be read is skipped. JSON is parsed at most once, and
//! only if a selector needs it; a body in another format is presented as JSON. The results can be stored: UTF-8, bounded
//! in length, without control characters.

pub(super) mod batch;
mod document;
mod encoding;
pub(super) mod form;
pub(super) mod json;
mod xml;

use std::borrow::Cow;
use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::document::without_mark;
pub use self::document::{BodyHeaders, read_values};
pub(super) use self::encoding::unpacked;
use self::form::BodyFormat;
use self::json::{NotJson, PointerValues, Pointers};
use self::xml::NotXml;
use super::context::{FieldValue, header};
use super::error::{EventField, ExtractError};
use super::jwt::claim_text;
use crate::model::event::{MAX_NAME_BYTES, id_with_digest};
use crate::model::request::{Repeated, Request};
use crate::providers::{EventId, EventType, IdScope, Pointer, Scheme, Selector};

/// Reads one event: a whole delivery, or one item of its batch.
pub(super) struct EventReader<'a> {
    scheme: &'a Scheme,
    request: &'a Request,
    body: &'a [u8],
    claims: Option<&'a Value>,
    /// The signed timestamp as received.
    timestamp: Option<&'a [u8]>,
    /// Every pointer into the body's JSON that will be needed.
    pointers: &'a Pointers,
    /// Of `body`.
    sha256: [u8; 32],
    format: BodyFormat,
    json: OnceCell<Result<PointerValues<'a, 'a>, NotJson>>,
}

impl<'a> EventReader<'a> {
    /// Reads the whole body.
    pub(super) fn new(
        scheme: &'a Scheme,
        request: &'a Request,
        pointers: &'a Pointers,
        claims: Option<&'a Value>,
        timestamp: Option<&'a [u8]>,
    ) -> Self {
        let sha256 = Sha256::digest(&request.body).into();
        let format = BodyFormat::of(request);
        Self {
            scheme,
            request,
            body: &request.body,
            claims,
            timestamp,
            pointers,
            sha256,
            format,
            json: OnceCell::new(),
        }
    }

    /// Reads one item of the batch.
    pub(super) fn item<'b>(&self, body: &'b [u8]) -> EventReader<'b>
    where
        'a: 'b,
    {
        let Self { scheme, request, claims, timestamp, pointers, .. } = *self;
        let sha256 = Sha256::digest(body).into();
        EventReader {
            scheme,
            request,
            body,
            claims,
            timestamp,
            pointers,
            sha256,
            format: BodyFormat::Json,
            json: OnceCell::new(),
        }
    }

    /// The same reader for a request that was unpacked: the digest is that of the bytes received.
    pub(super) fn received_as(self, body: &[u8]) -> Self {
        if body.len() == self.body.len() && body.as_ptr() == self.body.as_ptr() {
            return self;
        }
        Self { sha256: Sha256::digest(body).into(), ..self }
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The id from the first entry whose parts are all present. If the id belongs to the whole delivery, `index` is
    /// appended to distinguish the items of a batch.
    pub(super) fn event_id(&self, places: &EventId, index: Option<usize>) -> Result<String, ExtractError> {
        if places.scope == IdScope::None {
            return Ok(fresh_id());
        }
        let mut unreadable = None;
        for parts in &places.alternatives {
            let found = self.texts(parts).and_then(|texts| {
                if texts.len() < parts.len() {
                    return Ok(None);
                }
                let mut id = texts.join(":");
                if let Some(index) = index.filter(|_| !parts.iter().any(Selector::is_of_item)) {
                    id.push_str(&format!("#{index}"));
                }
                checked(EventField::Id, id).map(Some)
            });
            let found = found.unwrap_or_else(|error| {
                unreadable.get_or_insert(error);
                None
            });
            if let Some(id) = found {
                let is_of_object = places.scope == IdScope::Object && !parts.contains(&Selector::Body);
                // The inbox knows the digests of bodies only. Otherwise it appends the digest when necessary.
                let has_digest = is_of_object && !places.digest.is_body_only();
                return Ok(if has_digest { id_with_digest(&id, &self.digest()) } else { id });
            }
        }
        if places.or_fresh {
            return Ok(fresh_id());
        }
        Err(unreadable.unwrap_or_else(|| ExtractError::NoId(describe_selectors(&places.alternatives))))
    }

    /// SHA-256 of the body, and of the type and signed timestamp if the scheme includes them.
    fn digest(&self) -> [u8; 32] {
        let content = self.scheme.event_id.digest;
        if content.is_body_only() {
            return self.sha256;
        }
        let event_type = content.event_type.then(|| self.event_type(&self.scheme.event_type));
        let timestamp = self.timestamp.filter(|_| content.timestamp);
        Sha256::new_with_prefix(self.sha256)
            .chain_update(event_type.unwrap_or_default())
            .chain_update([0])
            .chain_update(timestamp.unwrap_or_default())
            .finalize()
            .into()
    }

    /// The type from the first entry of which any part can be read; empty if there is none.
    pub(super) fn event_type(&self, places: &EventType) -> String {
        let readable = |parts: &Vec<Selector>| {
            // `json:/x` reads the JSON of a form's message too.
            let is_repeated = |part: &&Selector| match part {
                Selector::FormJson(_, pointer) => {
                    parts.iter().any(|other| matches!(other, Selector::Json(known) if known == pointer))
                }
                _ => false,
            };
            let distinct = parts.iter().filter(|part| !is_repeated(part));
            let texts: Vec<_> = distinct.filter_map(|part| self.text(part).ok().flatten()).collect();
            checked(EventField::Type, texts.join(".")).ok().filter(|text| !text.is_empty())
        };
        places.alternatives.iter().find_map(readable).unwrap_or_default()
    }

    fn texts(&self, parts: &[Selector]) -> Result<Vec<Cow<'_, str>>, ExtractError> {
        parts.iter().filter_map(|part| self.text(part).transpose()).collect()
    }

    /// The text that a selector finds. An empty text counts as absent.
    pub(super) fn text(&self, selector: &Selector) -> Result<Option<Cow<'_, str>>, ExtractError> {
        let found = match selector {
            Selector::Header(name) => {
                let value = header(self.scheme, name, &self.request.headers);
                decoded(selector, value.map(|value| value.map(Cow::Borrowed)))?
            }
            Selector::Query(name) => decoded(selector, form::field(self.request.query.as_bytes(), name))?,
            Selector::Form(name) => self.form_field(selector, name)?,
            Selector::FormJson(name, pointer) => match self.form_field(selector, name)? {
                Some(document) => one_pointer(document.as_bytes(), pointer)?.map(Cow::Owned),
                None => None,
            },
            Selector::Json(pointer) => self.json(pointer.as_str())?.map(Cow::Borrowed),
            Selector::BodyJson(pointer) if self.body.len() == self.request.body.len() => {
                self.json(pointer.as_str())?.map(Cow::Borrowed)
            }
            Selector::BodyJson(pointer) => one_pointer(&self.request.body, pointer)?.map(Cow::Owned),
            Selector::Key(except) => match json::first_key(without_mark(self.body), except) {
                Ok(key) => key.map(Cow::Owned),
                Err(NotJson) if self.format == BodyFormat::Json => return Err(ExtractError::NotJson),
                Err(NotJson) => None,
            },
            Selector::Xml(pointer) => xml_text(without_mark(self.body), pointer)?.map(Cow::Owned),
            Selector::FormXml(name, pointer) => match self.form_field(selector, name)? {
                Some(text) => {
                    let packed: String = text.split_ascii_whitespace().collect();
                    let document = STANDARD.decode(packed).map_err(|_| ExtractError::NotXml)?;
                    xml_text(&document, pointer)?.map(Cow::Owned)
                }
                None => None,
            },
            Selector::Claim(pointer) => self.claims.and_then(|claims| claim_text(claims, pointer.steps())),
            Selector::Body => Some(Cow::Owned(hex::encode(self.digest()))),
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    /// The text at a pointer into `body`. A body that cannot be presented as JSON has none, unless its Content-Type is
    /// JSON.
    pub(super) fn json(&self, pointer: &str) -> Result<Option<&str>, ExtractError> {
        match self.json.get_or_init(|| self.read_json()) {
            Ok(values) => Ok(values.at(pointer).map(|text| &**text)),
            Err(NotJson) if self.format == BodyFormat::Json => Err(ExtractError::NotJson),
            Err(NotJson) => Ok(None),
        }
    }

    fn read_json(&self) -> Result<PointerValues<'a, 'a>, NotJson> {
        if let Ok(values) = self.pointers.read(self.body) {
            return Ok(values);
        }
        let json = document::to_json(self.body, &self.headers()).ok_or(NotJson)?;
        self.pointers.read(&json).map(PointerValues::into_owned)
    }

    fn headers(&self) -> BodyHeaders {
        let value = |name| {
            let value = self.request.headers.all(name).next()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        BodyHeaders { content_type: value("content-type"), content_encoding: value("content-encoding") }
    }

    fn form_field(&self, selector: &Selector, name: &str) -> Result<Option<Cow<'_, str>>, ExtractError> {
        decoded(selector, form::body_field(self.request, name))
    }
}

fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn decoded<'b>(selector: &Selector, found: FieldValue<'b>) -> Result<Option<Cow<'b, str>>, ExtractError> {
    let text = match found.map_err(|Repeated| ExtractError::Repeated(selector.to_string()))? {
        None => return Ok(None),
        Some(Cow::Borrowed(bytes)) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Some(Cow::Owned(bytes)) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.map(Some).ok_or_else(|| ExtractError::NotText(selector.to_string()))
}

fn one_pointer(document: &[u8], pointer: &Pointer) -> Result<Option<String>, ExtractError> {
    let pointers = Pointers::new(std::iter::once(pointer));
    let values = pointers.read(without_mark(document)).map_err(|NotJson| ExtractError::NotJson)?;
    Ok(values.at(pointer.as_str()).map(|text| text.clone().into_owned()))
}

fn xml_text(document: &[u8], pointer: &Pointer) -> Result<Option<String>, ExtractError> {
    xml::text(document, pointer).map_err(|NotXml| ExtractError::NotXml)
}

fn checked(field: EventField, text: String) -> Result<String, ExtractError> {
    if text.len() > MAX_NAME_BYTES {
        Err(ExtractError::TooLong(field, text.len()))
    } else if text.chars().any(char::is_control) {
        Err(ExtractError::ControlCharacter(field))
    } else {
        Ok(text)
    }
}

/// Selectors for a message: "`header:X-Id` or `json:/a` with `json:/b`".
pub(super) fn describe_selectors(tries: &[Vec<Selector>]) -> String {
    let joined =
        |parts: &Vec<Selector>| parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(" with ");
    match tries {
        [] => "nowhere".to_owned(),
        _ => tries.iter().map(joined).collect::<Vec<_>>().join(" or "),
    }
}

/// Every pointer into the body's JSON that a scheme needs, and further ones.
pub(super) fn pointers(scheme: &Scheme, further: &[Pointer]) -> Pointers {
    let selectors = scheme.event_id.alternatives.iter().chain(&scheme.event_type.alternatives).flatten();
    let pointers = selectors.filter_map(|selector| match selector {
        Selector::Json(pointer) | Selector::BodyJson(pointer) => Some(pointer),
        _ => None,
    });
    Pointers::new(pointers.chain(further))
}
