//! The same schemes, hand-written for one application: signature, tolerance, id, type and the body's digest.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hookbox::internals::Request;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// The result of a check.
pub(crate) struct Read {
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) sha256: [u8; 32],
}

/// A check of one scheme with a prepared key.
pub(crate) type Check = Box<dyn Fn(&Request, i64) -> Option<Read>>;

pub(crate) fn github(secret: &str) -> Check {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        action: Option<Cow<'a, str>>,
    }
    let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    Box::new(move |request, _| {
        let written = header(request, "x-hub-signature-256")?.strip_prefix("sha256=")?;
        let mut mac = keyed.clone();
        mac.update(&request.body);
        is_same(&mac.finalize().into_bytes(), &hex::decode(written).ok()?)?;
        let body: Body<'_> = serde_json::from_slice(&request.body).ok()?;
        let name = header(request, "x-github-event")?;
        let event_type = body.action.map_or_else(|| name.to_owned(), |action| format!("{name}.{action}"));
        Some(read(header(request, "x-github-delivery")?.to_owned(), event_type, request))
    })
}

pub(crate) fn stripe(secret: &str) -> Check {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(borrow, rename = "type")]
        event_type: Cow<'a, str>,
    }
    let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    Box::new(move |request, now| {
        let (mut time, mut signatures) = (None, Vec::new());
        for item in header(request, "stripe-signature")?.split(',') {
            match item.split_once('=')? {
                ("t", value) => time = Some(value),
                ("v1", value) => signatures.push(hex::decode(value).ok()?),
                _ => {}
            }
        }
        let time = time?;
        let mut mac = keyed.clone();
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(&request.body);
        let expected = mac.finalize().into_bytes();
        signatures.iter().find_map(|signature| is_same(&expected, signature))?;
        (now.abs_diff(time.parse().ok()?) <= 300).then_some(())?;
        let body: Body<'_> = serde_json::from_slice(&request.body).ok()?;
        Some(read(body.id.into_owned(), body.event_type.into_owned(), request))
    })
}

pub(crate) fn twilio(secret: &str, url: &str) -> Check {
    let keyed = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any key");
    let url = url.to_owned();
    Box::new(move |request, _| {
        let written = STANDARD.decode(header(request, "x-twilio-signature")?).ok()?;
        let mut fields: Vec<_> = form_urlencoded::parse(&request.body).collect();
        fields.sort();
        let mut mac = keyed.clone();
        mac.update(url.as_bytes());
        for (name, value) in &fields {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        is_same(&mac.finalize().into_bytes(), &written)?;
        let (_, status) = fields.iter().find(|(name, _)| name == "MessageStatus")?;
        let id = header(request, "i-twilio-idempotency-token")?.to_owned();
        Some(read(id, status.clone().into_owned(), request))
    })
}

fn read(id: String, event_type: String, request: &Request) -> Read {
    Read { id, event_type, sha256: Sha256::digest(&request.body).into() }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    std::str::from_utf8(request.headers.one(name).ok()??).ok()
}

fn is_same(expected: &[u8], written: &[u8]) -> Option<()> {
    bool::from(expected.ct_eq(written)).then_some(())
}
