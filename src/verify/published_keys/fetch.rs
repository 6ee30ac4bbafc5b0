//! One document over HTTPS, within limits of time and size.
//!
//! An address that was checked goes in, bytes come out, or why there are none. Redirects are not followed, so that a
//! pinned host is the one that answers, and credentials go nowhere else. What the bytes mean is left to others.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::allowed_hosts::Address;
use crate::support::secret::Secret;

/// From the look-up of the host to the last byte.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Key sets and certificates are a few KiB.
const MAX_BYTES: u64 = 256 << 10;

/// What is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// GET.
    Bare,
    /// GET, with this Authorization.
    Authorized(Secret),
    /// POST of JSON.
    Json(Secret),
    /// POST of a form, with this Authorization.
    Form(&'static str, Secret),
}

/// What came.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// `Cache-Control: max-age`
    pub(super) max_age: Option<Duration>,
}

/// Fetches a document. The error says why there is none, in words for the operator.
pub(super) fn fetch(address: &Address, time_limit: Duration) -> Result<Document, String> {
    let document = ask(address, &Question::Bare, time_limit)?;
    match document.status {
        200 => Ok(document),
        status => Err(answered(address, status)),
    }
}

/// Asks, and takes an answer of any status. The error says why there is none.
pub(super) fn ask(address: &Address, question: &Question, time_limit: Duration) -> Result<Document, String> {
    let failed = |why: String| format!("{}: {why}", shown(&address.url));
    let agent = agent(address, time_limit);
    let response = match question {
        Question::Bare => agent.get(&address.url).call(),
        Question::Authorized(by) => agent.get(&address.url).header("authorization", by.reveal()).call(),
        Question::Json(body) => {
            agent.post(&address.url).header("content-type", "application/json").send(body.reveal().as_bytes())
        }
        Question::Form(body, by) => {
            let form = agent.post(&address.url).header("content-type", "application/x-www-form-urlencoded");
            form.header("authorization", by.reveal()).send(body.as_bytes())
        }
    };
    let mut response = response.map_err(|error| failed(error.to_string()))?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let max_age = header("cache-control").and_then(max_age);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
    Ok(Document { status, body: body.map_err(|error| failed(error.to_string()))?, max_age })
}

/// That a document is none, for its status.
pub(super) fn answered(address: &Address, status: u16) -> String {
    format!("{}: answered {status}", shown(&address.url))
}

fn agent(address: &Address, time_limit: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::WebPki).build();
    let config = Agent::config_builder()
        .https_only(!address.is_plain)
        .tls_config(tls)
        .timeout_global(Some(time_limit))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
    // A proxy has no way to this machine.
    let config = if address.is_plain { config.proxy(None) } else { config };
    Agent::new_with_config(config.build())
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let directives = cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let seconds = directives.filter_map(|directive| directive.strip_prefix("max-age=")?.parse().ok());
    seconds.map(Duration::from_secs).next()
}

/// Without its query, which may hold a token.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_read_from_cache_control() {
        let age = |text: &str| max_age(text).map(|age| age.as_secs());
        assert_eq!(age("public, max-age=19845, must-revalidate"), Some(19845));
        assert_eq!(age("Max-Age=5"), Some(5));
        assert_eq!(age("no-store"), None);
        assert_eq!(age("max-age=-1"), None);
    }
}
