//! PayPal: a signature over id, time, webhook id and the CRC-32 of the body, with a certificate that a header names.
//!
//! See developer.paypal.com, webhooks, self verification method. A CRC-32 only detects accidents: an attacker with one
//! genuine delivery can make others with the same checksum until its time is too old.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::keys::RemoteKeys;
use crate::providers::{Algorithm, Hash, ValueLocation};
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::context::{Context, required_header};
use crate::verify::error::{SignatureError, VerifyResult};
use crate::verify::published_keys::{AllowedHosts, AllowedUrls, KeyUrl};

const CERTIFICATES: AllowedUrls =
    AllowedUrls { hosts: AllowedHosts::Under("paypal.com"), path_prefix: "/v1/notifications/certs/", path_suffix: "" };
pub(crate) const ALGORITHM: &str = "SHA256withRSA";

/// Returns the transmission time.
pub(super) fn verify(remote: &RemoteKeys, context: &Context<'_>, now: Millis) -> VerifyResult<Vec<u8>> {
    let request = context.request;
    let header = |name: &str| required_header(request, name);
    let signature = header("PAYPAL-TRANSMISSION-SIG")?;
    let [id, time] = [header("PAYPAL-TRANSMISSION-ID")?, header("PAYPAL-TRANSMISSION-TIME")?];
    if header("PAYPAL-AUTH-ALGO")? != ALGORITHM {
        let place = ValueLocation::Header("PAYPAL-AUTH-ALGO".to_owned());
        return Err(SignatureError::UnexpectedValue(place, ALGORITHM.to_owned()).into());
    }
    let not_allowed = |reason| SignatureError::UrlNotAllowed("PAYPAL-CERT-URL", reason);
    let url = KeyUrl::allowed(header("PAYPAL-CERT-URL")?, CERTIFICATES, remote.cache.base()).map_err(not_allowed)?;
    let place = || context.signature_place();
    let signature = STANDARD.decode(signature).map_err(|_| SignatureError::Undecodable(place(), "base64"))?;
    let keys = remote.configured_or_certified(Algorithm::Rsa(Hash::Sha256), &url, now)?;
    let signatures = [signature];
    let verifies = |webhook: &Secret| {
        let pieces = [Cow::Owned(signed_text(id, time, webhook.reveal(), &request.body).into_bytes())];
        keys.iter().any(|key| key.verifies(&pieces, &signatures))
    };
    if context.source.key_ids.iter().any(verifies) {
        Ok(time.as_bytes().to_vec())
    } else {
        Err(SignatureError::NoMatch(place()).into())
    }
}

pub(crate) fn signed_text(id: &str, time: &str, webhook: &str, body: &[u8]) -> String {
    format!("{id}|{time}|{webhook}|{}", crc32fast::hash(body))
}
