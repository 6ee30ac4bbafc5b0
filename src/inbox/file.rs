//! The inbox's database file: locking, opening, checking, and the meaning of SQLite errors.
//!
//! A file that is not an inbox, or was written by a newer hookbox, is not changed. The lock is a separate file, because
//! closing any descriptor of the database would release SQLite's own locks on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::schema::{self, APPLICATION_ID, SCHEMA_VERSION, UPGRADES};
use super::types::NotStored;
use crate::config::{Durability, permission_hint};

/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL reset in a rare race (sqlite.org/wal.html, "the WAL-reset bug").
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a start waits for another process that writes.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a start waits for the lock: a child that a killed hookbox was about to start may still hold it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);
/// How long a write waits for another process that writes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// An I/O error with less free space than this counts as a full disk.
const NO_SPACE: u64 = 64 << 10;

/// Why an inbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is served by another hookbox{}\nhint: stop that one first, or give this one another file with `inbox.path`", path.display(), pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Served {
        path: PathBuf,
        /// As the other process wrote it into the lock file.
        pid: Option<String>,
    },
    #[error("{} is not a hookbox inbox and was not changed\nhint: `inbox.path` must name a new file or an inbox created by hookbox", path.display())]
    Foreign { path: PathBuf },
    #[error("{} was written by a newer hookbox (schema {found}, this one knows {SCHEMA_VERSION}) and was not changed\nhint: run the newer hookbox, or restore a backup made by this one", path.display())]
    Newer { path: PathBuf, found: i32 },
    #[error("{}: {error}\nhint: hookbox must be able to write to the inbox's folder; {}", path.display(), permission_hint(path.parent().unwrap_or(path)))]
    Access { path: PathBuf, error: std::io::Error },
    #[error(
        "this hookbox was built with SQLite {0}, which can corrupt a write-ahead log\nhint: build it with the bundled SQLite, 3.51.3 or later"
    )]
    OldSqlite(&'static str),
    #[error("{}: another process has been writing for {} s\nhint: is a sqlite3 shell open in a transaction, or a backup running?", path.display(), START_TIMEOUT.as_secs())]
    Busy { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Sqlite { path: PathBuf, error: Error },
}

/// Held while hookbox serves the inbox. The lock file stays; the lock ends with the process.
#[derive(Debug)]
pub(super) struct InstanceLock(#[expect(dead_code, reason = "held for its lock")] File);

/// Returns the path of an inbox's lock file.
#[must_use]
pub fn lock_path(inbox: &Path) -> PathBuf {
    with_suffix(inbox, ".lock")
}

/// Appends to a file name: `hookbox.db` becomes `hookbox.db-wal`.
pub(super) fn with_suffix(inbox: &Path, suffix: &str) -> PathBuf {
    let mut name = inbox.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn lock(inbox: &Path) -> Result<InstanceLock, OpenError> {
    if std::fs::metadata(inbox).is_ok_and(|file| !file.is_file()) {
        return Err(OpenError::Foreign { path: inbox.to_owned() });
    }
    let path = lock_path(inbox);
    let failed = |error| OpenError::Access { path: path.clone(), error };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match try_lock_within(&file, LOCK_TIMEOUT) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let is_known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            return Err(OpenError::Served { path: inbox.to_owned(), pid: is_known.then(|| pid.trim().to_owned()) });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(InstanceLock(file))
}

fn try_lock_within(file: &File, timeout: Duration) -> Result<(), TryLockError> {
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_INTERVAL),
            result => return result,
        }
    }
}

/// Repeats `open` for up to 30 s while another process holds the database.
pub(super) fn retry_while_busy<T>(mut open: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match open() {
            Err(OpenError::Busy { path }) if Instant::now() < deadline => {
                log::warn!("{}: another process is writing, waiting for it", path.display());
            }
            result => return result,
        }
    }
}

/// Opens the database for writing; creates it if it is new and upgrades it if it is older.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, OpenError> {
    open_with(path, durability, UPGRADES)
}

/// Upgrades an inbox with the given scripts. For tests: no older schema version exists yet.
///
/// # Errors
/// [`OpenError`]
pub fn upgrade_with(path: &Path, upgrades: &[&str]) -> Result<(), OpenError> {
    open_with(path, Durability::Full, upgrades).map(drop)
}

fn open_with(path: &Path, durability: Durability, upgrades: &[&str]) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite(rusqlite::version()));
    }
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| explain(path, error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    // A checkpoint on close would repeat a sync that may just have failed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    let newest = schema::version_after(upgrades);
    let found = check(&connection, path, newest)?;
    prepare(&connection, durability).map_err(failed)?;
    if found < newest {
        schema::create_or_upgrade(&mut connection, found, upgrades).map_err(failed)?;
    }
    Ok(connection)
}

