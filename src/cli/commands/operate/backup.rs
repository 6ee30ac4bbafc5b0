//! `backup FILE`: a copy of the inbox, whole and checked, taken whether or not it is served.
//!
//! Nothing appears under the name FILE before the copy has been read through and synced.

use std::io::{self, Write as _};
use std::path::PathBuf;

use bytesize::ByteSize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::terminal::{count, shown};
use crate::inbox::operator::{BackupError, BackupFile};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the copy goes; only its owner can read it
    file: PathBuf,
    /// Replaces a file of that name
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    let draft = BackupFile::new(&global.outline()?.inbox, &args.file, args.force)?;
    let room = file.disk_usage()?;
    let kib = |bytes: u64| usize::try_from(bytes / 1024).unwrap_or(usize::MAX);
    let mut counter = Counter::new(kib(room.bytes - room.free_bytes.min(room.bytes)));
    draft.write(&file, |bytes| counter.reach(kib(bytes)))?;
    let events = progress::waiting("checking the copy", || draft.check())?;
    let bytes = draft.bytes();
    draft.finish()?;
    let mut out = io::stdout().lock();
    let events = count(usize::try_from(events).unwrap_or(usize::MAX), "event");
    writeln!(out, "{}: {events}, {}, checked", shown(&args.file.display().to_string()), ByteSize(bytes))?;
    Ok(out.flush()?)
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
