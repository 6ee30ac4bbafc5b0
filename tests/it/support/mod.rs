//! The test builder and its parts: handler scripts, signed deliveries, a raw HTTP client, reads of the inbox file.

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
