//! Building blocks that know nothing of webhooks: time, secrets, text, locks, logging, network, process control.

pub mod control;
pub mod humanize;
pub mod json_paths;
pub mod locks;
pub mod logging;
pub mod malloc_tuning;
pub mod net;
pub mod rate_limiter;
pub mod sanitize;
pub mod secret;
pub mod time;
pub mod trace_context;
