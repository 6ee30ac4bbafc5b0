//! A consistent copy of the inbox, made while it is served.
//!
//! It is written next to its destination as a [`BackupFile`], checked, synced, and then renamed. So a file with the name
//! of a backup is always complete. The copy has no free pages.

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

use super::inbox_file::{InboxFile, InboxFileError, READ_ONLY, immutable, served_by};

/// Interval of progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{}: this is a folder", .0.display())]
    Folder(PathBuf),
    #[error("{}: the file exists", .0.display())]
    Exists(PathBuf),
    #[error("{}: this is the inbox itself", .0.display())]
    Itself(PathBuf),
    #[error("{}: hookbox is serving this file", .0.display())]
    Served(PathBuf),
    #[error("{}: SQLite would read it together with {}", path.display(), other.display())]
    HasLog { path: PathBuf, other: PathBuf },
    #[error("{}: another backup is in progress", .0.display())]
    InProgress(PathBuf),
    #[error("{}: {cause}", path.display())]
    Access { path: PathBuf, cause: io::Error },
    #[error("{}: the copy could not be written: {cause}", path.display())]
    Sqlite { path: PathBuf, cause: String },
    #[error("{}: the copy is corrupt: {finding}", path.display())]
    Corrupt { path: PathBuf, finding: String },
    #[error(transparent)]
    Inbox(#[from] InboxFileError),
}

impl BackupError {
    /// The next step for the user.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folder(_) => Some("name a file in it"),
            Self::Exists(_) => Some("name another file, or use --force"),
            Self::Itself(_) | Self::Served(_) => Some("name another file, preferably on another disk"),
            Self::HasLog { .. } => Some("this log belongs to another database: name another file, or remove the log"),
            Self::InProgress(_) => Some("wait for it, or name another file"),
            Self::Corrupt { .. } => {
                Some("the inbox itself may be damaged: `sqlite3 -readonly hookbox.db 'PRAGMA integrity_check'`")
            }
            Self::Inbox(error) => error.hint(),
            Self::Access { .. } | Self::Sqlite { .. } => None,
        }
    }

    /// Whether the user has to name another file, a usage error.
    #[must_use]
    pub fn is_wrong_name(&self) -> bool {
        matches!(self, Self::Folder(_) | Self::Exists(_) | Self::Itself(_) | Self::Served(_) | Self::HasLog { .. })
    }
}

/// A copy that does not have its final name yet. It is deleted when dropped.
#[derive(Debug)]
pub struct BackupFile {
    path: PathBuf,
    /// The temporary name, in the same folder.
    draft: PathBuf,
    /// Locked against other backups. Closed last, since closing it releases SQLite's locks on the file.
    file: File,
    may_replace: bool,
    is_renamed: bool,
}

impl BackupFile {
    /// Creates the temporary file.
    ///
    /// # Errors
    /// The name is not usable, or taken and `may_replace` is false.
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
            Err(TryLockError::WouldBlock) => return Err(BackupError::InProgress(path)),
            Err(TryLockError::Error(cause)) => return Err(access(cause)),
        }
        // A killed backup may have left something.
        file.set_len(0).map_err(access)?;
        Ok(Self { path, draft, file, may_replace, is_renamed: false })
    }

    /// Writes the copy, calling `progress` with its size at intervals.
    ///
    /// # Errors
    /// The inbox cannot be read, or the copy cannot be written.
    pub fn write(&self, inbox: &InboxFile, progress: impl FnMut(u64) + Send) -> Result<(), BackupError> {
        let (done, is_done) = mpsc::channel::<()>();
        let written = thread::scope(|scope| {
            scope.spawn(move || self.report_progress(&is_done, progress));
            let written = inbox
                .reading
                .execute("VACUUM INTO ?", [self.draft.to_string_lossy()])
                .and_then(|_| enable_auto_vacuum(&self.draft));
            drop(done);
            written
        });
        written.map_err(|cause| BackupError::Sqlite { path: self.path.clone(), cause: cause.to_string() })
    }

    fn report_progress(&self, is_done: &mpsc::Receiver<()>, mut progress: impl FnMut(u64)) {
        while is_done.recv_timeout(PROGRESS_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            progress(self.bytes());
        }
    }

    /// The size of the copy so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |file| file.len())
    }

    /// Checks the whole copy and counts its events.
    ///
    /// # Errors
    /// The copy is corrupt.
    pub fn check(&self) -> Result<u64, BackupError> {
        let path = || self.path.clone();
        let check = || {
            let copy = Connection::open_with_flags(immutable(&self.draft), READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
            let finding: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            let events = copy.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((finding, events))
        };
        match check() {
            Ok::<_, rusqlite::Error>((finding, events)) if finding == "ok" => Ok(events),
            Ok((finding, _)) => Err(BackupError::Corrupt { path: path(), finding }),
            Err(cause) => Err(BackupError::Sqlite { path: path(), cause: cause.to_string() }),
        }
    }

    /// Syncs the copy and gives it its final name.
    ///
    /// # Errors
    /// It could not be synced or renamed.
    pub fn finish(mut self) -> Result<(), BackupError> {
        let rename = || {
            self.file.sync_all()?;
            // Fails if a file with this name has appeared in the meantime.
            match renameat_with(CWD, &self.draft, CWD, &self.path, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                Err(Errno::EXIST) if !self.may_replace => return Err(Errno::EXIST.into()),
                Err(_) => fs::rename(&self.draft, &self.path)?,
            }
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        rename().map_err(|cause| BackupError::Access { path: self.path.clone(), cause })?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        if !self.is_renamed
            && let Err(error) = fs::remove_file(&self.draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{}: temporary file could not be deleted: {error}", self.draft.display());
        }
    }
}

/// Lets the copy return free pages, even if the inbox cannot.
fn enable_auto_vacuum(draft: &Path) -> rusqlite::Result<()> {
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
            return Err(BackupError::HasLog { path: path.to_owned(), other });
        }
    }
    Ok(())
}
