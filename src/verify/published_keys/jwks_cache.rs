//! The keys of one source, as last fetched.
//!
//! One fetch per address at a time, and whoever wants the same waits for it. What failed is not tried again for a
//! while. A key that the set does not have may be newer than the set, so it is fetched again, but at most once a
//! minute. Neither the number of documents nor that of fetches grows with what strangers ask for.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::allowed_hosts::Address;
use super::api::{Api, Credentials, Token};
use super::fetch;
use super::public_key::{self, PublishedKey};
use crate::support::locks;
use crate::support::net::keys_url::KeysUrl;
use crate::support::time::Millis;

/// How long a document is used that does not say.
const USUAL_AGE: Duration = Duration::from_secs(3600);
/// How long at least and at most, whatever it says.
const AGES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// How long an address that failed is left alone.
const FAILURE_AGE: Duration = Duration::from_secs(10);
/// How often a set may be fetched again for a key that it does not have; also the span of [`MAX_FETCHES`].
const MINUTE: Duration = Duration::from_secs(60);
/// Fetches of one source within a minute.
pub(super) const MAX_FETCHES: usize = 20;
/// Addresses kept for one source.
pub(super) const MAX_ENTRIES: usize = 32;
/// Requests that may wait for a fetch under way.
const MAX_WAITING: usize = 64;

/// SignatureError there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The provider has no such key, as far as is known now.
    #[error("the provider has no such key")]
    Unknown,
    /// The keys cannot be had now.
    #[error("{0}")]
    Unavailable(String),
}

/// The keys of one source.
#[derive(Debug)]
pub struct KeyRing {
    base: Option<KeysUrl>,
    time_limit: Duration,
    state: Mutex<State>,
    fetched: Condvar,
    /// What an API has given in return for credentials.
    token: Mutex<Option<Token>>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Address, Entry>,
    waiting: usize,
    /// When the last fetches began, oldest first.
    begun_at: Vec<Millis>,
}

#[derive(Debug, Default)]
struct Entry {
    known: Option<Known>,
    /// When the last fetch failed, and why; none once one has succeeded.
    failed: Option<(Millis, String)>,
    is_under_way: bool,
}

#[derive(Debug)]
struct Known {
    keys: Vec<PublishedKey>,
    since: Millis,
    age: Duration,
}

/// How a document is read.
type Read = fn(&[u8]) -> Result<Vec<PublishedKey>, String>;
/// The keys that stand at an address, and how long they may be used; none where the provider knows none by that name.
pub(super) type Fetched = Result<(Vec<PublishedKey>, Option<Duration>), String>;

impl KeyRing {
    /// An empty ring; `base` takes the place of the provider's own address.
    #[must_use]
    pub fn new(base: Option<KeysUrl>) -> Self {
        Self::with_time_limit(base, fetch::TIME_LIMIT)
    }

    pub(super) fn with_time_limit(base: Option<KeysUrl>, time_limit: Duration) -> Self {
        Self { base, time_limit, state: Mutex::default(), fetched: Condvar::new(), token: Mutex::default() }
    }

    /// Where keys are fetched from in place of the provider's own address.
    #[must_use]
    pub fn base(&self) -> Option<&KeysUrl> {
        self.base.as_ref()
    }

