//! Claimed attempts that no executor has started, on disk, for the hookbox that starts after this one was killed.
//!
//! An attempt is recorded before an executor can see it and removed before it starts, so what is recorded has not
//! started. In doubt it counts as started: its entry may have been overwritten or belong to another boot, since the file
//! is never synced.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::inbox::JobRef;

/// Entries in the file. The newest overwrites the oldest.
const ENTRIES: u64 = 4096;
/// Bytes of an entry: job and attempt, or zeros.
const ENTRY_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    count: AtomicU64,
}

/// The entry of one attempt.
#[derive(Debug)]
pub(super) struct JournalEntry {
    journal: Arc<Journal>,
    offset: u64,
}

impl Journal {
    /// Creates an empty journal in the results folder.
    pub(super) fn create(results: &Path) -> io::Result<Arc<Self>> {
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path(results)?)?;
        // Allocates the file, so that a full disk does not matter later.
        file.write_all_at(&[0; ENTRIES as usize * ENTRY_BYTES], 0)?;
        Ok(Arc::new(Self { file, count: AtomicU64::new(0) }))
    }

    pub(super) fn add(self: &Arc<Self>, job: JobRef) -> JournalEntry {
        let offset = self.count.fetch_add(1, Ordering::Relaxed) % ENTRIES * ENTRY_BYTES as u64;
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&job.id.to_le_bytes());
        entry[8..12].copy_from_slice(&job.attempt.to_le_bytes());
        // An attempt without an entry counts as started.
        if let Err(error) = self.file.write_all_at(&entry, offset) {
            log::debug!("job {}: its claim could not be recorded: {error}", job.id);
        }
        JournalEntry { journal: self.clone(), offset }
    }
}

impl JournalEntry {
    /// Call it before the attempt starts. If it fails, the entry remains and the attempt must not start.
    pub(super) fn mark_started(self) -> io::Result<()> {
        self.journal.file.write_all_at(&[0; ENTRY_BYTES], self.offset)
    }

    /// The claim is undone, so another attempt will get the same number.
    pub(super) fn remove(self) {
        let journal = self.journal.clone();
        if let Err(error) = self.mark_started().or_else(|_| journal.file.set_len(0)) {
            log::error!("an undone claim is still recorded: {error}");
        }
    }
}

/// Returns the attempts that a killed hookbox had claimed and not started. Call it with the lock of the inbox.
pub fn not_started(results: &Path) -> Vec<JobRef> {
    let bytes = path(results).and_then(fs::read).unwrap_or_default();
    bytes.chunks_exact(ENTRY_BYTES).filter_map(parse).collect()
}

fn parse(entry: &[u8]) -> Option<JobRef> {
    let id = i64::from_le_bytes(entry.get(..8)?.try_into().ok()?);
    let attempt = u32::from_le_bytes(entry.get(8..12)?.try_into().ok()?);
    (attempt > 0).then_some(JobRef { id, attempt })
}

/// The name contains the id of the boot: after another boot, nobody knows which writes had reached the disk.
fn path(results: &Path) -> io::Result<PathBuf> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(results.join(format!("not-started-{}", boot.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: i64, attempt: u32) -> JobRef {
        JobRef { id, attempt }
    }

    #[test]
    fn recorded_attempts_have_not_started() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(not_started(folder.path()), []);
        let journal = Journal::create(folder.path()).unwrap();
        assert_eq!(not_started(folder.path()), []);
        let jobs = [job(7, 1), job(8, 3), job(i64::MAX, u32::MAX)];
        let mut entries: Vec<_> = jobs.iter().map(|job| journal.add(*job)).collect();
        entries.remove(1).mark_started().unwrap();
        assert_eq!(not_started(folder.path()), [jobs[0], jobs[2]]);
        entries.into_iter().for_each(JournalEntry::remove);
        assert_eq!(not_started(folder.path()), []);
    }

    #[test]
    fn overwritten_entry_counts_as_started() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let oldest = journal.add(job(1, 1));
        let entries: Vec<_> = (2..=4097).map(|id| journal.add(job(id, 1))).collect();
        assert_eq!((entries.len(), not_started(folder.path()).len()), (4096, 4096));
        assert!(!not_started(folder.path()).contains(&job(1, 1)));
        oldest.mark_started().unwrap();
        assert!(!not_started(folder.path()).contains(&job(4097, 1)), "removed together with the older one");
    }

    #[test]
    fn journal_of_another_boot_or_a_truncated_one_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        journal.add(job(1, 1));
        assert_eq!(not_started(folder.path()).len(), 1);
        let path = path(folder.path()).unwrap();
        journal.file.set_len(10).unwrap();
        assert_eq!(not_started(folder.path()), []);
        journal.add(job(2, 1));
        fs::rename(&path, folder.path().join("not-started-another")).unwrap();
        assert_eq!(not_started(folder.path()), []);
    }
}
