//! What a killed hookbox left running: processes of attempts that are lost, ended before anything is claimed again.
//!
//! They are known by their environment: `HOOKBOX_RESULT` names the inbox, the job and the attempt, and whatever a
//! handler starts inherits it. Attempts that had ended are not touched, so what a handler meant to leave running stays.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::KILL_GRACE;
use super::result::ResultFile;

/// How long a killed process may take to vanish.
const VANISH_WITHIN: Duration = Duration::from_secs(5);

/// Ends what still runs of these attempts (job, number): TERM, then KILL after [`KILL_GRACE`]. Returns how many
/// processes there were.
#[must_use]
pub fn end_leftovers(results: &Path, lost: &[(i64, u32)]) -> usize {
    if lost.is_empty() {
        return 0;
    }
    let path = |&(job, attempt): &(i64, u32)| ResultFile::path_of(results, job, attempt).into_os_string();
    let marks: HashSet<OsString> = lost.iter().map(path).collect();
    let mut found = 0;
    // Whoever forks while it is looked for is found by the next look.
    loop {
        let leftovers = find(&marks);
        if leftovers.is_empty() {
            return found;
        }
        found += leftovers.len();
        signal(&leftovers, Signal::TERM);
        let stubborn = gone(leftovers, KILL_GRACE);
        signal(&stubborn, Signal::KILL);
        let stuck = gone(stubborn, VANISH_WITHIN);
        if !stuck.is_empty() {
            log::error!("{} processes of lost attempts do not end", stuck.len());
            return found;
        }
    }
}

fn find(marks: &HashSet<OsString>) -> Vec<OwnedFd> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pid = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open = |pid: i32| {
        // Opened before it is looked at: what is signalled is what was looked at.
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        is_marked(pid, marks).then_some(process)
    };
    processes.filter_map(pid).filter_map(open).collect()
}

fn is_marked(pid: i32, marks: &HashSet<OsString>) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let value = |entry: &[u8]| Some(OsString::from_vec(entry.strip_prefix(b"HOOKBOX_RESULT=")?.to_vec()));
    environment
        .split(|byte| *byte == 0)
        .filter_map(value)
        .any(|path| marks.contains(&path) && !path.as_bytes().is_empty())
}

fn signal(processes: &[OwnedFd], signal: Signal) {
    for process in processes {
        if let Err(error) = pidfd_send_signal(process, signal) {
            log::debug!("a process of a lost attempt could not be signalled: {error}");
        }
    }
}

/// Waits at most so long; returns those that are still there.
fn gone(mut processes: Vec<OwnedFd>, within: Duration) -> Vec<OwnedFd> {
    let deadline = Instant::now() + within;
    while !processes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return processes };
        let mut ends: Vec<_> = processes.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        match poll(&mut ends, Some(&timeout)) {
            Ok(0) => return processes,
            Ok(_) => {}
            Err(error) => {
                log::debug!("lost attempts could not be waited for: {error}");
                return processes;
            }
        }
        let ended: Vec<bool> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        processes.retain(|_| !ended.next().unwrap_or(false));
    }
    processes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    fn start(results: &Path, job: i64, script: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .env("HOOKBOX_RESULT", ResultFile::path_of(results, job, 1))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        child
    }

    #[test]
    fn what_runs_of_a_lost_attempt_is_ended_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut lost = start(folder.path(), 1, "trap '' TERM; echo up; sleep 1000 & wait; sleep 1000");
        let mut other = start(folder.path(), 2, "echo up; exec sleep 1000");
        assert!(end_leftovers(folder.path(), &[(1, 1)]) >= 1);
        assert!(lost.wait().unwrap().code().is_none());
        assert!(other.try_wait().unwrap().is_none(), "an attempt that is not lost goes on");
        assert_eq!(end_leftovers(folder.path(), &[(1, 1)]), 0);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
