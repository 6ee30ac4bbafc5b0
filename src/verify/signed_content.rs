//! What is signed: a template filled in with a delivery's pieces.
//!
//! The body goes to the hash as received and is never copied; only what a template transforms is made anew. A piece
//! that is absent is an error that names it, save within a group that may vanish.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::model::request::Repeated;
use crate::providers::{TemplateSegment, ValueLocation};
use crate::verify::context::{Case, header, json};
use crate::verify::error::SignatureError;
use crate::verify::extract::form;
use crate::verify::key::Pieces;
use crate::verify::signature_header::Claim;

/// What a template is filled in with beside the delivery itself.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) claim: &'a Claim<'a>,
    pub(super) timestamp: &'a [u8],
    pub(super) url: &'a str,
    pub(super) secret: &'a [u8],
}

/// The pieces of a template, in order.
pub(super) fn pieces<'a>(
    case: &Case<'a>,
    content: &'a [TemplateSegment],
    filling: &Filling<'a>,
) -> Result<Pieces<'a>, SignatureError> {
    let mut pieces = Vec::with_capacity(content.len());
    for segment in content {
        match segment {
            TemplateSegment::Optional(inner) => match self::pieces(case, inner, filling) {
                Ok(found) => pieces.extend(found),
                Err(SignatureError::Missing(_)) => {}
                Err(why) => return Err(why),
            },
            segment => pieces.push(piece(case, segment, filling)?),
        }
    }
    Ok(pieces)
}

fn piece<'a>(
    case: &Case<'a>,
    segment: &'a TemplateSegment,
    filling: &Filling<'a>,
) -> Result<Cow<'a, [u8]>, SignatureError> {
    let request = case.request;
    let text = |text: String| Ok(Cow::Owned(text.into_bytes()));
    match segment {
        TemplateSegment::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
        TemplateSegment::Body => Ok(Cow::Borrowed(&request.body[..])),
        TemplateSegment::Timestamp => Ok(Cow::Borrowed(filling.timestamp)),
        TemplateSegment::Url => Ok(Cow::Borrowed(filling.url.as_bytes())),
        TemplateSegment::UrlWithBodyHash(name) => url_with_body_hash(case, name, filling.url),
        TemplateSegment::UrlSha256Hex => text(hex::encode(Sha256::digest(filling.url))),
        TemplateSegment::Method => Ok(Cow::Borrowed(request.method.as_bytes())),
        TemplateSegment::Path => Ok(Cow::Borrowed(request.path.as_bytes())),
        TemplateSegment::Secret => Ok(Cow::Borrowed(filling.secret)),
        TemplateSegment::KeyId => Ok(Cow::Borrowed(case.own.key_ids.first().map_or(&b""[..], |id| id.as_bytes()))),
        TemplateSegment::ApiKey => Ok(Cow::Borrowed(case.own.api_key.as_bytes())),
        TemplateSegment::Header(name) => match header(case.scheme, name, &request.headers) {
            Ok(Some(value)) => Ok(Cow::Borrowed(value)),
            Ok(None) => Err(SignatureError::Missing(ValueLocation::Header(name.clone()))),
            Err(Repeated) => Err(SignatureError::Repeated(ValueLocation::Header(name.clone()))),
        },
        TemplateSegment::Query(name) => case.required(&ValueLocation::Query(name.clone())),
        TemplateSegment::Form(name) => case.required(&ValueLocation::Form(name.clone())),
        TemplateSegment::FormSorted => joined_form(case, true),
        TemplateSegment::FormReceived => joined_form(case, false),
        TemplateSegment::Json(pointer) => case.required(&ValueLocation::Json(pointer.clone())),
        TemplateSegment::FormJson(name, pointer) => {
            case.required(&ValueLocation::FormJson(name.clone(), pointer.clone()))
        }
        TemplateSegment::Item(pointer) => Ok(case.item.and_then(|item| json(item, pointer)).unwrap_or_default()),
        TemplateSegment::Field(name) => match filling.claim.field(name) {
            Some(value) => Ok(Cow::Borrowed(value.as_bytes())),
            None => Err(SignatureError::MissingField(case.scheme.signature.clone(), name.clone())),
        },
        TemplateSegment::BodySha256Hex => text(hex::encode(Sha256::digest(&request.body))),
        TemplateSegment::BodySha256Base64 => text(STANDARD.encode(Sha256::digest(&request.body))),
        TemplateSegment::BodyJsonString => json_string(case),
        TemplateSegment::BodyAscii => Ok(ascii(&request.body)),
        TemplateSegment::BodyAsciiSlashes => Ok(ascii_slashes(&request.body)),
        TemplateSegment::Lower(inner) => {
            piece(case, inner, filling).map(|bytes| Cow::Owned(bytes.to_ascii_lowercase()))
        }
        TemplateSegment::Optional(_) => Ok(Cow::default()),
    }
}

/// The body's hash stands in the query, which is part of the address that is signed.
fn url_with_body_hash<'a>(case: &Case<'a>, name: &str, url: &str) -> Result<Cow<'a, [u8]>, SignatureError> {
    let place = ValueLocation::Query(name.to_owned());
    let written = case.required(&place)?;
    let is_body = hex::decode(&written).is_ok_and(|hash| *hash == *Sha256::digest(&case.request.body));
    if !is_body {
        return Err(SignatureError::NoMatch(place));
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(Cow::Owned([format!("{url}{separator}{name}=").as_bytes(), &written].concat()))
}

/// Names and values of a form; of a body that is none, nothing may be left out.
fn joined_form<'a>(case: &Case<'_>, is_sorted: bool) -> Result<Cow<'a, [u8]>, SignatureError> {
    let Some(mut pairs) = form::pairs(case.request) else {
        return if case.request.body.is_empty() { Ok(Cow::default()) } else { Err(SignatureError::NotAForm) };
    };
    if is_sorted {
        pairs.sort();
        pairs.dedup();
    } else {
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let mut joined = Vec::with_capacity(case.request.body.len());
    for (name, value) in &pairs {
        joined.extend_from_slice(name);
        joined.extend_from_slice(value);
    }
    Ok(Cow::Owned(joined))
}

fn json_string<'a>(case: &Case<'a>) -> Result<Cow<'a, [u8]>, SignatureError> {
    let text =
        std::str::from_utf8(&case.request.body).map_err(|_| SignatureError::NoMatch(case.scheme.signature.clone()))?;
    Ok(Cow::Owned(serde_json::Value::from(text).to_string().into_bytes()))
}

/// The body with what is not ASCII as JSON escapes.
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

/// Likewise with U+007F, and with a backslash before every slash that has none.
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

/// The text of a template, for a claim to be compared with.
pub(super) fn text(case: &Case<'_>, content: &[TemplateSegment], url: &str) -> Result<String, SignatureError> {
    let claim = Claim::default();
    let filling = Filling { claim: &claim, timestamp: &[], url, secret: &[] };
    let bytes = pieces(case, content, &filling)?.concat();
    String::from_utf8(bytes).map_err(|_| SignatureError::Repeated(case.scheme.signature.clone()))
}
