//! `[server]`, `[admin]`, `[inbox]` and `[dispatch]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::problem::Problem;
use super::reader::{TomlTable, TomlValue};
use super::secrets::read_secrets;
use crate::support::net::forwarded::{Networks, TrustedProxies};
use crate::support::net::socket::Listen;
use crate::support::net::tls::{Certificate, TlsFiles};
use crate::support::secret::Secret;

/// Largest `max_body`, in bytes. SQLite limits a row to a little less than 1 GB.
pub(super) const MAX_BODY_BYTES: u64 = 512 << 20;
const MAX_SOCKET_PATH_BYTES: usize = 107;
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
const MAX_HOST_NAME_BYTES: usize = 253;
const MAKE_TOKEN: &str = "make one with `openssl rand -hex 32`";
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);
/// Among `trusted_proxies`: everything that connects through a unix socket.
const UNIX: &str = "unix:";

/// `[server]`: the address that providers reach.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: Listen,
    /// Largest body in bytes, unless the source or its provider sets another limit.
    pub max_body: u64,
    /// Bytes received and not yet stored, over all requests.
    pub max_in_flight: u64,
    /// Limits the time to receive a request, and again the time until its response.
    pub request_timeout: Duration,
    pub trusted_proxies: TrustedProxies,
    /// Set if hookbox itself terminates TLS.
    pub tls: Option<TlsFiles>,
}

/// `[admin]`: dashboard, API, metrics and probes.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    pub listen: Listen,
    /// Host names that are answered, in addition to IP addresses and `localhost`.
    pub hosts: Vec<HostName>,
    /// Any of these grants access. Without tokens every local user has access.
    pub tokens: Vec<Secret>,
}

/// A host name of the admin address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    /// Lower case.
    pub name: String,
    /// The port in the browser's address bar, if configured.
    pub port: Option<u16>,
}

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced to disk before the delivery is acknowledged (SQLite's `synchronous=FULL`).
    Full,
    /// `synchronous=NORMAL`: a power failure loses the last commits.
    Normal,
}

/// `[inbox]`
#[derive(Debug, Clone)]
pub struct InboxConfig {
    /// The database file, absolute and without symbolic links.
    pub path: PathBuf,
    pub durability: Durability,
    /// Pending jobs beyond which new events get 503.
    pub max_pending: u64,
    /// Free bytes on the inbox's disk below which new events get 503.
    pub min_free_disk: u64,
    pub keep: Retention,
}

/// Retention periods: payloads at most as long as events, events at most as long as keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Of bodies, headers and output, from the end of the event's last job.
    pub payloads: Duration,
    /// Of events, jobs and attempts, from the end of the event's last job.
    pub events: Duration,
    /// Of the ids of deleted events, from their first delivery.
    pub keys: Duration,
}

/// `[dispatch]`
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// Executor threads: the limit of concurrent attempts over all handlers.
    pub workers: usize,
    /// How long running handlers may continue after TERM.
    pub shutdown_grace: Duration,
}

pub(super) fn read_server(table: &TomlTable<'_>) -> ServerConfig {
    let server = ServerConfig {
        listen: table.read("listen", listen).unwrap_or(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080)))),
        max_body: table.size("max_body", 1..=MAX_BODY_BYTES).unwrap_or(8 << 20),
        max_in_flight: table.size("max_in_flight", 1..=1 << 40).unwrap_or(256 << 20),
        request_timeout: table.duration("request_timeout", MILLISECOND..=HOUR).unwrap_or(Duration::from_secs(10)),
        trusted_proxies: trusted_proxies(table),
        tls: tls(table),
    };
    table.report_unknown_keys();
    server
}

fn listen(value: &TomlValue<'_>) -> Result<Listen, Problem> {
    let text = value.system_text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        let socket = value.context.absolute(path);
        return match socket.as_os_str().len() {
            _ if path.is_empty() => Err(value.problem("`unix:` has no path").hint("\"unix:/run/hookbox.sock\"")),
            length if length > MAX_SOCKET_PATH_BYTES => Err(value.problem(format!(
                "the path of the socket has {length} bytes, the system allows {MAX_SOCKET_PATH_BYTES}"
            ))),
            _ => Ok(Listen::Unix(socket)),
        };
    }
    text.parse().map(Listen::Tcp).map_err(|_| {
        value
            .problem(format!("{text:?} is not an address with a port"))
            .hint("write \"127.0.0.1:8080\", \"0.0.0.0:8080\" for every IPv4 interface, or \"unix:/run/hookbox.sock\"")
    })
}

fn trusted_proxies(table: &TomlTable<'_>) -> TrustedProxies {
    let proxy = |value: &TomlValue<'_>| match value.text()? {
        UNIX => Ok(None),
        _ => network(value).map(Some),
    };
    let expected = "a list of networks, e.g. [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let proxies = table.list("trusted_proxies", expected, proxy).unwrap_or_default();
    TrustedProxies { unix: proxies.contains(&None), networks: Networks(proxies.into_iter().flatten().collect()) }
}

/// A network, or a single address.
pub(super) fn network(value: &TomlValue<'_>) -> Result<IpNet, Problem> {
    let text = value.text()?;
    let single = text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    single.or_else(|| text.parse::<IpNet>().ok().map(|network| network.trunc())).ok_or_else(|| {
        value
            .problem(format!("{text:?} is not an IP network"))
            .hint("write a network as \"192.0.2.0/24\" or \"2001:db8::/32\", a single address without the slash")
    })
}

