//! `[handlers.NAME]`: which events a handler takes, what it runs, and how often it tries.
//!
//! A section goes in, a [`Handler`] comes out if everything in it holds: its sources exist, its globs compile, its
//! program can be executed. Nothing is run.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use globset::GlobBuilder;
use serde_json::Value;
use toml::de::DeValue;

use super::containment;
use super::item::Item;
use super::keys::{self, nearest};
use super::mode;
use super::problem::Problem;
use super::program;
use super::read::Surroundings;
use super::respond;
use super::section::Section;
use super::{Handler, HandlerFilter, Mode, guards, sequence};
use crate::retry::RetryPolicy;

const INSTANT: Duration = Duration::from_millis(1);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
pub(super) const SPANS: RangeInclusive<Duration> = INSTANT..=MONTH;

/// `sources` are all sections under `sources`, those with problems included.
pub(super) fn read(
    name: &str,
    section: &Section<'_>,
    around: &Surroundings<'_>,
    sources: &[(&str, Section<'_>)],
) -> Option<Handler> {
    let cwd = section.take("cwd", |item| folder(item, around)).unwrap_or_else(|| around.folder.to_owned());
    let mode = mode::read(section, around);
    let command = match &mode {
        Some(Mode::Http(_)) => Some(Vec::new()),
        _ if section.item("mode").is_some_and(|item| item.value.as_str() == Some("http")) => None,
        _ => command(section, around, &cwd),
    };
    let containment = containment::read(section, &cwd);
    let concurrency = section.whole("concurrency", 1..=1024).and_then(|count| count.try_into().ok());
    Some(Handler {
        name: Arc::from(name),
        filter: takes(section, sources),
        cwd,
        env: section.list("env", "a list of names, e.g. [\"DATABASE_URL\"]", variable).unwrap_or_default(),
        timeout: section.duration("timeout", SPANS).unwrap_or(Duration::from_secs(5 * 60)),
        concurrency: concurrency.unwrap_or(4),
        ordering: sequence::keyed(section),
        rate_limit: section.take("rate_limit", guards::rate),
        policy: policy(section),
        respond: respond::read(section),
        process: containment,
        command: command?,
        mode: mode?,
    })
}

fn takes(section: &Section<'_>, known: &[(&str, Section<'_>)]) -> HandlerFilter {
    let source = |item: &Item<'_>| match item.text()? {
        name if known.iter().any(|(known, _)| *known == name) => Ok(name.to_owned()),
        name => {
            let problem = item.problem(format!("there is no source `{name}`"));
            Err(match nearest(name, known.iter().map(|(known, _)| *known)) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("add a section [sources.{name}]")),
            })
        }
    };
    let sources = section.list("sources", "a list of names, e.g. [\"github\"]", source);
    let events = section.list("events", "a list of globs, e.g. [\"push\"]", glob);
    for (key, what) in [("sources", "no source can reach this handler"), ("events", "this handler takes no event")] {
        if section.item(key).and_then(|item| item.items()).is_some_and(|items| items.is_empty()) {
            let problem = section.problem(key, format!("the list is empty, so {what}"));
            section.problems().add(problem.hint(format!("leave `{key}` out to take all")));
        }
    }
    let conditions = section.take("where", |item| Section::open(item, section.sheet()));
    let condition = |(pointer, item): (&str, Item<'_>)| section.problems().keep(condition(pointer, &item));
    HandlerFilter {
        sources,
        events: events.unwrap_or_else(|| vec!["*".to_owned()]),
        conditions: conditions.map(|all| all.entries().into_iter().filter_map(condition).collect()).unwrap_or_default(),
    }
}

fn glob(item: &Item<'_>) -> Result<String, Problem> {
    let written = item.text()?;
    let pattern = written.strip_prefix('!').unwrap_or(written);
    if pattern.is_empty() {
        return Err(item.problem(format!("{written:?} matches no type")).hint("\"*\" matches every type"));
    }
    match GlobBuilder::new(pattern).literal_separator(false).build() {
        Ok(_) => Ok(written.to_owned()),
        Err(error) => Err(item.problem(format!("{written:?} is not a glob: {}", error.kind()))),
    }
}

