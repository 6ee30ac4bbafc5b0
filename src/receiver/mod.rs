//! The public HTTP server: receives deliveries, has them verified and stored, and responds.
//!
//! A 200 is sent only for a receipt of the inbox or for a handshake. Headers, bodies, time, connections and the bytes of
//! all requests together are limited. The receiver runs no handlers.

mod endpoint;
mod limits;
mod pipeline;
mod rejections;
mod request;
mod response;
mod server;
mod unknown_path;

pub use endpoint::Endpoints;
pub use server::ReceiverServer;
