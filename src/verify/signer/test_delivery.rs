//! A test delivery before it is signed, with id and type set where its source reads them.
//!
//! Every edit is checked by reading the delivery as the source would. An edit that has no effect is undone.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::json_edit::{json_of, with_member, wrap_batch, wrap_sns_message};
use crate::config::Source;
use crate::model::request::{Headers, Request};
use crate::providers::{AuthMethod, BuiltinScheme, EventId, Pointer, Scheme, Selector, ValueLocation};
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::context::Context;
use crate::verify::extract::form::BodyFormat;
use crate::verify::extract::{EventReader, batch, describe_selectors, form, pointers};

const FORM: &str = "application/x-www-form-urlencoded";

/// An event to be signed.
#[derive(Debug, Clone, Default)]
pub struct TestEvent {
    /// If empty, the type comes from the body.
    pub event_type: String,
    /// If `None`, the id comes from the body, or else is a fresh one.
    pub event_id: Option<String>,
    /// Sent unchanged, except that id and type are added to a JSON object where the source reads them, and that a
    /// single event is wrapped if the provider sends batches.
    pub body: Vec<u8>,
    /// Defaults to what the provider sends.
    pub content_type: Option<String>,
    pub defect: Defect,
    /// In PEM (PKCS #8), for schemes that verify with a public key.
    pub private_key: Option<Secret>,
}

/// A reason for which a test delivery must be rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defect {
    #[default]
    None,
    /// Signed with a key that is not the source's.
    WrongSignature,
    /// Signed longer ago than the tolerance.
    Stale,
}

/// A text that was never used before.
pub(super) fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

pub(super) struct TestDelivery<'a> {
    pub(super) source: &'a Source,
    pub(super) request: Request,
}

impl<'a> TestDelivery<'a> {
    pub(super) fn new(source: &'a Source, event: &TestEvent, now: Millis) -> Result<Self, String> {
        let scheme = &source.scheme;
        let is_form = event.content_type.is_none() && scheme.is_form();
        let content_type = if is_form { FORM } else { event.content_type.as_deref().unwrap_or("application/json") };
        let mut headers = Headers::default();
        headers.push("content-type", content_type.as_bytes());
        let body = match (&scheme.batch, packed_xml_field(scheme)) {
            (Some(batch), _) => wrap_batch(batch, &event.body)?,
            (None, Some(field)) if event.body.starts_with(b"<") => {
                form::with_field(b"", field, &STANDARD.encode(&event.body)).into_bytes()
            }
            (None, _) if is_form && event.body.starts_with(b"{") => Vec::new(),
            _ if scheme.auth == AuthMethod::Builtin(BuiltinScheme::AwsSns) => wrap_sns_message(&event.body),
            _ => event.body.clone(),
        };
        let request = Request {
            method: "POST".to_owned(),
            path: source.path.clone(),
            query: String::new(),
            headers,
            body: body.into(),
            received_at: now,
        };
        Ok(Self { source, request })
    }

