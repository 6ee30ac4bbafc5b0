//! Random `verify` tables in use: a random template signs a random body, and random selectors read it. A signed body is
//! accepted or rejected, an altered body is never accepted if the template covers all of it, and nothing panics.
//!
//! The input is a template, the selectors of id and type, and the body, separated by NUL. `cargo fuzz run signed`

#![no_main]

use std::sync::Arc;

use hookbox::internals::Millis;
use hookbox::internals::{Admission, Source};
use hookbox::internals::{ProviderRow, Scheme, SelectorEntry, OneOrMany};
use hookbox::internals::Request;
use hookbox::internals::Secret;
use hookbox::internals::{VerifiedRequest, TestEvent, Verifier, sign};
use libfuzzer_sys::fuzz_target;

const NOW: Millis = Millis(1_700_000_000_000);

fuzz_target!(|noise: &[u8]| {
    let mut parts = noise.splitn(4, |byte| *byte == 0);
    let mut text = || std::str::from_utf8(parts.next().unwrap_or_default()).ok().map(str::to_owned);
    let (Some(template), Some(event_id), Some(event_type)) = (text(), text(), text()) else { return };
    let body = parts.next().unwrap_or_default();
    // Of a form single fields may be signed, and a pair that comes twice counts once, as at Twilio.
    let is_of_fields = template.contains("form");
    let row = ProviderRow {
        signature: OneOrMany::One("header:X-Signature".to_owned()),
        algorithm: "hmac-sha256".to_owned(),
        signed_content: OneOrMany::One(template),
        body_unsigned: true,
        timestamp: Some("header:X-Time".to_owned()),
        event_id: vec![SelectorEntry::One(event_id), SelectorEntry::One("body".to_owned())],
        event_type: vec![SelectorEntry::One(event_type)],
        ..ProviderRow::default()
    };
    let Ok(scheme) = Scheme::from_row(&row) else { return };
    let covers_body = scheme.covers_body();
    let source = Source {
        name: "fuzz".into(),
        provider: "custom".to_owned(),
        path: "/hooks/fuzz".to_owned(),
        scheme: Arc::new(scheme),
        secrets: vec![Secret::new("hunter2")],
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
    let event = TestEvent { body: body.to_vec(), ..TestEvent::default() };
    let Ok(request) = sign(&source, &event, NOW) else { return };
    let verifier = Verifier::new(&source);
    if let Ok(VerifiedRequest::Delivery(verified)) = verifier.check(&request, NOW) {
        assert!(verified.items().iter().all(|item| (1..=255).contains(&item.event_id.len())));
    }
    let altered = Request { body: [&request.body[..], b" x"].concat().into(), ..request };
    assert!(!covers_body || is_of_fields || verifier.check(&altered, NOW).is_err(), "an altered body was accepted");
});
