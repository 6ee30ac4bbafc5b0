//! `reload`: sends SIGHUP to the process that serves the inbox, and reports the result.
//!
//! The process id comes from the lock file. It may be stale or belong to another container, so the signal is sent only
//! to a process that has the lock file open.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::health;
use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::progress;
use crate::cli::output::terminal::{print_line, shown_lines};
use crate::config::AdminConfig;
use crate::inbox::{lock_path, operator};

/// Time limit for the reload.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let summary = global.summary_with_addresses()?;
    let pid = serving_process(&summary.inbox)?;
    let before = reload_count(&summary.admin);
    kill_process(pid, Signal::HUP)
        .map_err(|error| Failure::failed(format!("cannot send SIGHUP to process {pid:?}: {error}")))?;
    let Some((before, _)) = before else {
        let pid = pid.as_raw_nonzero();
        return Ok(print_line(format!("sent SIGHUP to process {pid}; its log shows the result"))?);
    };
    let kept = "hookbox keeps its previous configuration";
    match progress::spinner("reloading", || wait_for_result(&summary.admin, before)) {
        Some(result) if result == "ok" => Ok(print_line("configuration reloaded")?),
        Some(result) if result == "failed" => {
            let hint = "its log shows the error; so does this command if [admin] has a `token`";
            Err(Failure::usage(kept).hint(hint))
        }
        Some(result) => {
            let error = shown_lines(result.strip_prefix("error: ").unwrap_or(&result));
            Err(Failure::usage(format!("{error}\nerror: {kept}")))
        }
        None => {
            let message = format!("hookbox did not report a result within {} s", TIMEOUT.as_secs());
            Err(Failure::failed(message).hint("its log may show more"))
        }
    }
}

fn serving_process(inbox: &Path) -> Result<Pid, Failure> {
    let unreadable = |error: io::Error| Failure::failed(format!("{}: {error}", lock_path(inbox).display()));
    let Some(pid) = operator::served_by(inbox).map_err(unreadable)? else {
        return Err(Failure::failed(format!("hookbox is not running on {}", inbox.display()))
            .hint("`hookbox serve` reads the configuration when it starts"));
    };
    match Pid::from_raw(pid) {
        Some(found) if pid > 0 && has_open(pid, &lock_path(inbox)) => Ok(found),
        _ => Err(Failure::failed(format!("{} is in use, but not by process {pid}", inbox.display())).hint(
            "does hookbox run as another user or in another container? run `hookbox reload` there, or send it SIGHUP",
        )),
    }
}

/// Whether a process has a file open.
fn has_open(pid: i32, file: &Path) -> bool {
    let Ok(wanted) = fs::metadata(file) else { return false };
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let is_same = |found: fs::Metadata| found.dev() == wanted.dev() && found.ino() == wanted.ino();
    open.flatten().any(|entry| fs::metadata(entry.path()).is_ok_and(is_same))
}

/// Returns the number of reloads and the result of the last one.
fn reload_count(admin: &AdminConfig) -> Option<(u64, String)> {
    let response: Value = serde_json::from_slice(&health::get(admin, "/healthz").ok()?.body).ok()?;
    let last = response.get("last_reload").and_then(Value::as_str).unwrap_or_default();
    Some((response.get("reloads")?.as_u64()?, last.to_owned()))
}

fn wait_for_result(admin: &AdminConfig, before: u64) -> Option<String> {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        match reload_count(admin) {
            Some((count, result)) if count != before => return Some(result),
            _ => thread::sleep(POLL_INTERVAL),
        }
    }
    None
}
