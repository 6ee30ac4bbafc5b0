//! The configuration as hookbox means it: every default filled in, every secret read, every reference checked.
//!
//! Built from `hookbox.toml` (what was written) by [`read()`]; whoever holds a [`Config`] needs no further checks.
//! Each room takes its own section, never all of it.

mod admin;
mod alerts;
mod containment;
mod credential;
mod guards;
mod handler;
mod item;
mod keyring;
mod keys;
mod mode;
mod outline;
mod problem;
mod program;
mod read;
mod respond;
mod section;
mod sequence;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::admin::HostName;
pub use self::alerts::{AlertChannel, AlertsConfig};
pub use self::containment::{ProcessSettings, ResourceLimits, RunAs};
pub use self::guards::{Admission, ReplayGuard};
pub use self::keys::nearest;
pub use self::mode::key as standard_webhooks_key;
pub use self::outline::{ConfigSummary, read_private_headers, read_source, read_summary, read_summary_with_addresses};
pub use self::problem::{ConfigErrors, Problem};
pub use self::read::read;
pub use self::sequence::{MissingKey, OrderingKey, OrderingMode, OrderingRule};
use crate::providers::Scheme;
use crate::retry::RetryPolicy;
use crate::support::net::forwarded::TrustedProxies;
use crate::support::net::keys_url::KeysUrl;
use crate::support::net::socket::Listen;
use crate::support::net::tls;
use crate::support::rate_limiter::Rate;
use crate::support::secret::Secret;

/// Everything, as read from one file.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, as named.
    pub file: PathBuf,
    /// Its folder, absolute: what relative paths are relative to, and where handlers run.
    pub folder: PathBuf,
    /// `[server]`
    pub server: ServerConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[inbox]`
    pub inbox: InboxConfig,
    /// `[dispatch]`
    pub dispatch: DispatchConfig,
    /// `[alerts]`, where there is someone to tell.
    pub alerts: Option<AlertsConfig>,
    /// `[sources.NAME]`, in the order of the file.
    pub sources: Vec<Arc<Source>>,
    /// `[handlers.NAME]`, in the order of the file.
    pub handlers: Vec<Arc<Handler>>,
}

/// `[server]`: the address that providers reach.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Longest body in bytes, where neither the source nor its provider says otherwise.
    pub max_body: u64,
    /// Bytes received and not yet stored, all requests together.
    pub max_in_flight: u64,
    /// From the first byte of a request to its last, and from there to the answer.
    pub request_timeout: Duration,
    /// Whose word counts on where a request came from.
    pub trusted_proxies: TrustedProxies,
    /// The certificate, where hookbox itself speaks HTTPS.
    pub tls: Option<tls::TlsFiles>,
}

/// `[admin]`: dashboard, API, metrics and probes.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Names answered beside addresses and `localhost`.
    pub hosts: Vec<HostName>,
    /// Any of them lets in; where there is none, everyone on this machine may.
    pub tokens: Vec<Secret>,
}

/// How much a commit is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced before it is acknowledged (SQLite's `synchronous=FULL`).
    Full,
    /// `synchronous=NORMAL`: the last moments are lost with the power.
    Normal,
}

/// `[inbox]`
#[derive(Debug, Clone)]
pub struct InboxConfig {
    /// The database file, absolute.
    pub path: PathBuf,
    /// What a 200 means.
    pub durability: Durability,
    /// Pending jobs beyond which new events get 503.
    pub max_pending: u64,
    /// Free bytes on the inbox's disk below which new events get 503.
    pub min_free_disk: u64,
    /// What is forgotten, and when.
    pub keep: Retention,
}

/// How long things are kept; at most `events` for payloads, at least that for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Bodies and output, from the end of the event's last job.
    pub payloads: Duration,
    /// Rows of events, jobs and attempts, likewise.
    pub events: Duration,
    /// Keys of events that are gone, from their first delivery.
    pub keys: Duration,
}

/// `[dispatch]`
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// Worker threads, and so attempts at once, over all handlers.
    pub workers: usize,
    /// How long running handlers may go on after TERM.
    pub shutdown_grace: Duration,
}

/// `[sources.NAME]`
#[derive(Debug, Clone)]
pub struct Source {
    /// NAME
    pub name: Arc<str>,
    /// Name of the provider's row, or `custom`.
    pub provider: String,
    /// Where deliveries arrive: `/hooks/NAME` unless configured.
    pub path: String,
    /// How the provider signs, in words by their label, with the source's own settings already put in.
    pub scheme_summary: Vec<(&'static str, String)>,
    /// Likewise, as it is carried out; and where its id and type are.
    pub scheme: Arc<Scheme>,
    /// Newest first; at least one, unless the scheme takes a public key.
    pub secrets: Vec<Secret>,
    /// Newest first; at least one where the scheme takes a public key.
    pub public_keys: Vec<Secret>,
    /// Names of the keys that may have signed, where the scheme tells them.
    pub key_ids: Vec<Secret>,
    /// What the provider calls the application, where the scheme signs it.
    pub api_key: Option<Secret>,
    /// What the provider's handshake must know.
    pub verify_token: Option<Secret>,
    /// The address as the provider has it, for schemes that sign it.
    pub url: Option<String>,
    /// What the provider may send about, for schemes by which anyone could send.
    pub topics: Vec<String>,
    /// Whether a subscription that asks for it is confirmed.
    pub confirm_subscriptions: bool,
    /// Where the provider's keys are fetched from in place of its own address.
    pub keys_url: Option<KeysUrl>,
    /// Longest body in bytes: the source's, else the provider's, else the server's.
    pub max_body: u64,
    /// Further conditions on its deliveries.
    pub admission: Admission,
}

/// How a handler is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// A process per attempt.
    Command,
    /// Processes that are kept and get one job after the other.
    Worker {
        /// Jobs after which a process is replaced by a fresh one; `None` is never.
        max_jobs: Option<u64>,
    },
    /// A request per attempt.
    Http(Box<HttpTarget>),
}

impl Mode {
    /// As it is written in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Worker { .. } => "worker",
            Self::Http(_) => "http",
        }
    }
}

/// Where and how a handler with `mode = "http"` gets its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// `http://…` or `https://…`, without a password or a fragment.
    pub url: String,
    /// Secrets of Standard Webhooks, newest first; each signs. None leaves requests unsigned.
    pub secrets: Vec<Secret>,
    /// Further headers.
    pub headers: Vec<(String, Secret)>,
    /// Certificates, in DER, that are believed beside those of the platform.
    pub authorities: Vec<Vec<u8>>,
    /// How long looking up the host, connecting and TLS may take.
    pub connect_timeout: Duration,
}

