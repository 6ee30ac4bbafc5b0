//! Text from outside made plain, for a terminal, a page or a log.
//!
//! Any text comes in, text goes out in which whatever could steer a terminal, or change how other text is shown, is
//! spelled out (`\u{202e}`). Markup is escaped by the templates of pages.

use std::borrow::Cow;

/// One line of text from outside, with nothing in it that steers a terminal or a page.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers) { Cow::Owned(escaped(text, |_| false)) } else { Cow::Borrowed(text) }
}

/// Like [`shown`] for output of several lines.
#[must_use]
pub fn shown_lines(text: &str) -> String {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) && !is_kept(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, and those that change the order or the visibility of others (Unicode TR 36, 2.1 and 3.6).
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(shown("pull_request.opened é 漢"), "pull_request.opened é 漢");
        assert_eq!(shown("\x1b[31mred\r\n\t\u{202e}x\u{9b}"), "\\u{1b}[31mred\\r\\n\\t\\u{202e}x\\u{9b}");
        assert_eq!(shown_lines("a\n\tb\x07\r"), "a\n\tb\\u{7}\\r");
    }
}
