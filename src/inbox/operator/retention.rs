//! A person has what is too old forgotten now, rather than bit by bit: the same steps as `serve` takes, one after the
//! other.
//!
//! What is kept comes in, numbers go out. Between two steps whoever serves the inbox has room; a full disk costs the
//! ballast first.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{InboxFile, InboxFileError};
use crate::config::Retention;
use crate::inbox::writer::retention::{self, Cutoffs, Pruned, RetentionCursor, upkeep};
use crate::support::time::Millis;

/// How long one transaction may take.
const STEP: Duration = Duration::from_millis(10);
/// Free pages given back in one transaction.
const PAGES: i64 = 512;

/// What a file takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Bytes in it that hold nothing, and are used for what comes next.
    pub free_bytes: u64,
    /// Whether they can be given back while the file is in use.
    pub gives_back: bool,
}

impl InboxFile {
    /// What would be forgotten now.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn too_old(&self, keep: &Retention, now: Millis) -> Result<Pruned, InboxFileError> {
        let cutoffs = Cutoffs::new(keep, now);
        self.reader()
            .run(|connection| {
                let (mut cursor, mut pruned) = (RetentionCursor::default(), Pruned::default());
                while cursor != RetentionCursor::End {
                    pruned.add(retention::step(connection, &cutoffs, &mut cursor, true)?);
                }
                Ok(pruned)
            })
            .map_err(InboxFileError::from)
    }

    /// Forgets it, calling `progress` with what is done after each step.
    ///
    /// # Errors
    /// What SQLite says. What was forgotten before that stays forgotten.
    pub fn prune(
        &mut self,
        keep: &Retention,
        now: Millis,
        mut progress: impl FnMut(&Pruned),
    ) -> Result<Pruned, InboxFileError> {
        let cutoffs = Cutoffs::new(keep, now);
        let (mut cursor, mut pruned) = (RetentionCursor::default(), Pruned::default());
        while cursor != RetentionCursor::End {
            let before = cursor.clone();
            let step = self.write(|connection| {
                cursor.clone_from(&before);
                let (began, mut step) = (Instant::now(), Pruned::default());
                while cursor != RetentionCursor::End && began.elapsed() < STEP {
                    step.add(retention::step(connection, &cutoffs, &mut cursor, false)?);
                }
                Ok(step)
            })?;
            pruned.add(step);
            progress(&pruned);
        }
        Ok(pruned)
    }

    /// Gives back free pages beyond those that are kept for what comes next.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn give_back(&mut self) -> Result<(), InboxFileError> {
        while self.write(upkeep::excess_pages)? > 0 {
            self.write(|connection| upkeep::return_free_pages(connection, PAGES))?;
        }
        Ok(())
    }

    /// What the file takes up.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn room(&self) -> Result<DiskUsage, InboxFileError> {
        Ok(self.reader().run(room)?)
    }
}

fn room(connection: &Connection) -> rusqlite::Result<DiskUsage> {
    let read = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, u64>(0));
    let page = read("PRAGMA page_size")?;
    Ok(DiskUsage {
        bytes: read("PRAGMA page_count")? * page,
        free_bytes: read("PRAGMA freelist_count")? * page,
        gives_back: read("PRAGMA auto_vacuum")? != 0,
    })
}
