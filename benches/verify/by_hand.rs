//! The same schemes as someone would write them for one application, without an engine: signature, window where there is
//! one, id and type. [`Kept`] is what an inbox needs beside them: the body's digest, headers as JSON, the body shared.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookbox::request::Request;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// What a check comes to.
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) event_type: String,
}

/// What an inbox stores of it.
pub(crate) struct Kept {
    pub(crate) named: Named,
    pub(crate) sha256: [u8; 32],
    pub(crate) headers: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
}

/// A check of one scheme, its key made once.
pub(crate) type Check = Box<dyn Fn(&Request, i64) -> Option<Named>>;

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
        Some(Named { id: header(request, "x-github-delivery")?.to_owned(), event_type })
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
        Some(Named { id: body.id.into_owned(), event_type: body.event_type.into_owned() })
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
        Some(Named { id, event_type: status.clone().into_owned() })
    })
}

pub(crate) fn kept(named: Named, request: &Request) -> Kept {
    let headers: BTreeMap<&str, Cow<'_, str>> =
        request.headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
    Kept {
        named,
        sha256: Sha256::digest(&request.body).into(),
        headers: serde_json::to_string(&headers).expect("texts"),
        content_type: header(request, "content-type").map(str::to_owned),
        body: request.body.clone(),
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    std::str::from_utf8(request.headers.one(name).ok()??).ok()
}

fn is_same(expected: &[u8], written: &[u8]) -> Option<()> {
    bool::from(expected.ct_eq(written)).then_some(())
}
