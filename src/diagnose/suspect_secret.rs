//! Recognises secrets that are probably not what the provider has: with white space, quotes or invisible characters, a
//! line of an environment file, or a reference that was taken literally.

use std::path::Path;

/// Characters that are not visible: byte order mark, zero-width space, joiners, directional marks.
const INVISIBLE: [char; 9] =
    ['\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{00ad}', '\u{180e}'];

/// What is suspicious about a configured secret, for the operator; never contains it. `folder` is that of the
/// configuration, against which file names are resolved.
#[must_use]
pub fn suspicion(secret: &str, folder: &Path) -> Option<&'static str> {
    if secret.contains("-----BEGIN") {
        return None;
    }
    Some(if secret.contains(INVISIBLE) {
        "contains a byte order mark or another invisible character; write it again by hand or without it"
    } else if secret.trim() != secret {
        "begins or ends with white space or a newline; remove it unless the provider has it, too"
    } else if without_quotes(secret).is_some() {
        "is in quotes, which count as part of it; remove them"
    } else if assigned(secret).is_some() {
        "looks like a line of an environment file (`NAME=value`); keep only the value"
    } else if is_reference(secret) {
        "looks like a reference to a variable, but is used literally; write `{ env = \"NAME\" }`"
    } else if is_file(secret, folder) {
        "is the name of an existing file, but is used literally; write `{ file = \"…\" }`"
    } else {
        return None;
    })
}

/// The text without invisible characters, if there are any.
pub(super) fn visible(text: &str) -> Option<String> {
    text.contains(INVISIBLE).then(|| text.replace(INVISIBLE, ""))
}

/// The text between quotes.
pub(super) fn without_quotes(text: &str) -> Option<&str> {
    let between = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    ['"', '\'', '`'].into_iter().find_map(between).filter(|inner| !inner.is_empty())
}

/// The value of `NAME=value` or `export NAME=value`.
pub(super) fn assigned(text: &str) -> Option<&str> {
    let line = text.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.contains('_');
    let value = value.trim();
    let value = without_quotes(value).unwrap_or(value);
    // Not the padding of base64.
    (is_name && !value.trim_matches('=').is_empty()).then_some(value)
}

/// `${NAME}`, `$NAME`, `env:NAME`, `env.NAME`, `file:…`, `%NAME%`, `{{ name }}`
fn is_reference(text: &str) -> bool {
    let is_name = |name: &str| {
        name.len() >= 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty()
    };
    let is_variable = |name: &str| is_name(name) && !name.bytes().any(|byte| byte.is_ascii_lowercase());
    let braced = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    braced("${", "}").is_some()
        || braced("{{", "}}").is_some()
        || braced("%", "%").is_some_and(is_variable)
        || text.strip_prefix('$').is_some_and(is_variable)
        || ["env:", "env.", "ENV:", "env://"].iter().any(|prefix| text.strip_prefix(prefix).is_some_and(is_name))
        || text.starts_with("file:/")
        || text.starts_with("file://")
}

fn is_file(text: &str, folder: &Path) -> bool {
    text.contains(['/', '.']) && text.len() < 256 && !text.contains('\0') && folder.join(text).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspicious_secrets_are_recognised_and_ordinary_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hook.secret"), "x").unwrap();
        for (secret, part) in [
            ("hunter2hunter2", ""),
            ("whsec_aHVudGVyMg==", ""),
            ("HUNTER==", ""),
            ("a b c", ""),
            ("pass$word", ""),
            ("missing.secret", ""),
            ("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", ""),
            ("hunter2\n", "white space"),
            (" hunter2", "white space"),
            ("\u{feff}hunter2", "byte order mark"),
            ("hunt\u{200b}er2", "invisible"),
            ("\"hunter2\"", "quotes"),
            ("'hunter2'", "quotes"),
            ("GITHUB_SECRET=hunter2", "NAME=value"),
            ("export HOOK_SECRET='hunter2'", "NAME=value"),
            ("env:GITHUB_SECRET", "reference"),
            ("${GITHUB_SECRET}", "reference"),
            ("$GITHUB_SECRET", "reference"),
            ("hook.secret", "existing file"),
        ] {
            let found = suspicion(secret, folder.path());
            assert_eq!(found.is_some(), !part.is_empty(), "{secret:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(part), "{secret:?}: {found:?}");
        }
        assert_eq!(assigned("export HOOK_SECRET='hunter2'"), Some("hunter2"));
    }
}
