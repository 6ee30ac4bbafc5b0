//! eBay: an ECDSA signature over the body, in a header of base64 JSON that names a key of eBay's API.
//!
//! Follows eBay's event-notification-nodejs-sdk 1.0.0. The header also names the hash: SHA-1, or SHA-256 in future. Only
//! eBay chooses the message, so neither hash can be used to forge the other. No time is signed, so a captured delivery
//! stays valid; its id is signed, so that a replay is a duplicate.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::keys::RemoteKeys;
use crate::providers::Algorithm;
use crate::support::time::Millis;
use crate::verify::context::{Context, required_header};
use crate::verify::error::{SignatureError, VerifyResult};
use crate::verify::published_keys::KeyApi;

const HEADER: &str = "X-EBAY-SIGNATURE";

#[derive(Deserialize)]
struct EbaySignature {
    alg: String,
    kid: String,
    signature: String,
    digest: String,
}

/// Returns an empty timestamp.
pub(super) fn verify(remote: &RemoteKeys, context: &Context<'_>, now: Millis) -> VerifyResult<Vec<u8>> {
    let request = context.request;
    let place = || context.signature_place();
    let undecodable = |expected| SignatureError::Undecodable(place(), expected);
    let json = STANDARD.decode(required_header(request, HEADER)?).map_err(|_| undecodable("base64"))?;
    let header: EbaySignature = serde_json::from_slice(&json)
        .map_err(|_| undecodable("JSON with alg, kid, signature and digest, in base64"))?;
    let algorithm = match header.digest.to_ascii_uppercase().as_str() {
        "SHA1" => Algorithm::EcdsaP256Sha1,
        "SHA256" => Algorithm::EcdsaP256Sha256,
        _ => return Err(SignatureError::AlgorithmNotAllowed(place()).into()),
    };
    if !header.alg.eq_ignore_ascii_case("ecdsa") {
        return Err(SignatureError::AlgorithmNotAllowed(place()).into());
    }
    let signature = STANDARD.decode(&header.signature).map_err(|_| undecodable("a signature in base64"))?;
    let keys = remote.configured_or_named(context.source, algorithm, KeyApi::Ebay, &header.kid, now)?;
    let (pieces, signatures) = ([Cow::Borrowed(&request.body[..])], [signature]);
    if keys.iter().any(|key| key.verifies(&pieces, &signatures)) {
        Ok(Vec::new())
    } else {
        Err(SignatureError::NoMatch(place()).into())
    }
}

/// The header for a SHA-1 signature in base64, for test deliveries.
pub(crate) fn write_header(signature: &str) -> String {
    let header = json!({ "alg": "ecdsa", "kid": "hookbox", "signature": signature, "digest": "SHA1" });
    STANDARD.encode(header.to_string())
}
