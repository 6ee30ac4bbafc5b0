//! eBay: ECDSA over the body, in a header that is JSON in base64 and names the key, which eBay's API gives.
//!
//! After eBay's event-notification-nodejs-sdk 1.0.0. The header says which hash was used: SHA-1, or one day SHA-256; with
//! a message of nobody's choosing but eBay's, neither can stand for the other. No time is signed, so that a captured
//! delivery stays valid; its id is signed, and a second one a duplicate.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Remote;
use super::paypal::header;
use crate::model::request::Request;
use crate::providers::{Algorithm, KeyKind, PublicKey};
use crate::support::time::Millis;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::key::Key;
use crate::verify::published_keys::Api;

const HEADER: &str = "X-EBAY-SIGNATURE";

#[derive(Deserialize)]
struct Signature {
    alg: String,
    kid: String,
    signature: String,
    digest: String,
}

pub(super) fn prove(remote: &Remote, request: &Request, now: Millis) -> Result<Vec<u8>, VerifyError> {
    let not_genuine = |why: SignatureError| VerifyError::NotGenuine(why);
    let written_as = |form: &'static str| not_genuine(SignatureError::Undecodable(remote.signature.clone(), form));
    let written = header(request, HEADER).map_err(not_genuine)?;
    let json = STANDARD.decode(written).map_err(|_| written_as("base64"))?;
    let claim: Signature =
        serde_json::from_slice(&json).map_err(|_| written_as("JSON with alg, kid, signature and digest, in base64"))?;
    let algorithm = match claim.digest.to_ascii_uppercase().as_str() {
        "SHA1" => Algorithm::EcdsaP256Sha1,
        "SHA256" => Algorithm::EcdsaP256Sha256,
        _ => return Err(not_genuine(SignatureError::AlgorithmNotAllowed(remote.signature.clone()))),
    };
    if !claim.alg.eq_ignore_ascii_case("ecdsa") {
        return Err(not_genuine(SignatureError::AlgorithmNotAllowed(remote.signature.clone())));
    }
    let signature = STANDARD.decode(&claim.signature).map_err(|_| written_as("a signature in base64"))?;
    let keys = keys(remote, &claim.kid, now)?.into_iter().filter_map(|key| Key::public(algorithm, key));
    let (pieces, signatures) = ([Cow::Borrowed(&request.body[..])], [signature]);
    if keys.into_iter().any(|key| key.proves(&pieces, &signatures)) {
        Ok(Vec::new())
    } else {
        Err(not_genuine(SignatureError::NoMatch(remote.signature.clone())))
    }
}

fn keys(remote: &Remote, name: &str, now: Millis) -> Result<Vec<PublicKey>, VerifyError> {
    if !remote.own.is_empty() {
        return Ok(remote.own.clone());
    }
    let key = remote.named(Api::Ebay, name, now)?;
    Ok(PublicKey::read(KeyKind::P256, &key.der).into_iter().collect())
}

/// The header around a signature with SHA-1, as `send` makes it.
pub(crate) fn written(signature: &str) -> String {
    let whole = json!({ "alg": "ecdsa", "kid": "hookbox", "signature": signature, "digest": "SHA1" });
    STANDARD.encode(whole.to_string())
}
