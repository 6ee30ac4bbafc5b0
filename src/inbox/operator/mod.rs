//! A person's way into the inbox: the same file that `serve` uses, whether or not it runs.
//!
//! Never creates a file, never touches one that is not an inbox, never upgrades one. Reading needs no right to
//! write; changes wait a few seconds for the writer of `serve`, and leave it room between two chunks.

mod accept_refusal;
mod backup;
mod bulk_request;
mod bulk_update;
mod retention;
mod served;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::Receipt;
use super::enrollment;
pub use super::file::free_disk;
use super::file::{BUSY_TIMEOUT, lock_path};
use super::handlers::{self, PauseResult};
use super::insert::Insertion;
use super::reader::{ReadError, Reader};
use super::rejections::HourlyTotals;
use super::schema::{APPLICATION_ID, SCHEMA_VERSION};
use super::writer::disk_reserve::DiskReserve;
pub use super::writer::retention::Pruned;
use crate::config::ReplayGuard;
use crate::routing::RoutedDelivery;
use crate::support::time::Millis;
use accept_refusal::accept_refusal;
pub use backup::{BackupError, BackupFile};
pub use bulk_request::{BulkAction, BulkPlan, BulkRequest, BulkResult, MissingJobs, SkipReason};
use bulk_update::run_steps;
pub(super) use bulk_update::{plan_bulk_update, plan_missing_jobs};
pub use retention::DiskUsage;

/// Pause after each transaction: longer than the interval at which a waiting writer tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// Why the inbox cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum InboxFileError {
    #[error("{}: there is no inbox", .0.display())]
    Missing(PathBuf),
    #[error("{}: this file is not a hookbox inbox", .0.display())]
    Foreign(PathBuf),
    #[error("{}: the inbox has version {found}, this hookbox knows {SCHEMA_VERSION}", path.display())]
    Version { path: PathBuf, found: i32 },
    #[error("{}: the inbox cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{}: the folder cannot be written, and the log beside the inbox holds changes", .0.display())]
    Stranded(PathBuf),
    #[error("{}: another process has been writing to the inbox for {} s", .0.display(), BUSY_TIMEOUT.as_secs())]
    Busy(PathBuf),
    #[error("{}: the inbox cannot be written: {cause}", path.display())]
    ReadOnly { path: PathBuf, cause: String },
    #[error("{}: {cause}", path.display())]
    Sqlite { path: PathBuf, cause: String },
}

impl InboxFileError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some("`hookbox serve` makes it; `inbox.path` in the configuration says where"),
            Self::Foreign(_) => Some("point `inbox.path` at another file; this one was left as it is"),
            Self::Version { found, .. } if *found > SCHEMA_VERSION => {
                Some("use the hookbox that wrote it, or a newer one")
            }
            Self::Version { .. } => Some("start `hookbox serve` once: it upgrades the inbox"),
            Self::Busy(_) => Some("try again; what was changed before this stays changed"),
            Self::Unreadable { .. } | Self::ReadOnly { .. } => Some("run it as the user that runs `hookbox serve`"),
            Self::Stranded(_) => Some("copy the inbox, with the file that ends in -wal, to where files can be made"),
            Self::Sqlite { .. } => None,
        }
    }

    /// Whether the configuration points at the wrong file, rather than something having failed.
    #[must_use]
    pub fn is_wrong_file(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Foreign(_) | Self::Version { .. })
    }

    fn from_sqlite(path: &Path, cause: &rusqlite::Error) -> Self {
        Self::new(path, cause.sqlite_error_code(), cause.to_string())
    }

    fn new(path: &Path, code: Option<ErrorCode>, cause: String) -> Self {
        let path = path.to_owned();
        match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(path),
            Some(ErrorCode::NotADatabase) => Self::Foreign(path),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path, cause },
            _ => Self::Sqlite { path, cause },
        }
    }
}

impl From<ReadError> for InboxFileError {
    fn from(error: ReadError) -> Self {
        Self::new(&error.path, error.code, error.message)
    }
}

/// An open inbox.
#[derive(Debug)]
pub struct InboxFile {
    path: PathBuf,
    reading: Connection,
    writing: Option<Connection>,
}

impl InboxFile {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// No such file, not an inbox, another version, or what SQLite says.
    pub fn open(path: &Path) -> Result<Self, InboxFileError> {
        check_file(path)?;
        let reading = match Connection::open_with_flags(path, READING).and_then(check_readable) {
            Err(error) if cannot_make_wal_index(&error) => {
                if has_wal(path) {
                    return Err(InboxFileError::Stranded(path.to_owned()));
                }
                Connection::open_with_flags(immutable(path), READING | OpenFlags::SQLITE_OPEN_URI)
                    .and_then(check_readable)
            }
            opened => opened,
        };
        let reading = reading.map_err(|cause| InboxFileError::from_sqlite(path, &cause))?;
        check_identity(&reading, path)?;
        Ok(Self { path: path.to_owned(), reading, writing: None })
    }

