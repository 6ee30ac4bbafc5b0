//! Fetching keys from a local provider. `provider` is also used by the tests of other modules.

mod jwks_cache;
pub(crate) mod provider;
