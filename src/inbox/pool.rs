//! Read-only connections for whoever looks: a small pool, so that reading never waits for the writer.
//!
//! A path comes in, connections go out that cannot write. They are made when first needed; whoever holds one keeps
//! his reads short, since an open read keeps the write-ahead log from shrinking.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// How long a read waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers at once.
const CONNECTIONS: u32 = 4;

/// The pool.
pub(super) type Pool = r2d2::Pool<ReadOnly>;

/// Opens the pool; connections are made when first needed.
pub(super) fn open(path: &Path) -> Pool {
    r2d2::Pool::builder()
        .max_size(CONNECTIONS)
        .min_idle(Some(0))
        .test_on_check_out(false)
        .connection_timeout(BUSY_TIMEOUT)
        .build_unchecked(ReadOnly(path.to_owned()))
}

/// Makes read-only connections to one inbox.
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
