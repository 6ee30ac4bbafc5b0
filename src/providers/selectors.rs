//! Selectors: where in a delivery a text is. `header:X-GitHub-Delivery`, `json:/id`, `form:command` and so on.
//!
//! Written text comes in, parsed places go out; reading them out of a request is `verify`'s. No selector
//! that parses can fail later other than by finding nothing.

use std::fmt;

pub(super) use super::pointer::Pointer;
use super::row::{RowError, SelectorEntry};

/// Where one text of a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `header:NAME`
    Header(String),
    /// `query:NAME`: of the request's query string.
    Query(String),
    /// `json:/POINTER`: a string or number of the JSON body.
    Json(Pointer),
    /// `form:FIELD` of an `application/x-www-form-urlencoded` body.
    Form(String),
    /// `form_json:FIELD/POINTER`: of the JSON that a form's field holds.
    FormJson(String, Pointer),
    /// `body:/POINTER`: of the JSON body; in a batch of the whole delivery rather than of the item.
    BodyJson(Pointer),
    /// `key:NAME,…`: the first key of the JSON object that is none of these.
    Key(Vec<String>),
    /// `xml:/POINTER`: the text of an element of an XML body, its root among the steps.
    Xml(Pointer),
    /// `form_xml:FIELD/POINTER`: of the XML that a form's field holds in base64.
    FormXml(String, Pointer),
    /// `claim:/POINTER`: of the JSON Web Token.
    Claim(Pointer),
    /// `body`: the SHA-256 of the body (of the item, in a batch) in hex.
    Body,
}

/// Where an event's id is. Were there no entry at all, no delivery would have one, and each be refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventId {
    /// Tried in order; of an inner list all must be there, and are joined by colons.
    pub alternatives: Vec<Vec<Selector>>,
    /// Whether an event without id gets a fresh one (`none`), and so is never a duplicate.
    pub or_fresh: bool,
}

/// Where an event's type is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventType {
    /// Tried in order; of an inner list what is there is joined by dots.
    pub alternatives: Vec<Vec<Selector>>,
}

const KINDS: &str =
    "write header:NAME, query:NAME, json:/POINTER, form:FIELD, form_json:FIELD/POINTER, or body for its SHA-256";

/// Reads the key `event_id`: at least one entry, of which only the last may be `body` or `none`.
///
/// # Errors
/// Says which entry is wrong; the error's key is `event_id`.
pub(super) fn parse_event_id(written: &[SelectorEntry]) -> Result<EventId, RowError> {
    let wrong = |message: String| RowError::new("event_id", message);
    let or_fresh = written.last() == Some(&SelectorEntry::One("none".to_owned()));
    let entries = &written[..written.len() - usize::from(or_fresh)];
    if written.is_empty() {
        return Err(wrong("names no place".into()).hint("end the list in \"body\" to tell events by their body"));
    }
    let tries = parse_tries(entries).map_err(|message| wrong(message).hint(KINDS))?;
    let always_found = tries.iter().position(|parts| parts.iter().all(|part| *part == Selector::Body));
    match always_found {
        Some(place) if place + 1 < written.len() => {
            Err(wrong("`body` is always found, so what comes after it is never tried".into()).hint("put it last"))
        }
        _ => Ok(EventId { alternatives: tries, or_fresh }),
    }
}

/// Reads the key `event_type`: any number of entries, none at all for a provider without types.
///
/// # Errors
/// Says which entry is wrong; the error's key is `event_type`.
pub(super) fn parse_event_type(written: &[SelectorEntry]) -> Result<EventType, RowError> {
    let wrong = |message: String| RowError::new("event_type", message);
    let tries = parse_tries(written).map_err(|message| wrong(message).hint(KINDS))?;
    if tries.iter().flatten().any(|part| *part == Selector::Body) {
        return Err(wrong("`body` is no type".into()));
    }
    Ok(EventType { alternatives: tries })
}

fn parse_tries(written: &[SelectorEntry]) -> Result<Vec<Vec<Selector>>, String> {
    let parse = |selection: &SelectorEntry| match selection.parts() {
        [] => Err("an inner list is empty".to_owned()),
        parts => parts.iter().map(|part| Selector::parse(part)).collect(),
    };
    written.iter().map(parse).collect()
}

