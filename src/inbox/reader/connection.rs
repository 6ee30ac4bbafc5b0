//! Read-only connections to the database file and the error of a failed read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long a read waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of a served inbox.
const CONNECTIONS: u32 = 4;

/// A read that failed. It changed nothing and can be repeated.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    pub path: PathBuf,
    /// SQLite's code, where SQLite gave one.
    pub code: Option<ErrorCode>,
    pub message: String,
}

impl ReadError {
    pub(super) fn new(path: &Path, error: &rusqlite::Error) -> Self {
        Self { path: path.to_owned(), code: error.sqlite_error_code(), message: error.to_string() }
    }

    /// Whether another process kept the database locked for the whole timeout.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
}

/// A connection of a served inbox, or the one of an [`crate::inbox::operator::InboxFile`].
pub(super) enum Handle<'a> {
    Pooled(r2d2::PooledConnection<ReadOnly>),
    Borrowed(&'a Connection),
}

impl std::ops::Deref for Handle<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Borrowed(connection) => connection,
        }
    }
}

/// Connections for reading, opened when first needed, so that no read waits for the writer.
#[derive(Debug)]
pub struct ReadPool {
    pool: r2d2::Pool<ReadOnly>,
    path: PathBuf,
}

impl ReadPool {
    pub fn new(path: &Path) -> Self {
        let pool = r2d2::Pool::builder()
            .max_size(CONNECTIONS)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(BUSY_TIMEOUT)
            .build_unchecked(ReadOnly(path.to_owned()));
        Self { pool, path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self) -> Result<Handle<'_>, ReadError> {
        let failed = |error: r2d2::Error| ReadError { path: self.path.clone(), code: None, message: error.to_string() };
        self.pool.get().map(Handle::Pooled).map_err(failed)
    }
}

#[derive(Debug)]
pub(super) struct ReadOnly(PathBuf);

impl r2d2::ManageConnection for ReadOnly {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA cache_size = -512;")?;
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        connection.execute_batch("SELECT 1")
    }

    fn has_broken(&self, _connection: &mut Connection) -> bool {
        false
    }
}
