//! Makes text from outside safe to show in a terminal, a page or a log.
//!
//! Characters that control a terminal, or change how other text is shown, are escaped (`\u{202e}`). Markup is escaped by
//! the page templates.

use std::borrow::Cow;

/// Sanitizes text that is shown on one line.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) { Cow::Owned(escape(text, |_| false)) } else { Cow::Borrowed(text) }
}

/// Like [`shown`], but keeps line breaks and tabs.
#[must_use]
pub fn shown_lines(text: &str) -> String {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) && !is_kept(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, and those that change the order or the visibility of others (Unicode TR 36, 2.1 and 3.6).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_characters_are_escaped() {
        assert_eq!(shown("pull_request.opened é 漢"), "pull_request.opened é 漢");
        assert_eq!(shown("\x1b[31mred\r\n\t\u{202e}x\u{9b}"), "\\u{1b}[31mred\\r\\n\\t\\u{202e}x\\u{9b}");
        assert_eq!(shown_lines("a\n\tb\x07\r"), "a\n\tb\\u{7}\\r");
    }
}
