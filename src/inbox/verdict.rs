//! What an error of the database means for whoever waits for it.
//!
//! Pure but for one look at the disk: an I/O error with no room left is a full disk, any other ends hookbox.

use rusqlite::{Error, ErrorCode};

use super::watch::free_disk;
use super::{NotStored, Shared};

/// With less than this a disk has nothing left.
const NOTHING: u64 = 64 << 10;

/// Why nothing was stored.
pub(super) fn judge(error: &Error, shared: &Shared) -> NotStored {
    let is_disk_full = || shared.with_settings(|settings| free_disk(&settings.path)).is_some_and(|free| free < NOTHING);
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => NotStored::Busy,
        Some(ErrorCode::DiskFull) => NotStored::DiskLow,
        Some(ErrorCode::SystemIoFailure) if is_disk_full() => NotStored::DiskLow,
        _ => NotStored::Failing(error.to_string()),
    }
}

/// Whether the same command alone would fail, and the others would not.
pub(super) fn concerns_one_command(error: &Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
    )
}

pub(super) fn is_io_error(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt))
}
