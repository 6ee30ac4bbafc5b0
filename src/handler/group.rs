//! A process group: the handler's process, and whatever it started that has not left.
//!
//! Its number stays taken for as long as the first process has not been reaped, so no signal can reach a stranger.
//! Processes that left the group (`setsid`) are not seen here.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// The group that a process leads. Valid until that process is reaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    leader: Pid,
}

impl Group {
    pub(super) fn led_by(leader: Pid) -> Self {
        Self { leader }
    }

    /// Sends a signal to all of it. The error says that none of it may be signalled, as after `sudo`.
    pub(super) fn signal(self, signal: Signal) -> Result<(), Errno> {
        match kill_process_group(self.leader, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a live process other than the leader is in it; also when that cannot be told.
    pub(super) fn has_others(self) -> bool {
        let leader = self.leader.as_raw_nonzero().to_string();
        let Ok(processes) = fs::read_dir("/proc") else { return true };
        processes
            .flatten()
            .filter(|process| process.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
            .filter(|process| process.file_name() != *leader)
            .filter_map(|process| fs::read(process.path().join("stat")).ok())
            .any(|stat| is_live_member(&String::from_utf8_lossy(&stat), &leader))
    }
}

/// proc(5): `PID (NAME) STATE PPID PGRP …`, where NAME may hold anything, `)` included.
fn is_live_member(stat: &str, group: &str) -> bool {
    let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
    let mut fields = fields.split(' ');
    let is_live = fields.next().is_some_and(|state| !matches!(state, "Z" | "X" | "x"));
    is_live && fields.nth(1) == Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_told_by_its_group_and_state() {
        assert!(is_live_member("12 (sh) S 1 77 77 0", "77"));
        assert!(is_live_member("12 (a) Z 1 (b) R 1 77 77 0", "77"));
        assert!(!is_live_member("12 (sh) Z 1 77 77 0", "77"));
        assert!(!is_live_member("12 (sh) S 77 12 77 0", "77"));
        assert!(!is_live_member("12 (sh) S 1 770 77 0", "77"));
        assert!(!is_live_member("", "77"));
    }

    #[test]
    fn signals_to_a_group_that_is_gone_are_no_error() {
        let nobody = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(Group::led_by(nobody).signal(Signal::TERM), Ok(()));
        assert!(!Group::led_by(nobody).has_others());
    }
}
