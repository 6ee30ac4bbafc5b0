//! What is signed, as a template: `{header.webhook-id}.{timestamp}.{body}`.
//!
//! Parsed once into segments, so that a request's pieces go to the hash one by one and the body is never copied.
//! A template that leaves out the body is refused: its signature would say nothing about what was sent.

use super::row::RowError;
use super::selector::header_name;

const KEY: &str = "signed_content";
const PLACEHOLDERS: &str = "the placeholders are {body}, {timestamp} and {header.NAME}";

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The text itself.
    Text(String),
    /// `{body}`: the exact bytes.
    Body,
    /// `{timestamp}`: the text as received.
    Timestamp,
    /// `{header.NAME}`: the value as received.
    Header(String),
}

/// Reads a template.
///
/// # Errors
/// An unknown placeholder, a brace that is not closed, or no `{body}`.
pub(super) fn parse(written: &str) -> Result<Vec<Segment>, RowError> {
    let wrong = |message: String| RowError::new(KEY, message).hint(PLACEHOLDERS);
    let mut segments = Vec::new();
    let mut rest = written;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            segments.push(Segment::Text(rest[..open].to_owned()));
        }
        let Some(length) = rest[open..].find('}') else {
            return Err(wrong(format!("a brace of `{written}` is not closed")));
        };
        segments.push(placeholder(&rest[open + 1..open + length]).map_err(wrong)?);
        rest = &rest[open + length + 1..];
    }
    if !rest.is_empty() {
        segments.push(Segment::Text(rest.to_owned()));
    }
    if !segments.contains(&Segment::Body) {
        return Err(RowError::new(KEY, format!("`{written}` leaves out the body, so anyone could change it"))
            .hint("put {body} where the provider has it"));
    }
    Ok(segments)
}

fn placeholder(name: &str) -> Result<Segment, String> {
    match (name, name.strip_prefix("header.")) {
        ("body", _) => Ok(Segment::Body),
        ("timestamp", _) => Ok(Segment::Timestamp),
        (_, Some(header)) => header_name(header).map(Segment::Header),
        _ => Err(format!("`{{{name}}}` is no placeholder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_its_segments() {
        let segments = parse("v0:{timestamp}:{header.X-Id}{body}.").unwrap();
        let text = |text: &str| Segment::Text(text.to_owned());
        let header = Segment::Header("X-Id".to_owned());
        assert_eq!(segments, [text("v0:"), Segment::Timestamp, text(":"), header, Segment::Body, text(".")]);
    }

    #[test]
    fn a_bad_template_is_refused() {
        for written in ["", "x", "{timestamp}", "{body", "{bodi}{body}", "{header.}{body}", "{header.a b}{body}", "{}"]
        {
            assert!(parse(written).is_err(), "{written}");
        }
    }
}
