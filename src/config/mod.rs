//! The configuration file `hookbox.toml`, read into typed settings: defaults filled in, secrets read, references checked.
//!
//! All problems of a file are reported together. Each section has one reader, which is also the list of its keys. Other
//! modules get the settings of their own section.

mod alerts;
mod checks;
mod handler;
mod problem;
mod read;
mod reader;
mod scheme;
mod secrets;
mod settings;
mod source;
mod summary;
#[cfg(test)]
mod tests;

pub use self::alerts::{AlertChannel, AlertsConfig};
pub use self::checks::permission_hint;
#[cfg(test)]
pub use self::handler::HandlerFilter;
pub use self::handler::{
    Handler, HttpTarget, MissingKey, Mode, OrderingKey, OrderingMode, OrderingRule, ProcessSettings, ResourceLimits,
    RunAs, standard_webhooks_key,
};
pub use self::problem::{ConfigErrors, Problem, nearest};
pub use self::read::{Config, read};
pub use self::settings::{AdminConfig, DispatchConfig, Durability, HostName, InboxConfig, Retention, ServerConfig};
pub use self::source::{Admission, ReplayGuard, Source};
pub use self::summary::{ConfigSummary, read_private_headers, read_source, read_summary, read_summary_with_addresses};
