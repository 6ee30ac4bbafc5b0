//! The inbox's file: opened, locked, checked and brought up to date, or refused with a reason.
//!
//! Nothing is changed in a file that is not hookbox's, or that a newer hookbox has written. The lock is a file of its
//! own, since closing any descriptor of the database would drop SQLite's locks on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::config::Durability;

/// The database as it is today.
pub(super) const SCHEMA: &str = include_str!("../../schema.sql");
/// `PRAGMA application_id` of an inbox: "hoob".
pub(super) const APPLICATION_ID: i32 = 0x686f_6f62;
/// `PRAGMA user_version` of [`SCHEMA`].
pub(super) const SCHEMA_VERSION: i32 = version_after(UPGRADES);
/// SQL scripts: the one at index N upgrades version N+1 to N+2.
const UPGRADES: &[&str] = &[];
/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL reset in a rare race (sqlite.org/wal.html, "the WAL-reset bug").
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a start waits for another process that writes.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long the lock may still be held by what a killed hookbox was about to start.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(1);
const LOCK_EVERY: Duration = Duration::from_millis(5);
/// How long a write waits for another process that writes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an inbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another hookbox serves it.
    #[error("{} is served by another hookbox{}\nhint: stop that one first, or give this one an inbox of its own with `inbox.path`", path.display(), pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Served {
        /// The inbox.
        path: PathBuf,
        /// The other's process id, as it wrote it.
        pid: Option<String>,
    },
    /// Something else's file.
    #[error("{} is not a hookbox inbox; it is left untouched\nhint: `inbox.path` must name a new file or an inbox that hookbox made", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// From the future.
    #[error("{} was written by a newer hookbox (schema {found}, this one knows {SCHEMA_VERSION}); it is left untouched\nhint: run the newer hookbox, or restore a backup made by this one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
    /// The folder or file does not let us in.
    #[error("{}: {error}\nhint: hookbox must be able to write the inbox's folder; give it one with `inbox.path`", path.display())]
    Access {
        /// The file that could not be opened.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Linked against an SQLite that can lose data.
    #[error(
        "this hookbox was built with SQLite {0}, which can corrupt a write-ahead log\nhint: build it with the bundled SQLite, 3.51.3 or later"
    )]
    OldSqlite(&'static str),
    /// Another process has held it for long.
    #[error("{}: another process has been writing for {} s\nhint: is a sqlite3 shell open in a transaction, or a backup under way?", path.display(), START_WITHIN.as_secs())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("{}: {error}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

/// Held while hookbox serves the inbox; the file stays, the lock goes with the process.
#[derive(Debug)]
pub(super) struct InstanceLock(#[expect(dead_code, reason = "held for its lock")] File);

/// The lock file of an inbox.
#[must_use]
pub fn lock_path(inbox: &Path) -> PathBuf {
    let mut name = inbox.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

pub(super) fn lock(inbox: &Path) -> Result<InstanceLock, OpenError> {
    if std::fs::metadata(inbox).is_ok_and(|file| !file.is_file()) {
        return Err(OpenError::Foreign { path: inbox.to_owned() });
    }
    let path = lock_path(inbox);
    let refused = |error| OpenError::Access { path: path.clone(), error };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(refused)?;
    match lock_within(&file, HANDED_OVER_WITHIN) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            return Err(OpenError::Served { path: inbox.to_owned(), pid: known.then(|| pid.trim().to_owned()) });
        }
        Err(TryLockError::Error(error)) => return Err(refused(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(refused)?;
    Ok(InstanceLock(file))
}

/// A hookbox that was killed while it started a handler leaves its descriptors to that process until its program begins.
fn lock_within(file: &File, patience: Duration) -> Result<(), TryLockError> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_EVERY),
            tried => return tried,
        }
    }
}

/// Tries for a while what fails because another process holds the database.
pub(super) fn patiently<T>(mut open: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        match open() {
            Err(OpenError::Busy { path }) if Instant::now() < deadline => {
                log::warn!("{}: another process is writing; waiting for it", path.display());
            }
            opened => return opened,
        }
    }
}