    /// Makes the source read this type. The body may refine it (`issues.opened` for `issues`).
    pub(super) fn put_type(&mut self, event_type: &str) -> Result<(), String> {
        let tries = &self.source.scheme.event_type.alternatives;
        let is_read = |delivery: &Self| {
            let found = delivery.read(|reader, _| Some(reader.event_type(&delivery.source.scheme.event_type)));
            let rest = found.as_deref().and_then(|found| found.strip_prefix(event_type));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if event_type.is_empty() || is_read(self) || is_token_claim(tries) {
            return Ok(());
        }
        if tries.is_empty() {
            return Err(format!("deliveries of this source have no type, so `{event_type}` cannot be set"));
        }
        for parts in tries {
            let before = self.request.clone();
            self.put_all(parts, event_type.splitn(parts.len(), '.'));
            if is_read(self) {
                return Ok(());
            }
            self.request = before;
        }
        Err(format!("type `{event_type}` cannot be set where this source reads it: {}", describe_selectors(tries)))
    }

    /// Makes the source read this id. Without one, keeps the body's own id or sets a fresh one.
    pub(super) fn put_id(&mut self, id: Option<&str>) -> Result<(), String> {
        let mut places = self.source.scheme.event_id.clone();
        let is_read = |delivery: &Self, places: &EventId| {
            // The given id may be the first part of a joined id, or come without an item's index or a digest.
            let is_whole = |rest: &str| rest.is_empty() || rest.starts_with(['#', ':']);
            let is_wanted = |found: &str| id.is_none_or(|id| found.strip_prefix(id).is_some_and(is_whole));
            delivery.read(|reader, index| reader.event_id(places, index).ok()).is_some_and(|found| is_wanted(&found))
        };
        // A digest of the body always exists, but an id that can be set is preferred.
        places.alternatives.retain(|parts| parts.iter().any(|part| *part != Selector::Body));
        places.or_fresh = false;
        let is_claim = |part: &Selector| matches!(part, Selector::Claim(_));
        let comes_from_token =
            id.is_none() && !places.alternatives.is_empty() && places.alternatives.iter().flatten().all(is_claim);
        if is_read(self, &places) || is_token_claim(&places.alternatives) || comes_from_token {
            return Ok(());
        }
        for parts in &places.alternatives {
            let before = self.request.clone();
            let parts: Vec<_> = parts.iter().filter(|part| **part != Selector::Body).cloned().collect();
            match id {
                Some(id) => self.put_all(&parts, id.splitn(parts.len(), ':')),
                None => {
                    let absent: Vec<_> = parts.into_iter().filter(|part| self.text(part).is_none()).collect();
                    for part in &absent {
                        self.put(part, &fresh());
                    }
                }
            }
            if is_read(self, &self.source.scheme.event_id) {
                return Ok(());
            }
            self.request = before;
        }
        if is_read(self, &self.source.scheme.event_id) {
            return Ok(());
        }
        let places = describe_selectors(&self.source.scheme.event_id.alternatives);
        Err(format!("an id cannot be set where this source reads it: {places}"))
    }

    /// Sets the texts in the parts, in order, skipping parts that cannot take their text.
    fn put_all<'t>(&mut self, parts: &[Selector], texts: impl Iterator<Item = &'t str>) {
        let mut parts = parts.iter();
        for text in texts {
            parts.find(|part| self.text(part).as_deref() == Some(text) || self.put(part, text));
        }
    }

    fn put(&mut self, part: &Selector, text: &str) -> bool {
        match part {
            Selector::Header(name) => self.request.headers.push(name, text.as_bytes()),
            Selector::Query(name) => form::push(&mut self.request.query, name, text),
            Selector::Json(pointer) => return self.put_member(&self.item_steps(0, pointer.steps()), text.into()),
            Selector::BodyJson(pointer) => return self.put_member(pointer.steps(), text.into()),
            Selector::Key(_) => {
                return self.put_member(&self.item_steps(0, &[text.to_owned()]), Value::Object(Map::new()));
            }
            Selector::Form(name) => return self.put_field(name, text),
            Selector::FormJson(name, pointer) => return self.put_form_member(name, pointer, text),
            Selector::Xml(_) | Selector::FormXml(..) | Selector::Claim(_) | Selector::Body => return false,
        }
        true
    }

    pub(super) fn put_at(&mut self, place: &ValueLocation, value: &str) {
        match place {
            ValueLocation::Header(name) => self.request.headers.push(name, value.as_bytes()),
            ValueLocation::Numbered(prefix) => self.request.headers.push(&format!("{prefix}1"), value.as_bytes()),
            ValueLocation::Query(name) => form::push(&mut self.request.query, name, value),
            ValueLocation::Json(pointer) => _ = self.put_member(pointer.steps(), json_of(value)),
            ValueLocation::Form(name) => _ = self.put_field(name, value),
            ValueLocation::FormJson(name, pointer) => _ = self.put_form_member(name, pointer, value),
            ValueLocation::Body => self.request.body = value.to_owned().into(),
            ValueLocation::Item(_) => {}
        }
    }

