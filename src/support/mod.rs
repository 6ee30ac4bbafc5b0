//! Building blocks that know nothing of webhooks: time, secrets, text for people, sockets, TLS, logging, systemd.

pub mod control;
pub mod forwarded;
pub mod humanize;
pub mod json_paths;
pub mod logging;
pub mod rate_limiter;
pub mod sanitize;
pub mod secret;
pub mod socket;
pub mod systemd;
pub mod time;
pub mod tls;
pub mod trace_context;
