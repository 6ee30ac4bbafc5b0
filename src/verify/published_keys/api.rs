//! Keys that a provider gives one at a time, to a program that says who it is.
//!
//! The name of a key and the application's credentials go in, the key comes out, or none where the provider knows no
//! such name. Names are written by whoever sends a delivery: they are bounded before they become part of a question.
//! What each provider is asked, and how it answers, stands in a file of its own.

use std::sync::Mutex;
use std::time::Duration;

use super::allowed_hosts::Address;
use super::jwks_cache::Fetched;
use super::{ebay, plaid};
use crate::support::net::keys_url::KeysUrl;
use crate::support::secret::Secret;
use crate::support::time::Millis;

/// Longest name of a key: UUIDs are 36 long.
const LONGEST_NAME: usize = 128;

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `/webhook_verification_key/get`
    Plaid,
    /// `/commerce/notification/v1/public_key/NAME`
    Ebay,
}

/// What the application is known by.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The client id.
    pub id: Secret,
    /// The client secret.
    pub secret: Secret,
}

/// What stands for the credentials for a while.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) until: Millis,
}

impl Api {
    /// Where a key is asked for; none for what cannot be a key's name.
    pub(super) fn address(self, name: &str, base: Option<&KeysUrl>) -> Option<Address> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits);
        is_name.then(|| match self {
            Self::Plaid => plaid::address(name, base),
            Self::Ebay => ebay::address(name, base),
        })
    }

    pub(super) fn fetch(
        self,
        address: &Address,
        credentials: &Credentials,
        (token, base): (&Mutex<Option<Token>>, Option<&KeysUrl>),
        (time_limit, now): (Duration, Millis),
    ) -> Fetched {
        match self {
            Self::Plaid => plaid::fetch(address, credentials, time_limit),
            Self::Ebay => ebay::fetch(address, credentials, (token, base), (time_limit, now)),
        }
    }
}
