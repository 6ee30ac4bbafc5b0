//! A small HTTP client for hookbox's own addresses, over TCP or a Unix socket. It follows no redirects and uses no
//! proxy. A response is never an error, whatever its status.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{self, StatusCode};
use ureq::tls::TlsConfig;

use crate::support::net::socket::Listen;

/// Longer responses are cut.
const MAX_RESPONSE_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// Such as `https://example.com/hooks/github`, with or without a path.
    Url(String),
    /// Such as `https://127.0.0.1:8443`. The certificate is not verified, since it does not name a loopback address.
    Loopback(String),
    Unix(PathBuf),
}

#[derive(Debug)]
pub(crate) struct ClientRequest<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
    pub(crate) body: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientResponse {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl ServerAddress {
    /// Returns where to reach a listener; for a wildcard address, the loopback address. `tls` selects HTTPS.
    pub(crate) fn of(listen: &Listen, tls: bool) -> Self {
        match listen {
            Listen::Tcp(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    ip => ip,
                };
                let address = SocketAddr::new(ip, address.port());
                if tls { Self::Loopback(format!("https://{address}")) } else { Self::Url(format!("http://{address}")) }
            }
            Listen::Unix(path) => Self::Unix(path.clone()),
        }
    }

    /// The address for messages.
    fn address(&self, target: &str) -> String {
        match self {
            Self::Url(url) | Self::Loopback(url) => join(url, target),
            Self::Unix(path) => format!("unix:{} {target}", path.display()),
        }
    }

    /// Sends a request and waits for the response. Returns an error message if there is none within `timeout`.
    pub(crate) fn send(&self, request: &ClientRequest<'_>, timeout: Duration) -> Result<ClientResponse, String> {
        let response = match self {
            Self::Url(url) => over_tcp(&join(url, request.target), request, timeout, TlsConfig::default()),
            Self::Loopback(url) => {
                let unverified = TlsConfig::builder().disable_verification(true).build();
                over_tcp(&join(url, request.target), request, timeout, unverified)
            }
            Self::Unix(path) => over_unix(path, request, timeout).map_err(|error| error.to_string()),
        };
        response.map_err(|error| format!("no response from {}: {error}", self.address(request.target)))
    }
}

/// Appends the target to the URL. If the URL has a path, only the query is appended.
fn join(url: &str, target: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut whole = url.to_owned();
    if !rest.contains('/') {
        whole.push_str(path);
    }
    if let Some(query) = query {
        whole.push(if rest.contains('?') { '&' } else { '?' });
        whole.push_str(query);
    }
    whole
}

fn over_tcp(
    url: &str,
    request: &ClientRequest<'_>,
    timeout: Duration,
    tls: TlsConfig,
) -> Result<ClientResponse, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .proxy(None)
        .timeout_global(Some(timeout))
        .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut builder = http::Request::builder().method(request.method).uri(url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, *value);
    }
    let request = builder.body(request.body).map_err(|error| error.to_string())?;
    let mut response = agent.run(request).map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body =
        response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec().map_err(|error| error.to_string())?;
    Ok(ClientResponse { status, body })
}

fn over_unix(path: &Path, request: &ClientRequest<'_>, timeout: Duration) -> io::Result<ClientResponse> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    // HTTP/1.0: the response is not chunked and ends with the connection.
    let mut head = format!("{} {} HTTP/1.0\r\nHost: localhost\r\n", request.method, request.target).into_bytes();
    for (name, value) in &request.headers {
        head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", request.body.len()).as_bytes());
    stream.write_all(&head)?;
    stream.write_all(request.body)?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut response)?;
    parse(&response).ok_or_else(|| io::Error::other("the response is not HTTP"))
}

fn parse(response: &[u8]) -> Option<ClientResponse> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&response[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some(ClientResponse { status, body: response[end + 4..].to_vec() })
}

impl ClientResponse {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Display for ClientResponse {
    /// `200 OK`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match StatusCode::from_u16(self.status) {
            Ok(status) => write!(f, "{status}"),
            Err(_) => write!(f, "{}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_address_is_reached_by_loopback() {
        for (listen, url) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("10.1.2.3:80", "http://10.1.2.3:80"),
        ] {
            assert_eq!(
                ServerAddress::of(&Listen::Tcp(listen.parse().unwrap()), false),
                ServerAddress::Url(url.to_owned())
            );
        }
    }

    #[test]
    fn url_with_a_path_keeps_it() {
        for (url, target, whole) in [
            ("http://a:1", "/hooks/x", "http://a:1/hooks/x"),
            ("http://a:1", "/hooks/x?t=1", "http://a:1/hooks/x?t=1"),
            ("http://a:1/other", "/hooks/x?t=1", "http://a:1/other?t=1"),
            ("http://a:1/other?u=2", "/hooks/x?t=1", "http://a:1/other?u=2&t=1"),
            ("http://a:1/", "/hooks/x", "http://a:1/"),
        ] {
            assert_eq!(join(url, target), whole);
        }
    }

    #[test]
    fn response_from_a_unix_socket_is_parsed() {
        let response = parse(b"HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nbo\r\n\r\ndy").unwrap();
        assert_eq!(response, ClientResponse { status: 503, body: b"bo\r\n\r\ndy".to_vec() });
        assert_eq!(parse(b"SSH-2.0\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 2"), None);
    }
}
