//! Random deliveries to any provider: nothing panics, nothing is accepted.
//!
//! The first byte selects the provider; then follow the signature up to a NUL, and the body. `cargo fuzz run delivery`

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use hookbox::internals::Millis;
use hookbox::internals::{Admission, Source};
use hookbox::internals::{self, ValueLocation, Scheme};
use hookbox::internals::{Headers, Request};
use hookbox::internals::Secret;
use hookbox::internals::{VerifiedRequest, Verifier};
use libfuzzer_sys::fuzz_target;

const NOW: Millis = Millis(1_700_000_000_000);

/// Every provider that is verified with a secret, and the location of its signature.
static SOURCES: LazyLock<Vec<(Verifier, Arc<Scheme>)>> = LazyLock::new(|| {
    internals::all()
        .filter_map(|(name, row)| {
            let scheme = Arc::new(Scheme::from_row(row).ok()?);
            // 32 bytes in whatever way the provider writes its secrets; no input can hold them.
            let secret = Secret::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
            scheme.check_secret(&secret).ok()?;
            let source = Source {
                name: name.into(),
                provider: name.to_owned(),
                path: format!("/hooks/{name}"),
                scheme: scheme.clone(),
                secrets: vec![secret],
                public_keys: Vec::new(),
                key_ids: vec![Secret::new("key")],
                api_key: Some(Secret::new("api")),
                verify_token: None,
                url: Some("https://example.com/hooks".to_owned()),
                topics: Vec::new(),
                confirm_subscriptions: false,
                keys_url: None,
                max_body: 1 << 20,
                admission: Admission::default(),
            };
            let verifier = Verifier::new(&source);
            (!verifier.may_block()).then_some((verifier, scheme))
        })
        .collect()
});

fuzz_target!(|noise: &[u8]| {
    let Some((pick, rest)) = noise.split_first() else { return };
    let (verifier, scheme) = &SOURCES[usize::from(*pick) % SOURCES.len()];
    let (signature, body) = rest.split_at(rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len()));
    let mut headers = Headers::default();
    headers.push("content-type", b"application/json");
    let mut query = String::new();
    match &scheme.signature {
        ValueLocation::Header(name) => headers.push(name, signature),
        ValueLocation::Query(name) => query = format!("{name}={}", String::from_utf8_lossy(signature)),
        _ => {}
    }
    for name in ["webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp", "x-slack-request-timestamp"] {
        headers.push(name, b"1700000000");
    }
    let request = Request {
        method: "POST".to_owned(),
        path: "/hooks/here".to_owned(),
        query,
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: NOW,
    };
    if let Ok(VerifiedRequest::Delivery(event)) = verifier.check(&request, NOW) {
        panic!("noise was accepted from {}", event.source());
    }
});
