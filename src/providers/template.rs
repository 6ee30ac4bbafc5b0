//! What is signed, as a template: `{header.webhook-id}.{timestamp}.{body}`.
//!
//! Parsed once into segments, so that a request's pieces go to the hash one by one and the body is never copied. A
//! brace that is meant is written twice; what stands in `{?…}` vanishes where one of its placeholders finds nothing.

use super::pointer::Pointer;
use super::row::RowError;
use super::selectors::header_name;

const PLACEHOLDERS: &str = "the placeholders are {body}, {timestamp}, {url}, {method}, {path}, {secret}, {header.NAME}, \
    {query.NAME}, {form.FIELD}, {form_sorted}, {form_received}, {json./POINTER}, {item./POINTER}, \
    {form_json.FIELD./POINTER}, {sigfield.NAME}, {api_key}, {key_id}, {url_with_body_hash.NAME}, {sha256_hex(body)}, \
    {sha256_base64(body)}, {sha256_hex(url)}, {json_string(body)}, {ascii(body)}, {ascii_slashes(body)}, {lower(…)}, and {?…} around what may \
    be absent";

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSegment {
    /// The text itself.
    Text(String),
    /// `{body}`: the exact bytes.
    Body,
    /// `{timestamp}`: the text as received.
    Timestamp,
    /// `{url}`: as the source has it configured.
    Url,
    /// `{url_with_body_hash.NAME}`: the same with the request's query parameter NAME, which must be the SHA-256 of the
    /// body in hex.
    UrlWithBodyHash(String),
    /// `{sha256_hex(url)}`
    UrlSha256Hex,
    /// `{method}`
    Method,
    /// `{path}`: as received.
    Path,
    /// `{secret}`: for plain hashes.
    Secret,
    /// `{api_key}`: as the source has it configured.
    ApiKey,
    /// `{key_id}`: likewise, the first.
    KeyId,
    /// `{header.NAME}`: the value as received.
    Header(String),
    /// `{query.NAME}`: the value, decoded.
    Query(String),
    /// `{form.FIELD}`: the value, decoded.
    Form(String),
    /// `{form_sorted}`: names and values, decoded, in the order of names, then values, each pair once.
    FormSorted,
    /// `{form_received}`: names and values, decoded, in the order of names, then as received.
    FormReceived,
    /// `{json./POINTER}`: of the body.
    Json(Pointer),
    /// `{item./POINTER}`: of the batch's item; empty where it is absent.
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
    /// `{ascii(body)}`: the body with what is not ASCII as JSON escapes.
    BodyAscii,
    /// `{ascii_slashes(body)}`: likewise with U+007F, and `/` with a backslash before it unless it has one.
    BodyAsciiSlashes,
    /// `{lower(…)}`: another one in lower case.
    Lower(Box<TemplateSegment>),
    /// `{?…}`: nothing, where a placeholder within finds nothing.
    Optional(Vec<TemplateSegment>),
}

impl TemplateSegment {
    /// This and what is inside it.
    pub fn flat(&self) -> Vec<&TemplateSegment> {
        match self {
            Self::Lower(inner) => std::iter::once(self).chain(inner.flat()).collect(),
            Self::Optional(inner) => std::iter::once(self).chain(inner.iter().flat_map(Self::flat)).collect(),
            _ => vec![self],
        }
    }

    /// Whether nobody can change the body without changing this.
    #[must_use]
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

/// Reads a template.
///
/// # Errors
/// An unknown placeholder, or a brace that is not closed.
pub(super) fn parse(key: &'static str, written: &str) -> Result<Vec<TemplateSegment>, RowError> {
    let mut rest = written;
    let segments = segments(&mut rest, false).map_err(|message| RowError::new(key, message).hint(PLACEHOLDERS))?;
    Ok(segments)
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
            let end = after.find('}').ok_or("a brace is not closed")?;
            found.push(placeholder(&after[..end])?);
            *rest = &after[end + 1..];
        } else if let Some(after) = rest.strip_prefix('}') {
            *rest = after;
            return if is_inner { Ok(found) } else { Err("a brace is not open; write `}}` for a brace".to_owned()) };
        } else if is_inner {
            return Err("a brace is not closed".to_owned());
        } else {
            return Ok(found);
        }
    }
}

fn placeholder(written: &str) -> Result<TemplateSegment, String> {
    let unknown = || format!("`{{{written}}}` is no placeholder");
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
    fn a_template_becomes_its_segments() {
        let header = TemplateSegment::Header("X-Id".to_owned());
        assert_eq!(
            read("v0:{timestamp}:{header.X-Id}{body}.").unwrap(),
            [text("v0:"), TemplateSegment::Timestamp, text(":"), header, TemplateSegment::Body, text(".")]
        );
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn braces_are_written_twice_and_groups_may_be_absent() {
        assert_eq!(read("{{\"a\":{timestamp}}}").unwrap(), [text("{\"a\":"), TemplateSegment::Timestamp, text("}")]);
        let id = TemplateSegment::Lower(Box::new(TemplateSegment::Query("data.id".to_owned())));
        assert_eq!(
            read("{?id:{lower(query.data.id)};}x").unwrap(),
            [TemplateSegment::Optional(vec![text("id:"), id, text(";")]), text("x")]
        );
    }

    #[test]
    fn a_bad_template_is_refused() {
        let bad =
            ["{body", "{bodi}{body}", "{header.}{body}", "{header.a b}{body}", "{}", "{?{body}", "a}", "{json.a}"];
        for written in bad.into_iter().chain(["{upper(body)}", "{lower()}", "{form_json.a/b}", "{?{?{body}}}"]) {
            assert!(read(written).is_err(), "{written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(written in "([{}?()./a]|body|header|lower|json|form_json|é){0,12}") {
            if let Ok(segments) = read(&written) {
                proptest::prop_assert!(segments.len() <= written.len());
            }
        }

        #[test]
        fn a_text_without_braces_is_itself(written in "[^{}]{1,40}") {
            proptest::prop_assert_eq!(read(&written).unwrap(), [text(&written)]);
        }
    }
}
