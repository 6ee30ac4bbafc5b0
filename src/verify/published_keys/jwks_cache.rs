//! The cached keys of one source.
//!
//! Each URL has at most one fetch at a time, which other requests for it wait for. A failed URL is left alone for a
//! while. A key that a set lacks may be newer than the cached set, so the set is fetched again, at most once a minute.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::allowed_hosts::KeyUrl;
use super::fetch;
use super::key_api::{AccessToken, Credentials, KeyApi, KeyApiCall};
use super::public_key::{self, FetchedKeys, PublishedKey};
use crate::support::locks;
use crate::support::net::keys_url::KeysUrl;
use crate::support::time::Millis;

/// How long a document is cached if it does not say.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(3600);
/// The bounds of what a document says.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(60);
const LONGEST_MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How long a URL is left alone after a failure.
const FAILURE_AGE: Duration = Duration::from_secs(10);
/// How often a set may be fetched again for a key that it lacks, how long an unknown name is remembered, and the period
/// of [`MAX_FETCHES`].
const MINUTE: Duration = Duration::from_secs(60);
/// Fetches of one source within a minute.
pub(super) const MAX_FETCHES: usize = 20;
/// URLs cached for one source.
pub(super) const MAX_ENTRIES: usize = 32;
/// Requests that may wait for a fetch in progress.
const MAX_WAITING: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFetchError {
    /// As far as is known now.
    #[error("the provider has no such key")]
    Unknown,
    #[error("{0}")]
    Unavailable(String),
}

/// Locks are not held during a fetch.
#[derive(Debug)]
pub struct JwksCache {
    base: Option<KeysUrl>,
    time_limit: Duration,
    state: Mutex<CacheState>,
    fetched: Condvar,
    access_token: Mutex<Option<AccessToken>>,
}

#[derive(Debug, Default)]
struct CacheState {
    entries: HashMap<KeyUrl, CacheEntry>,
    waiting: usize,
    /// Start times of the fetches within the last minute, oldest first.
    fetches: Vec<Millis>,
}

#[derive(Debug, Default)]
struct CacheEntry {
    keys: Option<CachedKeys>,
    /// When and why the last fetch failed; `None` after a success.
    failure: Option<(Millis, String)>,
    is_fetching: bool,
}

#[derive(Debug)]
struct CachedKeys {
    keys: Vec<PublishedKey>,
    fetched_at: Millis,
    max_age: Duration,
}

impl JwksCache {
    /// `base` replaces the provider's own URLs.
    pub fn new(base: Option<KeysUrl>) -> Self {
        Self::with_time_limit(base, fetch::TIME_LIMIT)
    }

    pub(super) fn with_time_limit(base: Option<KeysUrl>, time_limit: Duration) -> Self {
        Self { base, time_limit, state: Mutex::default(), fetched: Condvar::new(), access_token: Mutex::default() }
    }

    pub fn base(&self) -> Option<&KeysUrl> {
        self.base.as_ref()
    }

    /// The key of the certificate at a URL. It must be valid now.
    pub fn certificate(&self, url: &KeyUrl, now: Millis) -> Result<PublishedKey, KeyFetchError> {
        let read = |document: &[u8]| public_key::from_certificate(document).map(|key| vec![key]);
        valid(self.document(url, read, now, None)?, now)
    }

    /// The key of this name from an API. It must be valid now. An unknown name is remembered for a minute.
    pub fn named(
        &self,
        api: KeyApi,
        credentials: &Credentials,
        name: &str,
        now: Millis,
    ) -> Result<PublishedKey, KeyFetchError> {
        let base = self.base();
        let url = api.url(name, base).ok_or(KeyFetchError::Unknown)?;
        let call = KeyApiCall { credentials, base, token: &self.access_token, time_limit: self.time_limit, now };
        valid(self.cached_or_fetched(&url, &|| api.fetch(&url, &call), now, None)?, now)
    }

