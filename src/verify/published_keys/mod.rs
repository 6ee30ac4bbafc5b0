//! Public keys of providers: fetched over TLS from the provider's own hosts, cached, shared by threads.
//!
//! Fetching blocks for at most five seconds. Strangers can cause it, so the number of fetches, waiting requests and
//! cached documents is limited.

mod allowed_hosts;
mod fetch;
mod jwks_cache;
mod key_api;
mod public_key;
#[cfg(test)]
pub(crate) mod tests;

pub use allowed_hosts::{AllowedHosts, AllowedUrls, KeyUrl};
pub use jwks_cache::{JwksCache, KeyFetchError};
pub use key_api::{Credentials, KeyApi};
pub use public_key::PublishedKey;
