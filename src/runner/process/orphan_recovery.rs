//! Ends the processes that a killed hookbox left behind, before their jobs run again.
//!
//! They are recognised by their environment (`HOOKBOX_RESULT` names inbox, job and attempt), by a recorded session
//! (`pid_record`) and by their ancestors. Processes of attempts that had ended are left alone: their handler meant to
//! leave them running.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::pid_record::{self, PidRecord};
use super::proc_fs::{self, ProcessInfo};
use crate::runner::attempt::KILL_GRACE;
use crate::runner::result_file::ResultFile;

/// How long a killed process may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Ends the processes of lost attempts (job, number): SIGTERM, then SIGKILL after [`KILL_GRACE`]. Returns the number of
/// processes.
pub fn kill_orphans(results: &Path, lost: &[(i64, u32)]) -> usize {
    if lost.is_empty() && !results.exists() {
        return 0;
    }
    let lost = LostAttempts::new(results, lost);
    let mut found = 0;
    // A process that forks during a scan is found by the next one.
    loop {
        let leftovers = lost.find();
        if leftovers.is_empty() {
            return found;
        }
        found += leftovers.len();
        signal(&leftovers, Signal::TERM);
        let stubborn = wait_for(leftovers, KILL_GRACE);
        signal(&stubborn, Signal::KILL);
        let stuck = wait_for(stubborn, KILL_PATIENCE);
        if !stuck.is_empty() {
            log::error!("{} processes of lost attempts could not be killed", stuck.len());
            return found;
        }
    }
}

/// File-name prefix of `HOOKBOX_RESULT` for worker processes. They are useless once the hookbox that started them has
/// died.
const WORKER: &str = "worker-";

/// Recognises the processes of lost attempts.
struct LostAttempts<'a> {
    /// Folder of the result files. Those of users are `RESULTS-UID`.
    results: &'a Path,
    /// Names of result files.
    names: HashSet<String>,
    records: Vec<PidRecord>,
}

impl<'a> LostAttempts<'a> {
    fn new(results: &'a Path, lost: &[(i64, u32)]) -> Self {
        let mut records = pid_record::read(results);
        records.retain(|record| record.is_worker() || lost.contains(&(record.job, record.attempt)));
        Self {
            results,
            names: lost.iter().map(|(job, attempt)| ResultFile::name_of(*job, *attempt)).collect(),
            records,
        }
    }

    fn find(&self) -> Vec<OwnedFd> {
        let Some(all) = proc_fs::all() else { return Vec::new() };
        let trees =
            proc_fs::trees(&all, |process| self.is_in_recorded_session(process, &all) || self.is_marked(process));
        trees.iter().filter(|process| process.is_live).filter_map(proc_fs::open).collect()
    }

    /// Whether it is in a recorded session. A reused pid is recognised by its start time.
    fn is_in_recorded_session(&self, process: &ProcessInfo, all: &[ProcessInfo]) -> bool {
        self.records.iter().filter(|record| process.session == record.pid).any(|record| {
            let (from, to) = record.started_at;
            let own = all.iter().find(|other| other.pid == record.pid);
            own.map_or(process.started_at >= from, |own| (from..=to).contains(&own.started_at))
        })
    }

    fn is_marked(&self, process: &ProcessInfo) -> bool {
        let Some(mark) = proc_fs::mark_of(process.pid) else { return false };
        let path = Path::new(&mark);
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let folder = path.parent().map_or(&b""[..], |folder| folder.as_os_str().as_bytes());
        let suffix = folder.strip_prefix(self.results.as_os_str().as_bytes());
        (self.names.contains(name) || name.starts_with(WORKER))
            && suffix.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-"))
    }
}

fn signal(processes: &[OwnedFd], signal: Signal) {
    for process in processes {
        if let Err(error) = pidfd_send_signal(process, signal) {
            log::debug!("a process of a lost attempt could not be signalled: {error}");
        }
    }
}

/// Waits until the processes have ended. Returns those that have not in time.
fn wait_for(mut processes: Vec<OwnedFd>, within: Duration) -> Vec<OwnedFd> {
    let deadline = Instant::now() + within;
    while !processes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return processes };
        let mut ends: Vec<_> = processes.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        match poll(&mut ends, Some(&timeout)) {
            Ok(0) => return processes,
            Ok(_) => {}
            Err(error) => {
                log::debug!("processes of lost attempts could not be polled: {error}");
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
            .env("HOOKBOX_RESULT", results.join(ResultFile::name_of(job, 1)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        child
    }

    #[test]
    fn only_processes_of_lost_attempts_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut lost = start(folder.path(), 1, "trap '' TERM; echo up; sleep 1000 & wait; sleep 1000");
        let mut other = start(folder.path(), 2, "echo up; exec sleep 1000");
        assert!(kill_orphans(folder.path(), &[(1, 1)]) >= 1);
        assert!(lost.wait().unwrap().code().is_none());
        assert!(other.try_wait().unwrap().is_none(), "an attempt that is not lost goes on");
        assert_eq!(kill_orphans(folder.path(), &[(1, 1)]), 0);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
