//! The folder and umask that a process starts with, given to one thread instead of all of hookbox.
//!
//! On Linux a thread can have these for itself; what it starts inherits them, and nothing has to be done between fork
//! and exec. Promises: other threads never see a change, and the thread itself has its own again afterwards. Where
//! the system does not allow it (seccomp in some containers), [`stand_on`] says so, and `launcher.rs` does it.

use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::LazyLock;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{chdir, fchdir, umask};

thread_local! {
    /// Whether this thread can have a folder of its own.
    static IS_APART: OnceCell<bool> = const { OnceCell::new() };
}

/// Where hookbox is, and every thread again after it has started something; one descriptor for all of them, since every
/// process is started with a copy of each.
static HOME: LazyLock<Option<OwnedFd>> = LazyLock::new(|| {
    let home = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    home.inspect_err(|error| log::debug!("hookbox's own folder cannot be opened: {error}")).ok()
});

/// What came of an attempt to act from a folder.
#[derive(Debug)]
pub(in crate::runner) enum Stood<T> {
    /// It was done.
    Done(T),
    /// The folder cannot be entered.
    NoEntry(Errno),
    /// This system does not give a thread a folder of its own.
    NotPossible,
}

/// Does something with `folder` as the current one, and with `mask` for new files where there is one.
pub(in crate::runner) fn stand_on<T>(folder: &Path, mask: Option<u32>, act: impl FnOnce() -> T) -> Stood<T> {
    IS_APART.with(|is_apart| {
        let Some(home) = HOME.as_ref().filter(|_| *is_apart.get_or_init(set_apart)) else { return Stood::NotPossible };
        if let Err(error) = chdir(folder) {
            return Stood::NoEntry(error);
        }
        let before = mask.map(|mask| umask(Mode::from_bits_truncate(mask)));
        let done = act();
        if let Some(before) = before {
            umask(before);
        }
        if let Err(error) = fchdir(home) {
            log::debug!("a thread could not go back to its folder: {error}");
        }
        Stood::Done(done)
    })
}

fn set_apart() -> bool {
    let apart = unshare(CloneFlags::CLONE_FS);
    apart.inspect_err(|error| log::debug!("threads have no folder of their own here: {error}")).is_ok()
}
