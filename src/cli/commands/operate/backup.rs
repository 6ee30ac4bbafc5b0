//! `backup FILE`: writes a checked copy of the inbox, whether or not hookbox is running.
//!
//! FILE appears only after the copy has been checked and synced.

use std::path::PathBuf;

use bytesize::ByteSize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::terminal::{count, print_line, shown};
use crate::inbox::operator::{BackupError, BackupFile};

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// File to write, readable only by its owner
    file: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &BackupArgs, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    let backup = BackupFile::new(&global.summary()?.inbox, &args.file, args.force)?;
    let usage = file.disk_usage()?;
    let kib = |bytes: u64| usize::try_from(bytes / 1024).unwrap_or(usize::MAX);
    let mut counter = Counter::new(kib(usage.bytes - usage.free_bytes.min(usage.bytes)));
    backup.write(&file, |bytes| counter.set(kib(bytes)))?;
    let events = progress::spinner("checking the copy", || backup.check())?;
    let bytes = backup.bytes();
    backup.finish()?;
    let events = count(usize::try_from(events).unwrap_or(usize::MAX), "event");
    Ok(print_line(format!("{}: {events}, {}, checked", shown(&args.file.display().to_string()), ByteSize(bytes)))?)
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        let failure = match &error {
            BackupError::Inbox(error) if error.is_wrong_file() => Self::usage(message),
            error if error.is_wrong_name() => Self::usage(message),
            _ => Self::failed(message),
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
