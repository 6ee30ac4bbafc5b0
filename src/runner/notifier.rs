//! Runs a command that is told something on stdin: no attempt, no event, nothing kept.
//!
//! argv, names of variables and a few bytes come in; whether it ended with 0 within the time goes out, or why not. Its
//! process group is ended at the time limit.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::environment::{DEFAULT_PATH, INHERITED};
use super::process::{reaper, spawn};

/// Between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is run, and where.
#[derive(Debug, Clone, Copy)]
pub struct NotifierCommand<'a> {
    /// argv
    pub command: &'a [String],
    /// The folder it runs in.
    pub cwd: &'a Path,
    /// Names of variables handed through, beside those that every handler gets.
    pub env: &'a [String],
    /// Further variables.
    pub variables: &'a [(&'a str, &'a str)],
    /// On stdin; a few KiB at most.
    pub words: &'a [u8],
}

/// Runs it to its end, or until `is_over`.
///
/// # Errors
/// It could not be started, ended otherwise than with 0, or not in time.
pub fn run_notifier(told: &NotifierCommand<'_>, limit: Duration, is_over: &AtomicBool) -> Result<(), String> {
    let names = INHERITED.into_iter().chain(told.env.iter().map(String::as_str));
    let default = |name: &str| (name == "PATH").then(|| OsString::from(DEFAULT_PATH));
    let own = names.filter_map(|name| Some((name.to_owned(), std::env::var_os(name).or_else(|| default(name))?)));
    let further = told.variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    let environment: Vec<_> = own.chain(further).collect();
    let program = told.command.first().map_or("", String::as_str);
    let mut child = spawn::start(told.command, told.cwd, &environment)
        .map_err(|error| format!("`{program}` could not be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(told.words)
    {
        // Whoever does not read it may have its reasons.
        log::debug!("`{program}` did not read what it was told: {error}");
    }
    let (deadline, pid) = (Instant::now() + limit, Pid::from_child(&child));
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let has_ended = || matches!(waitid(WaitId::Pid(pid), ended), Ok(Some(_)));
    while !has_ended() && Instant::now() < deadline && !is_over.load(Ordering::Relaxed) {
        thread::sleep(LOOK_EVERY);
    }
    let is_late = !has_ended();
    if is_late && let Err(error) = kill_process_group(pid, Signal::KILL) {
        log::warn!("`{program}` could not be ended: {error}");
    }
    match reaper::reaped(pid, || child.wait()) {
        _ if is_late => Err(format!("`{program}` had not ended after {} s", limit.as_secs())),
        Ok(status) => judge(program, status),
        Err(error) => Err(format!("`{program}`: {error}")),
    }
}

fn judge(program: &str, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{program}` ended with {status}")) }
}
