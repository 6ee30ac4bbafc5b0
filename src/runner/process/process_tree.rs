//! A handler's process and everything that it started.
//!
//! The process group is signalled first. Processes that left it are found by session, by ancestors and by the mark in
//! their environment; to escape, a process has to leave all of them.

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};

use super::proc_fs::{self, ProcessInfo};

/// The tree of a leader. Valid until the leader is reaped: until then its pid cannot be reused.
#[derive(Debug, Clone)]
pub(crate) struct ProcessTree {
    leader: Pid,
    mark: Option<OsString>,
}

impl ProcessTree {
    /// `mark` is the value of [`proc_fs::MARK`] in the environment.
    pub(crate) fn led_by(leader: Pid, mark: Option<&OsStr>) -> Self {
        Self { leader, mark: mark.filter(|mark| !mark.is_empty()).map(OsStr::to_owned) }
    }

    /// Signals all processes. Fails if hookbox lacks the permission for one of them, as after `sudo`.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let group = match kill_process_group(self.leader, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error),
        };
        let leader = self.leader.as_raw_pid();
        let strays = self.members().unwrap_or_default().into_iter().filter(|process| process.group != leader);
        let send = |process: ProcessInfo| match proc_fs::open(&process).map(|handle| pidfd_send_signal(handle, signal))
        {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(error),
        };
        strays.filter(|process| process.is_live).map(send).fold(group, Result::and)
    }

    /// Whether it has a live process besides the leader. Also true if `/proc` cannot be read.
    pub(crate) fn has_others(&self) -> bool {
        let leader = self.leader.as_raw_pid();
        self.members().is_none_or(|all| all.iter().any(|process| process.is_live && process.pid != leader))
    }

    /// Includes the leader; `None` if `/proc` cannot be read.
    fn members(&self) -> Option<Vec<ProcessInfo>> {
        let all = proc_fs::all()?;
        let leader = self.leader.as_raw_pid();
        let since = all.iter().find(|process| process.pid == leader).map_or(0, |leader| leader.started_at);
        let is_marked = |process: &ProcessInfo| {
            process.started_at >= since && self.mark.is_some() && proc_fs::mark_of(process.pid) == self.mark
        };
        Some(proc_fs::trees(&all, |process| {
            [process.pid, process.group, process.session].contains(&leader) || is_marked(process)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signalling_a_tree_that_is_gone_is_no_error() {
        let nobody = ProcessTree::led_by(Pid::from_raw(i32::MAX).unwrap(), None);
        assert_eq!(nobody.signal(Signal::TERM), Ok(()));
        assert!(!nobody.has_others());
    }
}
