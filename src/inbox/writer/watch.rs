//! Watches free disk space, the backlog and changes by other processes, and sets the flags in [`Shared`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use rusqlite::{Connection, Result};

use super::disk_reserve::DiskReserve;
use super::shared::Shared;
use crate::inbox::file::free_disk;
use crate::inbox::schema::PENDING;

#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    wakeup: Sender<()>,
    /// `PRAGMA data_version`, which changes when another process has committed.
    version: i64,
    /// Number of pending jobs; counted again after a change by another process or an operator.
    pending: i64,
    reserve: DiskReserve,
}

impl Watch {
    pub(super) fn new(connection: &Connection, shared: Arc<Shared>, wakeup: Sender<()>) -> Result<Self> {
        let (version, pending) = (data_version(connection)?, count_pending(connection)?);
        let reserve = shared.with_settings(|settings| DiskReserve::new(&settings.path));
        let mut watch = Self { shared, wakeup, version, pending, reserve };
        watch.check_disk();
        watch.check_backlog();
        Ok(watch)
    }

    /// `more_pending`: by how much the commit changed the number of pending jobs.
    pub(super) fn after_commit(&mut self, more_pending: i64) {
        self.pending += more_pending;
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        self.check_backlog();
    }

    pub(super) fn tick(&mut self, connection: &Connection) {
        self.check_disk();
        if let Err(error) = self.check_version(connection) {
            log::warn!("could not check for changes by other processes: {error}");
        }
    }

    pub(super) fn wake_dispatcher(&self) {
        // A full channel means that it is being woken already.
        self.wakeup.try_send(()).unwrap_or(());
    }

    fn check_version(&mut self, connection: &Connection) -> Result<()> {
        let version = data_version(connection)?;
        if version != self.version {
            self.pending = count_pending(connection)?;
            self.shared.enrollments.reload(connection)?;
            self.version = version;
            self.check_backlog();
            self.announce_change();
        }
        Ok(())
    }

    /// After the writer has committed an operator's change: the next tick counts the pending jobs.
    pub(super) fn changed_by_operator(&mut self) {
        self.version = i64::MIN;
        self.announce_change();
    }

    fn announce_change(&self) {
        self.shared.changed_externally.store(true, Ordering::Relaxed);
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        self.wake_dispatcher();
    }

    pub(super) fn disk_is_full(&mut self) {
        self.reserve.release();
    }

    fn check_disk(&mut self) {
        let (free, minimum) = self.shared.with_settings(|settings| (free_disk(&settings.path), settings.min_free_disk));
        let Some(free) = free else { return };
        self.reserve.adjust(free, minimum);
        match set(&self.shared.disk_low, free < minimum) {
            Some(true) => log::warn!(
                "{free} bytes are free on the inbox's disk, less than inbox.min_free_disk: deliveries get 503"
            ),
            Some(false) => log::info!("{free} bytes are free on the inbox's disk: deliveries are accepted again"),
            None => {}
        }
    }

    fn check_backlog(&self) {
        let maximum = self.shared.with_settings(|settings| settings.max_pending);
        let pending = self.pending;
        // Cleared only below nine tenths: otherwise it would toggle with every job.
        let is_set = self.shared.backlog.load(Ordering::Relaxed);
        let limit = if is_set { maximum - maximum / 10 } else { maximum };
        match set(&self.shared.backlog, u64::try_from(pending).is_ok_and(|pending| pending >= limit)) {
            Some(true) => {
                log::warn!("{pending} jobs are pending, inbox.max_pending is reached: deliveries get 503");
            }
            Some(false) => log::info!("{pending} jobs are pending: deliveries are accepted again"),
            None => {}
        }
    }
}

/// Sets the flag. Returns `None` if it had this value before.
fn set(flag: &AtomicBool, value: bool) -> Option<bool> {
    (flag.swap(value, Ordering::Relaxed) != value).then_some(value)
}

fn data_version(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn count_pending(connection: &Connection) -> Result<i64> {
    // One count per index.
    let counts = PENDING.map(|part| format!("(SELECT count(*) FROM jobs WHERE state = 'pending' AND {part})"));
    connection.query_row(&format!("SELECT {}", counts.join(" + ")), [], |row| row.get(0))
}
