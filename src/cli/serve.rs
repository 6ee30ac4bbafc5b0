//! `hookbox serve`: the main job.
//!
//! The configuration goes in; it returns when a signal has ended it, in order, or when it could not go on.

use super::Global;
use super::failure::Failure;
use crate::{runner, server};

/// Serves the configuration until a signal ends it.
pub(super) fn run(global: &Global) -> Result<(), Failure> {
    runner::settle_allocator();
    Ok(server::serve(&global.config)?)
}