/// Opens the database for writing; creates it if it is new and upgrades it if it is older.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, OpenError> {
    open_with(path, durability, UPGRADES)
}

/// Upgrades an inbox with made-up scripts. For tests: there is no older version yet.
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
    // Closing would fold the log in, and so try a sync again that has just failed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    let newest = version_after(upgrades);
    let found = check(&connection, path, newest)?;
    prepare(&connection, durability).map_err(failed)?;
    if found < newest {
        // Off before the transaction, or dropping a table would take the rows that refer to it along.
        connection.pragma_update(None, "foreign_keys", false).map_err(failed)?;
        upgrade(&mut connection, found, upgrades).map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    }
    Ok(connection)
}

/// The database's schema version; 0 is a new, empty file.
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

/// Makes an empty file that only its owner can read; SQLite gives its WAL the same mode.
fn create_private(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(OpenError::Access { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

fn prepare(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    // Before the first table, or it has no effect.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
    set_durability(connection, durability)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    // Or a statement is compiled anew whenever its `LIMIT ?` is given a value.
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

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful of scripts")]
const fn version_after(upgrades: &[&str]) -> i32 {
    upgrades.len() as i32 + 1
}

fn upgrade(connection: &mut Connection, found: i32, upgrades: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if found == 0 {
        transaction.execute_batch(SCHEMA)?;
    } else {
        for step in upgrades.iter().skip(usize::try_from(found - 1).unwrap_or(0)) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", version_after(upgrades))?;
    }
    transaction.commit()
}

pub(super) fn explain(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            OpenError::Busy { path: path.to_owned() }
        }
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        Some(
            rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::PermissionDenied,
        ) => OpenError::Access { path: path.to_owned(), error: std::io::Error::other(error.to_string()) },
        _ => OpenError::Sqlite { path: path.to_owned(), error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_carries_version_and_application_id() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        assert_eq!(check(&connection, Path::new("x"), SCHEMA_VERSION).unwrap(), SCHEMA_VERSION);
    }

    #[test]
    fn upgrade_runs_only_missing_steps_and_keeps_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hookbox.db");
        let connection = open(&path, Durability::Full).unwrap();
        let rows = "INSERT INTO events VALUES (3, 's', 'id', 't', 1, 1, 0, zeroblob(32));
                    INSERT INTO jobs (id, event_seq, handler, run_at, created_at) VALUES (5, 3, 'h', 1, 1);
                    INSERT INTO attempts (job_id, number, started_at) VALUES (5, 1, 1)";
        connection.execute_batch(rows).unwrap();
        drop(connection);
        // Replacing a table that others refer to must not delete their rows.
        let replace_handlers = "CREATE TABLE new_jobs AS SELECT * FROM jobs; DROP VIEW inbox; DROP VIEW failing;
                                DROP TABLE jobs; ALTER TABLE new_jobs RENAME TO jobs;
                                CREATE UNIQUE INDEX jobs_id ON jobs (id)";
        let upgrades = [replace_handlers, "CREATE TABLE notes (text)"];
        for upgrades in [&upgrades[..1], &upgrades, &upgrades] {
            let connection = open_with(&path, Durability::Full, upgrades).unwrap();
            assert_eq!(check(&connection, &path, 9).unwrap(), version_after(upgrades));
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
    fn a_file_of_something_else_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("notes.txt");
        std::fs::write(
            &text,
            "no database, but longer than the hundred bytes of a header, so that it is looked at whole ......",
        )
        .unwrap();
        assert!(matches!(open(&text, Durability::Full), Err(OpenError::Foreign { .. })));
        assert!(std::fs::read_to_string(&text).unwrap().starts_with("no database"));

        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let before = std::fs::read(&other).unwrap();
        assert!(matches!(open(&other, Durability::Full), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&other).unwrap(), before);
    }

    #[test]
    fn a_newer_inbox_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hookbox.db");
        drop(open(&path, Durability::Full).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path, Durability::Full), Err(OpenError::Newer { found: 99, .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn one_hookbox_per_inbox() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hookbox.db");
        let held = lock(&path).unwrap();
        let refused = lock(&path).unwrap_err();
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        lock(&path).unwrap();
    }
}