    /// The keys of a set with this `kid`, or all of them. `known` is the set's URL without a `keys_url`.
    pub fn set(&self, known: &str, kid: Option<&str>, now: Millis) -> Result<Vec<PublishedKey>, KeyFetchError> {
        let url = self.set_url(known);
        let is_wanted = |key: &PublishedKey| kid.is_none() || key.kid.as_deref() == kid;
        for max_age in [None, Some(MINUTE)] {
            let keys = self.document(&url, public_key::from_jwk_set, now, max_age)?;
            let found: Vec<_> = keys.into_iter().filter(is_wanted).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(KeyFetchError::Unknown)
    }

    /// Every key of a set, fetched again unless that happened within a minute. For signatures that name no key.
    pub fn newer_set(&self, known: &str, now: Millis) -> Result<Vec<PublishedKey>, KeyFetchError> {
        self.document(&self.set_url(known), public_key::from_jwk_set, now, Some(MINUTE))
    }

    fn set_url(&self, known: &str) -> KeyUrl {
        self.base.as_ref().map_or_else(|| KeyUrl::known(known), KeyUrl::of_base)
    }

    /// Requests a URL and succeeds if the response is 200.
    pub fn visit(&self, url: &KeyUrl, now: Millis) -> Result<(), KeyFetchError> {
        self.lock().count_fetch(now)?;
        fetch::get(url, self.time_limit).map(drop).map_err(KeyFetchError::Unavailable)
    }

    fn document(
        &self,
        url: &KeyUrl,
        read: impl Fn(&[u8]) -> Result<Vec<PublishedKey>, String>,
        now: Millis,
        max_age: Option<Duration>,
    ) -> Result<Vec<PublishedKey>, KeyFetchError> {
        let fetch = || {
            let document = fetch::get(url, self.time_limit)?;
            let keys = read(&document.body).map_err(|reason| format!("{}: {reason}", url.url))?;
            Ok(FetchedKeys { keys, max_age: document.max_age })
        };
        self.cached_or_fetched(url, &fetch, now, max_age)
    }

    /// `max_age` lowers the age up to which cached keys are returned.
    fn cached_or_fetched(
        &self,
        url: &KeyUrl,
        fetch: &dyn Fn() -> Result<FetchedKeys, String>,
        now: Millis,
        max_age: Option<Duration>,
    ) -> Result<Vec<PublishedKey>, KeyFetchError> {
        let mut state = self.lock();
        while let Some(entry) = state.entries.get(url) {
            let is_fresh = |cached: &&CachedKeys| {
                is_within(cached.fetched_at, max_age.unwrap_or(cached.max_age).min(cached.max_age), now)
            };
            if let Some(cached) = entry.keys.as_ref().filter(is_fresh) {
                return Ok(cached.keys.clone());
            }
            match &entry.failure {
                _ if entry.is_fetching => state = self.wait(state)?,
                Some((at, reason)) if is_within(*at, FAILURE_AGE, now) => {
                    return Err(KeyFetchError::Unavailable(reason.clone()));
                }
                _ => break,
            }
        }
        state.count_fetch(now)?;
        state.make_room(now)?;
        state.entries.entry(url.clone()).or_default().is_fetching = true;
        drop(state);
        let guard = FetchGuard { cache: self, url };
        guard.finish(fetch(), now)
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, CacheState>) -> Result<MutexGuard<'a, CacheState>, KeyFetchError> {
        if state.waiting >= MAX_WAITING {
            let reason = "too many deliveries are waiting for the provider's keys";
            return Err(KeyFetchError::Unavailable(reason.to_owned()));
        }
        state.waiting += 1;
        let mut state = locks::wait(&self.fetched, state);
        state.waiting -= 1;
        Ok(state)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        locks::lock(&self.state)
    }
}

impl CacheState {
    fn count_fetch(&mut self, now: Millis) -> Result<(), KeyFetchError> {
        self.fetches.retain(|begun_at| is_within(*begun_at, MINUTE, now));
        if self.fetches.len() >= MAX_FETCHES {
            let reason = format!("the limit of {MAX_FETCHES} key fetches per minute is reached");
            return Err(KeyFetchError::Unavailable(reason));
        }
        self.fetches.push(now);
        Ok(())
    }

    /// Removes expired keys and failures, but never keys in use: strangers must not evict them.
    fn make_room(&mut self, now: Millis) -> Result<(), KeyFetchError> {
        if self.entries.len() < MAX_ENTRIES {
            return Ok(());
        }
        let is_current = |entry: &CacheEntry| {
            entry.is_fetching
                || entry.keys.as_ref().is_some_and(|cached| is_within(cached.fetched_at, cached.max_age, now))
        };
        self.entries.retain(|_, entry| is_current(entry));
        if self.entries.len() < MAX_ENTRIES {
            return Ok(());
        }
        Err(KeyFetchError::Unavailable(format!("keys from {MAX_ENTRIES} URLs are in use already")))
    }
}

/// A fetch in progress. Wakes the waiting requests when dropped, even by a panic.
struct FetchGuard<'a> {
    cache: &'a JwksCache,
    url: &'a KeyUrl,
}

impl FetchGuard<'_> {
    fn finish(self, fetched: Result<FetchedKeys, String>, now: Millis) -> Result<Vec<PublishedKey>, KeyFetchError> {
        let mut state = self.cache.lock();
        let entry = state.entries.entry(self.url.clone()).or_default();
        match fetched {
            Ok(FetchedKeys { keys, max_age }) => {
                let max_age = max_age.unwrap_or(DEFAULT_MAX_AGE).clamp(SHORTEST_MAX_AGE, LONGEST_MAX_AGE);
                let max_age = if keys.is_empty() { MINUTE } else { max_age };
                entry.keys = Some(CachedKeys { keys: keys.clone(), fetched_at: now, max_age });
                entry.failure = None;
                Ok(keys)
            }
            Err(reason) => {
                log::warn!("fetching a provider's keys failed: {reason}");
                entry.failure = Some((now, reason.clone()));
                Err(KeyFetchError::Unavailable(reason))
            }
        }
    }
}

impl Drop for FetchGuard<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.cache.lock().entries.get_mut(self.url) {
            entry.is_fetching = false;
        }
        self.cache.fetched.notify_all();
    }
}

fn valid(keys: Vec<PublishedKey>, now: Millis) -> Result<PublishedKey, KeyFetchError> {
    let is_valid = |key: &PublishedKey| key.validity.is_none_or(|(from, until)| from <= now && now <= until);
    keys.into_iter().find(is_valid).ok_or(KeyFetchError::Unknown)
}

/// Whether a time is less than a period away from now, in either direction: a clock that is set back extends nothing.
fn is_within(time: Millis, period: Duration, now: Millis) -> bool {
    u128::from(now.0.abs_diff(time.0)) < period.as_millis()
}
