//! A delivery about to be judged: single values read out of it, before anything is known to be genuine.
//!
//! Nothing here decides. What is found is text or bytes as received; a value that comes several times and differs is
//! told apart from one that is absent. JSON is only parsed where the scheme has its signature inside the body.

use std::borrow::Cow;

use crate::config::Source;
use crate::model::request::{Headers, Repeated, Request};
use crate::providers::{Pointer, Scheme, ValueLocation};
use crate::verify::error::{MAX_SIGNATURES, SignatureError};
use crate::verify::extract::form;
use crate::verify::extract::json::Wanted;

/// Settings of the source that count.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The address as configured, and as the provider may sign it beside.
    pub(super) urls: Vec<String>,
    pub(super) api_key: String,
    pub(super) key_ids: Vec<String>,
}

impl Own {
    pub(super) fn new(source: &Source) -> Self {
        let url = source.url.clone().unwrap_or_default();
        let other = if source.scheme.url_default_port { other_port(&url) } else { None };
        Self {
            urls: std::iter::once(url).chain(other).collect(),
            api_key: source.api_key.as_ref().map(|key| key.reveal().to_owned()).unwrap_or_default(),
            key_ids: source.key_ids.iter().map(|id| id.reveal().to_owned()).collect(),
        }
    }
}

/// The same address with its default port written out, or left out.
fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = if scheme == "https" { ":443" } else { ":80" };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match host.strip_suffix(port) {
        Some(bare) => Some(format!("{scheme}://{bare}{path}")),
        None if host.rsplit(']').next().is_some_and(|host| host.contains(':')) => None,
        None => Some(format!("{scheme}://{host}{port}{path}")),
    }
}

/// A delivery and what it is judged by.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) scheme: &'a Scheme,
    pub(super) own: &'a Own,
    pub(super) request: &'a Request,
    /// The item of a batch, where each has its own signature.
    pub(super) item: Option<&'a [u8]>,
}

/// What is read: nothing, one value, or values that differ.
pub(super) type Found<'a> = Result<Option<Cow<'a, [u8]>>, Repeated>;

impl<'a> Case<'a> {
    /// The value at a place; an empty one is none.
    pub(super) fn value(&self, place: &ValueLocation) -> Found<'a> {
        let request = self.request;
        let found = match place {
            ValueLocation::Header(name) => {
                header(self.scheme, name, &request.headers).map(|value| value.map(Cow::Borrowed))
            }
            ValueLocation::Numbered(prefix) => {
                request.headers.one(&format!("{prefix}1")).map(|value| value.map(Cow::Borrowed))
            }
            ValueLocation::Query(name) => form::field(request.query.as_bytes(), name),
            ValueLocation::Json(pointer) => Ok(json(&request.body, pointer)),
            ValueLocation::Item(pointer) => Ok(self.item.and_then(|item| json(item, pointer))),
            ValueLocation::Form(name) => form::of_body(request, name),
            ValueLocation::FormJson(name, pointer) => {
                let document = form::of_body(request, name)?;
                Ok(document.and_then(|document| json(&document, pointer).map(|text| Cow::Owned(text.into_owned()))))
            }
            ValueLocation::Body => Ok(Some(Cow::Borrowed(&request.body[..]))),
        };
        Ok(found?.filter(|value| !value.is_empty()))
    }

    /// The value at a place that must have one.
    pub(super) fn required(&self, place: &ValueLocation) -> Result<Cow<'a, [u8]>, SignatureError> {
        let found = self.value(place).map_err(|Repeated| SignatureError::Repeated(place.clone()))?;
        found.ok_or_else(|| SignatureError::Missing(place.clone()))
    }

    /// Every value that may hold signatures at a place, at least one.
    pub(super) fn written(&self, place: &ValueLocation) -> Result<Vec<Cow<'a, [u8]>>, SignatureError> {
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
}

/// A header's value under its name or the first alias that has one; an empty value is none.
pub(super) fn header<'a>(scheme: &Scheme, name: &str, headers: &'a Headers) -> Result<Option<&'a [u8]>, Repeated> {
    for name in scheme.header_names(name) {
        if let Some(value) = headers.one(name)?.filter(|value| !value.is_empty()) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A string or number of a document.
pub(super) fn json<'a>(document: &'a [u8], pointer: &Pointer) -> Option<Cow<'a, [u8]>> {
    let wanted = Wanted::new(std::iter::once(pointer));
    let texts = wanted.read(document).ok()?;
    texts.at(pointer.as_str()).cloned().map(|text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_port_is_written_out_or_left_out() {
        for (url, other) in [
            ("https://a.example/x?y=1", Some("https://a.example:443/x?y=1")),
            ("https://a.example:443?y", Some("https://a.example?y")),
            ("http://a.example", Some("http://a.example:80")),
            ("https://a.example:8443/x", None),
            ("https://[::1]/x", Some("https://[::1]:443/x")),
            ("", None),
        ] {
            assert_eq!(other_port(url).as_deref(), other, "{url}");
        }
    }
}