    pub(super) fn put_if_absent(&mut self, place: &ValueLocation, value: &str) {
        if matches!(Context::new(self.source, &[], &self.request).value(place), Ok(None)) {
            self.put_at(place, value);
        }
    }

    /// Sets the signature of each item of the batch.
    pub(super) fn sign_items(
        &mut self,
        pointer: &Pointer,
        signature: impl Fn(&Request, &[u8]) -> Result<String, String>,
    ) -> Result<(), String> {
        let batch = self.source.scheme.batch.as_ref().ok_or("there is no batch")?;
        let items = batch::split(batch, &self.request).map_err(|error| error.to_string())?.unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let value = signature(&self.request, item)?;
            self.put_member(&self.item_steps(index, pointer.steps()), Value::from(value));
        }
        Ok(())
    }

    /// The steps to a place in an item of the batch, or in the body if there is no batch.
    fn item_steps(&self, index: usize, steps: &[String]) -> Vec<String> {
        let Some(batch) = &self.source.scheme.batch else { return steps.to_vec() };
        let inner = batch.inner.iter().chain(steps).cloned();
        batch.steps.iter().cloned().chain([index.to_string()]).chain(inner).collect()
    }

    fn put_member(&mut self, steps: &[String], value: Value) -> bool {
        if let Some(name) = self.source.scheme.batch.as_ref().and_then(|batch| batch.form.clone()) {
            let Some(text) = with_member(&self.field(&name), steps, value) else { return false };
            self.request.body = form::with_field(&self.request.body, &name, &text).into();
            return true;
        }
        let Some(text) = with_member(&self.request.body, steps, value) else { return false };
        self.request.body = text.into();
        true
    }

    fn field(&self, name: &str) -> Vec<u8> {
        form::body_field(&self.request, name).ok().flatten().map(Cow::into_owned).unwrap_or_default()
    }

    fn put_field(&mut self, name: &str, text: &str) -> bool {
        if BodyFormat::of(&self.request) != BodyFormat::Form {
            return false;
        }
        self.request.body = form::with_field(&self.request.body, name, text).into();
        true
    }

    fn put_form_member(&mut self, name: &str, pointer: &Pointer, text: &str) -> bool {
        let member = with_member(&self.field(name), pointer.steps(), Value::from(text));
        member.is_some_and(|text| self.put_field(name, &text))
    }

    fn text(&self, part: &Selector) -> Option<String> {
        self.read(|reader, _| reader.text(part).ok().flatten().map(Cow::into_owned))
    }

    /// Reads as the source would: the body, or the first item of its batch.
    fn read<T>(&self, read: impl Fn(&EventReader<'_>, Option<usize>) -> T) -> T {
        let pointers = pointers(&self.source.scheme, &[]);
        let whole = EventReader::new(&self.source.scheme, &self.request, &pointers, None, None);
        let items =
            self.source.scheme.batch.as_ref().and_then(|batch| batch::split(batch, &self.request).ok().flatten());
        match items.as_ref().and_then(|items| items.first()) {
            Some(item) => read(&whole.item(item), Some(0)),
            None => read(&whole, None),
        }
    }
}

/// The form field that contains XML in base64.
fn packed_xml_field(scheme: &Scheme) -> Option<&str> {
    let tries = scheme.event_type.alternatives.iter().chain(&scheme.event_id.alternatives);
    tries.flatten().find_map(|part| match part {
        Selector::FormXml(name, _) => Some(name.as_str()),
        _ => None,
    })
}

/// Whether the first choice is a claim of a token, whatever the body contains.
fn is_token_claim(tries: &[Vec<Selector>]) -> bool {
    tries.first().is_some_and(|parts| matches!(parts[..], [Selector::Claim(_)]))
}
