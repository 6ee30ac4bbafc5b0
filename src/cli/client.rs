//! A small HTTP client for hookbox's own addresses, over TCP or a unix socket. No redirects, no proxies.
//!
//! A message goes out, the answer comes back whatever its status. Only where there is none is that an error.

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

/// Longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Where to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// `https://example.com/hooks/github`, or without a path of its own.
    Url(String),
    /// `https://127.0.0.1:8443`: an address of our own, which its certificate does not name.
    Home(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What to send.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
    pub(crate) body: &'a [u8],
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// The server that listens there; one that listens everywhere is reached at home.
    pub(crate) fn at(listen: &Listen) -> Self {
        Self::over(listen, false)
    }

    /// Likewise; `tls` says that it speaks HTTPS.
    pub(crate) fn over(listen: &Listen, tls: bool) -> Self {
        match listen {
            Listen::Tcp(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    ip => ip,
                };
                let address = SocketAddr::new(ip, address.port());
                if tls { Self::Home(format!("https://{address}")) } else { Self::Url(format!("http://{address}")) }
            }
            Listen::Unix(path) => Self::Unix(path.clone()),
        }
    }

    /// The whole address, for people.
    pub(crate) fn address(&self, target: &str) -> String {
        match self {
            Self::Url(url) | Self::Home(url) => joined(url, target),
            Self::Unix(path) => format!("unix:{} {target}", path.display()),
        }
    }

    /// Sends, and waits for the answer at most that long.
    ///
    /// # Errors
    /// Why there is no answer, in words for a person.
    pub(crate) fn exchange(&self, message: &Message<'_>, patience: Duration) -> Result<Answer, String> {
        let answer = match self {
            Self::Url(url) => over_tcp(&joined(url, message.target), message, patience, TlsConfig::default()),
            Self::Home(url) => {
                let unverified = TlsConfig::builder().disable_verification(true).build();
                over_tcp(&joined(url, message.target), message, patience, unverified)
            }
            Self::Unix(path) => over_unix(path, message, patience).map_err(|error| error.to_string()),
        };
        answer.map_err(|error| format!("no answer from {}: {error}", self.address(message.target)))
    }
}

/// An address without a path gets the target's, one with a path only its query.
fn joined(url: &str, target: &str) -> String {
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

fn over_tcp(url: &str, message: &Message<'_>, patience: Duration, tls: TlsConfig) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .proxy(None)
        .timeout_global(Some(patience))
        .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = http::Request::builder().method(message.method).uri(url);
    for (name, value) in &message.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(message.body).map_err(|error| error.to_string())?;
    let mut answer = agent.run(request).map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body =
        answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(|error| error.to_string())?;
    Ok(Answer { status, body })
}

fn over_unix(path: &Path, message: &Message<'_>, patience: Duration) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // In HTTP/1.0 the answer ends with the connection and comes in one piece.
    let mut head = format!("{} {} HTTP/1.0\r\nHost: localhost\r\n", message.method, message.target).into_bytes();
    for (name, value) in &message.headers {
        head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", message.body.len()).as_bytes());
    stream.write_all(&head)?;
    stream.write_all(message.body)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("what came back is not HTTP"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some(Answer { status, body: answer[end + 4..].to_vec() })
}

impl Answer {
    /// Whether it says that the request was taken.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Display for Answer {
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
    fn a_server_that_listens_everywhere_is_reached_at_home() {
        for (listen, url) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("10.1.2.3:80", "http://10.1.2.3:80"),
        ] {
            assert_eq!(Server::at(&Listen::Tcp(listen.parse().unwrap())), Server::Url(url.to_owned()));
        }
    }

    #[test]
    fn an_address_with_a_path_keeps_it() {
        for (url, target, whole) in [
            ("http://a:1", "/hooks/x", "http://a:1/hooks/x"),
            ("http://a:1", "/hooks/x?t=1", "http://a:1/hooks/x?t=1"),
            ("http://a:1/other", "/hooks/x?t=1", "http://a:1/other?t=1"),
            ("http://a:1/other?u=2", "/hooks/x?t=1", "http://a:1/other?u=2&t=1"),
            ("http://a:1/", "/hooks/x", "http://a:1/"),
        ] {
            assert_eq!(joined(url, target), whole);
        }
    }

    #[test]
    fn an_answer_over_a_unix_socket_is_taken_apart() {
        let answer = parse(b"HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nbo\r\n\r\ndy").unwrap();
        assert_eq!(answer, Answer { status: 503, body: b"bo\r\n\r\ndy".to_vec() });
        assert_eq!(parse(b"SSH-2.0\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 2"), None);
    }
}