impl Selector {
    /// Reads one selector.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let named = |name: &str| {
            if name.is_empty() { Err(format!("`{written}` names nothing")) } else { Ok(name.to_owned()) }
        };
        match written.split_once(':') {
            Some(("header", name)) => header_name(name).map(Self::Header),
            Some(("query", name)) => named(name).map(Self::Query),
            Some(("json", pointer)) => Pointer::parse(pointer).map(Self::Json),
            Some(("form", field)) => named(field).map(Self::Form),
            Some((kind @ ("form_json" | "form_xml"), path)) => {
                let (field, pointer) = path.split_at(path.find('/').unwrap_or(path.len()));
                let (field, pointer) = (named(field)?, Pointer::parse(pointer)?);
                Ok(if kind == "form_json" { Self::FormJson(field, pointer) } else { Self::FormXml(field, pointer) })
            }
            Some(("body", pointer)) => Pointer::parse(pointer).map(Self::BodyJson),
            Some(("key", names)) => Ok(Self::Key(named(names)?.split(',').map(str::to_owned).collect())),
            Some(("xml", pointer)) => Pointer::parse(pointer).map(Self::Xml),
            Some(("claim", pointer)) => Pointer::parse(pointer).map(Self::Claim),
            None if written == "body" => Ok(Self::Body),
            None if written == "none" => Err("`none` stands alone, and last".to_owned()),
            _ => Err(format!("`{written}` is no selector")),
        }
    }
}

impl Selector {
    /// Whether it looks at an item of a batch, rather than at the whole delivery.
    #[must_use]
    pub fn is_of_item(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Key(_) | Self::Xml(_) | Self::Body)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Form(field) => write!(f, "form:{field}"),
            Self::FormJson(field, pointer) => write!(f, "form_json:{field}{pointer}"),
            Self::BodyJson(pointer) => write!(f, "body:{pointer}"),
            Self::Key(names) => write!(f, "key:{}", names.join(",")),
            Self::Xml(pointer) => write!(f, "xml:{pointer}"),
            Self::FormXml(field, pointer) => write!(f, "form_xml:{field}{pointer}"),
            Self::Claim(pointer) => write!(f, "claim:{pointer}"),
            Self::Body => f.write_str("body"),
        }
    }
}

/// A header's name, checked (RFC 9110, 5.6.2).
pub(super) fn header_name(name: &str) -> Result<String, String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("`{name}` is no header's name"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> SelectorEntry {
        SelectorEntry::One(text.to_owned())
    }

    #[test]
    fn every_kind_of_selector_reads_and_prints_as_itself() {
        for text in ["header:X-Id", "query:id", "json:/a/b~1c/0", "form:id", "form_json:payload/id", "body"]
            .into_iter()
            .chain(["body:/a/id", "key:id,at", "xml:/a/b", "form_xml:payload/a/b", "claim:/jti"])
        {
            assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        let bad = ["", "id", "header:", "header:a b", "json:id", "json:", "json:/a~2", "json:/~", "form:", "query:"];
        for text in bad.into_iter().chain(["form_json:/id", "form_json:payload", "cookie:id", "none", "Body"]) {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn body_and_none_end_a_list_of_ids() {
        assert!(parse_event_id(&[]).is_err());
        assert!(parse_event_id(&[one("body"), one("json:/id")]).is_err());
        assert!(parse_event_id(&[one("none"), one("json:/id")]).is_err());
        assert!(parse_event_id(&[one("body"), one("none")]).is_err());
        assert!(parse_event_id(&[SelectorEntry::Joined(vec![])]).is_err());
        assert!(parse_event_id(&[SelectorEntry::Joined(vec!["json:/id".into(), "none".into()])]).is_err());
        let id = parse_event_id(&[one("json:/id"), one("none")]).unwrap();
        assert_eq!((id.alternatives.len(), id.or_fresh), (1, true));
        assert!(!parse_event_id(&[one("json:/id"), one("body")]).unwrap().or_fresh);
        let joined = SelectorEntry::Joined(vec!["header:X-Id".into(), "body".into()]);
        assert!(parse_event_id(&[joined, one("header:Y-Id")]).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_prints_as_itself(
            text in "(header|query|json|form|form_json|form_xml|body|key|xml|claim|none)?:?[ -~é]{0,24}",
        ) {
            if let Ok(selector) = Selector::parse(&text) {
                proptest::prop_assert_eq!(selector.to_string(), text);
            }
        }
    }

    #[test]
    fn a_body_is_no_type() {
        assert!(parse_event_type(&[one("body")]).is_err());
        assert!(parse_event_type(&[]).unwrap().alternatives.is_empty());
    }
}
