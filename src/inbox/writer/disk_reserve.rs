//! A file that reserves disk space. It is deleted when the disk is full, because deleting rows needs space too.
//!
//! It is created next to the inbox while there is enough space. With it, results can still be written and expired events
//! deleted on a disk that something else has filled. If it cannot be created, hookbox does without.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use crate::inbox::file::with_suffix;

/// Enough for what a few steps of the upkeep write before a checkpoint.
pub(super) const BYTES: u64 = 8 << 20;
/// A disk with less free space counts as full.
const FULL: u64 = 2 << 20;

#[derive(Debug)]
pub(in crate::inbox) struct DiskReserve {
    path: PathBuf,
    exists: bool,
    /// Not tried again.
    creation_failed: bool,
}

impl DiskReserve {
    pub(in crate::inbox) fn new(inbox: &Path) -> Self {
        let path = with_suffix(inbox, ".reserve");
        Self { exists: path.exists(), creation_failed: false, path }
    }

    /// Creates the file if there is much more free space than `minimum`, and deletes it if the disk is full.
    pub(super) fn adjust(&mut self, free: u64, minimum: u64) {
        if self.exists && free < FULL {
            self.release();
        } else if !self.exists && !self.creation_failed && free >= minimum.max(4 * BYTES).saturating_add(2 * BYTES) {
            match create(&self.path) {
                Ok(()) => self.exists = true,
                Err(error) => {
                    self.creation_failed = true;
                    log::debug!("{}: no disk space is reserved: {error}", self.path.display());
                }
            }
        }
    }

    /// The disk is full: deletes the file.
    pub(in crate::inbox) fn release(&mut self) {
        if !std::mem::take(&mut self.exists) {
            return;
        }
        match fs::remove_file(&self.path) {
            Ok(()) => log::warn!(
                "the inbox's disk is full: deleted {}, so that results can be written and expired events deleted",
                self.path.display()
            ),
            Err(error) => log::error!("{}: cannot be deleted: {error}", self.path.display()),
        }
    }
}

fn create(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let allocated = fallocate(&file, FallocateFlags::empty(), 0, BYTES).map_err(io::Error::from);
    if allocated.is_err() {
        fs::remove_file(path)?;
    }
    allocated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_exists_with_enough_space_and_goes_on_a_full_disk() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = folder.path().join("hookbox.db");
        let file = folder.path().join("hookbox.db.reserve");
        let mut reserve = DiskReserve::new(&inbox);
        reserve.adjust(6 * BYTES - 1, 0);
        assert!(!file.exists(), "not enough space");
        reserve.adjust(u64::MAX, 1);
        let created = fs::metadata(&file).unwrap();
        assert_eq!(created.len(), BYTES);
        assert!(std::os::unix::fs::MetadataExt::blocks(&created) * 512 >= BYTES, "it must not be sparse");
        reserve.adjust(FULL, 1 << 40);
        assert!(file.exists());
        let mut after_restart = DiskReserve::new(&inbox);
        after_restart.adjust(FULL - 1, 0);
        assert!(!file.exists());
    }
}
