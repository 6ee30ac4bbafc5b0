//! A delivery to be verified, and the values that its scheme needs from it.
//!
//! Nothing here decides whether a delivery is genuine. Values are returned as received. JSON is parsed only if the
//! scheme has its signature or a signed value inside the body.

use std::borrow::Cow;

use super::error::{MAX_SIGNATURES, SignatureError, SignatureResult};
use super::extract::form;
use super::extract::json::Pointers;
use crate::config::Source;
use crate::model::request::{Headers, Repeated, Request};
use crate::providers::{Pointer, Scheme, ValueLocation};

#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) scheme: &'a Scheme,
    pub(super) urls: &'a [String],
    pub(super) request: &'a Request,
    /// One item of a batch, if each item has its own signature.
    pub(super) item: Option<&'a [u8]>,
}

/// A value, its absence, or several values that differ.
pub(super) type FieldValue<'a> = Result<Option<Cow<'a, [u8]>>, Repeated>;

impl<'a> Context<'a> {
    pub(super) fn new(source: &'a Source, urls: &'a [String], request: &'a Request) -> Self {
        Self { source, scheme: &source.scheme, urls, request, item: None }
    }

    /// The value at a place. An empty value counts as absent.
    pub(super) fn value(&self, place: &ValueLocation) -> FieldValue<'a> {
        let request = self.request;
        let found = match place {
            ValueLocation::Header(name) => {
                header(self.scheme, name, &request.headers).map(|value| value.map(Cow::Borrowed))
            }
            ValueLocation::Numbered(prefix) => {
                request.headers.one(&format!("{prefix}1")).map(|value| value.map(Cow::Borrowed))
            }
            ValueLocation::Query(name) => form::field(request.query.as_bytes(), name),
            ValueLocation::Json(pointer) => Ok(json_value(&request.body, pointer)),
            ValueLocation::Item(pointer) => Ok(self.item.and_then(|item| json_value(item, pointer))),
            ValueLocation::Form(name) => form::body_field(request, name),
            ValueLocation::FormJson(name, pointer) => form::body_field(request, name).map(|document| {
                document.and_then(|document| Some(Cow::Owned(json_value(&document, pointer)?.into_owned())))
            }),
            ValueLocation::Body => Ok(Some(Cow::Borrowed(&request.body[..]))),
        };
        Ok(found?.filter(|value| !value.is_empty()))
    }

    pub(super) fn required(&self, place: &ValueLocation) -> SignatureResult<Cow<'a, [u8]>> {
        let found = self.value(place).map_err(|Repeated| SignatureError::Repeated(place.clone()))?;
        found.ok_or_else(|| SignatureError::Missing(place.clone()))
    }

    /// Every value at a place that may contain signatures: 1 to [`MAX_SIGNATURES`].
    pub(super) fn signature_values(&self, place: &ValueLocation) -> SignatureResult<Vec<Cow<'a, [u8]>>> {
        let values: Vec<Cow<'a, [u8]>> = match place {
            ValueLocation::Header(name) if self.scheme.repeatable => {
                let all = self.scheme.header_names(name).flat_map(|name| self.request.headers.all(name));
                all.filter(|value| !value.is_empty()).map(Cow::Borrowed).collect()
            }
            ValueLocation::Numbered(prefix) => (1..=MAX_SIGNATURES)
                .map_while(|n| self.request.headers.all(&format!("{prefix}{n}")).next())
                .map(Cow::Borrowed)
                .collect(),
            place => return self.required(place).map(|value| vec![value]),
        };
        match values.len() {
            0 => Err(SignatureError::Missing(place.clone())),
            1..=MAX_SIGNATURES => Ok(values),
            _ => Err(SignatureError::TooManySignatures(place.clone())),
        }
    }

    /// For an error about the place of the signature.
    pub(super) fn signature_place(&self) -> ValueLocation {
        self.scheme.signature.clone()
    }
}

/// A header's value under its name or the first alias that has one. An empty value counts as absent.
pub(super) fn header<'a>(scheme: &Scheme, name: &str, headers: &'a Headers) -> Result<Option<&'a [u8]>, Repeated> {
    for name in scheme.header_names(name) {
        if let Some(value) = headers.one(name)?.filter(|value| !value.is_empty()) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A header that must be present and UTF-8, for schemes that are verified by code.
pub(super) fn required_header<'a>(request: &'a Request, name: &str) -> SignatureResult<&'a str> {
    let place = || ValueLocation::Header(name.to_owned());
    let value = request.headers.one(name).map_err(|Repeated| SignatureError::Repeated(place()))?.unwrap_or_default();
    match std::str::from_utf8(value) {
        Ok("") | Err(_) => Err(SignatureError::Missing(place())),
        Ok(text) => Ok(text),
    }
}

/// The string or number that a pointer leads to.
pub(super) fn json_value<'a>(document: &'a [u8], pointer: &Pointer) -> Option<Cow<'a, [u8]>> {
    let pointers = Pointers::new(std::iter::once(pointer));
    let values = pointers.read(document).ok()?;
    values.at(pointer.as_str()).cloned().map(|text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}
