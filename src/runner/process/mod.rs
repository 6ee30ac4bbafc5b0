//! Processes: started, supervised to their end, and found again after hookbox was killed.

pub(super) mod cwd;
pub(super) mod inherited_fds;
pub(super) mod launcher;
pub(super) mod orphan_recovery;
pub(super) mod pid_record;
pub(super) mod proc_fs;
pub(super) mod process_tree;
pub(super) mod program;
pub(super) mod reaper;
pub(super) mod spawn;
pub(super) mod stream;
pub(super) mod supervise;
