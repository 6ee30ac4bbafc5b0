//! Deletes old rows on request, in the same steps as `serve`, and reports the size of the file.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::inbox_file::{InboxFile, InboxFileError};
use crate::config::Retention;
use crate::inbox::writer::retention::{self, Cutoffs, Pruned, RetentionCursor, upkeep};
use crate::support::time::Millis;

/// Maximum duration of one transaction.
const STEP: Duration = Duration::from_millis(10);
/// Free pages returned to the file system in one transaction.
const PAGES: i64 = 512;

/// The size of the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    pub bytes: u64,
    /// Bytes of free pages, which new rows will use.
    pub free_bytes: u64,
    /// Whether free pages can be returned to the file system while the file is in use.
    pub gives_back: bool,
}

impl InboxFile {
    /// Counts what [`InboxFile::prune`] would delete.
    pub fn count_expired(&self, keep: &Retention, now: Millis) -> Result<Pruned, InboxFileError> {
        let cutoffs = Cutoffs::new(keep, now);
        let count = |connection: &Connection| {
            let (mut cursor, mut pruned) = (RetentionCursor::default(), Pruned::default());
            while cursor != RetentionCursor::End {
                pruned.add(retention::step(connection, &cutoffs, &mut cursor, true)?);
            }
            Ok(pruned)
        };
        Ok(self.reader().run(count)?)
    }

    /// Deletes what is older than `keep`, calling `progress` with the total after each step. If a step fails, the steps
    /// before it are kept.
    pub fn prune(
        &mut self,
        keep: &Retention,
        now: Millis,
        mut progress: impl FnMut(&Pruned),
    ) -> Result<Pruned, InboxFileError> {
        let cutoffs = Cutoffs::new(keep, now);
        let (mut cursor, mut pruned) = (RetentionCursor::default(), Pruned::default());
        while cursor != RetentionCursor::End {
            let start = cursor.clone();
            let step = self.write(|connection| {
                cursor.clone_from(&start);
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

    /// Returns free pages to the file system, except for a reserve.
    pub fn return_free_pages(&mut self) -> Result<(), InboxFileError> {
        while self.write(upkeep::excess_pages)? > 0 {
            self.write(|connection| upkeep::return_free_pages(connection, PAGES))?;
        }
        Ok(())
    }

    pub fn disk_usage(&self) -> Result<DiskUsage, InboxFileError> {
        Ok(self.reader().run(disk_usage)?)
    }
}

fn disk_usage(connection: &Connection) -> rusqlite::Result<DiskUsage> {
    let read = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, u64>(0));
    let page = read("PRAGMA page_size")?;
    Ok(DiskUsage {
        bytes: read("PRAGMA page_count")? * page,
        free_bytes: read("PRAGMA freelist_count")? * page,
        gives_back: read("PRAGMA auto_vacuum")? != 0,
    })
}
