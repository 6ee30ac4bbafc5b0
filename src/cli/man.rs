//! `man`: prints the man page, or writes one for hookbox and one for each verb into a folder.
//!
//! Made from the command line itself, so it tells every verb and option there is.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::Cli;
use super::failure::Failure;

/// What the command line cannot tell of itself.
const FURTHER: &str = r#".SH "EXIT STATUS"
.TP
0
It was done.
.TP
1
It failed, or what was asked for does not hold.
.TP
2
Wrong usage or configuration.
.SH SIGNALS
TERM and INT end
.B hookbox serve
in order: what has been taken in is answered, handlers get
.I dispatch.shutdown_grace
to finish. HUP has it read its configuration again.
.SH ENVIRONMENT
.TP
HOOKBOX_CONFIG
The configuration, where
.B \-\-config
is not given.
.TP
NO_COLOR
Set to anything: no colours.
.SH FILES
.TP
hookbox.toml
The configuration. Relative paths in it start at its folder.
.TP
hookbox.db
The inbox: one SQLite file, made to be read. Its schema explains itself:
.B sqlite3 \-readonly hookbox.db .schema
.TP
hookbox.db.lock, hookbox.db.results
Beside the inbox while it is served.
"#;

/// For example: hookbox man | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Writes hookbox.1 and one page for each verb into this folder instead
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    match &args.folder {
        Some(folder) => write_all(folder, &command),
        None => Ok(io::stdout().write_all(&first_page(&command)?)?),
    }
}

fn write_all(folder: &Path, hookbox: &clap::Command) -> Result<(), Failure> {
    let unwritable = |path: &Path, error: &io::Error| Failure::failed(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut pages = vec![("hookbox.1".to_owned(), first_page(hookbox)?)];
    for verb in hookbox.get_subcommands() {
        pages.push((format!("hookbox-{}.1", verb.get_name()), page(verb)?));
    }
    for (name, page) in pages {
        let path = folder.join(name);
        fs::write(&path, page).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

fn first_page(hookbox: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = page(hookbox)?;
    page.extend_from_slice(FURTHER.as_bytes());
    Ok(page)
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).manual("hookbox").render(&mut page)?;
    Ok(page)
}
