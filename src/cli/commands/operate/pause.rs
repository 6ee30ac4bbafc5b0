//! `pause` and `resume`: handlers start no more attempts, or start them again.
//!
//! Only rows of the inbox are written; `serve` notices within a second, and what runs goes on to its end. Doing it twice
//! is no failure.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::list::Array;
use crate::cli::output::terminal::{remark, shown};
use crate::config::{self, ConfigSummary};
use crate::inbox::operator::{self, InboxFile};
use crate::inbox::{HandlerState, PauseResult};
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = false)]
pub(crate) struct Which {
    /// Names of handlers
    #[arg(value_name = "HANDLER", group = "which", num_args = 1..)]
    handlers: Vec<String>,
    /// All handlers of the configuration, and whatever else is paused
    #[arg(long, group = "which")]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    which: Which,
    /// Why, for `status` and whoever comes next
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// How a handler stands now.
#[derive(Debug, Serialize)]
struct Row<'a> {
    handler: &'a str,
    changed: bool,
    paused: bool,
    paused_by: Option<&'a str>,
    reason: Option<&'a str>,
    paused_at: Option<Millis>,
    probe_at: Option<Millis>,
}

pub(crate) fn pause(args: &PauseArgs, global: &Global) -> Result<(), Failure> {
    let (outline, mut file) = open(global)?;
    let names = args.which.names(&outline, &file, false)?;
    let reason = args.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let now = Millis::now();
    let mut done = Vec::new();
    for name in names {
        done.push((file.pause(&name, reason, now)?, name));
    }
    tell(&done, args.json, |name, paused| match paused.has_changed {
        true => format!("paused {name}; what runs of it goes on to its end"),
        false => format!("{name} is paused already"),
    })
}

pub(crate) fn resume(args: &ResumeArgs, global: &Global) -> Result<(), Failure> {
    let (outline, mut file) = open(global)?;
    let names = args.which.names(&outline, &file, true)?;
    let now = Millis::now();
    let mut done = Vec::new();
    for name in names {
        done.push((file.resume(&name, now)?, name));
    }
    tell(&done, args.json, resumed)?;
    if matches!(operator::served_by(&outline.inbox), Ok(None)) {
        remark("hookbox is not serving this inbox; handlers run when it does");
    }
    Ok(())
}

fn resumed(name: &str, paused: &PauseResult) -> String {
    let reason = paused.state.as_ref().and_then(|state| state.reason.as_deref());
    match (reason.filter(|_| is_broken(paused)), paused.has_changed) {
        (Some(reason), _) => format!("{name} is broken ({}); it is tried now with one job", shown(reason)),
        (None, true) => format!("resumed {name}"),
        (None, false) => format!("{name} is not paused"),
    }
}

fn is_broken(paused: &PauseResult) -> bool {
    paused.state.as_ref().is_some_and(|state| state.paused_by.as_deref() == Some("hookbox"))
}

fn open(global: &Global) -> Result<(ConfigSummary, InboxFile), Failure> {
    let outline = global.outline()?;
    let file = InboxFile::open(&outline.inbox)?;
    Ok((outline, file))
}

fn tell(done: &[(PauseResult, String)], json: bool, line: fn(&str, &PauseResult) -> String) -> Result<(), Failure> {
    if json {
        let mut array = Array::new();
        for (paused, name) in done {
            array.push(&row(name, paused.has_changed, paused.state.as_ref()))?;
        }
        return array.end();
    }
    let mut out = io::stdout().lock();
    for (paused, name) in done {
        writeln!(out, "{}", line(&shown(name), paused))?;
    }
    Ok(out.flush()?)
}

fn row<'a>(handler: &'a str, changed: bool, state: Option<&'a HandlerState>) -> Row<'a> {
    Row {
        handler,
        changed,
        paused: state.is_some_and(|state| state.paused_by.is_some()),
        paused_by: state.and_then(|state| state.paused_by.as_deref()),
        reason: state.and_then(|state| state.reason.as_deref()),
        paused_at: state.and_then(|state| state.paused_at),
        probe_at: state.and_then(|state| state.probe_at),
    }
}

impl Which {
    /// The handlers that are meant, each once. With `--all`, `further` adds those that only the inbox knows as paused.
    fn names(&self, outline: &ConfigSummary, file: &InboxFile, further: bool) -> Result<Vec<String>, Failure> {
        let paused: Vec<String> = file
            .reader()
            .handler_states()?
            .into_iter()
            .filter(|state| state.paused_by.is_some())
            .map(|state| state.name.to_string())
            .collect();
        if self.all {
            let further = paused.into_iter().filter(|name| further && !outline.handlers.contains(name));
            let all: Vec<String> = outline.handlers.iter().cloned().chain(further).collect();
            if all.is_empty() {
                return Err(Failure::usage("there is no handler in the configuration"));
            }
            return Ok(all);
        }
        let mut known = outline.handlers.clone();
        if self.handlers.iter().any(|name| !known.contains(name)) {
            known.extend(paused);
            known.extend(file.reader().handlers()?);
            known.sort();
            known.dedup();
        }
        let mut names = Vec::new();
        for name in &self.handlers {
            if !known.contains(name) {
                return Err(unknown(name, &known));
            }
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(names)
    }
}

/// There is no such handler: the nearest name, or all of them.
pub(crate) fn unknown(name: &str, known: &[String]) -> Failure {
    let failure = Failure::usage(format!("there is no handler `{}`", shown(name)));
    match config::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{}`?", shown(near))),
        None if known.is_empty() => failure.hint("the configuration has none"),
        None => failure.hint(format!("handlers: {}", shown(&known.join(", ")))),
    }
}
