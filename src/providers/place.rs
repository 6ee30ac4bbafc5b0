//! Places of a single value that counts before the signature is known to hold: signature, timestamp, key id.
//!
//! Written text comes in, places go out. Reading them out of a request is `verify`'s.

use std::fmt;

use super::row::RowError;
use super::selectors::{Pointer, Selector, header_name};

/// Where a single value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueLocation {
    /// A header's value.
    Header(String),
    /// The values of headers with this prefix, numbered from 1.
    Numbered(String),
    /// A parameter of the query string.
    Query(String),
    /// Of the JSON body.
    Json(Pointer),
    /// Of each item of a batch.
    Item(Pointer),
    /// A field of a form.
    Form(String),
    /// Of the JSON that a form's field holds.
    FormJson(String, Pointer),
    /// The whole body.
    Body,
}

const NUMBER: &str = "{n}";
const KINDS: &str =
    "write header:NAME, query:NAME, json:/POINTER, form:FIELD, form_json:FIELD/POINTER or item:/POINTER";

impl ValueLocation {
    pub(super) fn parse(key: &'static str, written: &str) -> Result<Self, RowError> {
        let wrong = |message: String| RowError::new(key, message).hint(KINDS);
        if let Some(prefix) = written.strip_prefix("header:").and_then(|name| name.strip_suffix(NUMBER)) {
            return header_name(prefix).map(Self::Numbered).map_err(wrong);
        }
        if let Some(pointer) = written.strip_prefix("item:") {
            return Pointer::parse(pointer).map(Self::Item).map_err(wrong);
        }
        match Selector::parse(written) {
            Ok(Selector::Header(name)) => Ok(Self::Header(name)),
            Ok(Selector::Query(name)) => Ok(Self::Query(name)),
            Ok(Selector::Json(pointer) | Selector::BodyJson(pointer)) => Ok(Self::Json(pointer)),
            Ok(Selector::Form(name)) => Ok(Self::Form(name)),
            Ok(Selector::FormJson(name, pointer)) => Ok(Self::FormJson(name, pointer)),
            Ok(Selector::Body) => Ok(Self::Body),
            _ => Err(wrong(format!("`{written}` is no place for it"))),
        }
    }
}

impl fmt::Display for ValueLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Numbered(prefix) => write!(f, "header `{prefix}1`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Json(pointer) => write!(f, "JSON value `{pointer}`"),
            Self::Item(pointer) => write!(f, "JSON value `{pointer}` of an item"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::FormJson(name, pointer) => write!(f, "JSON value `{pointer}` of the form field `{name}`"),
            Self::Body => f.write_str("body"),
        }
    }
}
