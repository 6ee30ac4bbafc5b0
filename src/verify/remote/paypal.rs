//! PayPal: a signature over id, time, webhook and the CRC-32 of the body, with a certificate that a header names.
//!
//! developer.paypal.com, webhooks, self verification method. The CRC-32 protects a body against accidents alone: whoever
//! has one genuine delivery can make others with the same, until its time is too old.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::Pkcs1v15Sign;
use sha2::{Digest, Sha256};

use super::Remote;
use crate::model::request::{Repeated, Request};
use crate::providers::ValueLocation;
use crate::support::time::Millis;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::published_keys::{Address, Hosts, Pin};

const CERTIFICATES: Pin =
    Pin { hosts: Hosts::Under("paypal.com"), path_prefix: "/v1/notifications/certs/", path_suffix: "" };
pub(crate) const ALGORITHM: &str = "SHA256withRSA";

pub(super) fn prove(remote: &Remote, request: &Request, now: Millis) -> Result<Vec<u8>, VerifyError> {
    let header = |name: &str| header(request, name).map_err(VerifyError::NotGenuine);
    let signature = header("PAYPAL-TRANSMISSION-SIG")?;
    let [id, time] = [header("PAYPAL-TRANSMISSION-ID")?, header("PAYPAL-TRANSMISSION-TIME")?];
    if header("PAYPAL-AUTH-ALGO")? != ALGORITHM {
        return Err(VerifyError::NotGenuine(SignatureError::NotAMessage("a PayPal webhook signed with SHA256withRSA")));
    }
    let foreign = |why| VerifyError::NotGenuine(SignatureError::UrlNotAllowed("PAYPAL-CERT-URL", why));
    let address = Address::pinned(header("PAYPAL-CERT-URL")?, CERTIFICATES, remote.ring.base()).map_err(foreign)?;
    let place = || remote.signature.clone();
    let signature = STANDARD
        .decode(signature)
        .map_err(|_| VerifyError::NotGenuine(SignatureError::Undecodable(place(), "base64")))?;
    let keys = remote.certified(&address, now)?;
    let proves = |webhook: &String| {
        let digest = Sha256::digest(text(id, time, webhook, &request.body));
        keys.iter().any(|key| key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).is_ok())
    };
    if remote.ids.iter().any(proves) {
        Ok(time.as_bytes().to_vec())
    } else {
        Err(VerifyError::NotGenuine(SignatureError::NoMatch(place())))
    }
}

/// What is signed.
pub(crate) fn text(id: &str, time: &str, webhook: &str, body: &[u8]) -> String {
    format!("{id}|{time}|{webhook}|{}", crc32fast::hash(body))
}

pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Result<&'a str, SignatureError> {
    let place = || ValueLocation::Header(name.to_owned());
    let value = request.headers.one(name).map_err(|Repeated| SignatureError::Repeated(place()))?.unwrap_or_default();
    match std::str::from_utf8(value) {
        Ok("") | Err(_) => Err(SignatureError::Missing(place())),
        Ok(text) => Ok(text),
    }
}
