//! `hookbox serve`: the main job.

use super::Global;
use super::failure::Failure;
use crate::app;

/// Serves the configuration until a signal ends it.
pub(super) fn run(global: &Global) -> Result<(), Failure> {
    Ok(app::serve(&global.config)?)
}
