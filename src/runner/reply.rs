//! What a handler has to say to the provider, told alike in every mode: a command's stdout, a worker's `response`, an
//! endpoint's answer.
//!
//! ReplyParts of an attempt that succeeded come in, a [`HandlerResponse`] goes out, or, for the ledger, why the provider was answered
//! plainly. Whether the handler may respond at all is its mode's to ask.

use crate::model::response::HandlerResponse;

/// As they were said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReplyParts {
    /// 200 where none is named.
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

impl ReplyParts {
    /// What can be sent of them; if they cannot, the reason is added to the notes.
    pub(super) fn sendable(self, notes: &mut Vec<String>) -> Option<HandlerResponse> {
        match HandlerResponse::new(self.status, self.content_type, self.body) {
            Ok(response) => Some(response),
            Err(why) => {
                notes.push(plainly(&why));
                None
            }
        }
    }
}

/// For the ledger.
pub(super) fn plainly(why: &str) -> String {
    format!("the provider was answered plainly: {why}")
}
