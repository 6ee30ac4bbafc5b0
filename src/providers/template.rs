//! Templates of signed content: `{header.webhook-id}.{timestamp}.{body}`.
//!
//! A template is parsed once into segments. `verify` feeds each segment's value to the hash, so the body is never copied.
//! A literal brace is doubled. `{?…}` is empty if a placeholder inside it finds nothing.

use super::row::RowError;
use super::selectors::{Pointer, header_name};

const PLACEHOLDERS: &str = "the placeholders are {body}, {timestamp}, {url}, {method}, {path}, {secret}, {header.NAME}, \
    {query.NAME}, {form.FIELD}, {form_sorted}, {form_received}, {json./POINTER}, {item./POINTER}, \
    {form_json.FIELD./POINTER}, {sigfield.NAME}, {api_key}, {key_id}, {url_with_body_hash.NAME}, {sha256_hex(body)}, \
    {sha256_base64(body)}, {sha256_hex(url)}, {json_string(body)}, {ascii(body)}, {ascii_slashes(body)}, {lower(…)}, and \
    {?…} around optional parts";

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSegment {
    /// Literal text.
    Text(String),
    /// `{body}`: the exact bytes.
    Body,
    /// `{timestamp}`: the text as received.
    Timestamp,
    /// `{url}`: the source's `url`.
    Url,
    /// `{url_with_body_hash.NAME}`: the source's `url` with the query parameter NAME of the request, which must be the
    /// SHA-256 of the body in hex.
    UrlWithBodyHash(String),
    /// `{sha256_hex(url)}`
    UrlSha256Hex,
    /// `{method}`
    Method,
    /// `{path}`: as received.
    Path,
    /// `{secret}`: only for plain hashes.
    Secret,
    /// `{api_key}`: the source's `api_key`.
    ApiKey,
    /// `{key_id}`: the first of the source's `key_id`.
    KeyId,
    /// `{header.NAME}`: the value as received.
    Header(String),
    /// `{query.NAME}`: the decoded value.
    Query(String),
    /// `{form.FIELD}`: the decoded value.
    Form(String),
    /// `{form_sorted}`: decoded names and values, sorted by name, then value, without repeated pairs.
    FormSorted,
    /// `{form_received}`: decoded names and values, sorted by name, then as received.
    FormReceived,
    /// `{json./POINTER}`: within the body.
    Json(Pointer),
    /// `{item./POINTER}`: within the batch's item; empty if absent.
    Item(Pointer),
    /// `{form_json.FIELD./POINTER}`
    FormJson(String, Pointer),
    /// `{sigfield.NAME}`: another field of the signature's list.
    Field(String),
    /// `{sha256_hex(body)}`
    BodySha256Hex,
    /// `{sha256_base64(body)}`
    BodySha256Base64,
    /// `{json_string(body)}`: the body as a JSON string.
    BodyJsonString,
    /// `{ascii(body)}`: the body with JSON escapes for all characters outside of ASCII.
    BodyAscii,
    /// `{ascii_slashes(body)}`: as `BodyAscii`, with U+007F escaped and a backslash before each `/` that has none.
    BodyAsciiSlashes,
    /// `{lower(…)}`: the inner value in lower case.
    Lower(Box<TemplateSegment>),
    /// `{?…}`: empty if a placeholder inside it finds nothing.
    Optional(Vec<TemplateSegment>),
}

impl TemplateSegment {
    /// This segment and all nested ones.
    pub fn flatten(&self) -> Vec<&TemplateSegment> {
        match self {
            Self::Lower(inner) => std::iter::once(self).chain(inner.flatten()).collect(),
            Self::Optional(inner) => std::iter::once(self).chain(inner.iter().flat_map(Self::flatten)).collect(),
            _ => vec![self],
        }
    }

    /// Whether the body cannot change without changing this segment.
    pub fn covers_body(&self) -> bool {
        matches!(
            self,
            Self::Body
                | Self::UrlWithBodyHash(_)
                | Self::FormSorted
                | Self::FormReceived
                | Self::Form(_)
                | Self::BodySha256Hex
                | Self::BodySha256Base64
                | Self::BodyJsonString
                | Self::BodyAscii
                | Self::BodyAsciiSlashes
        )
    }
}

/// Parses a template. Errors are reported under `key`.
pub(super) fn parse(key: &'static str, written: &str) -> Result<Vec<TemplateSegment>, RowError> {
    let mut rest = written;
    segments(&mut rest, false).map_err(|message| RowError::new(key, message).hint(PLACEHOLDERS))
}

