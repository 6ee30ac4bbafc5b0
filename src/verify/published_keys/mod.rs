//! Keys that providers publish: fetched over TLS from the provider's own hosts, kept for a while, shared by threads.
//!
//! An address and perhaps the name of a key come in, public keys go out. Fetching blocks, for five seconds at most,
//! and every quantity of it has a limit, since strangers can ask for it. Which signatures the keys prove is the verify
//! room's to say.

mod allowed_hosts;
mod api;
mod ebay;
mod fetch;
mod jwks_cache;
mod plaid;
mod public_key;
#[cfg(test)]
pub(crate) mod tests;

pub use allowed_hosts::{Address, Hosts, Pin};
pub use api::{Api, Credentials};
pub use jwks_cache::{KeyError, KeyRing};
pub use public_key::{Kind, PublishedKey};
