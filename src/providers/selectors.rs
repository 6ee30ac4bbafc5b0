//! Where in a delivery a text is: `header:X-GitHub-Delivery`, `json:/id`, `form:command` and so on.
//!
//! [`Selector`]s find event ids and types. [`ValueLocation`]s hold what is read before the signature is checked:
//! signatures, timestamps and key ids. A selector that parses can later only find nothing; it cannot fail. `verify` reads
//! the values.

use std::fmt;

use super::row::RowError;

pub(super) const SELECTOR_HINT: &str =
    "write header:NAME, query:NAME, json:/POINTER, form:FIELD, form_json:FIELD/POINTER, or body for its SHA-256";
const LOCATION_HINT: &str =
    "write header:NAME, query:NAME, json:/POINTER, form:FIELD, form_json:FIELD/POINTER or item:/POINTER";
const NUMBER: &str = "{n}";

/// Where one text of a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `header:NAME`
    Header(String),
    /// `query:NAME`: a parameter of the request's query string.
    Query(String),
    /// `json:/POINTER`: a string or number of the JSON body.
    Json(Pointer),
    /// `form:FIELD` of an `application/x-www-form-urlencoded` body.
    Form(String),
    /// `form_json:FIELD/POINTER`: within the JSON of a form field.
    FormJson(String, Pointer),
    /// `body:/POINTER`: within the JSON body. In a batch it reads the whole delivery rather than the item.
    BodyJson(Pointer),
    /// `key:NAME,…`: the first key of the JSON object that is none of these.
    Key(Vec<String>),
    /// `xml:/POINTER`: the text of an element of an XML body. The root is the first step.
    Xml(Pointer),
    /// `form_xml:FIELD/POINTER`: within the base64-encoded XML of a form field.
    FormXml(String, Pointer),
    /// `claim:/POINTER`: within the claims of the JSON Web Token.
    Claim(Pointer),
    /// `body`: the SHA-256 of the body (of the item, in a batch) in hex.
    Body,
}

/// Where a single value is that is read before the signature is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueLocation {
    Header(String),
    /// Headers with this prefix and a number from 1.
    Numbered(String),
    Query(String),
    /// Within the JSON body.
    Json(Pointer),
    /// Within each item of a batch.
    Item(Pointer),
    Form(String),
    /// Within the JSON of a form field.
    FormJson(String, Pointer),
    /// The whole body.
    Body,
}

/// A JSON pointer (RFC 6901) to something within a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

/// Where the events of a batch are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLocation {
    /// The form field that contains the array; `None` for the body.
    pub form: Option<String>,
    /// Steps to the array; empty if the array is the whole document.
    pub steps: Vec<String>,
    /// Steps from an element to the item; empty if the element is the item.
    pub inner: Vec<String>,
}

impl Selector {
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let named = |name: &str| {
            if name.is_empty() { Err(format!("`{written}` has no name")) } else { Ok(name.to_owned()) }
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
            None if written == "none" => Err("`none` must be an entry on its own, and the last".to_owned()),
            _ => Err(format!("`{written}` is not a selector")),
        }
    }

    /// Whether it reads the item of a batch rather than the whole delivery.
    pub fn is_of_item(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Key(_) | Self::Xml(_) | Self::Body)
    }
}

impl ValueLocation {
    pub(super) fn parse(key: &'static str, written: &str) -> Result<Self, RowError> {
        let wrong = |message: String| RowError::new(key, message).hint(LOCATION_HINT);
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
            _ => Err(wrong(format!("`{written}` is not allowed here"))),
        }
    }
}

impl Pointer {
    /// Parses steps, each after a slash, in which `~1` is a slash and `~0` a tilde. The empty pointer (the whole
    /// document) is rejected, since it never points to a text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a JSON pointer: it must begin with a slash"));
        };
        let steps = path.split('/').map(|step| unescape(step).ok_or(step));
        match steps.collect::<Result<_, _>>() {
            Ok(steps) => Ok(Self { text: text.to_owned(), steps }),
            Err(step) => Err(format!("`{step}` is not a step of a JSON pointer: write ~0 for a tilde, ~1 for a slash")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The unescaped steps; at least one.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

fn unescape(step: &str) -> Option<String> {
    let plain = step.replace("~1", "").replace("~0", "");
    (!plain.contains('~')).then(|| step.replace("~1", "/").replace("~0", "~"))
}

impl BatchLocation {
    /// Reads the key `batch`.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let steps = |path: &str| match path {
            "" => Ok(Vec::new()),
            path => Pointer::parse(path).map(|pointer| pointer.steps),
        };
        let (form, outer, inner) = match (written.strip_prefix("form:"), written.split_once("/*")) {
            (Some(""), _) => return Err("names no form field".to_owned()),
            (Some(field), _) => (Some(field.to_owned()), "", ""),
            (None, Some((outer, inner))) => (None, outer, inner),
            (None, None) => (None, written, ""),
        };
        Ok(Self { form, steps: steps(outer)?, inner: steps(inner)? })
    }
}

/// Checks a header name (RFC 9110, 5.6.2).
pub(super) fn header_name(name: &str) -> Result<String, String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("`{name}` is not a header name"));
    }
    Ok(name.to_owned())
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_selector_prints_as_written() {
        for text in ["header:X-Id", "query:id", "json:/a/b~1c/0", "form:id", "form_json:payload/id", "body"]
            .into_iter()
            .chain(["body:/a/id", "key:id,at", "xml:/a/b", "form_xml:payload/a/b", "claim:/jti"])
        {
            assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn invalid_selectors_are_rejected() {
        let bad = ["", "id", "header:", "header:a b", "json:id", "json:", "json:/a~2", "json:/~", "form:", "query:"];
        for text in bad.into_iter().chain(["form_json:/id", "form_json:payload", "cookie:id", "none", "Body"]) {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pointer_unescapes_slash_and_tilde() {
        assert_eq!(Pointer::parse("/a~1b/~01/").unwrap().steps(), ["a/b", "~1", ""]);
    }

    #[test]
    fn batch_is_a_pointer_a_form_field_or_the_body() {
        let batch = |form: Option<&str>, steps: &[&str], inner: &[&str]| BatchLocation {
            form: form.map(str::to_owned),
            steps: steps.iter().map(ToString::to_string).collect(),
            inner: inner.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(BatchLocation::parse(""), Ok(batch(None, &[], &[])));
        assert_eq!(BatchLocation::parse("/data/events"), Ok(batch(None, &["data", "events"], &[])));
        assert_eq!(BatchLocation::parse("/items/*/Item"), Ok(batch(None, &["items"], &["Item"])));
        assert_eq!(BatchLocation::parse("form:events"), Ok(batch(Some("events"), &[], &[])));
        for written in ["events", "form:", "/a/*b", "/~"] {
            assert!(BatchLocation::parse(written).is_err(), "{written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsed_selectors_print_as_written(
            text in "(header|query|json|form|form_json|form_xml|body|key|xml|claim|none)?:?[ -~é]{0,24}",
        ) {
            if let Ok(selector) = Selector::parse(&text) {
                proptest::prop_assert_eq!(selector.to_string(), text);
            }
        }
    }
}
