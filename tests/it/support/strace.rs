//! hookbox under strace(1), which records system calls on the inbox's files and makes them fail, delay or kill.
//!
//! strace counts calls per thread. With `-D` hookbox remains the test's own child.

use std::path::Path;

use super::running::Running;

/// System calls that make a commit durable.
pub const SYNCS: &str = "fsync,fdatasync";
/// System calls that change a file or make the change durable.
pub const WRITES: &str = "pwrite64,write,fsync,fdatasync,ftruncate,unlink";

/// A command for [`Running::under`] that injects a fault into calls on these files of the inbox (`""`, `"-wal"`), or on all.
pub fn injecting(hookbox: &Running, calls: &str, files: &[&str], fault: &str) -> Vec<String> {
    // Faster, but signals are not delivered with it.
    let quick: &[&str] = if fault.starts_with("signal") { &[] } else { &["--seccomp-bpf"] };
    let mut words = traced(hookbox.folder(), WRITES, &[&["-s", "0"], quick].concat());
    for file in files {
        words.extend(["-P".to_owned(), format!("{}{file}", hookbox.inbox.file.display())]);
    }
    words.extend(["-e".to_owned(), format!("inject={calls}:{fault}")]);
    words
}

/// A strace command that writes to `strace` in the folder.
pub fn traced(folder: &Path, calls: &str, options: &[&str]) -> Vec<String> {
    let to = folder.join("strace");
    let fixed = ["strace", "-D", "-f", "-qq", "-y", "-o", to.to_str().unwrap(), "-e", "signal=none"];
    let words = fixed.into_iter().chain(["-e"]).map(str::to_owned).chain([format!("trace={calls}")]);
    words.chain(options.iter().map(|&option| option.to_owned())).collect()
}

/// System calls of the last start, without process ids.
pub fn calls(hookbox: &Running) -> Vec<String> {
    let text = std::fs::read_to_string(hookbox.folder().join("strace")).unwrap();
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned()).collect()
}
