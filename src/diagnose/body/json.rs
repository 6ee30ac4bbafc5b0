//! Rewrites JSON with other white space, other escapes or sorted keys.
//!
//! Works on the text, so that the order of keys and the digits of numbers stay unchanged.

use serde::de::IgnoredAny;
use serde_json::Value;

/// White space between tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    None,
    /// After each comma and colon, as Python writes.
    Spaces,
    /// One line for each, as `JSON.stringify(…, null, 2)` writes.
    Indented(usize),
}

/// How characters with an optional escape are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    Unchanged,
    /// `\u00e9` for é, as Python writes.
    Ascii,
    /// `\/`, as PHP writes.
    Slashes,
    SlashesAndAscii,
}

/// Returns `None` if the document is not JSON.
pub(super) fn rewritten(document: &[u8], spacing: Spacing, escapes: Escapes) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(document).ok()?;
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut writer = JsonWriter { spacing, escapes, made: String::with_capacity(text.len()), depth: 0 };
    let (mut is_string, mut is_escaped) = (false, false);
    let mut tokens = text.chars().peekable();
    while let Some(character) = tokens.next() {
        if is_string {
            writer.within_string(character, is_escaped);
            is_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        is_string = character == '"';
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                while tokens.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                writer.open(character, matches!(tokens.peek(), Some('}' | ']')));
                if let Some(closing) = tokens.next_if(|next| matches!(next, '}' | ']')) {
                    writer.made.push(closing);
                }
            }
            '}' | ']' => writer.close(character),
            ',' => writer.comma(),
            ':' => writer.made.push_str(if spacing == Spacing::None { ":" } else { ": " }),
            other => writer.made.push(other),
        }
    }
    Some(writer.made.into_bytes())
}

/// Sorts the keys of all objects. Returns `None` if the document is not JSON.
pub(super) fn sorted(document: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<Value>(document).ok().map(|value| value.to_string().into_bytes())
}

struct JsonWriter {
    spacing: Spacing,
    escapes: Escapes,
    made: String,
    depth: usize,
}

impl JsonWriter {
    fn open(&mut self, bracket: char, is_empty: bool) {
        self.made.push(bracket);
        if !is_empty {
            self.depth += 1;
            self.line();
        }
    }

    fn close(&mut self, bracket: char) {
        self.depth = self.depth.saturating_sub(1);
        self.line();
        self.made.push(bracket);
    }

    fn comma(&mut self) {
        self.made.push_str(if self.spacing == Spacing::Spaces { ", " } else { "," });
        self.line();
    }

    fn line(&mut self) {
        if let Spacing::Indented(width) = self.spacing {
            self.made.push('\n');
            self.made.extend(std::iter::repeat_n(' ', width * self.depth));
        }
    }

    fn within_string(&mut self, character: char, is_escaped: bool) {
        let escapes_ascii = matches!(self.escapes, Escapes::Ascii | Escapes::SlashesAndAscii);
        let escapes_slashes = matches!(self.escapes, Escapes::Slashes | Escapes::SlashesAndAscii);
        match character {
            '/' if escapes_slashes && !is_escaped => self.made.push_str("\\/"),
            _ if escapes_ascii && !character.is_ascii() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    self.made.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => self.made.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_rewritten_in_every_style() {
        let document = "{ \"b\" : [1.0,\t{}, [ ]],\n\"a\":\"x, \\\"é/\\\\\" }";
        for (spacing, escapes, expected) in [
            (Spacing::None, Escapes::Unchanged, "{\"b\":[1.0,{},[]],\"a\":\"x, \\\"é/\\\\\"}"),
            (Spacing::Spaces, Escapes::Ascii, "{\"b\": [1.0, {}, []], \"a\": \"x, \\\"\\u00e9/\\\\\"}"),
            (
                Spacing::Indented(2),
                Escapes::Slashes,
                "{\n  \"b\": [\n    1.0,\n    {},\n    []\n  ],\n  \"a\": \"x, \\\"é\\/\\\\\"\n}",
            ),
        ] {
            let made = rewritten(document.as_bytes(), spacing, escapes).unwrap();
            assert_eq!(String::from_utf8(made).unwrap(), expected);
        }
        assert_eq!(sorted(document.as_bytes()).unwrap(), "{\"a\":\"x, \\\"é/\\\\\",\"b\":[1.0,{},[]]}".as_bytes());
        let escaped = rewritten("\"a\\/b/😀\"".as_bytes(), Spacing::None, Escapes::SlashesAndAscii).unwrap();
        assert_eq!(String::from_utf8(escaped).unwrap(), r#""a\/b\/\ud83d\ude00""#);
        assert_eq!(rewritten(b"no json", Spacing::None, Escapes::Unchanged), None);
    }

    proptest::proptest! {
        #[test]
        fn every_style_parses_to_the_same_value(keys in proptest::collection::vec(".*", 0..4), deep in proptest::bool::ANY) {
            let inner: Vec<Value> = keys.iter().map(|key| Value::from(key.as_str())).collect();
            let object: serde_json::Map<_, _> = keys.iter().map(|key| (key.clone(), Value::from(inner.clone()))).collect();
            let value = if deep { Value::from(vec![Value::Object(object), Value::Null]) } else { Value::Object(object) };
            for spacing in [Spacing::None, Spacing::Spaces, Spacing::Indented(2)] {
                for escapes in [Escapes::Unchanged, Escapes::Ascii, Escapes::Slashes, Escapes::SlashesAndAscii] {
                    let made = rewritten(value.to_string().as_bytes(), spacing, escapes).unwrap();
                    let read: Value = serde_json::from_slice(&made).unwrap();
                    proptest::prop_assert_eq!(&read, &value);
                }
            }
            let pretty = rewritten(value.to_string().as_bytes(), Spacing::Indented(2), Escapes::Unchanged).unwrap();
            proptest::prop_assert_eq!(pretty, serde_json::to_vec_pretty(&value).unwrap());
        }
    }
}
