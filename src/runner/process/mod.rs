//! Processes: started, supervised until they end, reaped, and found again after a crash of hookbox.

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
pub(super) mod supervise;
