//! `[server]`, `[inbox]` and `[dispatch]`: defaults filled in, limits held, paths made absolute.
//!
//! A section goes in, the same section as hookbox means it comes out. Where a value is wrong the default stands in
//! for it: the problem is noted, so nobody gets to see the result.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::item::Item;
use super::problem::Problem;
use super::read::Surroundings;
use super::section::Section;
use super::{DispatchConfig, Durability, InboxConfig, Retention, ServerConfig, guards, keys};
use crate::support::net::socket::Listen;
use crate::support::net::tls::{Certificate, TlsFiles};

/// The longest body that can be configured: SQLite's limit on a row is a little below 1 GB.
pub(super) const LONGEST_BODY: u64 = 512 << 20;
const LONGEST_SOCKET_PATH: usize = 107;
const INSTANT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) fn server(section: &Section<'_>, around: &Surroundings<'_>) -> ServerConfig {
    ServerConfig {
        listen: section
            .take("listen", |item| listen(item, around))
            .unwrap_or(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080)))),
        max_body: section.size("max_body", 1..=LONGEST_BODY).unwrap_or(8 << 20),
        max_in_flight: section.size("max_in_flight", 1..=1 << 40).unwrap_or(256 << 20),
        request_timeout: section.duration("request_timeout", INSTANT..=HOUR).unwrap_or(Duration::from_secs(10)),
        trusted_proxies: guards::proxies(section),
        tls: tls(section, around),
    }
}

/// TlsFiles that can be served as they are now.
fn tls(section: &Section<'_>, around: &Surroundings<'_>) -> Option<TlsFiles> {
    if !section.has("tls") {
        return None;
    }
    let is_unix =
        section.item("listen").and_then(|item| item.text().ok()).is_some_and(|text| text.starts_with("unix:"));
    if is_unix {
        let problem = section.problem("tls", "a unix socket is not served over TLS");
        section.problems().add(problem.hint("leave `tls` out: what connects to the socket is on this machine"));
    }
    let section = section.section("tls", &keys::TLS);
    let file = |key: &str| {
        section.required(key, "tls = { cert = \"fullchain.pem\", key = \"privkey.pem\" }")?;
        section.take(key, |item| Ok(around.locate(item.system_text()?)))
    };
    let (cert, key) = (file("cert"), file("key"));
    let files = TlsFiles { cert: cert?, key: key? };
    if let Err(error) = Certificate::read(&files) {
        let hint = "both files are PEM; `cert` holds the whole chain, the server's own certificate first";
        section.problems().add(section.problem("cert", error.to_string()).hint(hint));
    }
    Some(files)
}

pub(super) fn inbox(section: &Section<'_>, around: &Surroundings<'_>) -> InboxConfig {
    let durability = |item: &Item<'_>| match item.text()? {
        "full" => Ok(Durability::Full),
        "normal" => Ok(Durability::Normal),
        other => Err(item.problem(format!("{other:?} is neither \"full\" nor \"normal\""))),
    };
    let path = section.take("path", |item| match item.system_text()? {
        text if text.ends_with('/') => Err(item.problem(format!("{text:?} is a folder, not a file"))),
        text => Ok(text),
    });
    InboxConfig {
        path: without_links(around.locate(path.unwrap_or("hookbox.db"))),
        durability: section.take("durability", durability).unwrap_or(Durability::Full),
        max_pending: section.whole("max_pending", 1..=1_000_000_000).map_or(1_000_000, i64::unsigned_abs),
        min_free_disk: section.size("min_free_disk", 0..=1 << 50).unwrap_or(256 << 20),
        keep: keep(section),
    }
}

/// What is left out gives way to what is written.
fn keep(section: &Section<'_>) -> Retention {
    let span = |key| section.duration(key, SECOND..=CENTURY);
    let [payloads, events, keys] = ["keep_payloads", "keep_events", "keep_keys"].map(span);
    let kept = events.unwrap_or_else(|| (DAY * 90).max(payloads.unwrap_or_default()).min(keys.unwrap_or(CENTURY)));
    for (key, span, is_wrong) in [
        ("keep_payloads", payloads, payloads.is_some_and(|span| span > kept)),
        ("keep_keys", keys, keys.is_some_and(|span| span < kept)),
    ] {
        if is_wrong && let Some(span) = span {
            let [span, kept] = [span, kept].map(humantime::format_duration);
            let relation = if key == "keep_keys" { "shorter" } else { "longer" };
            let problem = section.problem(key, format!("{span} is {relation} than `keep_events` ({kept})"));
            let hint =
                "a body goes with its event at the latest, and the key of an event stays when the event has gone";
            section.problems().add(problem.hint(hint));
        }
    }
    Retention {
        payloads: payloads.unwrap_or((DAY * 30).min(kept)),
        events: kept,
        keys: keys.unwrap_or((DAY * 180).max(kept)),
    }
}

/// The same file by its one true name: its lock and what its handlers leave are known by it.
fn without_links(path: PathBuf) -> PathBuf {
    let by_folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(by_folder).unwrap_or(path)
}

pub(super) fn dispatch(section: &Section<'_>) -> DispatchConfig {
    DispatchConfig {
        workers: section.whole("workers", 1..=1024).and_then(|count| count.try_into().ok()).unwrap_or(16),
        shutdown_grace: section.duration("shutdown_grace", Duration::ZERO..=HOUR).unwrap_or(Duration::from_secs(8)),
    }
}

pub(super) fn listen(item: &Item<'_>, around: &Surroundings<'_>) -> Result<Listen, Problem> {
    let text = item.system_text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        let socket = around.locate(path);
        return match socket.as_os_str().len() {
            _ if path.is_empty() => Err(item.problem("`unix:` wants a path").hint("\"unix:/run/hookbox.sock\"")),
            length if length > LONGEST_SOCKET_PATH => Err(item.problem(format!(
                "the path of the socket has {length} bytes, the system allows {LONGEST_SOCKET_PATH}"
            ))),
            _ => Ok(Listen::Unix(socket)),
        };
    }
    text.parse().map(Listen::Tcp).map_err(|_| {
        item.problem(format!("{text:?} is not an address with a port"))
            .hint("write \"127.0.0.1:8080\", \"0.0.0.0:8080\" for every IPv4 interface, or \"unix:/run/hookbox.sock\"")
    })
}
