//! `mode` of a handler: a command per attempt, a worker process, or HTTP requests; and the keys that only one mode has.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ureq::http::{HeaderName, HeaderValue, Uri};

use crate::config::problem::Problem;
use crate::config::reader::{TomlTable, TomlValue};
use crate::config::secrets::{read_file, read_secret, read_secrets};
use crate::support::secret::Secret;

const MODES: [&str; 3] = ["command", "worker", "http"];
/// Keys that have no effect in every mode, and the modes in which they have one.
const MODES_OF_KEYS: [(&str, &[&str]); 14] = [
    ("command", &["command", "worker"]),
    ("cwd", &["command", "worker"]),
    ("env", &["command", "worker"]),
    ("user", &["command", "worker"]),
    ("group", &["command", "worker"]),
    ("limits", &["command", "worker"]),
    ("umask", &["command", "worker"]),
    ("dead_exit_codes", &["command"]),
    ("max_jobs", &["worker"]),
    ("url", &["http"]),
    ("secret", &["http"]),
    ("headers", &["http"]),
    ("ca_file", &["http"]),
    ("connect_timeout", &["http"]),
];
const CONNECT_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(30 * 24);
const MAX_URL_BYTES: usize = 2048;
const MAX_CA_FILE_BYTES: u64 = 1 << 20;
/// Shorter keys could be guessed; Standard Webhooks has no longer ones.
const KEY_BYTES: RangeInclusive<usize> = 16..=128;

/// How a handler is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// One process per attempt.
    Command,
    /// Long-running processes that get one job after the other.
    Worker {
        /// Jobs after which a process is replaced by a new one; `None` never replaces it.
        max_jobs: Option<u64>,
    },
    /// One request per attempt.
    Http(Box<HttpTarget>),
}

impl Mode {
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
    /// Standard Webhooks secrets, newest first; each one signs. Without secrets requests are unsigned.
    pub secrets: Vec<Secret>,
    /// Additional headers.
    pub headers: Vec<(String, Secret)>,
    /// Certificates, in DER, that are trusted in addition to the system's.
    pub authorities: Vec<Vec<u8>>,
    /// Limits name lookup, connecting and the TLS handshake together.
    pub connect_timeout: Duration,
}

impl HttpTarget {
    /// The URL without its query, which may contain a token.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

pub(super) fn read_mode(table: &TomlTable<'_>) -> Option<Mode> {
    let mode = if table.has("mode") { table.read("mode", mode) } else { Some("command") };
    let max_jobs = table.integer("max_jobs", 1..=1_000_000_000);
    let target = http_target(table);
    let mode = mode?;
    for (key, modes) in MODES_OF_KEYS.iter().filter(|(key, modes)| table.has(key) && !modes.contains(&mode)) {
        let others = modes.iter().map(|mode| format!("mode = \"{mode}\"")).collect::<Vec<_>>().join(" or ");
        table.report(key, format!("has no effect with mode = \"{mode}\""), format!("remove it, or set {others}"));
    }
    match mode {
        "worker" => Some(Mode::Worker { max_jobs }),
        "http" => {
            table.required("url", "url = \"http://127.0.0.1:3000/webhooks\"")?;
            target.map(|target| Mode::Http(Box::new(target)))
        }
        _ => Some(Mode::Command),
    }
}

fn mode<'a>(value: &TomlValue<'a>) -> Result<&'a str, Problem> {
    let written = value.text()?;
    if MODES.contains(&written) {
        return Ok(written);
    }
    let problem = value.problem(format!("{written:?} is not a mode"));
    Err(problem.hint("the modes are \"command\", \"worker\" and \"http\""))
}

/// `None` without a valid `url`.
fn http_target(table: &TomlTable<'_>) -> Option<HttpTarget> {
    let hint = "make one: echo \"whsec_$(openssl rand -base64 32)\"";
    let signing_secret = |secret: &Secret| match standard_webhooks_key(secret) {
        Some(_) => Ok(()),
        None => Err("is not whsec_ and the base64 of 16 to 128 bytes".to_owned()),
    };
    let secrets = table.get("secret").map(|value| read_secrets(&value, hint, signing_secret)).unwrap_or_default();
    let headers = table.read("headers", headers).unwrap_or_default();
    let authorities = table.read("ca_file", authorities).unwrap_or_default();
    let connect_timeout = table.duration("connect_timeout", CONNECT_TIMEOUTS).unwrap_or(Duration::from_secs(10));
    let url = table.read("url", url)?;
    Some(HttpTarget { url, secrets, headers, authorities, connect_timeout })
}

fn url(value: &TomlValue<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let uri: Option<Uri> = text.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    let message = match (uri.as_ref().and_then(Uri::scheme_str), authority) {
        _ if text.len() > MAX_URL_BYTES => "is longer than 2048 bytes",
        _ if text.contains('#') => "has a fragment, which is never sent",
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            let problem = value.problem("contains a password, which would appear in logs");
            return Err(problem.hint("headers = { Authorization = { env = \"…\" } }"));
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => return Ok(text.to_owned()),
        (Some("http" | "https"), _) => "has no host",
        _ => "does not begin with http:// or https://",
    };
    Err(value.problem(message).hint("e.g. url = \"http://127.0.0.1:3000/webhooks\""))
}

/// Decodes a Standard Webhooks secret.
#[must_use]
pub fn standard_webhooks_key(secret: &Secret) -> Option<Vec<u8>> {
    let written = secret.reveal().trim();
    let text = written.strip_prefix("whsec_").unwrap_or(written);
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    KEY_BYTES.contains(&bytes.len()).then_some(bytes)
}

fn headers(value: &TomlValue<'_>) -> Result<Vec<(String, Secret)>, Problem> {
    let header = |(name, value): (&str, TomlValue<'_>)| {
        value.context.problems.ok(header_name(name, &value))?;
        let secret = read_secret(&value, "", |secret| match HeaderValue::from_str(secret.reveal()) {
            Ok(_) => Ok(()),
            Err(_) => Err("contains characters that a header cannot carry".to_owned()),
        });
        Some((name.to_owned(), secret?))
    };
    Ok(value.table()?.entries().into_iter().filter_map(header).collect())
}

fn header_name(name: &str, value: &TomlValue<'_>) -> Result<(), Problem> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(value.problem(format!("{name:?} is not the name of a header")));
    };
    let own = ["host", "content-length", "content-type", "transfer-encoding", "connection", "expect", "upgrade"];
    let lower = parsed.as_str();
    match own.contains(&lower) || lower.starts_with("hookbox-") || lower.starts_with("webhook-") {
        true => Err(value.problem("hookbox sets this header itself").hint("remove it")),
        false => Ok(()),
    }
}

/// Certificates, in DER, from a PEM file.
fn authorities(value: &TomlValue<'_>) -> Result<Vec<Vec<u8>>, Problem> {
    let path = value.path()?;
    let pem = read_file(value, &path, MAX_CA_FILE_BYTES)?;
    let invalid =
        |why: String| value.problem(format!("{} {why}", path.display())).hint("it must contain certificates in PEM");
    let mut found = Vec::new();
    for part in ureq::tls::parse_pem(&pem) {
        match part {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => found.push(certificate.der().to_vec()),
            Ok(_) => {}
            Err(error) => return Err(invalid(format!("cannot be parsed: {error}"))),
        }
    }
    if found.is_empty() { Err(invalid("contains no certificate".to_owned())) } else { Ok(found) }
}
