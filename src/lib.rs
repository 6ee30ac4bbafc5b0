//! hookbox receives webhooks properly. (Map to follow.)
pub mod clock;
pub mod config;
pub mod event;
pub mod handler;
pub mod inbox;
pub mod outcome;
pub mod provider;
pub mod request;
pub mod secret;
pub mod verify;
