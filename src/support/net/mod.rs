//! Network plumbing: listening sockets, TLS, the client behind proxies, and checked addresses.

pub mod forwarded;
pub mod keys_url;
pub mod nearest_path;
pub mod network_fs;
pub mod secret_path;
pub mod socket;
pub mod tls;
