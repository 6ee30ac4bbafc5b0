//! Browser sessions, in memory: a restart or a changed token ends them all.
//!
//! The cookie holds a random key. The table is keyed by its digest, so that the time of a lookup reveals nothing about the
//! keys. Each session has its own CSRF token. The cookie's name contains the port, since browsers share cookies between
//! the ports of a host.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use actix_web::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use sha2::{Digest as _, Sha256};

use super::principal::single_header;
use crate::support::locks;

const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
const MAX_SESSIONS: usize = 256;

#[derive(Debug, Clone)]
struct Session {
    expires: Instant,
    csrf: String,
}

/// All sessions, by the digest of their key.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Sessions {
    /// Starts a session and returns its key. If there are too many, the oldest ends.
    pub(super) fn start(&self, now: Instant) -> std::io::Result<String> {
        let (key, csrf) = (random_hex()?, random_hex()?);
        let mut sessions = self.lock();
        sessions.retain(|_, session| now < session.expires);
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.expires).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(&key), Session { expires: now + LIFETIME, csrf });
        Ok(key)
    }

    /// The CSRF token of the session with this key.
    pub(super) fn csrf(&self, key: &str, now: Instant) -> Option<String> {
        let sessions = self.lock();
        sessions.get(&digest(key)).filter(|session| now < session.expires).map(|session| session.csrf.clone())
    }

    pub(super) fn end(&self, key: &str) {
        self.lock().remove(&digest(key));
    }

    pub(super) fn end_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        locks::lock(&self.0)
    }
}

/// All values of our cookie: a page on another port may have set a second one.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let name = cookie_name(headers);
    let lines = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// The `Set-Cookie` value for a session key.
pub(super) fn cookie(headers: &HeaderMap, key: &str) -> String {
    let is_https = single_header(headers, &ORIGIN).is_some_and(|origin| origin.starts_with("https://"));
    let secure = if is_https { "; Secure" } else { "" };
    format!("{}={key}; Path=/; HttpOnly; SameSite=Strict{secure}", cookie_name(headers))
}

fn cookie_name(headers: &HeaderMap) -> String {
    let host = single_header(headers, &HOST).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    format!("hookbox_{}", port.unwrap_or("session"))
}

/// 32 random bytes in hex.
pub(super) fn random_hex() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(hex::encode(bytes))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_lasts_until_it_expires_or_ends() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (one, other) = (sessions.start(start).unwrap(), sessions.start(start).unwrap());
        assert_ne!(sessions.csrf(&one, start).unwrap(), sessions.csrf(&other, start).unwrap());
        assert_eq!((one.len(), sessions.csrf("", start)), (64, None));
        sessions.end(&one);
        assert_eq!(sessions.csrf(&one, start), None);
        assert!(sessions.csrf(&other, start + LIFETIME - Duration::from_secs(1)).is_some());
        assert_eq!(sessions.csrf(&other, start + LIFETIME), None);
        sessions.end_all();
        assert_eq!(sessions.csrf(&other, start), None);
    }

    #[test]
    fn new_session_replaces_the_oldest() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let first = sessions.start(start).unwrap();
        let second = sessions.start(start + Duration::from_secs(1)).unwrap();
        for _ in 2..=MAX_SESSIONS {
            sessions.start(start + Duration::from_secs(2)).unwrap();
        }
        assert_eq!(sessions.csrf(&first, start), None);
        assert!(sessions.csrf(&second, start).is_some());
    }
}
