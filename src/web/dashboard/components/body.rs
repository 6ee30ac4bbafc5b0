//! The body of an event or a refusal: JSON formatted and highlighted, other text as received, long bodies truncated.
//!
//! The markup has a bounded length, whatever the body contains. Numbers keep their digits. Binary data is not displayed,
//! only offered for download.

use maud::{Markup, PreEscaped, html};
use serde_json::value::RawValue;

use super::format::{shown_lines, size};
use crate::web::query::PageQuery;

/// Bytes of a body that are displayed at first, and with `?body=all`.
const SHORT: usize = 64 << 10;
const LONG: usize = 2 << 20;
/// Longest markup for these. Small values, quotes and depth make markup many times longer than the body.
const SHORT_MARKUP: usize = 256 << 10;
const LONG_MARKUP: usize = 2 << 20;
/// Text is converted to markup in pieces of this many bytes.
const PIECE: usize = 1 << 10;

/// How many bytes of the body to read.
pub(crate) fn display_limit(query: &PageQuery) -> usize {
    if query.body == "all" { LONG } else { SHORT }
}

fn markup_limit(query: &PageQuery) -> usize {
    if query.body == "all" { LONG_MARKUP } else { SHORT_MARKUP }
}

struct RenderedBody {
    markup: Markup,
    /// Bytes of the body that the markup covers.
    bytes: usize,
    is_formatted: bool,
}

/// The stored part of a body.
pub(crate) struct StoredBody<'a> {
    /// Its first bytes, up to [`display_limit`], and the stored length; `None` if nothing is stored.
    pub(crate) start: Option<(&'a [u8], usize)>,
    /// The page that shows it.
    pub(crate) page: &'a str,
    /// Label of the download link.
    pub(crate) download: &'a str,
}

impl StoredBody<'_> {
    pub(crate) fn render(&self, query: &PageQuery) -> Markup {
        let file = format!("{}/body", self.page);
        let is_text = self.start.is_some_and(|(start, length)| as_text(start, start.len() == length).is_some());
        html! {
            section aria-labelledby="body" {
                div.section-head {
                    h2 #body { "Body" }
                    @if self.start.is_some_and(|(_, length)| length > 0) {
                        @if is_text { button.quiet type="button" data-fetch=(file) hidden { "Copy" } }
                        a href=(file) download { (self.download) }
                    }
                }
                @match self.start {
                    None => p.empty { "No longer stored." },
                    Some((_, 0)) => p.empty { "Empty." },
                    Some((start, length)) => (content(start, length, self.page, query)),
                }
            }
        }
    }
}

fn content(start: &[u8], length: usize, page: &str, query: &PageQuery) -> Markup {
    let bytes = |number: usize| size(i64::try_from(number).unwrap_or(i64::MAX));
    html! {
        @match render_body(start, length, markup_limit(query)) {
            None => p.empty { (bytes(length)) " of binary data." },
            Some(body) => {
                @let kind = if body.is_formatted { "formatted JSON" } else { "as received" };
                p.visually-hidden { (kind) }
                pre.body tabindex="0" aria-label={ "Body, " (kind) } { code { (body.markup) } }
                @if body.bytes < length {
                    p.reach {
                        "The first " (bytes(body.bytes)) " of " (bytes(length)) ". "
                        @if query.body == "all" { a href={ (page) "/body" } download { "Download all of it" } }
                        @else { a href={ (page) "?body=all#body" } { "Show more" } }
                    }
                }
            }
        }
    }
}

/// Formatted and highlighted if that fits into `limit` bytes of markup, else only formatted, else as received and truncated.
fn render_body(start: &[u8], length: usize, limit: usize) -> Option<RenderedBody> {
    let is_whole = start.len() == length;
    if let Some(json) = is_whole.then(|| format_json(start, limit)).flatten() {
        let plain = || Some(truncated(&json, limit)).filter(|(_, fits)| *fits == json.len()).map(|(markup, _)| markup);
        if let Some(markup) = highlighted(&json, limit).or_else(plain) {
            return Some(RenderedBody { markup, bytes: length, is_formatted: true });
        }
    }
    let text = as_text(start, is_whole)?;
    let (markup, fits) = truncated(&text, limit);
    // A last character that is cut in half does not count as missing.
    let bytes = if fits == text.len() { start.len() } else { fits };
    Some(RenderedBody { markup, bytes, is_formatted: false })
}

/// The start of a text whose markup fits into the limit, and its length in bytes.
fn truncated(text: &str, limit: usize) -> (Markup, usize) {
    let (mut out, mut fits) = (String::new(), 0);
    while fits < text.len() {
        let piece = &text[fits..text.floor_char_boundary(fits + PIECE)];
        let markup = html! { (shown_lines(piece)) }.into_string();
        if out.len() + markup.len() > limit {
            break;
        }
        out.push_str(&markup);
        fits += piece.len();
    }
    (PreEscaped(out), fits)
}

/// JSON with one line per value, unless that exceeds the limit. Keeps the order of names and the digits of numbers.
fn format_json(bytes: &[u8], limit: usize) -> Option<String> {
    let value: &RawValue = serde_json::from_slice(bytes).ok()?;
    let text = value.get();
    // A scalar stays as it is.
    if !text.starts_with(['{', '[']) {
        return None;
    }
    indent(text, limit)
}

/// Changes only the white space between values of valid JSON.
fn indent(json: &str, limit: usize) -> Option<String> {
    let mut out = String::with_capacity(json.len().saturating_mul(2).min(limit));
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        if out.len() > limit {
            return None;
        }
        if in_text {
            out.push(character);
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            ' ' | '\n' | '\r' | '\t' => continue,
            '"' => in_text = true,
            _ => {}
        }
        match character {
            '{' | '[' => {
                out.push(character);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                if rest.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    out.extend(rest.next());
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
    }
    (out.len() <= limit).then_some(out)
}

fn new_line(out: &mut String, depth: usize) {
    // Deeper indentation would push the text out of sight, and a hostile body can consist of nothing else.
    const MAX_DEPTH: usize = 32;
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(MAX_DEPTH)));
}

