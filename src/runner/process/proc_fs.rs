//! The processes of the machine as `/proc` shows them, and which of them belong to a tree.
//!
//! Read only when something has to be stopped. A pid that has been reused since is recognised by its start time.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A variable whose value is unique to the attempt. Child processes inherit it.
pub(crate) const MARK: &str = "HOOKBOX_RESULT";

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessInfo {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// Hundredths of a second since boot.
    pub(crate) started_at: u64,
    /// Whether it is not a zombie.
    pub(crate) is_live: bool,
}

/// All processes; `None` if `/proc` cannot be read.
pub(crate) fn all() -> Option<Vec<ProcessInfo>> {
    let processes = fs::read_dir("/proc").ok()?;
    Some(processes.filter_map(|process| info(process.ok()?.file_name().to_str()?.parse().ok()?)).collect())
}

/// The processes for which `is_root` is true and all their descendants, without hookbox itself.
pub(crate) fn trees(all: &[ProcessInfo], is_root: impl Fn(&ProcessInfo) -> bool) -> Vec<ProcessInfo> {
    let own = own_pid();
    let others = || all.iter().filter(|process| process.pid != own);
    let mut members: HashSet<i32> = others().filter(|process| is_root(process)).map(|process| process.pid).collect();
    loop {
        let is_new = |process: &&ProcessInfo| members.contains(&process.parent) && !members.contains(&process.pid);
        let new: Vec<i32> = others().filter(is_new).map(|process| process.pid).collect();
        if new.is_empty() {
            return others().filter(|process| members.contains(&process.pid)).copied().collect();
        }
        members.extend(new);
    }
}

/// The value of [`MARK`] in the initial environment of a process.
pub(crate) fn mark_of(pid: i32) -> Option<OsString> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| Some(entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?.to_vec());
    environment.split(|byte| *byte == 0).find_map(value).map(|value| OsStr::from_bytes(&value).to_owned())
}

/// A pidfd, if the pid still belongs to the same process.
pub(crate) fn open(process: &ProcessInfo) -> Option<OwnedFd> {
    let handle = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    (info(process.pid)?.started_at == process.started_at).then_some(handle)
}

pub(crate) fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

pub(crate) fn info(pid: i32) -> Option<ProcessInfo> {
    parse(pid, &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// proc(5): `PID (NAME) STATE PPID PGRP SESSION … STARTTIME …`; NAME may contain anything, `)` included.
fn parse(pid: i32, stat: &str) -> Option<ProcessInfo> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(ProcessInfo {
        pid,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        started_at: fields.get(19)?.parse().ok()?,
        is_live: !matches!(*fields.first()?, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: &str) -> String {
        format!("12 ({name}) {state} 1 77 78 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10 11")
    }

    #[test]
    fn stat_line_is_parsed_whatever_the_name() {
        let expected = ProcessInfo { pid: 12, parent: 1, group: 77, session: 78, started_at: 4711, is_live: true };
        assert_eq!(parse(12, &stat("sh", "S")), Some(expected));
        assert_eq!(parse(12, &stat("a) Z 1 (b", "R")), Some(expected));
        assert_eq!(parse(12, &stat("sh", "Z")), Some(ProcessInfo { is_live: false, ..expected }));
        assert_eq!(parse(12, "12 (sh) S 1"), None);
        assert_eq!(parse(12, ""), None);
    }

    #[test]
    fn tree_is_its_roots_and_their_descendants() {
        let process = |pid, parent| ProcessInfo { pid, parent, group: 0, session: 0, started_at: 0, is_live: true };
        let all = [process(900_004, 900_003), process(900_003, 900_002), process(900_002, 1), process(900_005, 1)];
        let pids = |root: i32| trees(&all, |process| process.pid == root).iter().map(|p| p.pid).collect::<Vec<_>>();
        assert_eq!(pids(900_002), [900_004, 900_003, 900_002]);
        assert_eq!(pids(900_005), [900_005]);
        assert_eq!(pids(7), Vec::<i32>::new());
    }

    #[test]
    fn hookbox_belongs_to_no_tree() {
        let all = all().unwrap();
        let own = all.iter().find(|process| process.pid == own_pid()).unwrap();
        assert!(own.is_live && open(own).is_some());
        assert!(open(&ProcessInfo { started_at: own.started_at + 1, ..*own }).is_none());
        assert!(!trees(&all, |process| process.pid == own.pid).contains(own));
    }
}
