//! A delivery in the making: id and type are put where the source will look for them.
//!
//! What stands there already and reads as wanted is left alone, so that a provider's own payload goes out byte for
//! byte. Otherwise headers, query and forms get a field, and JSON objects a member (their keys come out sorted).

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::form;
use super::names::{Content, Delivery, listed, wanted};
use super::sign::{Unsigned, fresh};
use crate::clock::Millis;
use crate::provider::{EventId, Pointer, Scheme, Selector};
use crate::request::{Headers, Request};

/// A request without signature.
pub(super) struct Draft<'a> {
    scheme: &'a Scheme,
    pub(super) request: Request,
}

impl<'a> Draft<'a> {
    pub(super) fn new(scheme: &'a Scheme, path: &str, event: &Unsigned, now: Millis) -> Self {
        let mut headers = Headers::default();
        headers.push("content-type", event.content_type.as_deref().unwrap_or("application/json").as_bytes());
        let request = Request {
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers,
            body: event.body.clone().into(),
            received_at: now,
        };
        Self { scheme, request }
    }

    /// Makes the delivery read as of this type; a body may say it more exactly (`issues.opened` for `issues`).
    pub(super) fn put_type(&mut self, wanted: &str) -> Result<(), String> {
        let tries = &self.scheme.event_type.tries;
        let reads_as_wanted = |draft: &Self| draft.event_type().is_some_and(|read| is_of_type(&read, wanted));
        if wanted.is_empty() || reads_as_wanted(self) {
            return Ok(());
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
            draft.event_id(places).is_some_and(|read| wanted.is_none_or(|wanted| wanted == read))
        };
        // A digest is always there; where an id can be chosen, it is.
        places.tries.retain(|parts| parts.iter().any(|part| *part != Selector::Body));
        places.or_fresh = false;
        if reads_as_wanted(self, &places) {
            return Ok(());
        }
        for parts in &places.tries {
            let before = self.request.clone();
            let parts: Vec<_> = parts.iter().filter(|part| **part != Selector::Body).cloned().collect();
            match wanted {
                Some(wanted) => self.put_all(&parts, wanted.splitn(parts.len(), ':')),
                None => {
                    self.put_all(&parts, parts.iter().map(|_| fresh()).collect::<Vec<_>>().iter().map(String::as_str))
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
        Err(format!("an id cannot be put where this source looks for it: {}", listed(&self.scheme.event_id.tries)))
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
            Selector::Json(pointer) => return self.put_member(pointer, text),
            Selector::Form(name) if Content::of(&self.request) == Content::Form => {
                let mut form = String::from_utf8_lossy(&self.request.body).into_owned();
                form::push(&mut form, name, text);
                self.request.body = form.into();
            }
            _ => return false,
        }
        true
    }

    fn put_member(&mut self, pointer: &Pointer, text: &str) -> bool {
        let body = if self.request.body.is_empty() { &b"{}"[..] } else { &self.request.body };
        let Ok(mut document @ Value::Object(_)) = serde_json::from_slice(body) else { return false };
        let mut place = Some(&mut document);
        for step in pointer.steps() {
            place = place.and_then(|value| below(value, step));
        }
        let Some(place) = place else { return false };
        *place = Value::String(text.to_owned());
        self.request.body = document.to_string().into();
        true
    }

    fn event_type(&self) -> Option<String> {
        self.delivered(|delivery| delivery.event_type(&self.scheme.event_type).ok())
    }

    fn event_id(&self, places: &EventId) -> Option<String> {
        self.delivered(|delivery| delivery.event_id(places).ok())
    }

    fn reads(&self, part: &Selector) -> Option<String> {
        self.delivered(|delivery| delivery.text(part).ok().flatten().map(Cow::into_owned))
    }

    /// What the source would read.
    fn delivered<T>(&self, read: impl Fn(&Delivery<'_>) -> T) -> T {
        let wanted = wanted(self.scheme, &[]);
        read(&Delivery::new(self.scheme, &self.request, &wanted, Sha256::digest(&self.request.body).into()))
    }
}

/// The member or element that a step leads to, made where it is missing.
fn below<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(members) => Some(members.entry(step).or_insert_with(|| Value::Object(Map::new()))),
        Value::Array(elements) => elements.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    }
}

fn is_of_type(read: &str, wanted: &str) -> bool {
    read.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
