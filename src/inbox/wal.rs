//! The write-ahead log is folded into the file between two batches, never inside a commit that someone waits for.
//!
//! Explicitly, so that a sync which fails here is seen like any other (SQLite's own checkpoint keeps that to itself).
//! A reader that stays open keeps the log from starting anew: then it grows, which is said once, and it shrinks after.
//! After a failed sync the system takes what was not written for written: a log that may hold such frames is doubtful,
//! and folded in whole, from memory into the file, before anyone relies on what would come behind them.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result};

/// Frames beyond which the log is folded in: 16 MiB.
const FOLD: i64 = 4096;
/// From one vain try to the next.
const AGAIN: i64 = 1024;
/// A log that is longer is somebody's doing: 64 MiB.
const LONG: u64 = 64 << 20;
/// A log that is longer is cut once nothing is written for a while.
const KEPT: u64 = 16 << 20;
/// Looks without a commit in between that are a while: five seconds.
const QUIET_LOOKS: u32 = 10;

/// What is known of the log.
#[derive(Debug)]
pub(super) struct Wal {
    file: PathBuf,
    /// Frames before which another try is in vain.
    not_before: i64,
    quiet: u32,
    is_long: bool,
    is_doubtful: bool,
}

impl Wal {
    /// Before the inbox is opened. A log that is there already may be what the last hookbox's sync has failed on.
    pub(super) fn beside(inbox: &Path) -> Self {
        let mut file = inbox.as_os_str().to_owned();
        file.push("-wal");
        let mut wal = Self { file: file.into(), not_before: FOLD, quiet: 0, is_long: false, is_doubtful: false };
        wal.is_doubtful = wal.bytes() > 0;
        wal
    }

    /// From here on nothing is folded in but by this.
    pub(super) fn take_over(&self, connection: &Connection) -> Result<()> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    }

    /// A sync of it has failed, and hookbox goes on.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// Folds a doubtful log in and starts it anew. Another process that reads keeps it as it is until it ends.
    pub(super) fn settle(&mut self, connection: &Connection) -> Result<()> {
        if self.is_doubtful {
            checkpoint(connection, "TRUNCATE")?;
            self.is_doubtful = self.bytes() > 0;
        }
        Ok(())
    }

    /// At the end: the file alone holds everything, and SQLite may remove the log, unless somebody else reads it.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<()> {
        let is_held = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_held).map(drop)
    }

    /// After a commit: folds in what has gathered.
    pub(super) fn committed(&mut self, connection: &Connection) -> Result<()> {
        self.quiet = 0;
        let (frames, folded) = checkpoint(connection, "NOOP")?;
        if frames < FOLD {
            self.not_before = FOLD;
        }
        if frames >= self.not_before && folded < frames {
            let (frames, folded) = checkpoint(connection, "PASSIVE")?;
            self.not_before = if folded < frames { frames + AGAIN } else { FOLD };
        }
        Ok(())
    }

    /// Now and then: what is left when nothing more is written, and whether somebody keeps the log from shrinking.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<()> {
        self.quiet = self.quiet.saturating_add(1);
        let bytes = self.bytes();
        if bytes > LONG && !self.is_long {
            let (frames, folded) = checkpoint(connection, "PASSIVE")?;
            self.is_long = folded < frames;
            if self.is_long {
                log::warn!(
                    "{} has grown to {} MiB: another process keeps a read transaction open; hint: is a sqlite3 shell or \
                     a backup at work?",
                    self.file.display(),
                    bytes >> 20
                );
            }
        }
        if self.is_long || self.quiet.is_multiple_of(QUIET_LOOKS) && (bytes > KEPT || self.quiet == QUIET_LOOKS) {
            let cuts = bytes > KEPT;
            checkpoint(connection, if cuts { "TRUNCATE" } else { "PASSIVE" })?;
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

/// Frames in the log, and how many of them are folded in. Nobody is waited for.
fn checkpoint(connection: &Connection, mode: &str) -> Result<(i64, i64)> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let read = || connection.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)));
    if mode != "TRUNCATE" {
        return read();
    }
    // Only this one would wait for readers.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    let result = read();
    connection.busy_timeout(super::file::BUSY_TIMEOUT)?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    fn grow(sample: &Sample, wal: &mut Wal, mebibytes: usize) {
        for _ in 0..mebibytes {
            sample.run("INSERT INTO meta VALUES (hex(randomblob(8)), zeroblob(1048576))");
            wal.committed(&sample.connection).unwrap();
        }
    }

    #[test]
    fn the_log_stays_short_unless_a_reader_pins_it_and_shrinks_when_it_is_gone() {
        let sample = Sample::new();
        let mut wal = Wal::beside(&sample.path());
        wal.take_over(&sample.connection).unwrap();
        let bytes = || std::fs::metadata(sample.path().with_extension("db-wal")).unwrap().len();
        grow(&sample, &mut wal, 40);
        assert!(bytes() < KEPT + (4 << 20), "{} bytes", bytes());
        let reader = rusqlite::Connection::open(sample.path()).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
        grow(&sample, &mut wal, 80);
        wal.look(&sample.connection).unwrap();
        assert!(wal.is_long && bytes() > LONG);
        reader.execute_batch("COMMIT").unwrap();
        wal.look(&sample.connection).unwrap();
        assert!(!wal.is_long && bytes() == 0, "{} bytes", bytes());
    }
}
