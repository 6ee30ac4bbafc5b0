//! The body of an event or a refusal on its page: pretty where it is JSON, as text where it is not, and cut where it is long.
//!
//! The first bytes of a body come in, markup of a bounded length goes out, whatever the body is made of. Numbers stay as
//! they were written. What is not text is not shown; it can be fetched as it was received.

use super::query::Asked;
use super::words::{shown_lines, size};
use maud::{Markup, PreEscaped, html};

/// Shown at first.
const SHORT: usize = 64 << 10;
/// Shown at most.
const LONG: usize = 2 << 20;
/// Longest markup of a body, at first and at most: small values, quotes and depth make it many times longer than it came.
const SHORT_MARKUP: usize = 256 << 10;
const LONG_MARKUP: usize = 2 << 20;
/// So much text becomes markup at once.
const PIECE: usize = 1 << 10;

/// How many bytes are wanted.
pub(super) fn limit(asked: &Asked) -> usize {
    if asked.body == "all" { LONG } else { SHORT }
}

fn longest_markup(asked: &Asked) -> usize {
    if asked.body == "all" { LONG_MARKUP } else { SHORT_MARKUP }
}

/// A body as it is shown.
struct Shown {
    markup: Markup,
    /// Bytes of the body that are in it.
    bytes: usize,
    is_laid_out: bool,
}

/// What is kept of a body, and where all of that is.
pub(super) struct Kept<'a> {
    /// Its beginning, up to [`limit`], and how long what is kept is; `None` where nothing is.
    pub(super) start: Option<(&'a [u8], usize)>,
    /// The page that it is on.
    pub(super) page: &'a str,
    /// What the file is called that is fetched: `Download as received`.
    pub(super) download: &'a str,
}

pub(super) fn section(kept: &Kept<'_>, asked: &Asked) -> Markup {
    let file = format!("{}/body", kept.page);
    let is_text = kept.start.is_some_and(|(start, length)| plain(start, start.len() == length).is_some());
    html! {
        section aria-labelledby="body" {
            div.section-head {
                h2 #body { "Body" }
                @if kept.start.is_some_and(|(_, length)| length > 0) {
                    @if is_text { button.quiet type="button" data-fetch=(file) hidden { "Copy" } }
                    a href=(file) download { (kept.download) }
                }
            }
            @match kept.start {
                None => p.empty { "No longer kept." },
                Some((_, 0)) => p.empty { "Empty." },
                Some((start, length)) => (text(start, length, kept.page, asked)),
            }
        }
    }
}

fn text(start: &[u8], length: usize, page: &str, asked: &Asked) -> Markup {
    let bytes = |number: usize| size(i64::try_from(number).unwrap_or(i64::MAX));
    let shown = show(start, length, longest_markup(asked));
    html! {
        @match shown {
            None => p.empty { "These " (bytes(length)) " are not text." },
            Some(shown) => {
                @let kind = if shown.is_laid_out { "JSON, laid out" } else { "as it is" };
                p.visually-hidden { (kind) }
                pre.body tabindex="0" aria-label={ "Body, " (kind) } { code { (shown.markup) } }
                @if shown.bytes < length {
                    p.reach {
                        "The first " (bytes(shown.bytes)) " of " (bytes(length)) ". "
                        @if asked.body == "all" { a href={ (page) "/body" } download { "Download all of it" } }
                        @else { a href={ (page) "?body=all#body" } { "Show more" } }
                    }
                }
            }
        }
    }
}

/// Laid out and in colours where that fits, in one colour where only that fits, else as it came, as far as that fits.
fn show(start: &[u8], length: usize, most: usize) -> Option<Shown> {
    let is_whole = start.len() == length;
    if let Some(json) = is_whole.then(|| pretty(start, most)).flatten() {
        let one_colour =
            || Some(fitting(&json, most)).filter(|(_, fits)| *fits == json.len()).map(|(markup, _)| markup);
        if let Some(markup) = coloured(&json, most).or_else(one_colour) {
            return Some(Shown { markup, bytes: length, is_laid_out: true });
        }
    }
    let text = plain(start, is_whole)?;
    let (markup, fits) = fitting(&text, most);
    // What a cut through its last character has left out is no text that is missing.
    let bytes = if fits == text.len() { start.len() } else { fits };
    Some(Shown { markup, bytes, is_laid_out: false })
}

/// The beginning of a text whose markup is at most so long, and how many bytes of it that is.
fn fitting(text: &str, most: usize) -> (Markup, usize) {
    let (mut out, mut fits) = (String::new(), 0);
    while fits < text.len() {
        let piece = &text[fits..text.floor_char_boundary(fits + PIECE)];
        let markup = html! { (shown_lines(piece)) }.into_string();
        if out.len() + markup.len() > most {
            break;
        }
        out.push_str(&markup);
        fits += piece.len();
    }
    (PreEscaped(out), fits)
}

