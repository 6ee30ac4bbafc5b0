//! `mode` of a handler: a command per attempt, a worker that is kept, or a URL; and the settings that only one of
//! them has.
//!
//! A section goes in, a [`Mode`] comes out. A setting that has no effect in the mode is a problem: left in silence it
//! would look as if it had one. Nothing is run, and no address is looked up.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::credential;
use super::handler::SPANS;
use super::item::Item;
use super::problem::Problem;
use super::read::Surroundings;
use super::section::Section;
use super::{HttpTarget, Mode};
use crate::support::secret::Secret;

/// What only some modes have: the key, and those modes.
const BELONGS_TO: &[(&str, &[&str])] = &[
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
const MODES: [&str; 3] = ["command", "worker", "http"];
const LONGEST_URL: usize = 2048;
const LONGEST_CA_FILE: u64 = 1 << 20;
/// Fewer bytes than these could be guessed; more than these the scheme does not have.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

pub(super) fn read(section: &Section<'_>, around: &Surroundings<'_>) -> Option<Mode> {
    let written = section.item("mode").is_some();
    let mode = section.take("mode", mode);
    let max_jobs = section.whole("max_jobs", 1..=1_000_000_000).and_then(|count| count.try_into().ok());
    let http = http(section, around);
    let mode = if written { mode? } else { "command" };
    for (key, modes) in BELONGS_TO {
        if let Some(item) = section.item(key).filter(|_| !modes.contains(&mode)) {
            let others = modes.iter().map(|mode| format!("mode = \"{mode}\"")).collect::<Vec<_>>().join(" or ");
            let problem = item.problem(format!("has no effect with mode = \"{mode}\""));
            section.problems().add(problem.hint(format!("leave it out, or set {others}")));
        }
    }
    match mode {
        "worker" => Some(Mode::Worker { max_jobs }),
        "http" => {
            section.required("url", "url = \"http://127.0.0.1:3000/webhooks\"")?;
            http.map(|http| Mode::Http(Box::new(http)))
        }
        _ => Some(Mode::Command),
    }
}

fn mode<'a>(item: &Item<'a>) -> Result<&'a str, Problem> {
    let written = item.text()?;
    if MODES.contains(&written) {
        return Ok(written);
    }
    let problem = item.problem(format!("{written:?} is no mode"));
    Err(problem.hint("the modes are \"command\", \"worker\" and \"http\""))
}

fn http(section: &Section<'_>, around: &Surroundings<'_>) -> Option<HttpTarget> {
    let secrets = section.item("secret").map(|item| secrets(&item, section, around)).unwrap_or_default();
    let headers = section.take("headers", |item| headers(item, section, around)).unwrap_or_default();
    let authorities = section.take("ca_file", |item| authorities(item, around)).unwrap_or_default();
    let patience = section.duration("connect_timeout", SPANS).unwrap_or(Duration::from_secs(10));
    let url = section.take("url", url)?;
    Some(HttpTarget { url, secrets, headers, authorities, connect_timeout: patience })
}

fn url(item: &Item<'_>) -> Result<String, Problem> {
    let text = item.text()?;
    let uri: Option<Uri> = text.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    let message = match (uri.as_ref().and_then(Uri::scheme_str), authority) {
        _ if text.len() > LONGEST_URL => "is longer than 2048 bytes",
        _ if text.contains('#') => "has a fragment, which is never sent",
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            let problem = item.problem("holds a password, which would show in logs");
            return Err(problem.hint("headers = { Authorization = { env = \"…\" } }"));
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => return Ok(text.to_owned()),
        (Some("http" | "https"), _) => "names no host",
        _ => "is no address that begins with http:// or https://",
    };
    Err(item.problem(message).hint("e.g. url = \"http://127.0.0.1:3000/webhooks\""))
}

fn secrets(item: &Item<'_>, section: &Section<'_>, around: &Surroundings<'_>) -> Vec<Secret> {
    let usable = |credential: credential::Credential<'_>| match key(&credential.secret) {
        Some(_) => Some(credential.secret),
        None => {
            let problem = credential.item.problem("is not whsec_ and the base64 of 16 to 128 bytes");
            section.problems().add(problem.hint("make one: echo \"whsec_$(openssl rand -base64 32)\""));
            None
        }
    };
    credential::read(item, section.sheet(), around).into_iter().filter_map(usable).collect()
}

/// The key that a secret of Standard Webhooks stands for.
#[must_use]
pub fn key(secret: &Secret) -> Option<Vec<u8>> {
    let written = secret.reveal().trim();
    let text = written.strip_prefix("whsec_").unwrap_or(written);
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    KEY_BYTES.contains(&bytes.len()).then_some(bytes)
}

fn headers(
    item: &Item<'_>,
    section: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<Vec<(String, Secret)>, Problem> {
    let table = Section::open(item, section.sheet())?;
    let mut headers = Vec::new();
    for (name, item) in table.entries() {
        if let Some(problem) = name_trouble(name, &item) {
            section.problems().add(problem);
            continue;
        }
        let mut values = credential::read(&item, section.sheet(), around);
        let Some(value) = values.pop() else { continue };
        if !values.is_empty() {
            section.problems().add(item.problem("a header has one value, not a list"));
        } else if HeaderValue::from_str(value.secret.reveal()).is_err() {
            section.problems().add(item.problem("holds characters that a header cannot carry"));
        } else {
            headers.push((name.to_owned(), value.secret));
        }
    }
    Ok(headers)
}

fn name_trouble(name: &str, item: &Item<'_>) -> Option<Problem> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Some(item.problem(format!("{name:?} is no name of a header")));
    };
    let own = ["host", "content-length", "content-type", "transfer-encoding", "connection", "expect", "upgrade"];
    let lower = parsed.as_str();
    let is_own = own.contains(&lower) || lower.starts_with("hookbox-") || lower.starts_with("webhook-");
    is_own.then(|| item.problem("hookbox sets this header itself").hint("leave it out"))
}

/// Certificates in DER.
fn authorities(item: &Item<'_>, around: &Surroundings<'_>) -> Result<Vec<Vec<u8>>, Problem> {
    let path = around.locate(item.system_text()?);
    let shown = path.display();
    let pem = credential::read_limited(&path, LONGEST_CA_FILE)
        .map_err(|error| item.problem(format!("cannot read {shown}: {error}")))?;
    if pem.len() as u64 > LONGEST_CA_FILE {
        return Err(item.problem(format!("{shown} holds more than {LONGEST_CA_FILE} bytes")));
    }
    let wrong = |why: String| item.problem(format!("{shown} {why}")).hint("it holds certificates in PEM");
    let mut found = Vec::new();
    for part in ureq::tls::parse_pem(&pem) {
        match part {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => found.push(certificate.der().to_vec()),
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("cannot be understood: {error}"))),
        }
    }
    if found.is_empty() { Err(wrong("holds no certificate".to_owned())) } else { Ok(found) }
}
