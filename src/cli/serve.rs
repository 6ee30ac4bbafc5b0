//! `hookbox serve`: the main job.
//!
//! The configuration goes in; it returns when a signal has ended it, in order, or when it could not go on.

use super::Global;
use super::failure::Failure;
use crate::server;
use crate::support::malloc_tuning;

/// Serves the configuration until a signal ends it.
pub(super) fn run(global: &Global) -> Result<(), Failure> {
    malloc_tuning::reexecute_with_tunables();
    Ok(server::serve(&global.config)?)
}