    /// The key of the certificate at an address; it must be valid now.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn certificate(&self, address: &Address, now: Millis) -> Result<PublishedKey, KeyError> {
        let read: Read = |document| public_key::of_certificate(document).map(|key| vec![key]);
        let keys = self.document(address, read, now, None)?;
        keys.into_iter().find(|key| is_valid(key, now)).ok_or(KeyError::Unknown)
    }

    /// The key of this name, from an API that gives one at a time; it must be valid now. A name that the API does not
    /// know is remembered for a minute, and however many names strangers make up, the fetches are counted as all others.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn named(
        &self,
        (api, credentials): (Api, &Credentials),
        name: &str,
        now: Millis,
    ) -> Result<PublishedKey, KeyError> {
        let address = api.address(name, self.base()).ok_or(KeyError::Unknown)?;
        let ask = || api.fetch(&address, credentials, (&self.token, self.base()), (self.time_limit, now));
        let keys = self.kept(&address, &ask, now, None)?;
        keys.into_iter().find(|key| is_valid(key, now)).ok_or(KeyError::Unknown)
    }

    /// The keys of a set by a name; all of them where no name is given.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn set(&self, known: &str, kid: Option<&str>, now: Millis) -> Result<Vec<PublishedKey>, KeyError> {
        let address = self.base.as_ref().map_or_else(|| Address::known(known), Address::of_base);
        let named = |keys: Vec<PublishedKey>| match kid {
            Some(kid) => keys.into_iter().filter(|key| key.kid.as_deref() == Some(kid)).collect(),
            None => keys,
        };
        let found = named(self.document(&address, public_key::of_set, now, None)?);
        if !found.is_empty() {
            return Ok(found);
        }
        match named(self.document(&address, public_key::of_set, now, Some(MINUTE))?) {
            found if found.is_empty() => Err(KeyError::Unknown),
            found => Ok(found),
        }
    }

    /// Every key of a set, fetched anew unless that was done within a minute: for signatures that name no key.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn newer_set(&self, known: &str, now: Millis) -> Result<Vec<PublishedKey>, KeyError> {
        let address = self.base.as_ref().map_or_else(|| Address::known(known), Address::of_base);
        self.document(&address, public_key::of_set, now, Some(MINUTE))
    }

    /// Visits an address and says whether it answered 200.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] says why it did not.
    pub fn visit(&self, address: &Address, now: Millis) -> Result<(), KeyError> {
        self.lock().begin(now)?;
        fetch::fetch(address, self.time_limit).map(drop).map_err(KeyError::Unavailable)
    }

    /// What stands at an address, not older than `oldest` where that is given.
    fn document(
        &self,
        address: &Address,
        read: Read,
        now: Millis,
        oldest: Option<Duration>,
    ) -> Result<Vec<PublishedKey>, KeyError> {
        let fetch = || {
            let document = fetch::fetch(address, self.time_limit)?;
            let keys = read(&document.body).map_err(|why| format!("{}: {why}", address.url))?;
            Ok((keys, document.max_age))
        };
        self.kept(address, &fetch, now, oldest)
    }

    /// What is known of an address, or else what is fetched.
    fn kept(
        &self,
        address: &Address,
        fetch: &dyn Fn() -> Fetched,
        now: Millis,
        oldest: Option<Duration>,
    ) -> Result<Vec<PublishedKey>, KeyError> {
        let mut state = self.lock();
        while let Some(entry) = state.entries.get(address) {
            let is_young = |known: &&Known| is_within(known.since, oldest.unwrap_or(known.age).min(known.age), now);
            if let Some(known) = entry.known.as_ref().filter(is_young) {
                return Ok(known.keys.clone());
            }
            match &entry.failed {
                _ if entry.is_under_way => state = self.wait(state)?,
                Some((at, why)) if is_within(*at, FAILURE_AGE, now) => return Err(KeyError::Unavailable(why.clone())),
                _ => break,
            }
        }
        state.begin(now)?;
        state.make_room(now)?;
        state.entries.entry(address.clone()).or_default().is_under_way = true;
        drop(state);
        let under_way = UnderWay { ring: self, address };
        under_way.end(fetch(), now)
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>, KeyError> {
        if state.waiting >= MAX_WAITING {
            return Err(KeyError::Unavailable("too many deliveries wait for the provider's keys".to_owned()));
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

    fn lock(&self) -> MutexGuard<'_, State> {
        locks::lock(&self.state)
    }
}

impl State {
    /// Counts a fetch, if another one may be made.
    fn begin(&mut self, now: Millis) -> Result<(), KeyError> {
        self.begun_at.retain(|begun_at| is_within(*begun_at, MINUTE, now));
        if self.begun_at.len() >= MAX_FETCHES {
            return Err(KeyError::Unavailable(format!("keys were fetched {MAX_FETCHES} times within a minute")));
        }
        self.begun_at.push(now);
        Ok(())
    }

    /// Drops what is out of date, and else the oldest failure; keys in use are not pushed out by strangers.
    fn make_room(&mut self, now: Millis) -> Result<(), KeyError> {
        if self.entries.len() < MAX_ENTRIES {
            return Ok(());
        }
        let is_current = |entry: &Entry| {
            entry.is_under_way || entry.known.as_ref().is_some_and(|known| is_within(known.since, known.age, now))
        };
        self.entries.retain(|_, entry| is_current(entry));
        if self.entries.len() < MAX_ENTRIES {
            return Ok(());
        }
        Err(KeyError::Unavailable(format!("keys of {MAX_ENTRIES} addresses are in use already")))
    }
}

/// A fetch that has begun; however it ends, those who wait are woken.
struct UnderWay<'a> {
    ring: &'a KeyRing,
    address: &'a Address,
}

impl UnderWay<'_> {
    fn end(self, fetched: Fetched, now: Millis) -> Result<Vec<PublishedKey>, KeyError> {
        let known: Result<Known, String> = fetched.map(|(keys, age)| {
            let age = if keys.is_empty() { MINUTE } else { age.unwrap_or(USUAL_AGE).clamp(AGES.0, AGES.1) };
            Known { keys, since: now, age }
        });
        let keys = known.as_ref().map(|known| known.keys.clone()).map_err(Clone::clone);
        if let Some(entry) = self.ring.lock().entries.get_mut(self.address) {
            match known {
                Ok(known) => (entry.known, entry.failed) = (Some(known), None),
                Err(why) => {
                    log::warn!("a provider's keys could not be fetched: {why}");
                    entry.failed = Some((now, why));
                }
            }
        }
        keys.map_err(KeyError::Unavailable)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.ring.lock().entries.get_mut(self.address) {
            entry.is_under_way = false;
        }
        self.ring.fetched.notify_all();
    }
}

fn is_valid(key: &PublishedKey, now: Millis) -> bool {
    key.valid.is_none_or(|(from, until)| from <= now && now <= until)
}

/// Whether an instant lies within a span of now, on either side: a clock that is set back makes nothing last longer.
fn is_within(instant: Millis, span: Duration, now: Millis) -> bool {
    u128::from(now.0.abs_diff(instant.0)) < span.as_millis()
}
