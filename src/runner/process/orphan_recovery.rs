//! What a killed hookbox left running: processes of attempts that are lost, ended before anything is claimed again.
//!
//! They are known by their environment (`HOOKBOX_RESULT` names the inbox, the job and the attempt, and whatever a
//! handler starts inherits it), by the session of a process that is on record (`record.rs`), and by their ancestors.
//! Attempts that had ended are not touched, so what a handler meant to leave running stays.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::pid_record::{self, Leader};
use super::proc_fs::{self, Seen};
use crate::runner::KILL_GRACE;
use crate::runner::result_file::ResultFile;

/// How long a killed process may take to vanish.
const VANISH_WITHIN: Duration = Duration::from_secs(5);

/// Ends what still runs of these attempts (job, number): TERM, then KILL after [`KILL_GRACE`]. Returns how many
/// processes there were.
#[must_use]
pub fn kill_orphans(results: &Path, lost: &[(i64, u32)]) -> usize {
    if lost.is_empty() && !results.exists() {
        return 0;
    }
    let lost = Lost::new(results, lost);
    let mut found = 0;
    // Whoever forks while it is looked for is found by the next look.
    loop {
        let leftovers = lost.find();
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

/// What `HOOKBOX_RESULT` of a process that is kept for many jobs ends in begins with; such a process serves nobody
/// once its hookbox is gone.
const WORKER: &str = "worker-";

/// How the processes of lost attempts are known.
struct Lost<'a> {
    /// The folder for result files; those of handlers with a user of their own lie beside it.
    results: &'a Path,
    /// Names of result files.
    names: HashSet<String>,
    leaders: Vec<Leader>,
}

impl<'a> Lost<'a> {
    fn new(results: &'a Path, lost: &[(i64, u32)]) -> Self {
        let mut leaders = pid_record::read(results);
        leaders.retain(|leader| leader.is_kept() || lost.contains(&(leader.job, leader.attempt)));
        Self {
            results,
            names: lost.iter().map(|(job, attempt)| ResultFile::name_of(*job, *attempt)).collect(),
            leaders,
        }
    }

    fn find(&self) -> Vec<OwnedFd> {
        let Some(all) = proc_fs::all() else { return Vec::new() };
        let trees = proc_fs::trees(&all, |process| self.is_led(process, &all) || self.is_marked(process));
        trees.iter().filter(|process| process.is_live).filter_map(proc_fs::open).collect()
    }

    /// In the session of a leader on record. A number that a stranger has been given since is told by its start.
    fn is_led(&self, process: &Seen, all: &[Seen]) -> bool {
        self.leaders.iter().filter(|leader| process.session == leader.pid).any(|leader| {
            let (from, to) = leader.started_at;
            let own = all.iter().find(|other| other.pid == leader.pid);
            own.map_or(process.started_at >= from, |own| (from..=to).contains(&own.started_at))
        })
    }

    fn is_marked(&self, process: &Seen) -> bool {
        let Some(mark) = proc_fs::mark_of(process.pid) else { return false };
        let path = Path::new(&mark);
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let folder = path.parent().map_or(&b""[..], |folder| folder.as_os_str().as_bytes());
        let beside = folder.strip_prefix(self.results.as_os_str().as_bytes());
        (self.names.contains(name) || name.starts_with(WORKER))
            && beside.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-"))
    }
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
    fn what_runs_of_a_lost_attempt_is_ended_and_nothing_else() {
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
