//! The inbox: events, jobs and attempts in one SQLite file. All SQL is in this module.
//!
//! [`Inbox`] is what `serve` uses. Deliveries, exchanges with the dispatcher and operators' changes are commands to one
//! writer thread, which commits them in batches ([`writer`]). Reads use other connections ([`reader`]). [`operator`]
//! opens the file for the command line, whether or not it is served.

pub mod operator;
pub mod reader;

mod claim;
mod complete;
mod enrollment;
mod file;
mod handlers;
mod insert;
mod ordering;
mod reconfigure;
mod rejections;
mod replies;
mod schema;
mod served;
#[cfg(test)]
mod tests;
mod types;
mod writer;

pub use enrollment::{ENROLLMENT_WINDOW, EnrollmentResult, EnrollmentState};
pub use file::{OpenError, lock_path, upgrade_with};
pub use handlers::PauseResult;
pub use insert::{Accepted, Receipt};
pub use served::Inbox;
pub use types::{
    AttemptResult, ClaimRequest, ClaimResult, ClaimedJob, CompleteAndClaim, HandlerReply, HandlerState, InboxError,
    JobRef, NotStored,
};
