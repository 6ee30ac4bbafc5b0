//! `[handlers.NAME]`: which events a handler takes, what it runs, and how failed attempts are retried.

pub(super) mod command;
mod mode;
mod ordering;
mod process;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use globset::GlobBuilder;
use serde_json::Value;
use toml::de::DeValue;

use self::command::{read_command, variable_names};
use self::mode::read_mode;
pub use self::mode::{HttpTarget, Mode, standard_webhooks_key};
use self::ordering::read_ordering;
pub use self::ordering::{MissingKey, OrderingKey, OrderingMode, OrderingRule};
use self::process::read_process;
pub use self::process::{ProcessSettings, ResourceLimits, RunAs};
use super::problem::{Problem, nearest};
use super::reader::{TomlTable, TomlValue};
use super::source::rate;
use crate::retry::RetryPolicy;
use crate::support::rate_limiter::Rate;

const PERIODS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(30 * 24);
/// Slack and Discord wait for three seconds.
const RESPOND_TIMEOUT: Duration = Duration::from_millis(2500);
const MAX_RESPOND_TIMEOUT: Duration = Duration::from_mins(1);

/// `[handlers.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    pub name: Arc<str>,
    pub filter: HandlerFilter,
    pub mode: Mode,
    /// argv. The program is absolute if it was written with a slash, else a name to look up in PATH. Empty with
    /// [`Mode::Http`].
    pub command: Vec<String>,
    /// Absolute.
    pub cwd: PathBuf,
    /// Names of environment variables that are passed on, in addition to the default ones.
    pub env: Vec<String>,
    /// Time limit of one attempt.
    pub timeout: Duration,
    /// Limit of concurrent attempts.
    pub concurrency: usize,
    /// Set by `order_by` or `coalesce`.
    pub ordering: Option<OrderingRule>,
    /// Limits how many attempts start.
    pub rate_limit: Option<Rate>,
    pub policy: RetryPolicy,
    /// If the handler responds to the provider: how long the request waits for it.
    pub respond: Option<Duration>,
    pub process: ProcessSettings,
}

/// Which events a handler takes. All conditions must match.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerFilter {
    /// Names of sources; `None` takes all.
    pub sources: Option<Vec<String>>,
    /// Globs over the event type. A leading `!` excludes.
    pub events: Vec<String>,
    /// JSON pointers into the body, each with the values that match.
    pub conditions: Vec<(String, Vec<Value>)>,
}

/// Reads a handler. `sources` are the names of all sources, including those with problems.
pub(super) fn read_handler(name: &str, table: &TomlTable<'_>, sources: &[&str]) -> Option<Handler> {
    let handler = handler(name, table, sources);
    table.report_unknown_keys();
    handler
}

fn handler(name: &str, table: &TomlTable<'_>, sources: &[&str]) -> Option<Handler> {
    let cwd = table.read("cwd", folder).unwrap_or_else(|| table.context.folder.to_owned());
    let mode = read_mode(table);
    let is_http = table.get("mode").is_some_and(|mode| mode.value.as_str() == Some("http"));
    let command = if is_http { Some(Vec::new()) } else { read_command(table, &cwd) };
    Some(Handler {
        name: Arc::from(name),
        filter: filter(table, sources),
        env: variable_names(table, "a list of names, e.g. [\"DATABASE_URL\"]"),
        timeout: table.duration("timeout", PERIODS).unwrap_or(Duration::from_mins(5)),
        concurrency: table.integer("concurrency", 1..=1024).unwrap_or(4),
        ordering: read_ordering(table),
        rate_limit: table.read("rate_limit", rate),
        policy: policy(table),
        respond: respond(table),
        process: read_process(table, &cwd),
        cwd,
        // Last, so that the problems of all keys are found before the function returns.
        mode: mode?,
        command: command?,
    })
}

fn filter(table: &TomlTable<'_>, known_sources: &[&str]) -> HandlerFilter {
    let source = |value: &TomlValue<'_>| match value.text()? {
        name if known_sources.contains(&name) => Ok(name.to_owned()),
        name => {
            let near = nearest(name, known_sources.iter().copied());
            let add = || format!("add a section [sources.{name}]");
            let hint = near.map_or_else(add, |near| format!("did you mean `{near}`?"));
            Err(value.problem(format!("there is no source `{name}`")).hint(hint))
        }
    };
    let sources = table.list("sources", "a list of names, e.g. [\"github\"]", source);
    let events = table.list("events", "a list of globs, e.g. [\"push\"]", glob);
    for (key, effect) in [("sources", "no source can reach this handler"), ("events", "this handler takes no event")] {
        if table.get(key).and_then(|value| value.items()).is_some_and(|items| items.is_empty()) {
            table.report(key, format!("the list is empty, so {effect}"), format!("remove `{key}` to take all"));
        }
    }
    let conditions = table.read("where", TomlValue::table).map(|table| table.entries()).unwrap_or_default();
    let condition = |(pointer, value): (&str, TomlValue<'_>)| value.context.problems.ok(condition(pointer, &value));
    HandlerFilter {
        sources,
        events: events.unwrap_or_else(|| vec!["*".to_owned()]),
        conditions: conditions.into_iter().filter_map(condition).collect(),
    }
}

