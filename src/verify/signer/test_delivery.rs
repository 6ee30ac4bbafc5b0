//! A delivery in the making: id and type are put where the source will look for them.
//!
//! What stands there already and reads as wanted is left alone, so that a provider's own payload goes out byte for
//! byte. Otherwise headers, query and forms get a field, and JSON objects a member (their keys come out sorted).
//! Where the provider sends batches, a body that is none becomes the one item of one.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::model::request::{Headers, Request};
use crate::providers::{AuthMethod, BuiltinScheme, EventId, Pointer, Scheme, Selector, ValueLocation};
use crate::support::time::Millis;
use crate::verify::context::{Case, Own};
use crate::verify::extract::batch;
use crate::verify::extract::form;
use crate::verify::extract::form::Content;
use crate::verify::extract::{Delivery, listed, wanted};
use crate::verify::signer::TestEvent;
use crate::verify::signer::json_edit::{json_of, with_member, wrapped, wrapped_message};

const FORM: &str = "application/x-www-form-urlencoded";

/// A text that nobody has seen before.
pub(super) fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A request without signature.
pub(super) struct Draft<'a> {
    pub(super) scheme: &'a Scheme,
    pub(super) request: Request,
}

impl<'a> Draft<'a> {
    pub(super) fn new(scheme: &'a Scheme, path: &str, event: &TestEvent, now: Millis) -> Result<Self, String> {
        let is_form = event.content_type.is_none() && scheme.is_form();
        let content_type = if is_form { FORM } else { event.content_type.as_deref().unwrap_or("application/json") };
        let mut headers = Headers::default();
        headers.push("content-type", content_type.as_bytes());
        let body = match (&scheme.batch, packed_xml(scheme)) {
            (Some(batch), _) => wrapped(batch, &event.body)?,
            (None, Some(field)) if event.body.starts_with(b"<") => {
                form::replaced(b"", field, &STANDARD.encode(&event.body)).into_bytes()
            }
            (None, _) if is_form && event.body.starts_with(b"{") => Vec::new(),
            _ if scheme.auth == AuthMethod::Builtin(BuiltinScheme::AwsSns) => wrapped_message(&event.body),
            _ => event.body.clone(),
        };
        let request = Request {
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers,
            body: body.into(),
            received_at: now,
        };
        Ok(Self { scheme, request })
    }

    /// Makes the delivery read as of this type; a body may say it more exactly (`issues.opened` for `issues`).
    pub(super) fn put_type(&mut self, wanted: &str) -> Result<(), String> {
        let tries = &self.scheme.event_type.alternatives;
        let reads_as_wanted = |draft: &Self| draft.event_type().is_some_and(|read| is_of_type(&read, wanted));
        if wanted.is_empty() || reads_as_wanted(self) || is_claimed(tries) {
            return Ok(());
        }
        if tries.is_empty() {
            return Err(format!("deliveries of this source have no type, so `{wanted}` cannot be said: leave it out"));
        }
        for parts in tries {
            let before = self.request.clone();
            self.put_all(parts, wanted.splitn(parts.len(), '.'));
            if reads_as_wanted(self) {
                return Ok(());
            }
            self.request = before;
        }
        Err(format!("type `{wanted}` cannot be put where this source looks for it: {}", listed(tries)))
    }

    /// Makes the delivery carry this id, or, unless given, the body's own or else a fresh one.
    pub(super) fn put_id(&mut self, wanted: Option<&str>) -> Result<(), String> {
        let mut places = self.scheme.event_id.clone();
        let reads_as_wanted = |draft: &Self, places: &EventId| {
            // Of a joined id the first part may be asked for, and of a batch's what belongs to the delivery.
            let begins = |rest: &str| rest.is_empty() || rest == "#0" || rest.starts_with(':');
            let is_wanted = |read: &str| wanted.is_none_or(|wanted| read.strip_prefix(wanted).is_some_and(begins));
            draft.event_id(places).is_some_and(|read| is_wanted(&read))
        };
        // A digest is always there; where an id can be chosen, it is.
        places.alternatives.retain(|parts| parts.iter().any(|part| *part != Selector::Body));
        places.or_fresh = false;
        let is_made =
            wanted.is_none() && places.alternatives.iter().flatten().all(|part| matches!(part, Selector::Claim(_)));
        if reads_as_wanted(self, &places)
            || is_claimed(&places.alternatives)
            || is_made && !places.alternatives.is_empty()
        {
            return Ok(());
        }
        for parts in &places.alternatives {
            let before = self.request.clone();
            let parts: Vec<_> = parts.iter().filter(|part| **part != Selector::Body).cloned().collect();
            match wanted {
                Some(wanted) => self.put_all(&parts, wanted.splitn(parts.len(), ':')),
                None => {
                    let absent: Vec<_> = parts.into_iter().filter(|part| self.reads(part).is_none()).collect();
                    for part in &absent {
                        self.put(part, &fresh());
                    }
                }
            }
            if reads_as_wanted(self, &self.scheme.event_id) {
                return Ok(());
            }
            self.request = before;
        }
        if reads_as_wanted(self, &self.scheme.event_id) {
            return Ok(());
        }
        Err(format!(
            "an id cannot be put where this source looks for it: {}",
            listed(&self.scheme.event_id.alternatives)
        ))
    }