impl HttpTarget {
    /// The address without its query, which may hold a token.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

/// `[handlers.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// NAME
    pub name: Arc<str>,
    /// Which events it takes.
    pub filter: HandlerFilter,
    /// How it is run.
    pub mode: Mode,
    /// argv; the first is the program: absolute where it was written with a slash, else a name to find in PATH.
    /// Empty with [`Mode::Http`].
    pub command: Vec<String>,
    /// Where it runs, absolute.
    pub cwd: PathBuf,
    /// Names of further environment variables handed through.
    pub env: Vec<String>,
    /// The time limit of one attempt.
    pub timeout: Duration,
    /// Attempts at once.
    pub concurrency: usize,
    /// Which of its jobs belong together; `None` where none do.
    pub ordering: Option<OrderingRule>,
    /// How many attempts start.
    pub rate_limit: Option<Rate>,
    /// What an ending means for the job.
    pub policy: RetryPolicy,
    /// Where it answers the provider in its own words: how long the provider waits.
    pub respond: Option<Duration>,
    /// What its processes may do and use.
    pub process: ProcessSettings,
}

/// Which events a handler takes: all conditions must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerFilter {
    /// Names of sources; `None` is all.
    pub sources: Option<Vec<String>>,
    /// Globs over the type, as written; a leading `!` excludes.
    pub events: Vec<String>,
    /// JSON pointer into the body, and the values of which it must hold one.
    pub conditions: Vec<(String, Vec<serde_json::Value>)>,
}
