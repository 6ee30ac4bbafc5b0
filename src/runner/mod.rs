//! Runs one attempt: starts the command, calls a worker process or posts to the URL, and returns an
//! [`AttemptOutput`]. [`crate::retry`] decides what it means for the job.
//!
//! The executor thread returns within the time limit plus [`KILL_GRACE`], whatever the process does. After hookbox has
//! stopped an attempt, everything that it started is gone. Memory does not grow with the output. No zombie remains.

mod attempt;
mod cancel;
mod command;
mod environment;
mod http;
mod notifier;
mod output;
mod process;
mod reply;
mod resources;
mod result_file;
#[cfg(test)]
mod tests;
mod worker;

pub use attempt::{AttemptInput, AttemptOutput, AttemptPurpose, KILL_GRACE};
pub use cancel::{CancelToken, StopReason};
pub use notifier::{NotifierCommand, run_notifier};
pub use output::{OUTPUT_HEAD_BYTES, OUTPUT_KEPT_BYTES};
pub use process::inherited_fds::keep_descriptor_limit;
pub use process::launcher::launch;
pub use process::orphan_recovery::kill_orphans;
pub use process::reaper::OrphanReaper;
pub use resources::HandlerResources;
pub use result_file::remove_result_files;
pub use worker::parse_worker_reply;

use crate::config::Mode;
use crate::retry::AttemptExit;
use crate::support::time::Millis;

/// Runs the handler on one event. Blocks until it ends.
pub fn run(attempt: &AttemptInput, resources: &HandlerResources, cancel: &CancelToken) -> AttemptOutput {
    let started_at = Millis::now();
    let output = match &attempt.handler.mode {
        _ if cancel.reason().is_some() => {
            AttemptOutput::without_output(cancel.reason().map_or(AttemptExit::Stopped, StopReason::exit))
        }
        Mode::Command => command::run(attempt, cancel),
        Mode::Worker { .. } => worker::run(&resources.worker_pool(&attempt.handler), attempt, cancel),
        Mode::Http(http) => http::run(&resources.http_clients(&attempt.handler), attempt, http, cancel),
    };
    AttemptOutput { started_at, finished_at: Millis::now(), trace: attempt.trace(), ..output }
}
