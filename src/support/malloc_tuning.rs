//! Makes glibc return the memory of large bodies to the system.
//!
//! By default glibc raises its mmap threshold to the largest block that was freed, and then keeps such blocks for every
//! thread. The threshold can be fixed only in the environment of a starting program, so `serve` executes itself once
//! more. Measured with 40 bodies of 20 MB: 14 MiB of heap remain this way, 529 MiB with mimalloc 0.1.52.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Blocks of 1 MiB and more are mapped one by one.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1048576");

/// Executes the program again with the tunables, unless they are set. To be called before there are threads. Handlers do
/// not inherit the variable.
pub fn reexecute_with_tunables() {
    let (name, value) = TUNABLES;
    if !cfg!(target_env = "gnu") || std::env::var_os(name).is_some() {
        return;
    }
    // By path, since the kernel takes the process name from it.
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_else(|| program.clone().into());
    let error = Command::new(program).arg0(own_name).args(arguments).env(name, value).exec();
    log::debug!("malloc tunables not applied: {error}");
}
