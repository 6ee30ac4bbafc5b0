//! A file that only takes up room, given up when the disk is full: deleting rows needs room too.
//!
//! Made beside the inbox while there is plenty, so that endings are still written and old events forgotten on a disk
//! that something else has filled. Nothing is promised of it: where it cannot be made, hookbox goes on without.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

/// What a few steps of pruning write before they are folded in.
pub(super) const BYTES: u64 = 8 << 20;
/// With less than this the disk counts as full.
const FULL: u64 = 2 << 20;

/// Where an inbox has its ballast.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    is_there: bool,
    /// It could not be made once, and is not tried again.
    is_given_up: bool,
}

impl Ballast {
    pub(super) fn beside(inbox: &Path) -> Self {
        let mut path = inbox.as_os_str().to_owned();
        path.push(".ballast");
        let path = PathBuf::from(path);
        Self { is_there: path.exists(), is_given_up: false, path }
    }

    /// Makes it where there is plenty of room, gives it up where there is none left.
    pub(super) fn trim(&mut self, free: u64, least: u64) {
        if self.is_there && free < FULL {
            self.give_up();
        } else if !self.is_there && !self.is_given_up && free >= least.max(4 * BYTES).saturating_add(2 * BYTES) {
            match make(&self.path) {
                Ok(()) => self.is_there = true,
                Err(error) => {
                    self.is_given_up = true;
                    log::debug!("{}: no room is kept for a full disk: {error}", self.path.display());
                }
            }
        }
    }

    /// The disk is full.
    pub(super) fn give_up(&mut self) {
        if !std::mem::take(&mut self.is_there) {
            return;
        }
        match fs::remove_file(&self.path) {
            Ok(()) => log::warn!(
                "the inbox's disk is full: {} is given up, so that endings are written and old events forgotten",
                self.path.display()
            ),
            Err(error) => log::error!("{}: cannot be removed: {error}", self.path.display()),
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let filled = fallocate(&file, FallocateFlags::empty(), 0, BYTES).map_err(io::Error::from);
    if filled.is_err() {
        fs::remove_file(path)?;
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_up_room_while_there_is_plenty_and_goes_when_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = folder.path().join("hookbox.db");
        let file = folder.path().join("hookbox.db.ballast");
        let mut ballast = Ballast::beside(&inbox);
        ballast.trim(6 * BYTES - 1, 0);
        assert!(!file.exists(), "there is not plenty");
        ballast.trim(u64::MAX, 1);
        let made = fs::metadata(&file).unwrap();
        assert_eq!(made.len(), BYTES);
        assert!(std::os::unix::fs::MetadataExt::blocks(&made) * 512 >= BYTES, "it is not sparse");
        ballast.trim(FULL, 1 << 40);
        assert!(file.exists());
        let mut found_again = Ballast::beside(&inbox);
        found_again.trim(FULL - 1, 0);
        assert!(!file.exists());
    }
}
