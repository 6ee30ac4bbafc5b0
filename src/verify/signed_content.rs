//! The bytes that a signature covers: a template filled in from a delivery.
//!
//! The body is hashed as received and never copied, unless the template transforms it. A missing piece is an error that
//! names it, except inside an optional group.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::context::{Context, header, json_value};
use super::error::{SignatureError, SignatureResult};
use super::extract::form;
use super::key::Pieces;
use super::signature_header::SignatureHeader;
use crate::model::request::Repeated;
use crate::providers::{TemplateSegment, ValueLocation};

/// The values of a template that do not come from the request.
#[derive(Clone, Copy)]
pub(super) struct TemplateValues<'a> {
    pub(super) header: &'a SignatureHeader<'a>,
    pub(super) timestamp: &'a [u8],
    pub(super) url: &'a str,
    pub(super) secret: &'a [u8],
}

/// The pieces of a template, in order.
pub(super) fn pieces<'a>(
    context: &Context<'a>,
    template: &'a [TemplateSegment],
    values: &TemplateValues<'a>,
) -> SignatureResult<Pieces<'a>> {
    let mut found = Vec::with_capacity(template.len());
    for segment in template {
        match segment {
            TemplateSegment::Optional(group) => match pieces(context, group, values) {
                Ok(group) => found.extend(group),
                Err(SignatureError::Missing(_)) => {}
                Err(error) => return Err(error),
            },
            segment => found.push(piece(context, segment, values)?),
        }
    }
    Ok(found)
}

fn piece<'a>(
    context: &Context<'a>,
    segment: &'a TemplateSegment,
    values: &TemplateValues<'a>,
) -> SignatureResult<Cow<'a, [u8]>> {
    let request = context.request;
    let text = |text: String| Ok(Cow::Owned(text.into_bytes()));
    match segment {
        TemplateSegment::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
        TemplateSegment::Body => Ok(Cow::Borrowed(&request.body[..])),
        TemplateSegment::Timestamp => Ok(Cow::Borrowed(values.timestamp)),
        TemplateSegment::Url => Ok(Cow::Borrowed(values.url.as_bytes())),
        TemplateSegment::UrlWithBodyHash(name) => url_with_body_hash(context, name, values.url),
        TemplateSegment::UrlSha256Hex => text(hex::encode(Sha256::digest(values.url))),
        TemplateSegment::Method => Ok(Cow::Borrowed(request.method.as_bytes())),
        TemplateSegment::Path => Ok(Cow::Borrowed(request.path.as_bytes())),
        TemplateSegment::Secret => Ok(Cow::Borrowed(values.secret)),
        TemplateSegment::KeyId => {
            Ok(Cow::Borrowed(context.source.key_ids.first().map_or(&b""[..], |id| id.reveal().as_bytes())))
        }
        TemplateSegment::ApiKey => {
            Ok(Cow::Borrowed(context.source.api_key.as_ref().map_or(&b""[..], |key| key.reveal().as_bytes())))
        }
        TemplateSegment::Header(name) => match header(context.scheme, name, &request.headers) {
            Ok(Some(value)) => Ok(Cow::Borrowed(value)),
            Ok(None) => Err(SignatureError::Missing(ValueLocation::Header(name.clone()))),
            Err(Repeated) => Err(SignatureError::Repeated(ValueLocation::Header(name.clone()))),
        },
        TemplateSegment::Query(name) => context.required(&ValueLocation::Query(name.clone())),
        TemplateSegment::Form(name) => context.required(&ValueLocation::Form(name.clone())),
        TemplateSegment::FormSorted => joined_form(context, true),
        TemplateSegment::FormReceived => joined_form(context, false),
        TemplateSegment::Json(pointer) => context.required(&ValueLocation::Json(pointer.clone())),
        TemplateSegment::FormJson(name, pointer) => {
            context.required(&ValueLocation::FormJson(name.clone(), pointer.clone()))
        }
        TemplateSegment::Item(pointer) => {
            Ok(context.item.and_then(|item| json_value(item, pointer)).unwrap_or_default())
        }
        TemplateSegment::Field(name) => match values.header.field(name) {
            Some(value) => Ok(Cow::Borrowed(value.as_bytes())),
            None => Err(SignatureError::MissingField(context.signature_place(), name.clone())),
        },
        TemplateSegment::BodySha256Hex => text(hex::encode(Sha256::digest(&request.body))),
        TemplateSegment::BodySha256Base64 => text(STANDARD.encode(Sha256::digest(&request.body))),
        TemplateSegment::BodyJsonString => json_string(context),
        TemplateSegment::BodyAscii => Ok(ascii(&request.body)),
        TemplateSegment::BodyAsciiSlashes => Ok(ascii_slashes(&request.body)),
        TemplateSegment::Lower(inner) => {
            piece(context, inner, values).map(|bytes| Cow::Owned(bytes.to_ascii_lowercase()))
        }
        TemplateSegment::Optional(_) => Ok(Cow::default()),
    }
}

