//! The response of a handler to the provider, and quotes of what handlers write.

use std::borrow::Cow;

use crate::model::response::HandlerResponse;

/// Longest quote from an answer, in bytes.
const MAX_QUOTED_BYTES: usize = 200;

/// A response as the handler gave it, unchecked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReplyParts {
    /// 200 if missing.
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

impl ReplyParts {
    /// The response, if it may be sent; otherwise the reason goes to the notes.
    pub(super) fn into_response(self, notes: &mut Vec<String>) -> Option<HandlerResponse> {
        HandlerResponse::new(self.status, self.content_type, self.body)
            .map_err(|reason| notes.push(not_sent(&reason)))
            .ok()
    }
}

pub(super) fn not_sent(reason: &str) -> String {
    format!("the response was not sent to the provider: {reason}")
}

/// The beginning of a text, with `…` if there is more.
pub(super) fn beginning(text: &str) -> Cow<'_, str> {
    match &text[..text.floor_char_boundary(MAX_QUOTED_BYTES)] {
        whole if whole.len() == text.len() => whole.into(),
        start => format!("{start}…").into(),
    }
}

/// The beginning of a text that may contain control characters.
pub(super) fn quoted(text: &str) -> String {
    beginning(text).escape_debug().to_string()
}
