//! Fetches one document over HTTPS, within limits of time and size.
//!
//! Redirects are not followed, so that only the allowed host answers and credentials go nowhere else. Errors are for the
//! operator.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::allowed_hosts::KeyUrl;
use crate::support::secret::Secret;

/// From the DNS lookup to the last byte.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Key sets and certificates have a few KiB.
const MAX_BYTES: u64 = 256 << 10;

#[derive(Debug)]
pub(super) enum KeyRequest {
    Get,
    /// GET with an Authorization header.
    Authorized(Secret),
    /// POST of JSON.
    Json(Secret),
    /// POST of a form with an Authorization header.
    Form(&'static str, Secret),
}

#[derive(Debug)]
pub(super) struct KeyDocument {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// `Cache-Control: max-age`
    pub(super) max_age: Option<Duration>,
}

/// Gets a document. Any other status than 200 is an error.
pub(super) fn get(url: &KeyUrl, time_limit: Duration) -> Result<KeyDocument, String> {
    let document = send(url, &KeyRequest::Get, time_limit)?;
    if document.status == 200 { Ok(document) } else { Err(unexpected_status(url, document.status)) }
}

/// Sends a request and accepts any status.
pub(super) fn send(url: &KeyUrl, request: &KeyRequest, time_limit: Duration) -> Result<KeyDocument, String> {
    let failed = |error: ureq::Error| format!("{}: {error}", without_query(&url.url));
    let agent = agent(url, time_limit);
    let response = match request {
        KeyRequest::Get => agent.get(&url.url).call(),
        KeyRequest::Authorized(authorization) => {
            agent.get(&url.url).header("authorization", authorization.reveal()).call()
        }
        KeyRequest::Json(body) => {
            agent.post(&url.url).header("content-type", "application/json").send(body.reveal().as_bytes())
        }
        KeyRequest::Form(body, authorization) => {
            let form = agent.post(&url.url).header("content-type", "application/x-www-form-urlencoded");
            form.header("authorization", authorization.reveal()).send(body.as_bytes())
        }
    };
    let mut response = response.map_err(failed)?;
    let cache_control = response.headers().get("cache-control").and_then(|value| value.to_str().ok());
    let max_age = cache_control.and_then(max_age);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(failed)?;
    Ok(KeyDocument { status, body, max_age })
}

pub(super) fn unexpected_status(url: &KeyUrl, status: u16) -> String {
    format!("{}: responded with status {status}", without_query(&url.url))
}

fn agent(url: &KeyUrl, time_limit: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::WebPki).build();
    let config = Agent::config_builder()
        .https_only(!url.is_plain)
        .tls_config(tls)
        .timeout_global(Some(time_limit))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
    // A proxy cannot reach this machine's loopback addresses.
    let config = if url.is_plain { config.proxy(None) } else { config };
    Agent::new_with_config(config.build())
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let directives = cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let seconds = directives.filter_map(|directive| directive.strip_prefix("max-age=")?.parse().ok());
    seconds.map(Duration::from_secs).next()
}

/// The query may contain a token.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_from_cache_control() {
        let age = |text: &str| max_age(text).map(|age| age.as_secs());
        assert_eq!(age("public, max-age=19845, must-revalidate"), Some(19845));
        assert_eq!(age("Max-Age=5"), Some(5));
        assert_eq!(age("no-store"), None);
        assert_eq!(age("max-age=-1"), None);
    }
}
