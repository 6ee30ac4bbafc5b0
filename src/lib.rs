//! hookbox receives webhooks properly: it verifies each request's signature, stores the event once in one SQLite file,
//! answers 200 only after the event is synced to disk, and runs the configured handlers until each job has succeeded or
//! is dead and waits for an operator.
//!
//! # The path of an event
//!
//! 1. [`receiver`] reads an HTTP request, within limits.
//! 2. [`verify`] checks its signature as the provider's row ([`providers`]) describes. Only a verified body is parsed,
//!    and only this module can build a [`verify::VerifiedDelivery`].
//! 3. [`routing`] decides which handlers take the event: a [`routing::RoutedDelivery`].
//! 4. [`inbox`] writes the event, its payload and one job per handler in one transaction, syncs it, and returns an
//!    [`inbox::Receipt`], which the receiver turns into a 200.
//! 5. [`dispatcher`] claims due jobs in batches and hands them to executor threads.
//! 6. [`runner`] makes one attempt: it runs the user's command, calls the worker process or posts to the URL.
//! 7. [`retry`] decides what the result means for the job: succeeded, retry later, or dead.
//!
//! A handler with `respond` sends its [`model::response::HandlerResponse`] back the same way: the inbox writes it with the
//! attempt's result, then the waiting request returns it.
//!
//! A rejected delivery is stored as a [`model::refusal::RefusedDelivery`] without its tokens; [`diagnose`] says which change to
//! the configuration would have accepted it.
//!
//! [`metrics`] counts what happens, [`web`] serves the API and the dashboard, [`alerts`] notifies the operator,
//! [`cli`] is the command line, [`config`] reads the configuration file, and [`server`] starts and stops everything in
//! order.
//!
//! # Levels
//!
//! A module uses modules of lower levels only. `tests/it/architecture` reads this table.
//!
//! | level | modules |
//! | --- | --- |
//! | 0 | [`support`] |
//! | 1 | [`model`] |
//! | 2 | [`metrics`], [`providers`], [`retry`] |
//! | 3 | [`config`] |
//! | 4 | [`runner`], [`verify`] |
//! | 5 | [`diagnose`], [`routing`] |
//! | 6 | [`inbox`] |
//! | 7 | [`alerts`], [`dispatcher`], [`receiver`], [`web`] |
//! | 8 | [`server`] |
//! | 9 | [`cli`] |
//!
//! # Where to add things
//!
//! An HMAC provider is a row of `providers/table.toml`; a scheme that needs code is a file in `verify/`. A new way to run
//! handlers is a folder in `runner/`. A dashboard page is a file in `web/dashboard/`, and its query a method of
//! [`inbox`]'s reader. A CLI verb is a file in `cli/commands/`. Only `inbox/` contains SQL.

#![allow(rustdoc::private_intra_doc_links, reason = "the documentation is built with private items")]

mod alerts;
mod cli;
mod config;
mod diagnose;
mod dispatcher;
mod inbox;
mod metrics;
mod model;
mod providers;
mod receiver;
mod retry;
mod routing;
mod runner;
mod server;
mod support;
mod verify;
mod web;

use std::process::ExitCode;

/// Runs the program: the command line, or one of the helper roles in which hookbox starts itself.
#[must_use]
pub fn main() -> ExitCode {
    runner::launch().unwrap_or_else(cli::main)
}

/// What benches, fuzz targets and table tests use of the library. Not an API: it changes without notice.
#[doc(hidden)]
pub mod internals {
    pub use crate::config::{Admission, Source, read_source};
    pub use crate::inbox::upgrade_with;
    pub use crate::metrics::{Answered, COUNTED_STATES, GaugeValues, HandlerGauges, Metrics, NO_SOURCE};
    pub use crate::model::event::{AttemptStatus, JobState};
    pub use crate::model::request::{Headers, Request};
    pub use crate::providers::{
        OneOrMany, ProviderRow, RequiredSettings, Scheme, SelectorEntry, ValueLocation, all, find, listed, sample,
    };
    pub use crate::retry::AttemptExit;
    pub use crate::runner::parse_worker_reply;
    pub use crate::support::secret::Secret;
    pub use crate::support::time::Millis;
    pub use crate::verify::{TestEvent, VerifiedRequest, Verifier, sign};
    pub use crate::web::openapi_document;
}