/// Returns the database's schema version; 0 for a new, empty file.
fn check(connection: &Connection, path: &Path, newest: i32) -> Result<i32, OpenError> {
    let read = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i32>(0));
    let failed = |error| explain(path, error);
    let application = read("PRAGMA application_id").map_err(failed)?;
    let version = read("PRAGMA user_version").map_err(failed)?;
    let objects = read("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    match (application, version) {
        (0, 0) if objects == 0 => Ok(0),
        (APPLICATION_ID, version) if version > newest => {
            Err(OpenError::Newer { path: path.to_owned(), found: version })
        }
        (APPLICATION_ID, version) => Ok(version),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Creates an empty file that only its owner can read. SQLite gives the WAL the same mode.
fn create_private(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(OpenError::Access { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

fn prepare(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    // auto_vacuum has no effect once a table exists.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
    set_durability(connection, durability)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    // Without it, a statement is recompiled whenever a value is bound to its `LIMIT ?`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// `full` syncs the WAL at every commit, `normal` only at checkpoints.
pub(super) fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.execute_batch(match durability {
        Durability::Full => "PRAGMA synchronous = FULL;",
        Durability::Normal => "PRAGMA synchronous = NORMAL;",
    })
}

pub(super) fn explain(path: &Path, error: Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Busy { path: path.to_owned() },
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::Access { path: path.to_owned(), error: std::io::Error::other(error.to_string()) }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), error },
    }
}

/// Returns what a failed write means for the caller. An I/O error on a full disk is passing; any other one is final.
pub(super) fn classify_error(error: &Error, inbox: &Path) -> NotStored {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => NotStored::Busy,
        Some(ErrorCode::DiskFull) => NotStored::DiskLow,
        Some(ErrorCode::SystemIoFailure) if free_disk(inbox).is_some_and(|free| free < NO_SPACE) => NotStored::DiskLow,
        _ => NotStored::Failing(error.to_string()),
    }
}

/// Bytes available to hookbox on the disk of a path; `None` if the system does not report it.
#[must_use]
pub fn free_disk(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrade_runs_only_missing_scripts_and_keeps_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hookbox.db");
        let connection = open(&path, Durability::Full).unwrap();
        let rows = "INSERT INTO events VALUES (3, 's', 'id', 't', 1, 1, 0, zeroblob(32), 0);
                    INSERT INTO jobs (id, event_seq, handler, run_at, created_at) VALUES (5, 3, 'h', 1, 1);
                    INSERT INTO attempts (job_id, number, started_at) VALUES (5, 1, 1)";
        connection.execute_batch(rows).unwrap();
        drop(connection);
        // Replacing a table must not delete the rows that refer to it.
        let replace_jobs = "CREATE TABLE new_jobs AS SELECT * FROM jobs; DROP VIEW inbox; DROP VIEW failing;
                            DROP TABLE jobs; ALTER TABLE new_jobs RENAME TO jobs;
                            CREATE UNIQUE INDEX jobs_id ON jobs (id)";
        let upgrades = [UPGRADES, &[replace_jobs, "CREATE TABLE notes (text)"]].concat();
        for upgrades in [&upgrades[..UPGRADES.len() + 1], &upgrades, &upgrades] {
            let connection = open_with(&path, Durability::Full, upgrades).unwrap();
            assert_eq!(check(&connection, &path, 9).unwrap(), schema::version_after(upgrades));
            let kept = "SELECT (SELECT seq FROM events), (SELECT id FROM jobs), (SELECT count(*) FROM attempts)";
            let kept: (i64, i64, i64) = connection.query_row(kept, [], |row| row.try_into()).unwrap();
            assert_eq!(kept, (3, 5, 1));
            assert!(!connection.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap());
        }
        assert!(matches!(open(&path, Durability::Full), Err(OpenError::Newer { found: 3, .. })));
        assert!(matches!(upgrade_with(&path, &["", "", "SELECT nonsense"]), Err(OpenError::Sqlite { .. })));
        assert_eq!(check(&Connection::open(&path).unwrap(), &path, 9).unwrap(), 3, "a failed upgrade changes nothing");
    }

    #[test]
    fn foreign_file_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("notes.txt");
        let notes =
            "not a database, but longer than the 100 bytes of an SQLite header, so that SQLite reads all of it .....";
        std::fs::write(&text, notes).unwrap();
        assert!(matches!(open(&text, Durability::Full), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(&text).unwrap(), notes);

        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let before = std::fs::read(&other).unwrap();
        assert!(matches!(open(&other, Durability::Full), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&other).unwrap(), before);
    }

    #[test]
    fn newer_inbox_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hookbox.db");
        drop(open(&path, Durability::Full).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path, Durability::Full), Err(OpenError::Newer { found: 99, .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn second_lock_on_an_inbox_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hookbox.db");
        let first = lock(&path).unwrap();
        let pid = Some(std::process::id().to_string());
        assert!(matches!(lock(&path), Err(OpenError::Served { pid: found, .. }) if found == pid));
        drop(first);
        lock(&path).unwrap();
    }
}
