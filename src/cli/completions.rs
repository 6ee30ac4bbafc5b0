//! `completions`: prints what a shell needs to complete hookbox's command line.
//!
//! Made from the command line itself, so it knows every verb and option there is. Nothing is installed.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;

/// For example: hookbox completions bash > /etc/bash_completion.d/hookbox
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // Made in memory: the library panics on a reader that has gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hookbox", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
