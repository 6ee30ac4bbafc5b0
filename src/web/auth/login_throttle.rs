//! Rate limit for wrong tokens: ten per client and minute.
//!
//! A client is an IPv4 address or an IPv6 /64, which usually belongs to one customer. The table is bounded; clients beyond
//! the bound share one count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use crate::support::locks;
use crate::support::net::forwarded::{TrustedProxies, client_address};

/// Wrong tokens per client within [`WINDOW`].
pub(super) const MAX_FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
const MAX_CLIENTS: usize = 4096;

/// `None` stands for all clients of a unix socket, and for those beyond [`MAX_CLIENTS`].
type Client = Option<IpAddr>;
/// When each client's window started, and its failures since then.
type Failures = HashMap<Client, (Instant, u32)>;

#[derive(Debug, Default)]
pub(super) struct LoginThrottle(Mutex<Failures>);

impl LoginThrottle {
    /// How long the client must wait before its next attempt.
    pub(super) fn wait(&self, address: Client, now: Instant) -> Option<Duration> {
        let clients = self.lock();
        let client = Some(client(address)).filter(|client| clients.contains_key(client)).unwrap_or_default();
        let (since, count) = clients.get(&client)?;
        let left = WINDOW.checked_sub(now.duration_since(*since)).filter(|left| !left.is_zero())?;
        (*count >= MAX_FAILURES).then_some(left)
    }

    /// Counts a wrong token; returns the number in the current window.
    pub(super) fn record_failure(&self, address: Client, now: Instant) -> u32 {
        let mut clients = self.lock();
        if clients.len() >= MAX_CLIENTS {
            clients.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        let client = client(address);
        let has_room = clients.len() < MAX_CLIENTS || clients.contains_key(&client);
        let (since, count) = clients.entry(if has_room { client } else { None }).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        locks::lock(&self.0)
    }
}

/// The client that a trusted proxy names, or the peer.
pub(super) fn client_of(request: &HttpRequest, proxies: &TrustedProxies) -> Client {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let lines = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
    client_address(peer, lines, proxies).address().or(peer)
}

fn client(address: Client) -> Client {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Client {
        Some(text.parse().unwrap())
    }

    #[test]
    fn ten_wrong_tokens_throttle_only_their_network() {
        let (login_throttle, start) = (LoginThrottle::default(), Instant::now());
        for _ in 0..MAX_FAILURES {
            assert_eq!(login_throttle.wait(address("2001:db8::1"), start), None);
            login_throttle.record_failure(address("2001:db8::1"), start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(
            login_throttle.wait(address("2001:db8::ffff"), later),
            Some(Duration::from_secs(40)),
            "the same network"
        );
        assert_eq!(login_throttle.wait(address("2001:db8:0:1::1"), later), None);
        assert_eq!(login_throttle.wait(None, later), None);
        assert_eq!(login_throttle.wait(address("2001:db8::1"), start + WINDOW), None);
        login_throttle.record_failure(address("2001:db8::1"), start + WINDOW);
        assert_eq!(login_throttle.wait(address("2001:db8::1"), start + WINDOW), None);
    }

    #[test]
    fn clients_beyond_the_limit_share_one_count() {
        let (login_throttle, now) = (LoginThrottle::default(), Instant::now());
        let nth = |n: usize| Some(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()));
        (0..MAX_CLIENTS).for_each(|n| assert_eq!(login_throttle.record_failure(nth(n), now), 1));
        (1..=MAX_FAILURES)
            .for_each(|n| assert_eq!(login_throttle.record_failure(nth(MAX_CLIENTS + n as usize), now), n));
        assert!(login_throttle.wait(nth(MAX_CLIENTS + 99), now).is_some());
        assert!(login_throttle.wait(nth(0), now).is_none());
        assert!(login_throttle.0.lock().unwrap().len() <= MAX_CLIENTS + 1);
        login_throttle.record_failure(nth(MAX_CLIENTS), now + WINDOW);
        assert_eq!(login_throttle.0.lock().unwrap().len(), 1, "clients of the last minute are dropped");
    }
}
