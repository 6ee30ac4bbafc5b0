//! Sessions of browsers, kept in memory only: a restart, and a changed token, end them all.
//!
//! A session is known by random text that its browser alone has; here its digest is kept, so that looking one up tells
//! nothing by the time it takes. Each has a token of its own against forged forms. They end by themselves.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::locks;

use sha2::{Digest as _, Sha256};

/// From logging in until the token is asked for again.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
const MOST: usize = 256;

/// A browser that has shown the token.
#[derive(Debug, Clone)]
struct Session {
    until: Instant,
    csrf: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Sessions {
    /// Begins one; returns the text that is its key. Where there are too many the oldest ends.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn begin(&self, now: Instant) -> std::io::Result<String> {
        let (key, csrf) = (random()?, random()?);
        let mut sessions = locks::lock(&self.0);
        sessions.retain(|_, session| now < session.until);
        if sessions.len() >= MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(&key), Session { until: now + LASTS, csrf });
        Ok(key)
    }

    /// The token against forged forms of the session that this text is the key of.
    pub(super) fn csrf(&self, key: &str, now: Instant) -> Option<String> {
        let sessions = locks::lock(&self.0);
        sessions.get(&digest(key)).filter(|session| now < session.until).map(|session| session.csrf.clone())
    }

    pub(super) fn end(&self, key: &str) {
        locks::lock(&self.0).remove(&digest(key));
    }

    pub(super) fn end_all(&self) {
        locks::lock(&self.0).clear();
    }
}

/// 32 random bytes in hex.
///
/// # Errors
/// When the system has none.
pub(super) fn random() -> std::io::Result<String> {
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
    fn a_session_lasts_until_it_ends() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (one, other) = (sessions.begin(start).unwrap(), sessions.begin(start).unwrap());
        assert_ne!(sessions.csrf(&one, start).unwrap(), sessions.csrf(&other, start).unwrap());
        assert_eq!((one.len(), sessions.csrf("", start)), (64, None));
        sessions.end(&one);
        assert_eq!(sessions.csrf(&one, start), None);
        assert!(sessions.csrf(&other, start + LASTS - Duration::from_secs(1)).is_some());
        assert_eq!(sessions.csrf(&other, start + LASTS), None);
        sessions.end_all();
        assert_eq!(sessions.csrf(&other, start), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let first = sessions.begin(start).unwrap();
        let second = sessions.begin(start + Duration::from_secs(1)).unwrap();
        for _ in 2..=MOST {
            sessions.begin(start + Duration::from_secs(2)).unwrap();
        }
        assert_eq!(sessions.csrf(&first, start), None);
        assert!(sessions.csrf(&second, start).is_some());
    }
}
