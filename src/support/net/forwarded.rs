//! The client of a request: the peer, or the client that trusted proxies name in X-Forwarded-For or Forwarded (RFC 7239).
//!
//! Headers are read from the right: the last address that is not a trusted proxy is the client. Addresses to its left
//! could be forged by the client. If the headers are unclear, no address is guessed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// IP networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl Networks {
    /// Compares IPv4-mapped IPv6 addresses as IPv4.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The peers whose X-Forwarded-For and Forwarded headers are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub networks: Networks,
    /// Whether peers that connect through a unix socket are trusted.
    pub unix: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    At(IpAddr),
    /// The client connected through a unix socket.
    Socket,
    Unclear(UnclearReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnclearReason {
    /// This header of a trusted proxy contains something other than an address.
    NoAddress(&'static str),
    /// The two headers name different clients.
    Disagreement,
}

/// Finds the client. `peer` is `None` for a unix socket; `lines` returns the values of a header.
pub fn client_address<'a, Lines>(
    peer: Option<IpAddr>,
    lines: impl Fn(&'static str) -> Lines,
    proxies: &TrustedProxies,
) -> ClientAddress
where
    Lines: Iterator<Item = &'a [u8]>,
{
    let is_trusted = |address: IpAddr| proxies.networks.contain(address);
    let itself = match peer {
        Some(peer) => ClientAddress::At(peer.to_canonical()),
        None => ClientAddress::Socket,
    };
    if !peer.map_or(proxies.unix, is_trusted) {
        return itself;
    }
    let lines = |name| lines(name).map(String::from_utf8_lossy);
    let list: Vec<_> =
        lines(X_FORWARDED_FOR).flat_map(|line| line.split(',').map(hop_of_list).collect::<Vec<_>>()).collect();
    let elements: Vec<_> =
        lines(FORWARDED).flat_map(|line| split(&line, ',').map(hop_of_element).collect::<Vec<_>>()).collect();
    let mut named = [(X_FORWARDED_FOR, list), (FORWARDED, elements)].into_iter().filter_map(|(name, hops)| {
        let mut client = None;
        for hop in hops.into_iter().rev().filter(|hop| *hop != Hop::Empty) {
            let Hop::At(hop) = hop else { return Some(ClientAddress::Unclear(UnclearReason::NoAddress(name))) };
            client = Some(ClientAddress::At(hop));
            if !is_trusted(hop) {
                break;
            }
        }
        client
    });
    match (named.next(), named.next()) {
        (None, _) => itself,
        (Some(one), Some(other)) if one != other => ClientAddress::Unclear(UnclearReason::Disagreement),
        (Some(one), _) => one,
    }
}

/// One element of a header: the address that a proxy received the request from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    At(IpAddr),
    NotAnAddress,
    Empty,
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`
fn hop_of_list(text: &str) -> Hop {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    match address {
        Some(address) => Hop::At(IpAddr::to_canonical(&address)),
        None if text.is_empty() => Hop::Empty,
        None => Hop::NotAnAddress,
    }
}

/// `for=192.0.2.1;proto=http`, `For="[2001:db8::1]:4711"`
fn hop_of_element(element: &str) -> Hop {
    let mut pairs = split(element, ';').filter_map(|pair| pair.split_once('='));
    match pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for")) {
        Some((_, value)) => {
            let value = value.trim();
            match hop_of_list(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)) {
                Hop::At(address) => Hop::At(address),
                Hop::NotAnAddress | Hop::Empty => Hop::NotAnAddress,
            }
        }
        None if element.is_empty() => Hop::Empty,
        None => Hop::NotAnAddress,
    }
}

/// Splits at separators outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return character == separator && !is_quoted,
        }
        false
    });
    parts.map(str::trim)
}

impl ClientAddress {
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Socket | Self::Unclear(_) => None,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => write!(f, "the client's address {address}"),
            Self::Socket => f.write_str("a unix socket client has no address; it"),
            Self::Unclear(UnclearReason::NoAddress(name)) => {
                write!(f, "the client is unknown, because a trusted proxy sent no address in {name}; it")
            }
            Self::Unclear(UnclearReason::Disagreement) => {
                write!(
                    f,
                    "{X_FORWARDED_FOR} and {FORWARDED} name different clients (have the proxy remove the header it does not set); neither"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str], unix: bool) -> TrustedProxies {
        TrustedProxies { networks: Networks(networks.iter().map(|text| text.parse().unwrap()).collect()), unix }
    }

    #[test]
    fn networks_contain_addresses_in_either_notation() {
        let networks = proxies(&["192.0.2.0/24", "2001:db8::/32"], false).networks;
        for (address, is_in) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.3.7", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::1", false),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), is_in, "{address}");
        }
    }

    fn client(peer: Option<IpAddr>, lines: &[&str], proxies: &TrustedProxies) -> ClientAddress {
        let pairs: Vec<_> = lines.iter().map(|line| line.split_once(": ").unwrap()).collect();
        let of = |wanted: &'static str| {
            let named = pairs.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
            named.map(|(_, value)| value.as_bytes()).collect::<Vec<_>>().into_iter()
        };
        client_address(peer, of, proxies)
    }

    fn found(peer: &str, lines: &[&str]) -> ClientAddress {
        client(peer.parse().ok(), lines, &proxies(&["10.0.0.0/8", "::1/128"], true))
    }

    #[test]
    fn rightmost_untrusted_address_is_the_client() {
        for (peer, lines, expected) in [
            ("192.0.2.9", &[][..], "192.0.2.9"),
            ("192.0.2.9", &["X-Forwarded-For: 198.51.100.1"][..], "192.0.2.9"),
            ("192.0.2.9", &["Forwarded: for=198.51.100.1"], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["X-Forwarded-For: 203.0.113.7, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["X-Forwarded-For: nonsense, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["X-Forwarded-For: 198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["X-Forwarded-For: [2001:db8::7]:4711,"], "2001:db8::7"),
            ("10.0.0.1", &["X-Forwarded-For: 2001:db8::7"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["X-Forwarded-For: ::ffff:198.51.100.1"], "198.51.100.1"),
            ("::1", &["Forwarded: for=203.0.113.7, For=\"198.51.100.1:80\";by=10.0.0.2"], "198.51.100.1"),
            ("::1", &["Forwarded: proto=https;for=\"[2001:db8::7]:4711\";host=\"a,for=1;\\\"\""], "2001:db8::7"),
            ("::1", &["Forwarded: for=198.51.100.1", "X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
            ("socket", &["X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
        ] {
            assert_eq!(found(peer, lines), ClientAddress::At(expected.parse().unwrap()), "{peer} {lines:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn forged_headers_never_change_the_client(text in "[ -~]{0,40}", quoted in "[a-z=\";\\\\,]{0,20}") {
            let seen = "198.51.100.1".parse().unwrap();
            for line in [format!("X-Forwarded-For: {text}, 198.51.100.1"), format!("Forwarded: for=198.51.100.1;by=\"{}\"", text.replace(['"', '\\'], ""))] {
                proptest::prop_assert_eq!(found("10.0.0.1", &[&line]), ClientAddress::At(seen), "{}", line);
            }
            for name in ["X-Forwarded-For", "Forwarded"] {
                let line = format!("{name}: for={quoted}{text}");
                let client = found("10.0.0.1", &[&line]);
                proptest::prop_assert!(!matches!(client, ClientAddress::Socket), "{}", line);
            }
        }
    }

    #[test]
    fn unclear_headers_give_no_address() {
        for line in ["X-Forwarded-For: 198.51.100.1, unknown", "X-Forwarded-For: example.org", "X-Forwarded-For: 1.2"] {
            assert_eq!(
                found("10.0.0.1", &[line]),
                ClientAddress::Unclear(UnclearReason::NoAddress(X_FORWARDED_FOR)),
                "{line}"
            );
        }
        for line in ["Forwarded: for=_hidden", "Forwarded: proto=https", "Forwarded: for=\"198.51.100.1"] {
            assert_eq!(
                found("10.0.0.1", &[line]),
                ClientAddress::Unclear(UnclearReason::NoAddress(FORWARDED)),
                "{line}"
            );
        }
        let both = ["Forwarded: for=198.51.100.1", "X-Forwarded-For: 198.51.100.2"];
        assert_eq!(found("10.0.0.1", &both), ClientAddress::Unclear(UnclearReason::Disagreement));
        assert_eq!(client(None, &[], &proxies(&["10.0.0.0/8"], false)), ClientAddress::Socket);
        let all = proxies(&["0.0.0.0/0"], false);
        let named = ["X-Forwarded-For: 198.51.100.1"];
        assert_eq!(client(None, &named, &all), ClientAddress::Socket, "a socket is only trusted as `unix:`");
    }
}
