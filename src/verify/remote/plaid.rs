//! Plaid: a JSON Web Token (ES256) over the body's SHA-256, with a key that the token names and Plaid's API gives.
//!
//! plaid.com/docs/api/webhooks/webhook-verification. The token and its claims are the engine's; here is which key it was
//! signed with. A token that names none, or none that can be asked for, is refused without asking anyone.

use super::Remote;
use crate::support::time::Millis;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::published_keys::{Api, PublishedKey};

pub(super) fn keys(remote: &Remote, name: Option<&str>, now: Millis) -> Result<Vec<PublishedKey>, VerifyError> {
    let name = name.ok_or(VerifyError::NotGenuine(SignatureError::UnknownKey))?;
    Ok(vec![remote.named(Api::Plaid, name, now)?])
}
