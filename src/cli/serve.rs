//! `hookbox serve`: the main job.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::app;

/// Receives deliveries and runs handlers until a signal ends it.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Serves the configuration file.
///
/// # Errors
/// What hookbox could not start or go on with.
pub fn run(config: PathBuf) -> anyhow::Result<ExitCode> {
    app::serve(config)?;
    Ok(ExitCode::SUCCESS)
}
