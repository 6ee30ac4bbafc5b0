//! Runs a notification command: a few bytes on stdin, no attempt, no event, output discarded.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::environment::{DEFAULT_PATH, INHERITED};
use super::process::{reaper, spawn};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
pub struct NotifierCommand<'a> {
    /// argv
    pub command: &'a [String],
    pub cwd: &'a Path,
    /// Names of variables passed on, in addition to those that every handler gets.
    pub env: &'a [String],
    /// Further variables.
    pub variables: &'a [(&'a str, &'a str)],
    /// A few KiB at most.
    pub stdin: &'a [u8],
}

/// Runs the command until it ends, the limit is over or `is_cancelled` is set. Kills the process group in the last two
/// cases.
pub fn run_notifier(notifier: &NotifierCommand<'_>, limit: Duration, is_cancelled: &AtomicBool) -> Result<(), String> {
    let names = INHERITED.into_iter().chain(notifier.env.iter().map(String::as_str));
    let default = |name: &str| (name == "PATH").then(|| OsString::from(DEFAULT_PATH));
    let own = names.filter_map(|name| Some((name.to_owned(), std::env::var_os(name).or_else(|| default(name))?)));
    let further = notifier.variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    let environment: Vec<_> = own.chain(further).collect();
    let program = notifier.command.first().map_or("", String::as_str);
    let mut child = spawn::spawn_notifier(notifier.command, notifier.cwd, &environment)
        .map_err(|error| format!("`{program}` could not be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(notifier.stdin)
    {
        // A command need not read its stdin.
        log::debug!("`{program}` did not read its stdin: {error}");
    }
    let (deadline, pid) = (Instant::now() + limit, Pid::from_child(&child));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let has_ended = || matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)));
    while !has_ended() && Instant::now() < deadline && !is_cancelled.load(Ordering::Relaxed) {
        thread::sleep(POLL_INTERVAL);
    }
    let is_late = !has_ended();
    if is_late && let Err(error) = kill_process_group(pid, Signal::KILL) {
        log::warn!("`{program}` could not be killed: {error}");
    }
    match reaper::reap_own(pid, || child.wait()) {
        _ if is_late => Err(format!("`{program}` had not ended after {} s", limit.as_secs())),
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{program}` ended with {status}")),
        Err(error) => Err(format!("`{program}`: {error}")),
    }
}
