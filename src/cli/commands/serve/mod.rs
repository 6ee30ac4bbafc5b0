//! `serve`, and the verbs that talk to a running hookbox.

pub(crate) mod demo;
pub(crate) mod health;
pub(crate) mod reload;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::server;
use crate::support::malloc_tuning;

/// Serves the configuration until a signal stops the process.
pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    malloc_tuning::reexecute_with_tunables();
    Ok(server::serve(&global.config)?)
}
