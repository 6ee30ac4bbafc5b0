//! What hookbox was started with, and what of it handlers get: its limit of file descriptors, none of the descriptors.
//!
//! hookbox raises its own limit, which would surprise programs that believe it (`select`, or closing every possible
//! descriptor); and whatever started hookbox may have left descriptors open, sockets and locks among them.

use std::fs;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use rustix::fs::OFlags;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// The limit before hookbox raised it.
static DESCRIPTOR_LIMIT: OnceLock<Rlimit> = OnceLock::new();

static INHERITED: OnceLock<Vec<RawFd>> = OnceLock::new();

/// Remembers the limit of file descriptors that handlers are to have, before hookbox raises its own.
pub fn keep_descriptor_limit(limit: &Rlimit) {
    DESCRIPTOR_LIMIT.get_or_init(|| *limit);
}

/// Gives a process that has just been started the limit that hookbox itself was started with.
pub(in crate::runner) fn give_descriptor_limit(pid: Pid) {
    if let Some(limit) = DESCRIPTOR_LIMIT.get()
        && let Err(error) = prlimit(Some(pid), Resource::Nofile, *limit)
    {
        log::debug!("a handler keeps hookbox's limit of file descriptors: {error}");
    }
}

/// Descriptors that were open when hookbox was started and would be inherited: hookbox opens none like that.
pub(in crate::runner) fn descriptors() -> &'static [RawFd] {
    INHERITED.get_or_init(|| {
        let Ok(open) = fs::read_dir("/proc/self/fdinfo") else { return Vec::new() };
        let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(|number| *number > 2 && is_inherited(*number)).collect()
    })
}

/// proc(5): `flags:` in octal.
fn is_inherited(number: RawFd) -> bool {
    let Ok(about) = fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { return false };
    let flags = about.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
}