/// The signed URL has the body's hash in its query, which must match the body.
fn url_with_body_hash<'a>(context: &Context<'a>, name: &str, url: &str) -> SignatureResult<Cow<'a, [u8]>> {
    let place = ValueLocation::Query(name.to_owned());
    let hash = context.required(&place)?;
    let is_of_body = hex::decode(&hash).is_ok_and(|hash| *hash == *Sha256::digest(&context.request.body));
    if !is_of_body {
        return Err(SignatureError::NoMatch(place));
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair.split_once('=').is_some_and(|(own, _)| own == name)) {
        return Ok(Cow::Owned(url.as_bytes().to_vec()));
    }
    let separator = if query.is_empty() { '?' } else { '&' };
    Ok(Cow::Owned([format!("{url}{separator}{name}=").as_bytes(), &hash].concat()))
}

/// The names and values of a form, joined. A body that is neither a form nor empty is an error: otherwise it would be
/// left out of the signature.
fn joined_form<'a>(context: &Context<'_>, is_sorted: bool) -> SignatureResult<Cow<'a, [u8]>> {
    let Some(mut pairs) = form::body_fields(context.request) else {
        return if context.request.body.is_empty() { Ok(Cow::default()) } else { Err(SignatureError::NotAForm) };
    };
    if is_sorted {
        pairs.sort();
        pairs.dedup();
    } else {
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let mut joined = Vec::with_capacity(context.request.body.len());
    for (name, value) in &pairs {
        joined.extend_from_slice(name);
        joined.extend_from_slice(value);
    }
    Ok(Cow::Owned(joined))
}

fn json_string<'a>(context: &Context<'a>) -> SignatureResult<Cow<'a, [u8]>> {
    let no_match = |_| SignatureError::NoMatch(context.signature_place());
    let text = std::str::from_utf8(&context.request.body).map_err(no_match)?;
    Ok(Cow::Owned(serde_json::Value::from(text).to_string().into_bytes()))
}

/// The body with all other characters than ASCII as JSON escapes.
fn ascii(body: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(body) {
        Ok(text) if !text.is_ascii() => {
            let mut escaped = String::with_capacity(text.len() * 2);
            text.chars().for_each(|c| if c.is_ascii() { escaped.push(c) } else { push_escape(&mut escaped, c) });
            Cow::Owned(escaped.into_bytes())
        }
        _ => Cow::Borrowed(body),
    }
}

/// As [`ascii`], with U+007F escaped too and every slash escaped unless it already is.
fn ascii_slashes(body: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(body) else { return Cow::Borrowed(body) };
    let mut escaped = String::with_capacity(text.len() * 2);
    let mut before = None;
    for c in text.chars() {
        match c {
            '/' if before != Some('\\') => escaped.push_str("\\/"),
            '\0'..='\u{7e}' => escaped.push(c),
            _ => push_escape(&mut escaped, c),
        }
        before = Some(c);
    }
    Cow::Owned(escaped.into_bytes())
}

fn push_escape(escaped: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a String cannot fail.
        write!(escaped, "\\u{unit:04x}").unwrap_or_default();
    }
}

/// The text of a template, to compare a token's claim with.
pub(super) fn text(context: &Context<'_>, template: &[TemplateSegment], url: &str) -> SignatureResult<String> {
    let header = SignatureHeader::default();
    let values = TemplateValues { header: &header, timestamp: &[], url, secret: &[] };
    let bytes = pieces(context, template, &values)?.concat();
    String::from_utf8(bytes).map_err(|_| SignatureError::Repeated(context.signature_place()))
}
