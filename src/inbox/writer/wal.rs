//! Checkpoints the write-ahead log between batches, never inside a commit that a request waits for.
//!
//! SQLite's automatic checkpoint hides a failed sync, so the writer checkpoints itself. A reader that stays open keeps
//! the log from being reset: it grows, which is logged once, and is truncated afterwards. After a failed sync the kernel
//! may report unwritten pages as written. A log with such frames is suspect: it is checkpointed in full, from memory
//! into the database file, before anything is acknowledged that would be behind these frames.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result};

use crate::inbox::file::{BUSY_TIMEOUT, with_suffix};

/// Frames after which the log is checkpointed: 16 MiB.
const CHECKPOINT_FRAMES: i64 = 4096;
/// Further frames before an incomplete checkpoint is tried again.
const RETRY_FRAMES: i64 = 1024;
/// A log longer than this is kept from being reset by another process: 64 MiB.
const LONG: u64 = 64 << 20;
/// A log longer than this is truncated once nothing is written: 16 MiB.
const MAX_IDLE: u64 = 16 << 20;
/// Ticks without a commit after which the inbox counts as idle: five seconds.
const IDLE_TICKS: u32 = 10;

#[derive(Debug)]
pub(in crate::inbox) struct Wal {
    file: PathBuf,
    /// The next checkpoint is tried at this number of frames.
    checkpoint_at: i64,
    ticks_since_commit: u32,
    is_long: bool,
    is_suspect: bool,
}

impl Wal {
    /// Called before the inbox is opened. A log that exists may be the one on which the previous hookbox's sync failed.
    pub(in crate::inbox) fn new(inbox: &Path) -> Self {
        let file = with_suffix(inbox, "-wal");
        let mut wal =
            Self { file, checkpoint_at: CHECKPOINT_FRAMES, ticks_since_commit: 0, is_long: false, is_suspect: false };
        wal.is_suspect = wal.bytes() > 0;
        wal
    }

    pub(super) fn disable_autocheckpoint(&self, connection: &Connection) -> Result<()> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    }

    /// A sync of the log has failed, and hookbox continues.
    pub(super) fn mark_suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Checkpoints and truncates a suspect log. It stays suspect while another process reads from it.
    pub(super) fn recover(&mut self, connection: &Connection) -> Result<()> {
        if self.is_suspect {
            checkpoint(connection, "TRUNCATE")?;
            self.is_suspect = self.bytes() > 0;
        }
        Ok(())
    }

    /// At the end: checkpoints everything, and lets SQLite delete the log unless another process reads from it.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<()> {
        let is_in_use = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_in_use).map(drop)
    }

    /// Checkpoints if enough frames have gathered.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> Result<()> {
        self.ticks_since_commit = 0;
        let (frames, done) = checkpoint(connection, "NOOP")?;
        if frames < CHECKPOINT_FRAMES {
            self.checkpoint_at = CHECKPOINT_FRAMES;
        }
        if frames >= self.checkpoint_at && done < frames {
            let (frames, done) = checkpoint(connection, "PASSIVE")?;
            self.checkpoint_at = if done < frames { frames + RETRY_FRAMES } else { CHECKPOINT_FRAMES };
        }
        Ok(())
    }

    /// Checkpoints the rest once the inbox is idle, and notices a log that another process keeps from being reset.
    pub(super) fn tick(&mut self, connection: &Connection) -> Result<()> {
        self.ticks_since_commit = self.ticks_since_commit.saturating_add(1);
        let bytes = self.bytes();
        if bytes > LONG && !self.is_long {
            let (frames, done) = checkpoint(connection, "PASSIVE")?;
            self.is_long = done < frames;
            if self.is_long {
                log::warn!(
                    "{} has grown to {} MiB: another process keeps a read transaction open; hint: is a sqlite3 shell or \
                     a backup running?",
                    self.file.display(),
                    bytes >> 20
                );
            }
        }
        let is_idle = self.ticks_since_commit.is_multiple_of(IDLE_TICKS);
        if self.is_long || is_idle && (bytes > MAX_IDLE || self.ticks_since_commit == IDLE_TICKS) {
            checkpoint(connection, if bytes > MAX_IDLE { "TRUNCATE" } else { "PASSIVE" })?;
        }
        if self.is_long && self.bytes() <= LONG {
            self.is_long = false;
            log::info!("{} is short again", self.file.display());
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

/// Returns the number of frames in the log, and how many of them are checkpointed. Does not wait for other processes.
fn checkpoint(connection: &Connection, mode: &str) -> Result<(i64, i64)> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let run = || connection.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)));
    if mode != "TRUNCATE" {
        return run();
    }
    // Only this mode would wait for readers.
    connection.busy_timeout(Duration::ZERO)?;
    let result = run();
    connection.busy_timeout(BUSY_TIMEOUT)?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    fn grow(sample: &Sample, wal: &mut Wal, mebibytes: usize) {
        for _ in 0..mebibytes {
            sample.run("INSERT INTO meta VALUES (hex(randomblob(8)), zeroblob(1048576))");
            wal.after_commit(&sample.connection).unwrap();
        }
    }

    #[test]
    fn log_stays_short_unless_a_reader_keeps_it() {
        let sample = Sample::new();
        let mut wal = Wal::new(&sample.path());
        wal.disable_autocheckpoint(&sample.connection).unwrap();
        let bytes = || std::fs::metadata(sample.path().with_extension("db-wal")).unwrap().len();
        grow(&sample, &mut wal, 40);
        assert!(bytes() < MAX_IDLE + (4 << 20), "{} bytes", bytes());
        let reader = rusqlite::Connection::open(sample.path()).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
        grow(&sample, &mut wal, 80);
        wal.tick(&sample.connection).unwrap();
        assert!(wal.is_long && bytes() > LONG);
        reader.execute_batch("COMMIT").unwrap();
        wal.tick(&sample.connection).unwrap();
        assert!(!wal.is_long && bytes() == 0, "{} bytes", bytes());
    }
}
