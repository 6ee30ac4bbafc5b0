//! Attempts that are claimed and that nobody has begun, on disk: for the hookbox that comes after one that was killed.
//!
//! What is claimed ahead is noted before a thread can see it, and struck out before a thread begins it. Promises: what is
//! still noted has never begun. In doubt nothing is told: a note may be missing, written over by a newer one, or of
//! another boot, after which nobody knows what had reached the disk. Never synced.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// In the folder of results.
const NAME: &str = "ahead";
/// Changes with every start of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Bytes before the first note: the boot.
const OUTPUT_HEAD_BYTES: u64 = 64;
/// Notes, one behind the other; the newest is written over the oldest.
const SLOTS: usize = 4096;
/// Bytes of a note: a job and an attempt, or nothing.
const NOTE: usize = 16;

/// The file.
#[derive(Debug)]
pub struct Ahead {
    file: File,
    /// Notes so far.
    count: AtomicU64,
}

/// The note of one attempt. Whoever begins it strikes it out first.
#[derive(Debug)]
pub struct Note {
    ahead: Arc<Ahead>,
    slot: usize,
}

impl Ahead {
    /// An empty file in the folder of results.
    ///
    /// # Errors
    /// When it cannot be written, or the boot is not known: then nothing is noted.
    pub fn create(results: &Path) -> io::Result<Arc<Self>> {
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(results.join(NAME))?;
        // What is written over later needs no more room on the disk.
        file.write_all_at(&[0; SLOTS * NOTE], OUTPUT_HEAD_BYTES)?;
        file.write_all_at(boot()?.as_bytes(), 0)?;
        Ok(Arc::new(Self { file, count: AtomicU64::new(0) }))
    }

    /// Notes these attempts (job, number), and returns their notes in the same order.
    pub fn note(self: &Arc<Self>, attempts: &[(i64, u32)]) -> Vec<Note> {
        let count = self.count.fetch_add(attempts.len() as u64, Ordering::Relaxed);
        let slot = |index: usize| (usize::try_from(count % SLOTS as u64).unwrap_or(0) + index) % SLOTS;
        let mut rest = attempts;
        while !rest.is_empty() {
            let first = slot(attempts.len() - rest.len());
            let (part, behind) = rest.split_at(rest.len().min(SLOTS - first));
            let bytes: Vec<u8> = part.iter().flat_map(|attempt| written(*attempt)).collect();
            // One that did not reach the file counts as begun; one that did is struck out all the same.
            if let Err(error) = self.file.write_all_at(&bytes, place(first)) {
                log::debug!("what is claimed ahead is not noted: {error}");
            }
            rest = behind;
        }
        (0..attempts.len()).map(|index| Note { ahead: self.clone(), slot: slot(index) }).collect()
    }
}

impl Note {
    /// From now on the attempt counts as begun.
    ///
    /// # Errors
    /// It still stands there, and so must not begin.
    pub fn strike_out(self) -> io::Result<()> {
        self.ahead.file.write_all_at(&[0; NOTE], place(self.slot))
    }

    /// The attempt will never begin, and its number may be given again.
    pub fn forget(self) {
        let ahead = self.ahead.clone();
        if let Err(error) = self.strike_out().or_else(|_| ahead.file.set_len(0)) {
            log::error!("what was claimed ahead and given back is still noted: {error}");
        }
    }
}

/// Attempts (job, number) that a hookbox which was killed had claimed and never begun. For whoever holds the lock of the
/// inbox: while another hookbox runs, it may begin them.
#[must_use]
pub fn never_begun(results: &Path) -> Vec<(i64, u32)> {
    let (Ok(bytes), Ok(boot)) = (fs::read(results.join(NAME)), boot()) else { return Vec::new() };
    let Some((head, notes)) = bytes.split_at_checked(place(0) as usize) else { return Vec::new() };
    let is_of_this_boot = head.strip_prefix(boot.as_bytes()).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    if boot.is_empty() || !is_of_this_boot {
        return Vec::new();
    }
    notes.chunks_exact(NOTE).filter_map(read).collect()
}

fn place(slot: usize) -> u64 {
    OUTPUT_HEAD_BYTES + (slot * NOTE) as u64
}

fn written((job, attempt): (i64, u32)) -> [u8; NOTE] {
    let mut note = [0; NOTE];
    note[..8].copy_from_slice(&job.to_le_bytes());
    note[8..12].copy_from_slice(&attempt.to_le_bytes());
    note
}

fn read(note: &[u8]) -> Option<(i64, u32)> {
    let job = i64::from_le_bytes(note.get(..8)?.try_into().ok()?);
    let attempt = u32::from_le_bytes(note.get(8..12)?.try_into().ok()?);
    (attempt > 0).then_some((job, attempt))
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_and_not_struck_out_has_never_begun() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = Ahead::create(folder.path()).unwrap();
        assert_eq!(never_begun(folder.path()), []);
        let mut notes = ahead.note(&[(7, 1), (8, 3), (i64::MAX, u32::MAX)]);
        notes.remove(1).strike_out().unwrap();
        assert_eq!(never_begun(folder.path()), [(7, 1), (i64::MAX, u32::MAX)]);
        notes.into_iter().for_each(Note::forget);
        assert_eq!(never_begun(folder.path()), []);
    }

    #[test]
    fn what_is_written_over_counts_as_begun_whoever_begins_first() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = Ahead::create(folder.path()).unwrap();
        let old = ahead.note(&[(1, 1)]).remove(0);
        let many: Vec<(i64, u32)> = (2..=4097).map(|job| (job, 1)).collect();
        let notes: Vec<Note> = many.chunks(100).flat_map(|part| ahead.note(part)).collect();
        assert_eq!((notes.len(), never_begun(folder.path()).len()), (4096, 4096));
        assert!(!never_begun(folder.path()).contains(&(1, 1)));
        old.strike_out().unwrap();
        assert!(!never_begun(folder.path()).contains(&(4097, 1)), "its note is gone with the older one's");
    }

    #[test]
    fn of_another_boot_or_a_broken_file_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(never_begun(folder.path()), []);
        let ahead = Ahead::create(folder.path()).unwrap();
        let notes = ahead.note(&[(1, 1)]);
        assert_eq!((notes.len(), never_begun(folder.path()).len()), (1, 1));
        let path = folder.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(never_begun(folder.path()), []);
        fs::write(&path, &bytes[..20]).unwrap();
        assert_eq!(never_begun(folder.path()), []);
    }
}
