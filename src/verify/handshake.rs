//! Answers to what a provider asks before it sends events.
//!
//! Only a genuine delivery gets this far, so that nobody else can make hookbox repeat their words. Nothing of a
//! handshake is stored.

use super::Answer;
use super::names::Delivery;
use super::refusal::Fault;
use crate::provider::{Handshake, Pointer};

const SLACK_TYPE: &str = "/type";
const SLACK_CHALLENGE: &str = "/challenge";

/// The places of a JSON body that a handshake looks at.
pub(super) fn pointers(handshake: Option<Handshake>) -> Vec<Pointer> {
    let texts: &[&str] = match handshake {
        Some(Handshake::SlackUrlVerification) => &[SLACK_TYPE, SLACK_CHALLENGE],
        Some(_) | None => &[],
    };
    texts.iter().filter_map(|text| Pointer::parse(text).ok()).collect()
}

/// The answer, if the delivery is a handshake and no event.
pub(super) fn answer(handshake: Option<Handshake>, delivery: &Delivery<'_>) -> Result<Option<Answer>, Fault> {
    match handshake {
        // api.slack.com/events/url_verification: the challenge in the body, as text/plain.
        Some(Handshake::SlackUrlVerification) => {
            if delivery.json(SLACK_TYPE)? != Some("url_verification") {
                return Ok(None);
            }
            let challenge = delivery.json(SLACK_CHALLENGE)?.ok_or(Fault::NoChallenge(SLACK_CHALLENGE))?;
            Ok(Some(Answer { status: 200, content_type: "text/plain".into(), body: challenge.as_bytes().to_vec() }))
        }
        Some(_) | None => Ok(None),
    }
}
