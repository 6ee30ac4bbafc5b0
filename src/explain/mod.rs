//! Why was this delivery refused, and which change would have made it match?
//!
//! To come.
//! To come.
