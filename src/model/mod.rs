//! The nouns that every module shares: states of events, jobs and attempts, HTTP requests as received, responses, and
//! rejected deliveries.

pub mod event;
pub mod filter;
pub mod refusal;
pub mod request;
pub mod response;
