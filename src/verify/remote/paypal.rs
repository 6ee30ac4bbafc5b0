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
use crate::providers::Place;
use crate::support::time::Millis;
use crate::verify::published_keys::{Address, Hosts, Pin};
use crate::verify::refusal::{Refusal, Why};

const CERTIFICATES: Pin =
    Pin { hosts: Hosts::Under("paypal.com"), path_prefix: "/v1/notifications/certs/", path_suffix: "" };
pub(super) const ALGORITHM: &str = "SHA256withRSA";

pub(super) fn prove(remote: &Remote, request: &Request, now: Millis) -> Result<Vec<u8>, Refusal> {
    let header = |name: &str| header(request, name).map_err(Refusal::NotGenuine);
    let signature = header("PAYPAL-TRANSMISSION-SIG")?;
    let [id, time] = [header("PAYPAL-TRANSMISSION-ID")?, header("PAYPAL-TRANSMISSION-TIME")?];
    if header("PAYPAL-AUTH-ALGO")? != ALGORITHM {
        return Err(Refusal::NotGenuine(Why::NoMessage("a PayPal webhook signed with SHA256withRSA")));
    }
    let foreign = |why| Refusal::NotGenuine(Why::ForeignAddress("PAYPAL-CERT-URL", why));
    let address = Address::pinned(header("PAYPAL-CERT-URL")?, CERTIFICATES, remote.ring.base()).map_err(foreign)?;
    let place = || remote.signature.clone();
    let signature = STANDARD.decode(signature).map_err(|_| Refusal::NotGenuine(Why::Undecodable(place(), "base64")))?;
    let keys = remote.certified(&address, now)?;
    let proves = |webhook: &String| {
        let digest = Sha256::digest(text(id, time, webhook, &request.body));
        keys.iter().any(|key| key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).is_ok())
    };
    if remote.ids.iter().any(proves) {
        Ok(time.as_bytes().to_vec())
    } else {
        Err(Refusal::NotGenuine(Why::Wrong(place())))
    }
}

/// What is signed.
pub(super) fn text(id: &str, time: &str, webhook: &str, body: &[u8]) -> String {
    format!("{id}|{time}|{webhook}|{}", crc32fast::hash(body))
}

pub(super) fn header<'a>(request: &'a Request, name: &str) -> Result<&'a str, Why> {
    let place = || Place::Header(name.to_owned());
    let value = request.headers.one(name).map_err(|Repeated| Why::Repeated(place()))?.unwrap_or_default();
    match std::str::from_utf8(value) {
        Ok("") | Err(_) => Err(Why::Missing(place())),
        Ok(text) => Ok(text),
    }
}