/// Reads both files, so that a certificate that cannot be served is an error of the configuration.
fn tls(table: &TomlTable<'_>) -> Option<TlsFiles> {
    let value = table.get("tls")?;
    if table.get("listen").is_some_and(|listen| listen.value.as_str().is_some_and(|text| text.starts_with("unix:"))) {
        let hint = "remove `tls`: only this machine can connect to the socket";
        value.report(value.problem("a unix socket is not served over TLS").hint(hint));
    }
    let tls = table.table("tls");
    let file = |key: &'static str| {
        tls.required(key, "tls = { cert = \"fullchain.pem\", key = \"privkey.pem\" }")?;
        tls.read(key, TomlValue::path)
    };
    let (cert, key) = (file("cert"), file("key"));
    tls.report_unknown_keys();
    let files = TlsFiles { cert: cert?, key: key? };
    if let Err(error) = Certificate::read(&files) {
        let hint = "both files are PEM; `cert` contains the whole chain, the server's own certificate first";
        tls.report("cert", error.to_string(), hint);
    }
    Some(files)
}

pub(super) fn read_admin(table: &TomlTable<'_>) -> AdminConfig {
    let listen = table.read("listen", listen);
    if let Some(Listen::Tcp(address)) = &listen
        && !address.ip().to_canonical().is_loopback()
        && !table.has("token")
    {
        // Reported at the token, because commands that only need the address still work.
        let message = format!("is missing, and {} is reachable from other machines", address.ip());
        let hint = format!(
            "add token = {{ env = \"HOOKBOX_ADMIN_TOKEN\" }} to [admin] ({MAKE_TOKEN}), \
             or listen on \"127.0.0.1:8081\", \"[::1]:8081\" or a \"unix:\" socket"
        );
        table.report("token", message, hint);
    }
    let expected = "a list of names, e.g. [\"hooks.example.com\"]";
    let admin = AdminConfig {
        listen: listen.unwrap_or(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8081)))),
        hosts: table.list("hosts", expected, host_name).unwrap_or_default(),
        tokens: table.get("token").map(|value| read_secrets(&value, MAKE_TOKEN, token)).unwrap_or_default(),
    };
    table.report_unknown_keys();
    admin
}

fn token(token: &Secret) -> Result<(), String> {
    let text = token.reveal();
    if text.len() < *TOKEN_BYTES.start() {
        return Err(format!("has fewer than {} characters, and can be guessed", TOKEN_BYTES.start()));
    }
    if text.len() > *TOKEN_BYTES.end() {
        return Err(format!("has more than {} characters", TOKEN_BYTES.end()));
    }
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(()) } else { Err("may contain only visible ASCII characters, to fit in a header".to_owned()) }
}

fn host_name(value: &TomlValue<'_>) -> Result<HostName, Problem> {
    let text = value.text()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u16>())),
        None => (text, None),
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = (1..=MAX_HOST_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed);
    match port.transpose() {
        Ok(port) if is_name => Ok(HostName { name: name.to_ascii_lowercase(), port }),
        _ => Err(value
            .problem(format!("{text:?} is not a host name"))
            .hint("write the name as the browser shows it: \"hooks.example.com\" or \"hooks.example.com:8443\"")),
    }
}

pub(super) fn read_inbox(table: &TomlTable<'_>) -> InboxConfig {
    let path = table.read("path", |value| match value.system_text()? {
        text if text.ends_with('/') => Err(value.problem(format!("{text:?} is a folder, not a file"))),
        _ => value.path(),
    });
    let durability = |value: &TomlValue<'_>| value.choice([("full", Durability::Full), ("normal", Durability::Normal)]);
    let inbox = InboxConfig {
        path: resolve_links(path.unwrap_or_else(|| table.context.absolute("hookbox.db"))),
        durability: table.read("durability", durability).unwrap_or(Durability::Full),
        max_pending: table.integer("max_pending", 1..=1_000_000_000).unwrap_or(1_000_000),
        min_free_disk: table.size("min_free_disk", 0..=1 << 50).unwrap_or(256 << 20),
        keep: retention(table),
    };
    table.report_unknown_keys();
    inbox
}

/// Resolves symbolic links, because the lock and other files are named after the database file.
fn resolve_links(path: PathBuf) -> PathBuf {
    let by_folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(by_folder).unwrap_or(path)
}

/// Defaults adapt to the periods that are configured.
fn retention(table: &TomlTable<'_>) -> Retention {
    let period = |key: &'static str| table.duration(key, Duration::from_secs(1)..=CENTURY);
    let [payloads, events, keys] = ["keep_payloads", "keep_events", "keep_keys"].map(period);
    let events = events.unwrap_or_else(|| (DAY * 90).max(payloads.unwrap_or_default()).min(keys.unwrap_or(CENTURY)));
    let hint = "keep_payloads <= keep_events <= keep_keys: an id outlives its event, an event its body";
    let report = |key: &'static str, period: Duration, relation: &str| {
        let [period, events] = [period, events].map(humantime::format_duration);
        table.report(key, format!("{period} is {relation} than `keep_events` ({events})"), hint);
    };
    if let Some(payloads) = payloads.filter(|payloads| *payloads > events) {
        report("keep_payloads", payloads, "longer");
    }
    if let Some(keys) = keys.filter(|keys| *keys < events) {
        report("keep_keys", keys, "shorter");
    }
    Retention {
        payloads: payloads.unwrap_or((DAY * 30).min(events)),
        events,
        keys: keys.unwrap_or((DAY * 180).max(events)),
    }
}

pub(super) fn read_dispatch(table: &TomlTable<'_>) -> DispatchConfig {
    let dispatch = DispatchConfig {
        workers: table.integer("workers", 1..=1024).unwrap_or(16),
        shutdown_grace: table.duration("shutdown_grace", Duration::ZERO..=HOUR).unwrap_or(Duration::from_secs(8)),
    };
    table.report_unknown_keys();
    dispatch
}
