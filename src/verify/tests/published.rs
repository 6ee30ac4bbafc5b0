//! Signatures from the documentation and SDK test suites of providers, listed in `vectors.json`.

use crate::verify::context::Context;
use serde::Deserialize;

use super::*;
use crate::providers::{AuthMethod, TimestampLocation};

#[derive(Deserialize)]
struct Vector {
    id: String,
    provider: String,
    secret: String,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
    source: String,
    #[serde(default)]
    url: Option<String>,
}

const FORMS: [&str; 2] = ["twilio-sdk-form", "dropbox-sign-sdk"];

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

impl Vector {
    fn source(&self) -> Source {
        let mut source = known(&self.provider, &[]);
        let secrets = vec![Secret::new(self.secret.clone())];
        let is_public = source.scheme.auth.is_asymmetric();
        (source.secrets, source.public_keys) = if is_public { (vec![], secrets) } else { (secrets, vec![]) };
        source.urls = self.url.clone().into_iter().collect();
        // The configured URL does not contain the body's hash.
        if let Some((url, _)) = self.url.as_ref().and_then(|url| url.split_once("&bodySHA256=")) {
            source.urls = vec![url.to_owned()];
        }
        source.key_ids = self.headers.get("X-Pusher-Key").map(|id| Secret::new(id.clone())).into_iter().collect();
        source
    }

    fn request(&self) -> Request {
        let mut request = request(&[], self.body.as_bytes());
        let kind = if FORMS.contains(&&*self.id) { "application/x-www-form-urlencoded" } else { "application/json" };
        request.headers.push("content-type", kind.as_bytes());
        self.headers.iter().for_each(|(name, value)| request.headers.push(name, value.as_bytes()));
        if self.provider == "box" {
            request.headers.push("box-signature-version", b"1");
            request.headers.push("box-signature-algorithm", b"HmacSHA256");
        }
        if let Some((_, query)) = self.url.as_ref().and_then(|url| url.split_once('?')) {
            request.query = query.to_owned();
        }
        request
    }

    /// The time in the vector's timestamp.
    fn now(&self, source: &Source) -> Millis {
        let case_of = |place: &ValueLocation| {
            let (urls, request) = (Vec::new(), self.request());
            let context = Context::new(source, &urls, &request);
            String::from_utf8(context.required(place).unwrap().into_owned()).unwrap()
        };
        let Some(timestamp) = &source.scheme.timestamp else { return NOW };
        let text = match &timestamp.location {
            TimestampLocation::At(place) => case_of(place),
            _ => {
                let written = case_of(&source.scheme.signature);
                signature_header::read(&source.scheme, &written).unwrap().timestamp.unwrap().to_owned()
            }
        };
        Millis(timestamp::read(text.as_bytes(), timestamp.unit).unwrap())
    }
}

fn is_genuine(source: &Source, request: &Request, now: Millis) -> Result<(), SignatureError> {
    match Verifier::new(source).check(request, now) {
        Err(VerifyError::NotGenuine(error)) => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn published_signatures_match_only_their_body_secret_and_time() {
    let vectors = vectors();
    assert!(vectors.len() >= 22, "{}", vectors.len());
    for vector in vectors {
        let (source, request) = (vector.source(), vector.request());
        let now = vector.now(&source);
        let id = &vector.id;
        assert!(!vector.source.is_empty());
        assert_eq!(is_genuine(&source, &request, now), Ok(()), "{id}");
        if source.scheme.covers_body() {
            for body in [format!("{} ", vector.body), vector.body[1..].to_owned()] {
                assert!(is_genuine(&source, &Request { body: body.into(), ..request.clone() }, now).is_err(), "{id}");
            }
        }
        let others = if matches!(&source.scheme.auth, AuthMethod::Signature(signed) if signed.algorithm.is_asymmetric())
        {
            Source { public_keys: vec![], ..source.clone() }
        } else {
            Source { secrets: vec![Secret::new("c3RyYW5nZXI0")], ..source.clone() }
        };
        assert!(is_genuine(&others, &request, now).is_err(), "{id}");
        if let Some(window) = source.scheme.tolerance {
            let late = Millis(now.0 + i64::try_from(window.as_millis()).unwrap() + 1000);
            assert!(matches!(is_genuine(&source, &request, late), Err(SignatureError::TooOld { .. })), "{id}");
        }
    }
}
