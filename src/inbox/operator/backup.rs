//! A copy of the inbox as it stands at one moment, taken while it is served.
//!
//! Written beside its place as a [`BackupFile`], checked, synced, and only then put there by a rename: whatever is killed
//! and whenever, what lies under the name of the copy is whole. The copy holds no free pages.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{InboxFile, InboxFileError, READING, immutable, served_by};

/// Between two looks at how far the copy is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{}: that is a folder", .0.display())]
    Folder(PathBuf),
    #[error("{}: there is a file of this name", .0.display())]
    Exists(PathBuf),
    #[error("{}: that is the inbox itself", .0.display())]
    Itself(PathBuf),
    #[error("{}: that is an inbox which hookbox is serving", .0.display())]
    Served(PathBuf),
    #[error("{}: it would be read together with {}", path.display(), other.display())]
    Beside { path: PathBuf, other: PathBuf },
    #[error("{}: another backup is writing it", .0.display())]
    UnderWay(PathBuf),
    #[error("{}: {cause}", path.display())]
    Access { path: PathBuf, cause: io::Error },
    #[error("{}: the copy could not be written: {cause}", path.display())]
    Sqlite { path: PathBuf, cause: String },
    #[error("{}: the copy is not sound: {finding}", path.display())]
    Unsound { path: PathBuf, finding: String },
    #[error(transparent)]
    Inbox(#[from] InboxFileError),
}

impl BackupError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folder(_) => Some("name a file in it"),
            Self::Exists(_) => Some("name another, or say --force"),
            Self::Itself(_) | Self::Served(_) => Some("name another file; best on another disk"),
            Self::Beside { .. } => Some("that log belongs to another database; name another file, or remove it"),
            Self::UnderWay(_) => Some("wait for it, or name another file"),
            Self::Unsound { .. } => {
                Some("the inbox itself may be damaged: `sqlite3 -readonly hookbox.db 'PRAGMA integrity_check'`")
            }
            Self::Inbox(error) => error.hint(),
            Self::Access { .. } | Self::Sqlite { .. } => None,
        }
    }

    /// Whether another name would do, rather than something having failed.
    #[must_use]
    pub fn is_wrong_name(&self) -> bool {
        matches!(self, Self::Folder(_) | Self::Exists(_) | Self::Itself(_) | Self::Served(_) | Self::Beside { .. })
    }
}

/// A copy that is not in its place yet. Dropped, it is removed.
#[derive(Debug)]
pub struct BackupFile {
    path: PathBuf,
    /// Where it is written: beside its place.
    draft: PathBuf,
    /// Locked against another backup. Closed last: that would drop SQLite's locks on the same file.
    file: File,
    may_replace: bool,
    is_placed: bool,
}

impl BackupFile {
    /// Claims the place of a copy, without writing anything under its name.
    ///
    /// # Errors
    /// The name is taken, or cannot be had.
    pub fn new(inbox: &Path, path: &Path, may_replace: bool) -> Result<Self, BackupError> {
        if path.is_dir() {
            return Err(BackupError::Folder(path.to_owned()));
        }
        let access = |cause| BackupError::Access { path: path.to_owned(), cause };
        let name = path.file_name().ok_or_else(|| access(io::ErrorKind::InvalidFilename.into()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let path = folder.canonicalize().map_err(access)?.join(name);
        check_name(inbox, &path, may_replace)?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(".partial");
        let draft = path.with_file_name(draft);
        let access = |cause| BackupError::Access { path: draft.clone(), cause };
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).mode(0o600).open(&draft).map_err(access)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::UnderWay(path)),
            Err(TryLockError::Error(cause)) => return Err(access(cause)),
        }
        // What a backup left that was killed.
        file.set_len(0).map_err(access)?;
        Ok(Self { path, draft, file, may_replace, is_placed: false })
    }

    /// Writes the copy, calling `progress` with its bytes so far now and then.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn write(&self, inbox: &InboxFile, progress: impl FnMut(u64) + Send) -> Result<(), BackupError> {
        let (done, waits) = mpsc::channel::<()>();
        let written = thread::scope(|scope| {
            scope.spawn(move || self.watch(&waits, progress));
            let written = inbox
                .reading
                .execute("VACUUM INTO ?", [self.draft.to_string_lossy()])
                .and_then(|_| make_giving(&self.draft));
            drop(done);
            written
        });
        written.map_err(|cause| BackupError::Sqlite { path: self.path.clone(), cause: cause.to_string() })
    }

    fn watch(&self, waits: &mpsc::Receiver<()>, mut progress: impl FnMut(u64)) {
        while waits.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            progress(self.bytes());
        }
    }

    /// How long the copy is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |file| file.len())
    }

    /// Reads all of the copy. Answers how many events it holds.
    ///
    /// # Errors
    /// It is not what was written.
    pub fn check(&self) -> Result<u64, BackupError> {
        let path = || self.path.clone();
        let check = || {
            let copy = Connection::open_with_flags(immutable(&self.draft), READING | OpenFlags::SQLITE_OPEN_URI)?;
            let finding: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            let events = copy.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((finding, events))
        };
        match check() {
            Ok::<_, rusqlite::Error>((finding, events)) if finding == "ok" => Ok(events),
            Ok((finding, _)) => Err(BackupError::Unsound { path: path(), finding }),
            Err(cause) => Err(BackupError::Sqlite { path: path(), cause: cause.to_string() }),
        }
    }

    /// Puts the copy in its place, synced.
    ///
    /// # Errors
    /// It could not be synced or moved.
    pub fn place(mut self) -> Result<(), BackupError> {
        let place = || {
            self.file.sync_all()?;
            // Fails where a file has appeared meanwhile.
            match renameat_with(CWD, &self.draft, CWD, &self.path, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                Err(Errno::EXIST) if !self.may_replace => return Err(Errno::EXIST.into()),
                Err(_) => fs::rename(&self.draft, &self.path)?,
            }
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        place().map_err(|cause| BackupError::Access { path: self.path.clone(), cause })?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        if !self.is_placed
            && let Err(error) = fs::remove_file(&self.draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{}: cannot be removed: {error}", self.draft.display());
        }
    }
}

/// A copy can give back free pages, even where the inbox was made without.
fn make_giving(draft: &Path) -> rusqlite::Result<()> {
    let copy = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let auto_vacuum: i64 = copy.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
    if auto_vacuum == 0 {
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")?;
    }
    Ok(())
}

fn check_name(inbox: &Path, path: &Path, may_replace: bool) -> Result<(), BackupError> {
    let is_inbox =
        |path: &Path| matches!((inbox.canonicalize(), path.canonicalize()), (Ok(inbox), Ok(path)) if inbox == path);
    if is_inbox(path) {
        return Err(BackupError::Itself(path.to_owned()));
    }
    if path.symlink_metadata().is_ok() && !may_replace {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let access = |cause| BackupError::Access { path: path.to_owned(), cause };
    if served_by(path).map_err(access)?.is_some() {
        return Err(BackupError::Served(path.to_owned()));
    }
    for ending in ["-wal", "-journal"] {
        let mut other = path.as_os_str().to_owned();
        other.push(ending);
        let other = PathBuf::from(other);
        if fs::metadata(&other).is_ok_and(|file| file.len() > 0) {
            return Err(BackupError::Beside { path: path.to_owned(), other });
        }
    }
    Ok(())
}
