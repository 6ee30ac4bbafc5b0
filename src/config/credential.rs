//! Secrets: from the environment, from a file, or as text, one or several.
//!
//! The value of `secret` goes in, secrets come out, newest first. No problem ever holds the text of one. Whether
//! the scheme can decode them is for the reader of the source to say.

use std::io::Read;
use std::path::Path;

use toml::de::DeValue;

use super::item::Item;
use super::keys;
use super::problem::Problem;
use super::read::Surroundings;
use super::section::{Section, Sheet};
use crate::support::secret::Secret;

const FORMS: &str = "a string, { env = \"…\" } or { file = \"…\" }";
const LONGEST_FILE: u64 = 64 << 10;

/// One secret and the item it was written as.
pub(super) struct Credential<'a> {
    pub(super) item: Item<'a>,
    pub(super) secret: Secret,
}

/// Every secret that could be read; the others are noted.
pub(super) fn read<'a>(item: &Item<'a>, sheet: &Sheet, around: &Surroundings<'_>) -> Vec<Credential<'a>> {
    let items = item.one_or_more();
    if items.is_empty() {
        sheet.problems.add(item.problem("holds no secret").hint(format!("each secret is {FORMS}")));
    }
    items
        .into_iter()
        .filter_map(|item| {
            let secret = sheet.problems.keep(one(&item, sheet, around)).flatten()?;
            Some(Credential { item, secret })
        })
        .collect()
}

fn one(item: &Item<'_>, sheet: &Sheet, around: &Surroundings<'_>) -> Result<Option<Secret>, Problem> {
    match item.value {
        DeValue::String(text) => not_empty(item, text, "is empty").map(Some),
        DeValue::Table(_) => {
            let table = Section::open(item, sheet)?.checked(&keys::SECRET);
            match (table.item("env"), table.item("file")) {
                (Some(name), None) => from_environment(item, name.system_text()?, around).map(Some),
                (None, Some(path)) => from_file(item, path.system_text()?, around).map(Some),
                (Some(_), Some(_)) => Err(item.problem("names both an environment variable and a file")),
                (None, None) if table.entries().is_empty() => Err(item.unexpected(FORMS)),
                (None, None) => Ok(None),
            }
        }
        _ => Err(item.unexpected(&format!("{FORMS}, or a list of these"))),
    }
}

fn from_environment(item: &Item<'_>, name: &str, around: &Surroundings<'_>) -> Result<Secret, Problem> {
    let Some(text) = (around.environment)(name) else {
        return Err(item
            .problem(format!("environment variable `{name}` is not set"))
            .hint(format!("export it, or point `{}` at a file with {{ file = \"…\" }}", item.place.last_key())));
    };
    not_empty(item, &text, &format!("environment variable `{name}` is empty"))
}

fn from_file(item: &Item<'_>, path: &str, around: &Surroundings<'_>) -> Result<Secret, Problem> {
    let path = around.locate(path);
    let shown = path.display();
    let bytes =
        read_limited(&path, LONGEST_FILE).map_err(|error| item.problem(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(item.problem(format!("{shown} holds more than {LONGEST_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| item.problem(format!("{shown} does not hold UTF-8 text")))?;
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
    not_empty(item, line, &format!("{shown} is empty"))
}

/// One byte more than `most` says that there is more.
pub(super) fn read_limited(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_empty(item: &Item<'_>, text: &str, message: &str) -> Result<Secret, Problem> {
    if text.is_empty() {
        return Err(item.problem(message).hint("an empty secret would let anybody sign"));
    }
    Ok(Secret::new(text))
}
