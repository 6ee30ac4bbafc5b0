//! `completions` and `man`: shell completions and man pages, generated from the command line's own definition.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::failure::Failure;

/// Sections of `hookbox.1` that clap does not generate.
const MORE_SECTIONS: &str = r#".SH "EXIT STATUS"
.TP
0
Success.
.TP
1
Failure, or a negative result.
.TP
2
Wrong usage or configuration.
.SH SIGNALS
On TERM and INT,
.B hookbox serve
shuts down gracefully: it answers the requests it has accepted and gives handlers
.I dispatch.shutdown_grace
to finish. On HUP, it reloads its configuration.
.SH ENVIRONMENT
.TP
HOOKBOX_CONFIG
Path of the configuration file, unless
.B \-\-config
is given.
.TP
NO_COLOR
If set and not empty, disables colors.
.SH FILES
.TP
hookbox.toml
The configuration. Relative paths in it are resolved against its folder.
.TP
hookbox.db
The inbox, a SQLite file. Its schema documents itself:
.B sqlite3 \-readonly hookbox.db .schema
.TP
hookbox.db.lock, hookbox.db.results
Created next to the inbox while hookbox serves it.
"#;

/// Example: hookbox completions bash > /etc/bash_completion.d/hookbox
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to generate the script for
    #[arg(value_enum)]
    shell: Shell,
}

/// Example: hookbox man | man -l -
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write hookbox.1 and one page per command into this folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Prints the completion script.
pub(crate) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> Result<(), Failure> {
    // Buffered because clap_complete panics on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "hookbox", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Prints `hookbox.1`, or writes all pages into a folder.
pub(crate) fn man(args: &ManArgs, mut command: clap::Command) -> Result<(), Failure> {
    command.build();
    match &args.folder {
        Some(folder) => write_pages(folder, &command),
        None => Ok(io::stdout().write_all(&main_page(&command)?)?),
    }
}

fn write_pages(folder: &Path, hookbox: &clap::Command) -> Result<(), Failure> {
    let unwritable = |path: &Path, error: &io::Error| Failure::failed(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut pages = vec![("hookbox.1".to_owned(), main_page(hookbox)?)];
    for verb in hookbox.get_subcommands() {
        pages.push((format!("hookbox-{}.1", verb.get_name()), page(verb)?));
    }
    for (name, page) in pages {
        let path = folder.join(name);
        fs::write(&path, page).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

fn main_page(hookbox: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = page(hookbox)?;
    page.extend_from_slice(MORE_SECTIONS.as_bytes());
    Ok(page)
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).manual("hookbox").render(&mut page)?;
    Ok(page)
}