    /// Puts texts into parts, one each, in order; a part that cannot take its text is passed over.
    fn put_all<'t>(&mut self, parts: &[Selector], texts: impl Iterator<Item = &'t str>) {
        let mut parts = parts.iter();
        for text in texts {
            parts.find(|part| self.reads(part).as_deref() == Some(text) || self.put(part, text));
        }
    }

    fn put(&mut self, part: &Selector, text: &str) -> bool {
        match part {
            Selector::Header(name) => self.request.headers.push(name, text.as_bytes()),
            Selector::Query(name) => form::push(&mut self.request.query, name, text),
            Selector::Json(pointer) => return self.put_member(&self.to_item(pointer), Value::from(text)),
            Selector::BodyJson(pointer) => return self.put_member(pointer.steps(), Value::from(text)),
            Selector::Key(_) => {
                return self.put_member(&self.item_steps(&[text.to_owned()]), Value::Object(Map::new()));
            }
            Selector::Form(name) => return self.put_field(name, text),
            Selector::FormJson(name, pointer) => return self.put_form_member(name, pointer, text),
            Selector::Xml(_) | Selector::FormXml(..) | Selector::Claim(_) | Selector::Body => return false,
        }
        true
    }

    /// Puts a value in a place of its own.
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
        let own = Own::default();
        let case = Case { scheme: self.scheme, own: &own, request: &self.request, item: None };
        if matches!(case.value(place), Ok(None)) {
            self.put_at(place, value);
        }
    }

    /// Puts into each item of the batch what is made of the request and the item.
    pub(super) fn sign_items(
        &mut self,
        pointer: &Pointer,
        make: impl Fn(&Request, &[u8]) -> Result<String, String>,
    ) -> Result<(), String> {
        let batch = self.scheme.batch.as_ref().ok_or("there is no batch")?;
        let items = batch::split(batch, &self.request).map_err(|fault| fault.to_string())?.unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let value = make(&self.request, item)?;
            let steps: Vec<_> = batch.steps.iter().cloned().chain([index.to_string()]).collect();
            let steps: Vec<_> = steps.into_iter().chain(batch.inner.iter().chain(pointer.steps()).cloned()).collect();
            self.put_member(&steps, Value::from(value));
        }
        Ok(())
    }

    /// The steps to a place of the batch's first item.
    fn item_steps(&self, steps: &[String]) -> Vec<String> {
        let Some(batch) = &self.scheme.batch else { return steps.to_vec() };
        batch.steps.iter().cloned().chain(["0".to_owned()]).chain(batch.inner.iter().chain(steps).cloned()).collect()
    }

    fn to_item(&self, pointer: &Pointer) -> Vec<String> {
        self.item_steps(pointer.steps())
    }

    fn put_member(&mut self, steps: &[String], value: Value) -> bool {
        if let Some(name) = self.scheme.batch.as_ref().and_then(|batch| batch.form.clone()) {
            let document = form::of_body(&self.request, &name).ok().flatten().map(Cow::into_owned).unwrap_or_default();
            let Some(text) = with_member(&document, steps, value) else { return false };
            self.request.body = form::replaced(&self.request.body, &name, &text).into();
            return true;
        }
        let Some(text) = with_member(&self.request.body, steps, value) else { return false };
        self.request.body = text.into();
        true
    }

    fn put_field(&mut self, name: &str, text: &str) -> bool {
        if Content::of(&self.request) != Content::Form {
            return false;
        }
        self.request.body = form::replaced(&self.request.body, name, text).into();
        true
    }

    fn put_form_member(&mut self, name: &str, pointer: &Pointer, text: &str) -> bool {
        let document = form::of_body(&self.request, name).ok().flatten().map(Cow::into_owned).unwrap_or_default();
        with_member(&document, pointer.steps(), Value::from(text)).is_some_and(|text| self.put_field(name, &text))
    }

    fn event_type(&self) -> Option<String> {
        self.delivered(|delivery, _| delivery.event_type(&self.scheme.event_type).ok())
    }

    fn event_id(&self, places: &EventId) -> Option<String> {
        self.delivered(|delivery, index| delivery.event_id(places, index).ok())
    }

    fn reads(&self, part: &Selector) -> Option<String> {
        self.delivered(|delivery, _| delivery.text(part).ok().flatten().map(Cow::into_owned))
    }

    /// What the source would read, of a batch its first item.
    fn delivered<T>(&self, read: impl Fn(&Delivery<'_>, Option<usize>) -> T) -> T {
        let wanted = wanted(self.scheme, &[]);
        let whole = Delivery::new(self.scheme, &self.request, &wanted, Sha256::digest(&self.request.body).into());
        let items = self.scheme.batch.as_ref().and_then(|batch| batch::split(batch, &self.request).ok().flatten());
        match items.as_ref().and_then(|items| items.first()) {
            Some(item) => read(&whole.item(item, Sha256::digest(item).into()), Some(0)),
            None => read(&whole, None),
        }
    }
}

/// The form field that holds XML in base64.
fn packed_xml(scheme: &Scheme) -> Option<&str> {
    let tries = scheme.event_type.alternatives.iter().chain(&scheme.event_id.alternatives);
    tries.flatten().find_map(|part| match part {
        Selector::FormXml(name, _) => Some(name.as_str()),
        _ => None,
    })
}

/// Whether a token says it, whatever the body holds.
fn is_claimed(tries: &[Vec<Selector>]) -> bool {
    tries.first().is_some_and(|parts| matches!(parts[..], [Selector::Claim(_)]))
}

fn is_of_type(read: &str, wanted: &str) -> bool {
    read.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