/// JSON with a line for each value, unless that is longer than `most`; the order of names and the digits of numbers are
/// kept.
fn pretty(bytes: &[u8], most: usize) -> Option<String> {
    let value: &serde_json::value::RawValue = serde_json::from_slice(bytes).ok()?;
    let text = value.get();
    // Scalars need no layout.
    if !text.starts_with(['{', '[']) {
        return None;
    }
    lay_out(text, most)
}

/// Valid JSON, character by character: only white space between values changes.
fn lay_out(json: &str, most: usize) -> Option<String> {
    let mut out = String::with_capacity(json.len().saturating_mul(2).min(most));
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        if out.len() > most {
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
    (out.len() <= most).then_some(out)
}

fn new_line(out: &mut String, depth: usize) {
    // Deeper ones would only push what is read out of sight, and a hostile body could be all depth.
    const DEEPEST: usize = 32;
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
}

/// Laid out JSON with its names, texts and numbers told apart, unless that is longer than `most`.
fn coloured(json: &str, most: usize) -> Option<Markup> {
    let (mut out, mut rest) = (String::new(), json);
    while !rest.is_empty() {
        let (piece, class, after) = next_piece(rest);
        let markup = html! { @if class.is_empty() { (shown_lines(piece)) } @else { span class=(class) { (shown_lines(piece)) } } };
        out.push_str(&markup.into_string());
        if out.len() > most {
            return None;
        }
        rest = after;
    }
    Some(PreEscaped(out))
}

/// The next word of JSON, what it is, and what follows.
fn next_piece(json: &str) -> (&str, &'static str, &str) {
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

/// Text, if it is; the cut may have gone through its last character.
fn plain(bytes: &[u8], is_whole: bool) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Some(text.to_owned()),
        Err(error) if !is_whole && error.error_len().is_none() => plain(&bytes[..error.valid_up_to()], true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_nothing_else_of_it_changes() {
        let json = r#" {"b":[],"a":{ },"n":1.00000000000000000001e3,"t":"x\"{,:} \\","l":[1, 2,{"c":null}]} "#;
        let expected = "{\n  \"b\": [],\n  \"a\": {},\n  \"n\": 1.00000000000000000001e3,\n  \"t\": \"x\\\"{,:} \\\\\",\n  \"l\": [\n    1,\n    2,\n    {\n      \"c\": null\n    }\n  ]\n}";
        assert_eq!(pretty(json.as_bytes(), SHORT_MARKUP).unwrap(), expected);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(json), read(expected));
        assert_eq!(pretty(b"{\"a\":1", SHORT_MARKUP), None);
        assert_eq!(pretty(b"12", SHORT_MARKUP), None);
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert!(pretty(deep.as_bytes(), SHORT_MARKUP).unwrap().len() < 100 * 200);
    }

    #[test]
    fn no_body_becomes_a_page_without_end() {
        let nested = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
        let objects = format!("[{}{{}}]", "{},".repeat(20_000));
        let deep = format!("{}{}1{}", "[".repeat(40), "1,".repeat(20_000), "]".repeat(40));
        for body in [nested, objects, deep, "\"".repeat(60_000), "\u{200b}".repeat(20_000), "\u{7f}".repeat(60_000)] {
            for most in [SHORT_MARKUP, LONG_MARKUP] {
                let shown = show(body.as_bytes(), body.len(), most).unwrap();
                assert!(
                    shown.markup.0.len() <= most && shown.bytes >= body.len().min(most / 16),
                    "{} of {}",
                    shown.bytes,
                    body.len()
                );
                assert!(most == SHORT_MARKUP || shown.bytes == body.len(), "{}", &body[..9]);
            }
        }
        let list = format!("[{}1]", "1,".repeat(20_000));
        let shown = show(list.as_bytes(), list.len(), SHORT_MARKUP).unwrap();
        assert!(shown.is_laid_out && !shown.markup.0.contains("<span"), "in one colour");
    }

    #[test]
    fn colours_change_no_letter_of_it() {
        let json = pretty(br#"{"a\"b":"c: \"<d>\\","n":[-1.5e3,true,null,{}],"e":""}"#, SHORT_MARKUP).unwrap();
        let page = coloured(&json, SHORT_MARKUP).unwrap().into_string();
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
    fn only_text_is_shown() {
        assert_eq!(plain(b"plain", true).as_deref(), Some("plain"));
        assert_eq!(plain("Gr\u{fc}".as_bytes(), true).as_deref(), Some("Gr\u{fc}"));
        assert_eq!(plain(&"Gr\u{fc}".as_bytes()[..3], false).as_deref(), Some("Gr"));
        assert_eq!(plain(&"Gr\u{fc}".as_bytes()[..3], true), None);
        assert_eq!(plain(b"\xff\xd8\xff", false), None);
        assert_eq!(plain(b"a\0b", true), None);
    }
}
