//! Opens the inbox from another process, whether or not it is served.
//!
//! An [`InboxFile`] never creates or upgrades a file. Reading needs no write permission. Writing waits a few seconds for
//! the writer of `serve`, and pauses after each transaction so that `serve` can write.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::inbox::file::{BUSY_TIMEOUT, lock_path};
use crate::inbox::reader::{ReadError, Reader};
use crate::inbox::schema::{APPLICATION_ID, SCHEMA_VERSION};
use crate::inbox::writer::disk_reserve::DiskReserve;

/// Pause after each transaction: longer than the interval at which a waiting writer tries again.
const WRITE_PAUSE: Duration = Duration::from_millis(20);

/// The inbox cannot be opened, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum InboxFileError {
    #[error("{}: there is no inbox", .0.display())]
    Missing(PathBuf),
    #[error("{}: this file is not a hookbox inbox", .0.display())]
    Foreign(PathBuf),
    #[error("{}: the inbox has version {found}, this hookbox supports {SCHEMA_VERSION}", path.display())]
    Version { path: PathBuf, found: i32 },
    #[error("{}: the inbox cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{}: the folder is not writable, and changes are still in the write-ahead log", .0.display())]
    Stranded(PathBuf),
    #[error("{}: another process has been writing to the inbox for {} s", .0.display(), BUSY_TIMEOUT.as_secs())]
    Busy(PathBuf),
    #[error("{}: the inbox cannot be written: {cause}", path.display())]
    ReadOnly { path: PathBuf, cause: String },
    #[error("{}: {cause}", path.display())]
    Sqlite { path: PathBuf, cause: String },
}

impl InboxFileError {
    /// The next step for the user.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some("`hookbox serve` creates it at `inbox.path`"),
            Self::Foreign(_) => Some("set `inbox.path` to another file; this one was not changed"),
            Self::Version { found, .. } if *found > SCHEMA_VERSION => {
                Some("use the version of hookbox that wrote it, or a newer one")
            }
            Self::Version { .. } => Some("start `hookbox serve` once to upgrade the inbox"),
            Self::Busy(_) => Some("try again; earlier changes were kept"),
            Self::Unreadable { .. } | Self::ReadOnly { .. } => Some("run it as the user that runs `hookbox serve`"),
            Self::Stranded(_) => Some("copy the inbox and its -wal file to a writable folder"),
            Self::Sqlite { .. } => None,
        }
    }

    /// Whether the configuration names the wrong file, a usage error.
    #[must_use]
    pub fn is_wrong_file(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Foreign(_) | Self::Version { .. })
    }

    pub(super) fn from_sqlite(path: &Path, cause: &rusqlite::Error) -> Self {
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

/// An inbox that is opened by path.
#[derive(Debug)]
pub struct InboxFile {
    path: PathBuf,
    pub(super) reading: Connection,
    writing: Option<Connection>,
}

impl InboxFile {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// The file is missing, unreadable, not an inbox or of another version.
    pub fn open(path: &Path) -> Result<Self, InboxFileError> {
        check_file(path)?;
        let reading = match Connection::open_with_flags(path, READ_ONLY).and_then(check_readable) {
            Err(error) if cannot_make_wal_index(&error) => {
                if has_wal(path) {
                    return Err(InboxFileError::Stranded(path.to_owned()));
                }
                Connection::open_with_flags(immutable(path), READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
                    .and_then(check_readable)
            }
            opened => opened,
        };
        let reading = reading.map_err(|cause| InboxFileError::from_sqlite(path, &cause))?;
        check_identity(&reading, path)?;
        Ok(Self { path: path.to_owned(), reading, writing: None })
    }

    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::of_file(&self.reading, &self.path)
    }

    /// Runs a change in a transaction, a second time after the disk reserve was released if the disk was full. Pauses
    /// before it returns, so that a running `serve` can write between two changes.
    pub(super) fn write<T>(
        &mut self,
        mut change: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, InboxFileError> {
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
        thread::sleep(WRITE_PAUSE);
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

/// The process id of the `serve` that holds the lock of this inbox.
///
/// # Errors
/// The lock file cannot be read.
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

pub(super) const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

fn open_for_writing(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = check_readable(Connection::open_with_flags(path, flags)?)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Does not open the file: closing a descriptor of it would release SQLite's locks.
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

/// Reads something, since opening alone does not.
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

/// The index of the write-ahead log needs a writable folder.
fn cannot_make_wal_index(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    fs::metadata(PathBuf::from(wal)).is_ok_and(|meta| meta.len() > 0)
}

/// A URI for a file that nothing writes to, so that SQLite needs no write-ahead log.
pub(super) fn immutable(path: &Path) -> String {
    const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');
    format!("file:{}?immutable=1", utf8_percent_encode(&path.to_string_lossy(), SPECIAL))
}
