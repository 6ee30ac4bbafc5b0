//! Secrets: from an environment variable, from a file, or written in the configuration.
//!
//! No problem ever quotes a secret.

use std::io::Read;
use std::path::Path;

use toml::de::DeValue;

use super::problem::Problem;
use super::reader::TomlValue;
use crate::support::secret::Secret;

const FORMS: &str = "a string, { env = \"…\" } or { file = \"…\" }";
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Reads one secret or a list of them, newest first. `check` returns what is wrong with a secret; `hint` is the next step.
pub(super) fn read_secrets(
    value: &TomlValue<'_>,
    hint: &str,
    check: impl Fn(&Secret) -> Result<(), String>,
) -> Vec<Secret> {
    let items = value.one_or_more();
    if items.is_empty() {
        value.report(value.problem("the list is empty").hint(format!("each secret is {FORMS}")));
    }
    let secret = |item: &TomlValue<'_>| {
        let Some(secret) = read_one(item)? else { return Ok(None) };
        match check(&secret) {
            Ok(()) => Ok(Some(secret)),
            Err(message) if hint.is_empty() => Err(item.problem(message)),
            Err(message) => Err(item.problem(message).hint(hint)),
        }
    };
    items.iter().filter_map(|item| value.context.problems.ok(secret(item)).flatten()).collect()
}

/// Reads exactly one secret.
pub(super) fn read_secret(
    value: &TomlValue<'_>,
    hint: &str,
    check: impl Fn(&Secret) -> Result<(), String>,
) -> Option<Secret> {
    let mut secrets = read_secrets(value, hint, check);
    if secrets.len() > 1 {
        value.report(value.problem("has several values").hint("one value is allowed here"));
        return None;
    }
    secrets.pop()
}

/// `None` if its only key is unknown, which is reported already.
fn read_one(value: &TomlValue<'_>) -> Result<Option<Secret>, Problem> {
    match value.value {
        DeValue::String(text) => not_empty(value, text, "is empty").map(Some),
        DeValue::Table(_) => {
            let table = value.table()?;
            let (variable, file) = (table.get("env"), table.get("file"));
            table.report_unknown_keys();
            match (variable, file) {
                (Some(name), None) => from_environment(value, name.system_text()?).map(Some),
                (None, Some(path)) => from_file(value, &path.path()?).map(Some),
                (Some(_), Some(_)) => Err(value.problem("names both an environment variable and a file")),
                (None, None) if table.entries().is_empty() => Err(value.unexpected(FORMS)),
                (None, None) => Ok(None),
            }
        }
        _ => Err(value.unexpected(&format!("{FORMS}, or a list of these"))),
    }
}

fn from_environment(value: &TomlValue<'_>, name: &str) -> Result<Secret, Problem> {
    let Some(text) = (value.context.environment)(name) else {
        return Err(value
            .problem(format!("environment variable `{name}` is not set"))
            .hint(format!("export it, or point `{}` at a file with {{ file = \"…\" }}", value.position.last_key())));
    };
    not_empty(value, &text, &format!("environment variable `{name}` is empty"))
}

/// One trailing newline does not count.
fn from_file(value: &TomlValue<'_>, path: &Path) -> Result<Secret, Problem> {
    let bytes = read_file(value, path, MAX_FILE_BYTES)?;
    let shown = path.display();
    let text = String::from_utf8(bytes).map_err(|_| value.problem(format!("{shown} is not UTF-8 text")))?;
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
    not_empty(value, line, &format!("{shown} is empty"))
}

/// Reads a file of at most `max` bytes that `value` names.
pub(super) fn read_file(value: &TomlValue<'_>, path: &Path, max: u64) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
        .map_err(|error| value.problem(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > max { Err(value.problem(format!("{shown} has more than {max} bytes"))) } else { Ok(bytes) }
}

fn not_empty(value: &TomlValue<'_>, text: &str, message: &str) -> Result<Secret, Problem> {
    if text.is_empty() {
        return Err(value.problem(message).hint("with an empty secret anyone could sign"));
    }
    Ok(Secret::new(text))
}
