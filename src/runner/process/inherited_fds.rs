//! What handlers must not inherit from hookbox: its descriptors, and the limit on them that it raises for itself.
//!
//! A raised limit surprises programs that rely on it (`select`, or closing every possible descriptor). The parent of
//! hookbox may have left descriptors open, such as sockets and locks.

use std::fs;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use rustix::fs::OFlags;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// The limit before hookbox raised it.
static DESCRIPTOR_LIMIT: OnceLock<Rlimit> = OnceLock::new();

static INHERITED: OnceLock<Vec<RawFd>> = OnceLock::new();

/// Sets the limit of file descriptors for handlers. Call it before hookbox raises its own.
pub fn keep_descriptor_limit(limit: &Rlimit) {
    DESCRIPTOR_LIMIT.get_or_init(|| *limit);
}

/// Gives a process that has just started the original limit.
pub(crate) fn restore_descriptor_limit(pid: Pid) {
    if let Some(limit) = DESCRIPTOR_LIMIT.get()
        && let Err(error) = prlimit(Some(pid), Resource::Nofile, *limit)
    {
        log::debug!("a handler keeps hookbox's limit of file descriptors: {error}");
    }
}

/// Descriptors without CLOEXEC, open since hookbox started. hookbox opens none like that.
pub(crate) fn inherited_fds() -> &'static [RawFd] {
    INHERITED.get_or_init(|| {
        let Ok(open) = fs::read_dir("/proc/self/fdinfo") else { return Vec::new() };
        let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(|number| *number > 2 && is_inherited(*number)).collect()
    })
}

/// proc(5): `flags:` in octal.
fn is_inherited(number: RawFd) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { return false };
    let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
}
