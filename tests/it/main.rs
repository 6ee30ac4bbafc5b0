//! Black-box tests: the built binary, real requests and real processes.
//!
//! Every test has its own folder, inbox and ports, so all run in parallel. `support` has the one builder. Tests wait for a
//! state that the inbox or the log shows, or for a handler at a FIFO, never for a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

mod admin_errors;
mod admission;
mod alerts;
mod api;
mod architecture;
mod browser;
mod bulk;
mod circuit_breaker;
mod completions;
mod containment;
mod contract;
mod crashes;
mod dashboard;
mod demo;
mod endings;
mod fan_out;
mod faults;
mod files;
mod handshakes;
mod hostile;
mod http_mode;
mod keygen;
mod limits;
mod metrics;
mod operator;
mod operator_changes;
mod order;
mod output;
mod packaging;
mod pause_resume;
mod prefetch;
mod providers;
mod providers_page;
mod readme;
mod refusals;
mod respond;
mod respond_modes;
mod responses;
mod routing;
mod run_verb;
mod secrets;
mod settings;
mod shutdown;
mod systemd;
mod tls;
mod upkeep;
mod worker_mode;
mod workers;