    /// Reads from the file.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::of_file(&self.reading, &self.path)
    }

    /// Makes the changes of a plan in steps. `proceed` is called after each step with the total so far, and returns
    /// whether to go on.
    ///
    /// # Errors
    /// A step could not be written. The steps before it stay.
    pub fn bulk_update(
        &mut self,
        plan: &BulkPlan,
        now: Millis,
        proceed: impl FnMut(BulkResult) -> bool,
    ) -> Result<BulkResult, InboxFileError> {
        run_steps(plan, proceed, |step| self.write(|connection| plan.apply(connection, &step, now)))
    }

    /// Starts the time in which the next handshake of a source may set its secret. False if a secret is known.
    ///
    /// # Errors
    /// It could not be written.
    pub fn open_window(&mut self, source: &str, until: Millis, forget: bool) -> Result<bool, InboxFileError> {
        self.write(|connection| enrollment::open(connection, source, until, forget))
    }

    /// Pauses a handler. A running `serve` notices within a second.
    ///
    /// # Errors
    /// It could not be written.
    pub fn pause(&mut self, handler: &str, reason: Option<&str>, now: Millis) -> Result<PauseResult, InboxFileError> {
        self.write(|connection| handlers::pause(connection, handler, reason, now))
    }

    /// Resumes a handler; one that is paused as broken is probed immediately.
    ///
    /// # Errors
    /// It could not be written.
    pub fn resume(&mut self, handler: &str, now: Millis) -> Result<PauseResult, InboxFileError> {
        self.write(|connection| handlers::resume(connection, handler, now))
    }

    /// Stores the events of a refused delivery that has been verified since. `None` if that was done before, or the
    /// refusal is no longer stored.
    ///
    /// # Errors
    /// Nothing was stored.
    pub fn accept_refusal(
        &mut self,
        refusal: i64,
        routed: RoutedDelivery,
        replay_guard: ReplayGuard,
    ) -> Result<Option<Receipt>, InboxFileError> {
        let insertion = Insertion { routed, dedups_bodies: replay_guard == ReplayGuard::IdAndBody };
        self.write(|connection| {
            let mut totals = HourlyTotals::default();
            let receipt = accept_refusal(connection, &mut totals, refusal, &insertion)?;
            totals.write(connection).map(|()| receipt)
        })
    }

    /// Runs a change in a transaction, a second time after the disk reserve was released if the disk was full. Pauses
    /// before it returns, so that a running `serve` can write between two changes.
    fn write<T>(&mut self, mut change: impl FnMut(&Connection) -> rusqlite::Result<T>) -> Result<T, InboxFileError> {
        let path = self.path.clone();
        let connection = self.writer()?;
        let mut attempt = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit().map(|()| result)
        };
        let mut result = attempt();
        if result.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DiskFull)) {
            DiskReserve::new(&path).release();
            result = attempt();
        }
        thread::sleep(PAUSE);
        result.map_err(|cause| InboxFileError::from_sqlite(&path, &cause))
    }

    fn writer(&mut self) -> Result<&mut Connection, InboxFileError> {
        let path = &self.path;
        let opened = match self.writing.take() {
            Some(connection) => connection,
            None => open_for_writing(path).map_err(|cause| match cause.sqlite_error_code() {
                Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                    InboxFileError::ReadOnly { path: path.clone(), cause: cause.to_string() }
                }
                _ => InboxFileError::from_sqlite(path, &cause),
            })?,
        };
        check_identity(&opened, path)?;
        Ok(self.writing.insert(opened))
    }
}

/// The process id that the holder of the lock wrote down, while the lock is held.
///
/// # Errors
/// What the file system says.
pub fn served_by(inbox: &Path) -> io::Result<Option<i32>> {
    let path = lock_path(inbox);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(fs::read_to_string(&path)?.trim().parse().unwrap_or_default())),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

const READING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

fn open_for_writing(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = check_readable(Connection::open_with_flags(path, flags)?)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Only looks: a descriptor of the file, once closed, would take SQLite's locks with it.
fn check_file(path: &Path) -> Result<(), InboxFileError> {
    let unreadable = |cause| InboxFileError::Unreadable { path: path.to_owned(), cause };
    match fs::metadata(path) {
        Ok(file) if file.is_file() => {}
        Ok(_) => return Err(InboxFileError::Foreign(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(InboxFileError::Missing(path.to_owned())),
        Err(error) => return Err(unreadable(error)),
    }
    rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(|error| unreadable(error.into()))
}

/// Opening alone reads nothing, so an unreadable file would show only later.
fn check_readable(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn check_identity(connection: &Connection, path: &Path) -> Result<(), InboxFileError> {
    let pragma = |name| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        value.map_err(|cause| InboxFileError::from_sqlite(path, &cause))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(InboxFileError::Foreign(path.to_owned()));
    }
    match pragma("user_version")? {
        SCHEMA_VERSION => Ok(()),
        found => Err(InboxFileError::Version { path: path.to_owned(), found }),
    }
}

/// A folder that cannot be written has no place for the index of the write-ahead log.
fn cannot_make_wal_index(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    fs::metadata(PathBuf::from(wal)).is_ok_and(|meta| meta.len() > 0)
}

/// Nobody can write where no log can be made, so SQLite may take the file as it is.
fn immutable(path: &Path) -> String {
    const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');
    format!("file:{}?immutable=1", utf8_percent_encode(&path.to_string_lossy(), SPECIAL))
}

#[cfg(test)]
mod tests;
