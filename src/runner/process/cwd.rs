//! Working directory and umask of a process to be started, set for the calling thread only.
//!
//! On Linux a thread may have its own, which its children inherit, so nothing has to happen between fork and exec. Other
//! threads never see the change. Where the system forbids it (seccomp in some containers), the launcher does it.

use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::LazyLock;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{chdir, fchdir, umask};

thread_local! {
    /// Whether this thread has its own directory and umask.
    static IS_UNSHARED: OnceCell<bool> = const { OnceCell::new() };
}

/// The directory of hookbox, to which every thread returns. One descriptor for all of them, since every process starts
/// with a copy of each.
static HOME: LazyLock<Option<OwnedFd>> = LazyLock::new(|| {
    let home = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    home.inspect_err(|error| log::debug!("the working directory cannot be opened: {error}")).ok()
});

#[derive(Debug)]
pub(crate) enum InCwd<T> {
    Done(T),
    /// The directory cannot be entered.
    NoEntry(Errno),
    /// The system does not give a thread its own directory.
    Unsupported,
}

/// Calls `act` in the directory `cwd`, and with `mask` if there is one.
pub(crate) fn in_cwd<T>(cwd: &Path, mask: Option<u32>, act: impl FnOnce() -> T) -> InCwd<T> {
    IS_UNSHARED.with(|is_unshared| {
        let Some(home) = HOME.as_ref().filter(|_| *is_unshared.get_or_init(unshare_fs)) else {
            return InCwd::Unsupported;
        };
        if let Err(error) = chdir(cwd) {
            return InCwd::NoEntry(error);
        }
        let before = mask.map(|mask| umask(Mode::from_bits_truncate(mask)));
        let done = act();
        if let Some(before) = before {
            umask(before);
        }
        if let Err(error) = fchdir(home) {
            log::debug!("a thread could not return to its directory: {error}");
        }
        InCwd::Done(done)
    })
}

fn unshare_fs() -> bool {
    let unshared = unshare(CloneFlags::CLONE_FS);
    unshared.inspect_err(|error| log::debug!("threads cannot have their own directory: {error}")).is_ok()
}
