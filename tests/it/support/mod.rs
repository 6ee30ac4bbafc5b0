//! The one builder and what it needs: scripts as handlers, signed deliveries, a bare HTTP client, the inbox as it stands.

pub mod browser;
pub mod clients;
pub mod delivery;
pub mod disk;
pub mod endpoint;
pub mod hookbox;
pub mod inbox;
pub mod operator;
pub mod running;
pub mod script;
pub mod strace;
pub mod torture;
pub mod wait;
pub mod wire;

pub use delivery::{Delivery, github};
pub use hookbox::{BINARY, Hookbox};
pub use running::{Event, Running};
pub use wait::{until, until_within};
