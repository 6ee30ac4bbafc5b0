//! `pause` and `resume`: stop and start new attempts of a handler.
//!
//! They write rows of the inbox, which `serve` notices within a second. Running attempts finish. Repeating is harmless.

use std::collections::HashSet;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::args::{Global, remark_if_not_served, unknown_name};
use crate::cli::failure::Failure;
use crate::cli::output::list::print_json;
use crate::cli::output::terminal::shown;
use crate::config::ConfigSummary;
use crate::inbox::operator::InboxFile;
use crate::inbox::{HandlerState, PauseResult};
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
#[group(id = "selection", required = true, multiple = false)]
pub(crate) struct HandlerArgs {
    /// Names of handlers
    #[arg(value_name = "HANDLER", group = "selection", num_args = 1..)]
    handlers: Vec<String>,
    /// All configured handlers; for `resume`, also paused handlers that are no longer configured
    #[arg(long, group = "selection")]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    selection: HandlerArgs,
    /// Reason, shown by `status` and the dashboard
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    selection: HandlerArgs,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct PauseJson<'a> {
    handler: &'a str,
    changed: bool,
    paused: bool,
    paused_by: Option<&'a str>,
    reason: Option<&'a str>,
    paused_at: Option<Millis>,
    probe_at: Option<Millis>,
}

pub(crate) fn pause(args: &PauseArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let mut file = InboxFile::open(&summary.inbox)?;
    let reason = args.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let now = Millis::now();
    let mut results = Vec::new();
    for name in args.selection.names(&summary, &file, false)? {
        results.push((file.pause(&name, reason, now)?, name));
    }
    print(&results, args.json, |name, paused| match paused.has_changed {
        true => format!("paused {name}; running attempts finish"),
        false => format!("{name} is already paused"),
    })
}

pub(crate) fn resume(args: &ResumeArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let mut file = InboxFile::open(&summary.inbox)?;
    let now = Millis::now();
    let mut results = Vec::new();
    for name in args.selection.names(&summary, &file, true)? {
        results.push((file.resume(&name, now)?, name));
    }
    print(&results, args.json, resumed)?;
    remark_if_not_served(&summary.inbox, "handlers run when it is");
    Ok(())
}

fn resumed(name: &str, paused: &PauseResult) -> String {
    let broken = paused.state.as_ref().filter(|state| state.paused_by.as_deref() == Some("hookbox"));
    match (broken.and_then(|state| state.reason.as_deref()), paused.has_changed) {
        (Some(reason), _) => format!("{name} is broken ({}); probing it now with one job", shown(reason)),
        (None, true) => format!("resumed {name}"),
        (None, false) => format!("{name} is not paused"),
    }
}

fn print(results: &[(PauseResult, String)], json: bool, line: fn(&str, &PauseResult) -> String) -> Result<(), Failure> {
    if json {
        return print_json(results.iter().map(|(paused, name)| to_json(name, paused)));
    }
    let mut out = io::stdout().lock();
    for (paused, name) in results {
        writeln!(out, "{}", line(&shown(name), paused))?;
    }
    Ok(out.flush()?)
}

fn to_json<'a>(handler: &'a str, paused: &'a PauseResult) -> PauseJson<'a> {
    let state = paused.state.as_ref();
    PauseJson {
        handler,
        changed: paused.has_changed,
        paused: state.is_some_and(|state| state.paused_by.is_some()),
        paused_by: state.and_then(|state| state.paused_by.as_deref()),
        reason: state.and_then(|state| state.reason.as_deref()),
        paused_at: state.and_then(|state| state.paused_at),
        probe_at: state.and_then(|state| state.probe_at),
    }
}

impl HandlerArgs {
    /// Returns the selected names without repetitions. With `--all`, `unconfigured` adds paused handlers that only the
    /// inbox knows.
    fn names(&self, summary: &ConfigSummary, file: &InboxFile, unconfigured: bool) -> Result<Vec<String>, Failure> {
        let is_paused = |state: &HandlerState| state.paused_by.is_some();
        let states = file.reader().handler_states()?;
        let paused: Vec<_> = states.into_iter().filter(is_paused).map(|state| state.name.to_string()).collect();
        if self.all {
            let others = paused.into_iter().filter(|name| unconfigured && !summary.handlers.contains(name));
            let all: Vec<String> = summary.handlers.iter().cloned().chain(others).collect();
            if all.is_empty() {
                return Err(Failure::usage("the configuration has no handlers"));
            }
            return Ok(all);
        }
        let mut known = summary.handlers.clone();
        if self.handlers.iter().any(|name| !known.contains(name)) {
            known.extend(paused);
            known.extend(file.reader().handlers()?);
            known.sort();
            known.dedup();
        }
        if let Some(name) = self.handlers.iter().find(|name| !known.contains(name)) {
            return Err(unknown_name("handler", name, &known));
        }
        let mut seen = HashSet::new();
        Ok(self.handlers.iter().filter(|name| seen.insert(*name)).cloned().collect())
    }
}
