//! Host names: whether `Host` and `Origin` name this server.
//!
//! Another site can point its own name at this address (DNS rebinding), but it cannot make a browser send a different
//! `Host`. IP addresses and `localhost` cannot be pointed anywhere, so they are always accepted.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::HostName;

/// A host name and its port.
#[derive(Debug, PartialEq, Eq)]
struct Authority<'a> {
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (name, port) = text.split_at(end);
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if port.is_empty() => None,
            None => return None,
        };
        (!name.is_empty()).then_some(Self { name, port })
    }

    /// Whether it is an IP address or `localhost`, whatever the port, which tunnels and containers change.
    fn is_literal(&self) -> bool {
        let literal = self.name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match literal {
            Some(name) => name.parse::<Ipv6Addr>().is_ok(),
            None => self.name.parse::<IpAddr>().is_ok(),
        };
        is_address || self.name.eq_ignore_ascii_case("localhost")
    }

    fn has_name(&self, host: &HostName) -> bool {
        self.name.eq_ignore_ascii_case(&host.name)
    }
}

/// Whether the value of the `Host` header names this server. `hosts` are the configured names.
pub(super) fn is_known(host: &str, hosts: &[HostName]) -> bool {
    let Some(authority) = Authority::parse(host) else { return false };
    let is_named = |host: &HostName| authority.has_name(host) && (host.port.is_none() || host.port == authority.port);
    authority.is_literal() || hosts.iter().any(is_named)
}

/// Whether a page of `origin` belongs to this server, which the request addresses as `host`. A proxy may rewrite `Host`,
/// so the configured names count too.
pub(super) fn is_own_origin(origin: &str, host: &str, hosts: &[HostName]) -> bool {
    let (rest, standard) = match origin.split_once("://") {
        Some(("https", rest)) => (rest, 443),
        Some(("http", rest)) => (rest, 80),
        _ => return false,
    };
    let (Some(from), Some(to)) = (Authority::parse(rest), Authority::parse(host)) else { return false };
    let port = |authority: &Authority<'_>| authority.port.unwrap_or(standard);
    let is_the_host = from.name.eq_ignore_ascii_case(to.name) && port(&from) == port(&to);
    let is_named = |host: &HostName| from.has_name(host) && host.port.unwrap_or(standard) == port(&from);
    is_the_host || hosts.iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<HostName> {
        let host = |name: &str, port| HostName { name: name.to_owned(), port };
        vec![host("hooks.example.com", None), host("other.example.com", Some(8443))]
    }

    #[test]
    fn ip_addresses_localhost_and_configured_names_are_known() {
        for (host, expected) in [
            ("127.0.0.1:8081", true),
            ("127.0.0.1", true),
            ("10.0.0.7:9000", true),
            ("[::1]:8081", true),
            ("[::1]", true),
            ("localhost:8081", true),
            ("LocalHost", true),
            ("hooks.example.com", true),
            ("Hooks.Example.com:8081", true),
            ("other.example.com:8443", true),
            ("other.example.com", false),
            ("other.example.com:8081", false),
            ("evil.example:8081", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil.example@127.0.0.1", false),
            ("127.0.0.1:8081:1", false),
            ("127.0.0.1:", false),
            ("[::1", false),
            ("[evil.example]", false),
            ("[::1]evil.example", false),
            ("::1", false),
            ("2130706433", false),
            ("", false),
        ] {
            assert_eq!(is_known(host, &hosts()), expected, "{host}");
        }
    }

    #[test]
    fn only_pages_of_this_server_are_its_own() {
        for (origin, host, expected) in [
            ("http://127.0.0.1:8081", "127.0.0.1:8081", true),
            ("http://LOCALHOST:9000", "localhost:9000", true),
            ("https://hooks.example.com", "hooks.example.com", true),
            ("https://hooks.example.com", "hooks.example.com:443", true),
            ("https://hooks.example.com", "127.0.0.1:8081", true),
            ("https://hooks.example.com:8443", "127.0.0.1:8081", false),
            ("https://other.example.com:8443", "127.0.0.1:8081", true),
            ("https://other.example.com", "127.0.0.1:8081", false),
            ("http://localhost:3000", "localhost:8081", false),
            ("http://127.0.0.1:8081", "localhost:8081", false),
            ("http://evil.example", "127.0.0.1:8081", false),
            ("http://127.0.0.1:8081.evil.example", "127.0.0.1:8081", false),
            ("ftp://127.0.0.1:8081", "127.0.0.1:8081", false),
            ("null", "127.0.0.1:8081", false),
            ("", "127.0.0.1:8081", false),
        ] {
            assert_eq!(is_own_origin(origin, host, &hosts()), expected, "{origin} {host}");
        }
    }
}
