//! What hookbox asks of glibc's allocator, which hears it only from the environment of a program that starts.
//!
//! Left to itself it keeps what bodies of many MiB took, for every thread, as if more of them were always to come. Called
//! first thing, before there are threads; the process stays the same, and handlers see nothing of it.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where glibc looks, and that blocks of a MiB and more go back to the system at once.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1048576");

/// Becomes this program once more with the settings, unless somebody has made settings already.
pub fn settle_allocator() {
    let (name, value) = TUNABLES;
    if !cfg!(target_env = "gnu") || std::env::var_os(name).is_some() {
        return;
    }
    // By its path, since its name in the list of processes comes from there.
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_else(|| program.clone().into());
    let error = Command::new(program).arg0(own_name).args(arguments).env(name, value).exec();
    log::debug!("the allocator stays as it is: {error}");
}
