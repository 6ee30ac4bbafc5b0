//! Black-box tests: the built binary, real requests and real processes.
//!
//! Every test has its own folder, inbox and ports, so all run in parallel. `support` has the one builder. Tests wait for a
//! state that the inbox or the log shows, or for a handler at a FIFO, never for a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

mod alerts;
mod answers;
mod api;
mod architecture;
mod browser;
mod bulk;
mod containment;
mod contract;
mod crashes;
mod dashboard;
mod demo;
mod endings;
mod fan_out;
mod faults;
mod files;
mod guards;
mod hands;
mod handshakes;
mod hostile;
mod http_mode;
mod keygen;
mod limits;
mod malformed;
mod metrics;
mod operator;
mod order;
mod output;
mod packaging;
mod page;
mod pages;
mod paused;
mod pauses;
mod prefetch;
mod providers;
mod readme;
mod refusals;
mod rehearsals;
mod respond;
mod respond_modes;
mod routing;
mod secrets;
mod settings;
mod shutdown;
mod systemd;
mod tls;
mod upkeep;
mod worker_mode;
mod workers;