fn glob(value: &TomlValue<'_>) -> Result<String, Problem> {
    let written = value.text()?;
    let pattern = written.strip_prefix('!').unwrap_or(written);
    if pattern.is_empty() {
        return Err(value.problem(format!("{written:?} matches no type")).hint("\"*\" matches every type"));
    }
    match GlobBuilder::new(pattern).literal_separator(false).build() {
        Ok(_) => Ok(written.to_owned()),
        Err(error) => Err(value.problem(format!("{written:?} is not a glob: {}", error.kind()))),
    }
}

fn condition(pointer: &str, value: &TomlValue<'_>) -> Result<(String, Vec<Value>), Problem> {
    if !ordering::is_json_pointer(pointer) {
        return Err(value
            .problem(format!("{pointer:?} is not a JSON pointer"))
            .hint("it begins with a slash: where = { \"/ref\" = \"refs/heads/main\" }"));
    }
    let items = value.one_or_more();
    if items.is_empty() {
        return Err(value.problem("the list is empty, so no event can match"));
    }
    Ok((pointer.to_owned(), items.iter().map(json).collect::<Result<_, _>>()?))
}

fn json(value: &TomlValue<'_>) -> Result<Value, Problem> {
    match value.value {
        DeValue::String(text) => Ok(Value::from(text.as_ref())),
        DeValue::Boolean(boolean) => Ok(Value::from(*boolean)),
        DeValue::Integer(_) => value.integer::<i64>(&(i64::MIN..=i64::MAX)).map(Value::from),
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or_else(|| value.problem("is not a number that JSON can represent"))
        }
        _ => Err(value.unexpected("a string, a number or a boolean, or a list of these")),
    }
}

fn folder(value: &TomlValue<'_>) -> Result<PathBuf, Problem> {
    let path = value.path()?;
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(value.problem(format!("{} is not a folder", path.display()))),
        Err(error) => Err(value.problem(format!("cannot run in {}: {error}", path.display()))),
    }
}

fn policy(table: &TomlTable<'_>) -> RetryPolicy {
    let retry = table.table("retry");
    let attempts = retry.integer("attempts", 1..=1000).unwrap_or(25);
    let initial = retry.duration("initial", PERIODS).unwrap_or(Duration::from_secs(3));
    let max = retry.duration("max", PERIODS).unwrap_or(Duration::from_hours(6));
    let jitter = retry.read("jitter", TomlValue::fraction).unwrap_or(0.1);
    retry.report_unknown_keys();
    if initial > max {
        let key = if retry.has("initial") { "initial" } else { "max" };
        let [initial, max] = [initial, max].map(humantime::format_duration);
        retry.report(key, format!("`initial` ({initial}) is longer than `max` ({max})"), "");
    }
    let codes = table.list("dead_exit_codes", "a list of exit codes, e.g. [65]", |value| value.integer(&(1..=255)));
    RetryPolicy { attempts, initial, max, jitter, dead_exit_codes: codes.unwrap_or_else(|| vec![65]) }
}

/// How long the provider's request waits for the handler; `None` if the handler does not respond.
fn respond(table: &TomlTable<'_>) -> Option<Duration> {
    let responds = table.boolean("respond").unwrap_or(false);
    let timeout = table.duration("respond_timeout", Duration::from_millis(1)..=MAX_RESPOND_TIMEOUT);
    if !responds {
        if table.has("respond_timeout") && !table.has("respond") {
            table.report("respond_timeout", "is only read with `respond = true`", "add `respond = true`, or remove it");
        }
        return None;
    }
    for key in ["order_by", "coalesce", "rate_limit"].into_iter().filter(|key| table.has(key)) {
        let message = format!("cannot be combined with `{key}`, because the provider is waiting");
        table.report("respond", message, format!("remove `{key}`, or use another handler for that work"));
    }
    Some(timeout.unwrap_or(RESPOND_TIMEOUT))
}
