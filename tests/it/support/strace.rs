//! hookbox under strace(1): system calls on the inbox's files that fail, come late or end it, and those that were made.
//!
//! strace counts calls per thread. It runs beside hookbox (`-D`), which stays the test's own child.

use std::path::Path;

use super::running::Running;

/// What makes a commit last.
pub const SYNCS: &str = "fsync,fdatasync";
/// What changes a file or makes it last.
pub const WRITES: &str = "pwrite64,write,fsync,fdatasync,ftruncate,unlink";

/// A command for [`Running::under`], of calls on these files of the inbox: `""`, `"-wal"`; all where none is named.
pub fn injecting(hookbox: &Running, calls: &str, files: &[&str], fault: &str) -> Vec<String> {
    // Quicker, but no signal is delivered then.
    let quick: &[&str] = if fault.starts_with("signal") { &[] } else { &["--seccomp-bpf"] };
    let mut words = traced(hookbox.folder(), WRITES, &[&["-s", "0"], quick].concat());
    for file in files {
        words.extend(["-P".to_owned(), format!("{}{file}", hookbox.inbox.file.display())]);
    }
    words.extend(["-e".to_owned(), format!("inject={calls}:{fault}")]);
    words
}

/// strace that writes to `strace` in the folder.
pub fn traced(folder: &Path, calls: &str, options: &[&str]) -> Vec<String> {
    let to = folder.join("strace");
    let fixed = ["strace", "-D", "-f", "-qq", "-y", "-o", to.to_str().unwrap(), "-e", "signal=none"];
    let words = fixed.into_iter().chain(["-e"]).map(str::to_owned).chain([format!("trace={calls}")]);
    words.chain(options.iter().map(|&option| option.to_owned())).collect()
}

/// Lines of calls that were made in the last start, without the process.
pub fn calls(hookbox: &Running) -> Vec<String> {
    let text = std::fs::read_to_string(hookbox.folder().join("strace")).unwrap();
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned()).collect()
}
