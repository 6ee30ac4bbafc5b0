//! `reload`: SIGHUP to the process that serves the inbox, and what came of it.
//!
//! The process is the one that holds the lock, and it is seen to hold it: its id may be stale, or belong to another
//! container, where the same number is somebody else.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cli::args::Global;
use crate::cli::commands::serve::health;
use crate::cli::failure::Failure;
use crate::cli::output::progress;
use crate::cli::output::terminal::shown_lines;
use crate::config::AdminConfig;
use crate::inbox::{lock_path, operator};

/// How long the new configuration may take to be read.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let outline = global.addressed()?;
    let pid = serving(&outline.inbox)?;
    let before = reloads(&outline.admin);
    kill_process(pid, Signal::HUP)
        .map_err(|error| Failure::failed(format!("process {pid:?} cannot be told: {error}")))?;
    let Some((before, _)) = before else {
        return Ok(writeln!(io::stdout(), "process {} was told; its log says what came of it", pid.as_raw_nonzero())?);
    };
    match progress::waiting("reloading", || outcome(&outline.admin, before)) {
        Some(last) if last == "ok" => Ok(writeln!(io::stdout(), "the new configuration holds")?),
        Some(error) if error == "failed" => {
            let hint = "its log says why; with the `token` of [admin] this verb would";
            Err(Failure::usage("hookbox goes on with the configuration it has").hint(hint))
        }
        Some(error) => {
            let why = shown_lines(error.strip_prefix("error: ").unwrap_or(&error));
            Err(Failure::usage(format!("{why}\nerror: hookbox goes on with the configuration it has")))
        }
        None => Err(Failure::failed("hookbox was told, and does not say what came of it").hint("its log does")),
    }
}

/// The process that serves the inbox.
fn serving(inbox: &Path) -> Result<Pid, Failure> {
    let unreadable = |error: io::Error| Failure::failed(format!("{}: {error}", lock_path(inbox).display()));
    let Some(pid) = operator::served_by(inbox).map_err(unreadable)? else {
        return Err(Failure::failed(format!("nobody serves {}", inbox.display()))
            .hint("`hookbox serve` does, and reads the configuration when it starts"));
    };
    match Pid::from_raw(pid) {
        Some(found) if pid > 0 && holds(pid, &lock_path(inbox)) => Ok(found),
        _ => Err(Failure::failed(format!("{} is served, but process {pid} is not the one", inbox.display())).hint(
            "does it run as another user, or in another container? run `hookbox reload` there, or send it SIGHUP",
        )),
    }
}

/// Whether a process has a file open.
fn holds(pid: i32, file: &Path) -> bool {
    let Ok(wanted) = fs::metadata(file) else { return false };
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let is_it = |found: fs::Metadata| found.dev() == wanted.dev() && found.ino() == wanted.ino();
    open.flatten().any(|entry| fs::metadata(entry.path()).is_ok_and(is_it))
}

/// How often the configuration was read again, and what came of the last time.
fn reloads(admin: &AdminConfig) -> Option<(u64, String)> {
    let answer: Value = serde_json::from_slice(&health::ask(admin, "/healthz").ok()?.body).ok()?;
    let last = answer.get("last_reload").and_then(Value::as_str).unwrap_or_default();
    Some((answer.get("reloads")?.as_u64()?, last.to_owned()))
}

fn outcome(admin: &AdminConfig, before: u64) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match reloads(admin) {
            Some((now, last)) if now != before => return Some(last),
            _ => thread::sleep(POLL),
        }
    }
    None
}
