//! How often each client may be wrong about the token: ten times a minute, then further wrong ones have to wait.
//!
//! A client and the moment come in; a pass or the wait comes out. Clients are addresses, in IPv6 networks of one customer
//! (/64). What is kept has a limit; beyond it all further clients share one count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use crate::support::locks;
use crate::support::net::forwarded::TrustedProxies;

/// Wrong tokens within [`SPAN`], after which further ones are told to wait.
pub(super) const MOST: u32 = 10;
pub(super) const SPAN: Duration = Duration::from_secs(60);
const MOST_CLIENTS: usize = 4096;

/// Who tries; `None` is whoever comes through a unix socket, and all whom there is no room for.
type Client = Option<IpAddr>;

/// Wrong tokens of the last minute.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<HashMap<Client, (Instant, u32)>>);

impl Tries {
    /// How long the client has to wait before it may try again, if it has to.
    pub(super) fn wait(&self, address: Client, now: Instant) -> Option<Duration> {
        let clients = locks::lock(&self.0);
        let client = Some(client(address)).filter(|client| clients.contains_key(client)).unwrap_or_default();
        let (since, count) = clients.get(&client)?;
        let left = SPAN.checked_sub(now.duration_since(*since)).filter(|left| !left.is_zero())?;
        (*count >= MOST).then_some(left)
    }

    /// Counts a wrong token; returns how many there were since the first of this minute.
    pub(super) fn note(&self, address: Client, now: Instant) -> u32 {
        let mut clients = locks::lock(&self.0);
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|_, (since, _)| now.duration_since(*since) < SPAN);
        }
        let client = client(address);
        let has_room = clients.len() < MOST_CLIENTS || clients.contains_key(&client);
        let (since, count) = clients.entry(if has_room { client } else { None }).or_insert((now, 0));
        if now.duration_since(*since) >= SPAN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count
    }
}

/// Whose tries are counted together: the client's, where a trusted proxy names it, else the peer's.
pub(super) fn client_of(request: &HttpRequest, proxies: &TrustedProxies) -> Client {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let lines = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
    crate::support::net::forwarded::client_address(peer, lines, proxies).address().or(peer)
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
    fn the_eleventh_wrong_token_of_a_minute_has_to_wait_and_others_have_not() {
        let (tries, start) = (Tries::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(tries.wait(address("2001:db8::1"), start), None);
            tries.note(address("2001:db8::1"), start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(tries.wait(address("2001:db8::ffff"), later), Some(Duration::from_secs(40)), "the same network");
        assert_eq!(tries.wait(address("2001:db8:0:1::1"), later), None);
        assert_eq!(tries.wait(None, later), None);
        assert_eq!(tries.wait(address("2001:db8::1"), start + SPAN), None);
        tries.note(address("2001:db8::1"), start + SPAN);
        assert_eq!(tries.wait(address("2001:db8::1"), start + SPAN), None);
    }

    #[test]
    fn with_too_many_clients_the_rest_share_a_count() {
        let (tries, now) = (Tries::default(), Instant::now());
        let nth = |n: usize| Some(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()));
        (0..MOST_CLIENTS).for_each(|n| assert_eq!(tries.note(nth(n), now), 1));
        (1..=MOST).for_each(|n| assert_eq!(tries.note(nth(MOST_CLIENTS + n as usize), now), n));
        assert!(tries.wait(nth(MOST_CLIENTS + 99), now).is_some());
        assert!(tries.wait(nth(0), now).is_none());
        assert!(tries.0.lock().unwrap().len() <= MOST_CLIENTS + 1);
        tries.note(nth(MOST_CLIENTS), now + SPAN);
        assert_eq!(tries.0.lock().unwrap().len(), 1, "those of the minute before are forgotten");
    }
}
