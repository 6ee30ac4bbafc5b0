//! `hookbox serve`: the main job.

use std::path::Path;
use std::process::ExitCode;

use crate::app;

/// Receives deliveries and runs handlers until a signal ends it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Serves the configuration file.
///
/// # Errors
/// What hookbox could not start or go on with.
pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    app::serve(config)?;
    Ok(ExitCode::SUCCESS)
}
