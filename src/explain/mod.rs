//! Why was this delivery refused, and which change would have made it match?
//!
//! A refusal as it was kept comes in, with the sources as they are configured; sentences for the operator go out.
//! The verifier is asked about one change after another, so that nothing is computed here that could be shown: no
//! secret and no expected signature is in any sentence. Pure; whoever asks reads the inbox.

mod standing;

pub use standing::{Standing, stand};