fn segments(rest: &mut &str, is_inner: bool) -> Result<Vec<TemplateSegment>, String> {
    let mut found = Vec::new();
    let mut text = String::new();
    loop {
        let next = rest.find(['{', '}']).unwrap_or(rest.len());
        text.push_str(&rest[..next]);
        *rest = &rest[next..];
        let doubled = ["{{", "}}"].into_iter().find(|pair| rest.starts_with(pair));
        if let (Some(pair), false) = (doubled, is_inner && rest.starts_with('}')) {
            text.push_str(&pair[..1]);
            *rest = &rest[2..];
            continue;
        }
        if !text.is_empty() {
            found.push(TemplateSegment::Text(std::mem::take(&mut text)));
        }
        if let Some(after) = rest.strip_prefix("{?").filter(|_| !is_inner) {
            *rest = after;
            found.push(TemplateSegment::Optional(segments(rest, true)?));
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or("a `{` is not closed")?;
            found.push(placeholder(&after[..end])?);
            *rest = &after[end + 1..];
        } else if let Some(after) = rest.strip_prefix('}') {
            *rest = after;
            return if is_inner {
                Ok(found)
            } else {
                Err("`}` without `{`; write `}}` for a literal brace".to_owned())
            };
        } else if is_inner {
            return Err("a `{` is not closed".to_owned());
        } else {
            return Ok(found);
        }
    }
}

fn placeholder(written: &str) -> Result<TemplateSegment, String> {
    let unknown = || format!("`{{{written}}}` is not a placeholder");
    if let Some((function, argument)) = written.strip_suffix(')').and_then(|call| call.split_once('(')) {
        return match (function, argument) {
            ("lower", inner) => placeholder(inner).map(|inner| TemplateSegment::Lower(Box::new(inner))),
            ("sha256_hex", "body") => Ok(TemplateSegment::BodySha256Hex),
            ("sha256_base64", "body") => Ok(TemplateSegment::BodySha256Base64),
            ("sha256_hex", "url") => Ok(TemplateSegment::UrlSha256Hex),
            ("json_string", "body") => Ok(TemplateSegment::BodyJsonString),
            ("ascii", "body") => Ok(TemplateSegment::BodyAscii),
            ("ascii_slashes", "body") => Ok(TemplateSegment::BodyAsciiSlashes),
            _ => Err(unknown()),
        };
    }
    let named = |name: &str| if name.is_empty() { Err(unknown()) } else { Ok(name.to_owned()) };
    match written.split_once('.') {
        Some(("header", name)) => header_name(name).map(TemplateSegment::Header),
        Some(("query", name)) => named(name).map(TemplateSegment::Query),
        Some(("form", name)) => named(name).map(TemplateSegment::Form),
        Some(("json", pointer)) => Pointer::parse(pointer).map(TemplateSegment::Json),
        Some(("item", pointer)) => Pointer::parse(pointer).map(TemplateSegment::Item),
        Some(("sigfield", name)) => named(name).map(TemplateSegment::Field),
        Some(("url_with_body_hash", name)) => named(name).map(TemplateSegment::UrlWithBodyHash),
        Some(("form_json", path)) => {
            let (field, pointer) = path.split_once('.').ok_or_else(unknown)?;
            Ok(TemplateSegment::FormJson(named(field)?, Pointer::parse(pointer)?))
        }
        _ => match written {
            "body" => Ok(TemplateSegment::Body),
            "timestamp" => Ok(TemplateSegment::Timestamp),
            "url" => Ok(TemplateSegment::Url),
            "method" => Ok(TemplateSegment::Method),
            "path" => Ok(TemplateSegment::Path),
            "secret" => Ok(TemplateSegment::Secret),
            "api_key" => Ok(TemplateSegment::ApiKey),
            "key_id" => Ok(TemplateSegment::KeyId),
            "form_sorted" => Ok(TemplateSegment::FormSorted),
            "form_received" => Ok(TemplateSegment::FormReceived),
            _ => Err(unknown()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> TemplateSegment {
        TemplateSegment::Text(text.to_owned())
    }

    fn read(written: &str) -> Result<Vec<TemplateSegment>, RowError> {
        parse("signed_content", written)
    }

    #[test]
    fn template_is_split_into_segments() {
        let header = TemplateSegment::Header("X-Id".to_owned());
        assert_eq!(
            read("v0:{timestamp}:{header.X-Id}{body}.").unwrap(),
            [text("v0:"), TemplateSegment::Timestamp, text(":"), header, TemplateSegment::Body, text(".")]
        );
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn doubled_braces_are_literal_and_groups_optional() {
        assert_eq!(read("{{\"a\":{timestamp}}}").unwrap(), [text("{\"a\":"), TemplateSegment::Timestamp, text("}")]);
        let id = TemplateSegment::Lower(Box::new(TemplateSegment::Query("data.id".to_owned())));
        assert_eq!(
            read("{?id:{lower(query.data.id)};}x").unwrap(),
            [TemplateSegment::Optional(vec![text("id:"), id, text(";")]), text("x")]
        );
    }

    #[test]
    fn invalid_templates_are_rejected() {
        let bad =
            ["{body", "{bodi}{body}", "{header.}{body}", "{header.a b}{body}", "{}", "{?{body}", "a}", "{json.a}"];
        for written in bad.into_iter().chain(["{upper(body)}", "{lower()}", "{form_json.a/b}", "{?{?{body}}}"]) {
            assert!(read(written).is_err(), "{written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_any_text_terminates(written in "([{}?()./a]|body|header|lower|json|form_json|é){0,12}") {
            if let Ok(segments) = read(&written) {
                proptest::prop_assert!(segments.len() <= written.len());
            }
        }

        #[test]
        fn text_without_braces_is_literal(written in "[^{}]{1,40}") {
            proptest::prop_assert_eq!(read(&written).unwrap(), [text(&written)]);
        }
    }
}
