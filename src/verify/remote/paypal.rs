//! PayPal: a signature over id, time, webhook and the CRC-32 of the body, with a certificate that a header names.
//!
//! developer.paypal.com, webhooks, self verification method. The CRC-32 protects a body against accidents alone: whoever
//! has one genuine delivery can make others with the same, until its time is too old.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};

use super::Remote;
use crate::clock::Millis;
use crate::keys::{Address, Hosts, Pin};
use crate::provider::Place;
use crate::request::{Repeated, Request};
use crate::verify::refusal::{Refusal, Why};

const CERTIFICATES: Pin =
    Pin { hosts: Hosts::Under("paypal.com"), path_prefix: "/v1/notifications/certs/", path_suffix: "" };
const ALGORITHM: &str = "SHA256withRSA";

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
    let key = remote.certificate(&address, now)?;
    let Ok(key) = RsaPublicKey::from_public_key_der(&key.der) else {
        return Err(Refusal::NotGenuine(Why::UnknownKey));
    };
    let checksum = crc32fast::hash(&request.body);
    let proves = |webhook: &String| {
        let digest = Sha256::digest(format!("{id}|{time}|{webhook}|{checksum}"));
        key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).is_ok()
    };
    if remote.ids.iter().any(proves) {
        Ok(time.as_bytes().to_vec())
    } else {
        Err(Refusal::NotGenuine(Why::Wrong(place())))
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Result<&'a str, Why> {
    let place = || Place::Header(name.to_owned());
    let value = request.headers.one(name).map_err(|Repeated| Why::Repeated(place()))?.unwrap_or_default();
    match std::str::from_utf8(value) {
        Ok("") | Err(_) => Err(Why::Missing(place())),
        Ok(text) => Ok(text),
    }
}
