//! Keys against a provider on this machine.
//!
//! What other rooms' tests need of it is `provider`: keys, certificates, and a server that says what a test wants.

mod jwks_cache;
pub(crate) mod provider;