fn condition(pointer: &str, item: &Item<'_>) -> Result<(String, Vec<Value>), Problem> {
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !pointer.starts_with('/') || !escapes {
        return Err(item
            .problem(format!("{pointer:?} is not a JSON pointer"))
            .hint("write it with a leading slash: where = { \"/ref\" = \"refs/heads/main\" }"));
    }
    let items = item.one_or_more();
    if items.is_empty() {
        return Err(item.problem("the list is empty, so no event can match"));
    }
    let values = items.iter().map(json).collect::<Result<_, _>>()?;
    Ok((pointer.to_owned(), values))
}

fn json(item: &Item<'_>) -> Result<Value, Problem> {
    let unexpected = || item.unexpected("a string, a number or a boolean, or a list of these");
    match item.value {
        DeValue::String(text) => Ok(Value::from(text.as_ref())),
        DeValue::Boolean(value) => Ok(Value::from(*value)),
        DeValue::Integer(_) => item.whole(&(i64::MIN..=i64::MAX)).map(Value::from),
        DeValue::Float(number) => {
            let value = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            value.map(Value::Number).ok_or_else(|| item.problem("is not a number that JSON can hold"))
        }
        _ => Err(unexpected()),
    }
}

fn folder(item: &Item<'_>, around: &Surroundings<'_>) -> Result<PathBuf, Problem> {
    let path = around.locate(item.system_text()?);
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(item.problem(format!("{} is not a folder", path.display()))),
        Err(error) => Err(item.problem(format!("cannot run in {}: {error}", path.display()))),
    }
}

pub(super) fn variable(item: &Item<'_>) -> Result<String, Problem> {
    match item.system_text()? {
        name if name.contains('=') => Err(item
            .problem(format!("{name:?} is not the name of a variable"))
            .hint("`env` lists names; their values come from hookbox's own environment")),
        name => Ok(name.to_owned()),
    }
}

pub(super) fn command(section: &Section<'_>, around: &Surroundings<'_>, cwd: &Path) -> Option<Vec<String>> {
    let hint = "command = [\"handlers/deploy.sh\"]";
    section.required("command", hint)?;
    let argument = |item: &Item<'_>| match item.text()? {
        text if text.contains('\0') => Err(item.problem("contains a NUL character")),
        text => Ok((item.place.clone(), text.to_owned())),
    };
    let mut written = section
        .list("command", "a list with one argument each, e.g. [\"handlers/deploy.sh\", \"--fast\"]", argument)?
        .into_iter();
    let Some((place, program)) = written.next().filter(|(_, program)| !program.is_empty()) else {
        section.problems().add(section.problem("command", "names no program").hint(hint));
        return None;
    };
    let program = program::locate(&program, around, cwd)
        .map_err(|missing| Problem::at(&place, missing.message).hint(missing.hint));
    let program = section.problems().keep(program)?;
    Some(std::iter::once(program).chain(written.map(|(_, argument)| argument)).collect())
}

fn policy(section: &Section<'_>) -> RetryPolicy {
    let retry = section.section("retry", &keys::RETRY);
    let attempts = retry.whole("attempts", 1..=1000).and_then(|count| count.try_into().ok());
    let initial = retry.duration("initial", SPANS).unwrap_or(Duration::from_secs(3));
    let max = retry.duration("max", SPANS).unwrap_or(Duration::from_secs(6 * 60 * 60));
    if initial > max {
        let [initial, max] = [initial, max].map(humantime::format_duration);
        let key = if retry.has("initial") { "initial" } else { "max" };
        retry.problems().add(retry.problem(key, format!("`initial` ({initial}) is longer than `max` ({max})")));
    }
    let codes = section.list("dead_exit_codes", "a list of exit statuses, e.g. [65]", |item| item.whole(&(1..=255)));
    let codes = codes.unwrap_or_else(|| vec![65]).into_iter().filter_map(|code| code.try_into().ok());
    RetryPolicy {
        attempts: attempts.unwrap_or(25),
        initial,
        max,
        jitter: retry.take("jitter", Item::share).unwrap_or(0.1),
        dead_exit_codes: codes.collect(),
    }
}
