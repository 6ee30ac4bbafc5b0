//! Verifies deliveries with public keys that the provider publishes, fetched when needed.
//!
//! Fetching blocks the caller. A failed fetch is [`super::VerifyError::Unavailable`], not a wrong signature: the provider will
//! send the delivery again. Schemes that need code have a file each; they return the text of the signed timestamp.

pub(super) mod ebay;
mod keys;
pub(super) mod paypal;
pub(super) mod sns;
#[cfg(test)]
mod tests;

use super::context::Context;
use super::error::{SignatureError, VerifyResult};
use super::handshake::ProviderResponse;
use super::published_keys::KeyUrl;
use super::signature::{self, SignedMetadata};
use crate::providers::{AuthMethod, BuiltinScheme};
use crate::support::time::Millis;

pub(super) use keys::RemoteKeys;
pub use keys::SharedKeys;

/// A subscription that can be confirmed with [`super::Verifier::confirm`].
#[derive(Debug, Clone)]
pub struct SubscriptionConfirmation {
    url: KeyUrl,
    /// The response to send once it is confirmed.
    pub(super) response: ProviderResponse,
}

pub(super) fn verify<'a>(remote: &RemoteKeys, context: &Context<'a>, now: Millis) -> VerifyResult<SignedMetadata<'a>> {
    let scheme = context.scheme;
    if let AuthMethod::Builtin(code) = scheme.auth {
        let timestamp = match code {
            BuiltinScheme::AwsSns => sns::verify(remote, context, now),
            BuiltinScheme::PayPal => paypal::verify(remote, context, now),
            BuiltinScheme::Ebay => ebay::verify(remote, context, now),
        }?;
        let signed = SignedMetadata { timestamp: Some(timestamp.into()), claims: None };
        signature::check_age(scheme, &signed, now)?;
        return Ok(signed);
    }
    // Rejects what no key could verify, before anything is fetched.
    if let Err(error) = signature::verify(context, &[], now)
        && !matches!(error, SignatureError::NoMatch(_))
    {
        return Err(error.into());
    }
    let key_name = keys::key_name(context)?;
    let keys = remote.keys(context.source, key_name.as_deref(), now)?;
    match signature::verify(context, &keys, now) {
        // The signature does not name its key, which may be newer than the known ones.
        Err(SignatureError::NoMatch(_)) if key_name.is_none() => {
            Ok(signature::verify(context, &remote.newer_keys(context.source, now)?, now)?)
        }
        result => Ok(result?),
    }
}

/// Checks the URL of a subscription that is to be confirmed.
pub(super) fn confirmation(
    remote: &RemoteKeys,
    url: &str,
    response: ProviderResponse,
) -> VerifyResult<SubscriptionConfirmation> {
    let url = sns::subscribe_url(url, remote.cache.base())?;
    Ok(SubscriptionConfirmation { url, response })
}

pub(super) fn confirm(
    remote: &RemoteKeys,
    confirmation: SubscriptionConfirmation,
    now: Millis,
) -> VerifyResult<ProviderResponse> {
    remote.cache.visit(&confirmation.url, now).map_err(keys::verify_error)?;
    Ok(confirmation.response)
}
