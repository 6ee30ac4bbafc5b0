//! A handler's process and whatever it started, in its process group or not.
//!
//! The group is signalled at once. What left it is found by the session, by its ancestors, and by the mark in its
//! environment: whoever wants to escape has to leave all three. The leader's number stays taken for as long as it has
//! not been reaped, so no signal can reach a stranger.

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};

use super::proc_fs::{self, Seen};

/// The tree that a process leads. Valid until that process is reaped.
#[derive(Debug, Clone)]
pub(in crate::runner) struct Tree {
    leader: Pid,
    mark: Option<OsString>,
}

impl Tree {
    /// `mark`: what its environment says of the attempt.
    pub(in crate::runner) fn led_by(leader: Pid, mark: Option<&OsStr>) -> Self {
        Self { leader, mark: mark.filter(|mark| !mark.is_empty()).map(OsStr::to_owned) }
    }

    /// Sends a signal to all of it. The error says that some of it may not be signalled, as after `sudo`.
    pub(in crate::runner) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let group = match kill_process_group(self.leader, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error),
        };
        let leader = self.leader.as_raw_pid();
        let strays = self.members().unwrap_or_default().into_iter().filter(|process| process.group != leader);
        let send = |process: Seen| match proc_fs::open(&process).map(|handle| pidfd_send_signal(handle, signal)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(error),
        };
        strays.filter(|process| process.is_live).map(send).fold(group, Result::and)
    }

    /// Whether a live process other than the leader is in it; also when that cannot be told.
    pub(in crate::runner) fn has_others(&self) -> bool {
        let leader = self.leader.as_raw_pid();
        self.members().is_none_or(|all| all.iter().any(|process| process.is_live && process.pid != leader))
    }

    /// The leader included; `None` where that cannot be told.
    fn members(&self) -> Option<Vec<Seen>> {
        let all = proc_fs::all()?;
        let leader = self.leader.as_raw_pid();
        let since = all.iter().find(|process| process.pid == leader).map_or(0, |leader| leader.started_at);
        let is_marked = |process: &Seen| {
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
    fn signals_to_a_tree_that_is_gone_are_no_error() {
        let nobody = Tree::led_by(Pid::from_raw(i32::MAX).unwrap(), None);
        assert_eq!(nobody.signal(Signal::TERM), Ok(()));
        assert!(!nobody.has_others());
    }
}