/// Formatted JSON with syntax highlighting, unless that exceeds the limit.
fn highlighted(json: &str, limit: usize) -> Option<Markup> {
    let (mut out, mut rest) = (String::new(), json);
    while !rest.is_empty() {
        let (piece, class, after) = next_token(rest);
        let markup = html! { @if class.is_empty() { (shown_lines(piece)) } @else { span class=(class) { (shown_lines(piece)) } } };
        out.push_str(&markup.into_string());
        if out.len() > limit {
            return None;
        }
        rest = after;
    }
    Some(PreEscaped(out))
}

/// The next token of JSON, its CSS class, and what follows.
fn next_token(json: &str) -> (&str, &'static str, &str) {
    let split = |at: usize, class: &'static str| {
        let (piece, after) = json.split_at(at);
        (piece, class, after)
    };
    let is_plain = |letter: char| !matches!(letter, '"' | '-' | '0'..='9' | 'a'..='z');
    match json.chars().next() {
        Some('"') => {
            let mut escaped = false;
            let end = json.char_indices().skip(1).find(|(_, letter)| {
                let ends = *letter == '"' && !escaped;
                escaped = *letter == '\\' && !escaped;
                ends
            });
            let at = end.map_or(json.len(), |(at, _)| at + 1);
            split(at, if json[at..].starts_with(':') { "json-name" } else { "json-text" })
        }
        Some(letter) if is_plain(letter) => split(json.find(|letter| !is_plain(letter)).unwrap_or(json.len()), ""),
        _ => split(json.find([',', '\n', '}', ']']).unwrap_or(json.len()), "json-other"),
    }
}

/// The bytes as text, unless they are binary data. A last character that is cut in half is dropped.
fn as_text(bytes: &[u8], is_whole: bool) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Some(text.to_owned()),
        Err(error) if !is_whole && error.error_len().is_none() => as_text(&bytes[..error.valid_up_to()], true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_changes_only_white_space() {
        let json = r#" {"b":[],"a":{ },"n":1.00000000000000000001e3,"t":"x\"{,:} \\","l":[1, 2,{"c":null}]} "#;
        let expected = "{\n  \"b\": [],\n  \"a\": {},\n  \"n\": 1.00000000000000000001e3,\n  \"t\": \"x\\\"{,:} \\\\\",\n  \"l\": [\n    1,\n    2,\n    {\n      \"c\": null\n    }\n  ]\n}";
        assert_eq!(format_json(json.as_bytes(), SHORT_MARKUP).unwrap(), expected);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(json), read(expected));
        assert_eq!(format_json(b"{\"a\":1", SHORT_MARKUP), None);
        assert_eq!(format_json(b"12", SHORT_MARKUP), None);
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert!(format_json(deep.as_bytes(), SHORT_MARKUP).unwrap().len() < 100 * 200);
    }

    #[test]
    fn markup_of_any_body_is_bounded() {
        let nested = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
        let objects = format!("[{}{{}}]", "{},".repeat(20_000));
        let deep = format!("{}{}1{}", "[".repeat(40), "1,".repeat(20_000), "]".repeat(40));
        for body in [nested, objects, deep, "\"".repeat(60_000), "\u{200b}".repeat(20_000), "\u{7f}".repeat(60_000)] {
            for limit in [SHORT_MARKUP, LONG_MARKUP] {
                let shown = render_body(body.as_bytes(), body.len(), limit).unwrap();
                assert!(
                    shown.markup.0.len() <= limit && shown.bytes >= body.len().min(limit / 16),
                    "{} of {}",
                    shown.bytes,
                    body.len()
                );
                assert!(limit == SHORT_MARKUP || shown.bytes == body.len(), "{}", &body[..9]);
            }
        }
        let list = format!("[{}1]", "1,".repeat(20_000));
        let shown = render_body(list.as_bytes(), list.len(), SHORT_MARKUP).unwrap();
        assert!(shown.is_formatted && !shown.markup.0.contains("<span"), "formatted, not highlighted");
    }

    #[test]
    fn highlighting_changes_no_character() {
        let json = format_json(br#"{"a\"b":"c: \"<d>\\","n":[-1.5e3,true,null,{}],"e":""}"#, SHORT_MARKUP).unwrap();
        let page = highlighted(&json, SHORT_MARKUP).unwrap().into_string();
        assert!(page.contains("<span class=\"json-name\">&quot;n&quot;</span>: ["), "{page}");
        assert!(page.contains("<span class=\"json-other\">-1.5e3</span>,"), "{page}");
        assert!(page.contains("<span class=\"json-text\">&quot;&quot;</span>"), "{page}");
        let mut text = String::new();
        for part in page.split('<') {
            text += part.split_once('>').map_or(part, |(_, text)| text);
        }
        assert_eq!(text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">"), json);
    }

    #[test]
    fn binary_data_is_not_text() {
        assert_eq!(as_text(b"plain", true).as_deref(), Some("plain"));
        assert_eq!(as_text("Gr\u{fc}".as_bytes(), true).as_deref(), Some("Gr\u{fc}"));
        assert_eq!(as_text(&"Gr\u{fc}".as_bytes()[..3], false).as_deref(), Some("Gr"));
        assert_eq!(as_text(&"Gr\u{fc}".as_bytes()[..3], true), None);
        assert_eq!(as_text(b"\xff\xd8\xff", false), None);
        assert_eq!(as_text(b"a\0b", true), None);
    }
}
