//! What the writer looks after between commits: free disk, the backlog, and changes by other processes.
//!
//! Each is a flag that the way in reads without waiting; a change of a flag is logged once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use rusqlite::Connection;

use super::Shared;
use super::ballast::Ballast;

#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    wake: Sender<()>,
    /// `PRAGMA data_version`: changes when another process has committed.
    version: i64,
    /// Pending jobs; counted again when another process has changed something.
    pending: i64,
    ballast: Ballast,
}

impl Watch {
    pub(super) fn new(connection: &Connection, shared: Arc<Shared>, wake: Sender<()>) -> rusqlite::Result<Self> {
        let (version, pending) = (data_version(connection)?, count_pending(connection)?);
        let ballast = shared.with_settings(|settings| Ballast::beside(&settings.path));
        let mut watch = Self { shared, wake, version, pending, ballast };
        watch.disk();
        watch.backlog();
        Ok(watch)
    }

    /// After each commit: how many more jobs are pending than before.
    pub(super) fn committed(&mut self, more_pending: i64) {
        self.pending += more_pending;
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        self.backlog();
    }

    /// Now and then.
    pub(super) fn look(&mut self, connection: &Connection) {
        self.disk();
        if let Err(error) = self.outside(connection) {
            log::warn!("changes by other processes could not be looked for: {error}");
        }
    }

    /// Tells the dispatcher that there may be something to do.
    pub(super) fn wake(&self) {
        // Full means that a wake is waiting already.
        self.wake.try_send(()).unwrap_or(());
    }

    fn outside(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = data_version(connection)?;
        if version != self.version {
            self.pending = count_pending(connection)?;
            self.shared.lessons.read_again(connection)?;
            self.version = version;
            self.backlog();
            self.announce();
        }
        Ok(())
    }

    /// After the writer has made a change of the operator's: pending jobs are counted with the next tick.
    pub(super) fn changed_by_operator(&mut self) {
        self.version = i64::MIN;
        self.announce();
    }

    fn announce(&self) {
        self.shared.changed_outside.store(true, Ordering::Relaxed);
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// A write found no room.
    pub(super) fn disk_is_full(&mut self) {
        self.ballast.give_up();
    }

    fn disk(&mut self) {
        let (free, least) = self.shared.with_settings(|settings| (free_disk(&settings.path), settings.min_free_disk));
        let Some(free) = free else { return };
        self.ballast.trim(free, least);
        match changes(&self.shared.disk_low, free < least) {
            Some(true) => log::warn!(
                "{free} bytes are free on the inbox's disk, less than inbox.min_free_disk: deliveries get 503"
            ),
            Some(false) => log::info!("{free} bytes are free on the inbox's disk: deliveries are taken in again"),
            None => {}
        }
    }

    fn backlog(&self) {
        let most = self.shared.with_settings(|settings| settings.max_pending);
        let pending = self.pending;
        // Off again at nine tenths, or it would go on and off with every job.
        let enough = if self.shared.backlog.load(Ordering::Relaxed) { most - most / 10 } else { most };
        match changes(&self.shared.backlog, u64::try_from(pending).is_ok_and(|pending| pending >= enough)) {
            Some(true) => {
                log::warn!("{pending} jobs are pending, inbox.max_pending is reached: deliveries get 503");
            }
            Some(false) => log::info!("{pending} jobs are pending: deliveries are taken in again"),
            None => {}
        }
    }
}

/// Sets the flag; `Some` when it was not so before.
fn changes(flag: &AtomicBool, now: bool) -> Option<bool> {
    (flag.swap(now, Ordering::Relaxed) != now).then_some(now)
}

/// Bytes free for us on the disk that holds a path; `None` when the system does not tell.
#[must_use]
pub fn free_disk(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn count_pending(connection: &Connection) -> rusqlite::Result<i64> {
    // In parts, since each has an index of its own.
    connection.query_row(
        "SELECT (SELECT count(*) FROM jobs WHERE state = 'pending' AND lost = 0 AND blocked = 0)
              + (SELECT count(*) FROM jobs WHERE state = 'pending' AND lost > 0 AND blocked = 0)
              + (SELECT count(*) FROM jobs WHERE state = 'pending' AND blocked > 0)",
        [],
        |row| row.get(0),
    )
}
