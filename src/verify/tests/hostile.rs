//! Noise is refused, whatever it is made of, and nothing panics.
//!
//! Random headers, bodies and queries against every row of the table; whatever is let through is a failure.

use proptest::prelude::*;

use super::*;
use crate::provider::all;

const SECRET: &str = "bmV3ZXN0IHNlY3JldCE=";

/// Names that some row looks at, in any case, and others.
fn name() -> impl Strategy<Value = String> {
    let known = [
        "X-Hub-Signature-256",
        "X-GitHub-Delivery",
        "X-Gitlab-Token",
        "X-Shopify-Hmac-Sha256",
        "X-Slack-Signature",
        "X-Slack-Request-Timestamp",
        "webhook-signature",
        "webhook-id",
        "webhook-timestamp",
        "Stripe-Signature",
        "svix-signature",
        "svix-id",
        "svix-timestamp",
        "content-type",
    ];
    prop_oneof![proptest::sample::select(known.to_vec()).prop_map(str::to_owned), "[a-zA-Z-]{1,12}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "(sha256=|v0=|v1,|t=[0-9]{0,20},v1=|v1=)?[0-9a-fA-F]{0,70}".prop_map(String::into_bytes),
        "(v1,|v1a,)[A-Za-z0-9+/]{0,44}={0,2}( v1,[A-Za-z0-9+/]{43}=){0,20}".prop_map(String::into_bytes),
        "[-+]?[0-9]{0,25}".prop_map(String::into_bytes),
        Just(b"1700000000".to_vec()),
        Just(b"application/json".to_vec()),
    ]
}

fn noise() -> impl Strategy<Value = Request> {
    let headers = proptest::collection::vec((name(), value()), 0..12);
    (headers, proptest::collection::vec(any::<u8>(), 0..64), "[a-z=&%0-9]{0,20}").prop_map(|(fields, body, query)| {
        let mut headers = Headers::default();
        fields.iter().for_each(|(name, value)| headers.push(name, value));
        Request { query, headers, ..request(&[], body) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise_is_never_genuine(request in noise(), now in prop_oneof![Just(NOW.0), any::<i64>()]) {
        for (name, _) in all().filter(|(_, row)| row.unsupported.is_none()) {
            let verifier = Verifier::new(&known(name, &[SECRET]));
            let verdict = verifier.check(&request, Millis(now));
            prop_assert!(matches!(verdict, Err(Refusal::NotGenuine(_))), "{name}: {verdict:?}");
            let stored: Result<serde_json::Value, _> = serde_json::from_str(&verifier.headers_json(&request.headers));
            prop_assert!(stored.is_ok());
        }
    }

    #[test]
    fn a_genuine_delivery_with_one_byte_changed_is_refused(
        place in any::<proptest::sample::Index>(),
        flip in 1_u8..=255,
        name in proptest::sample::select(vec!["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe", "svix"]),
    ) {
        let source = known(name, &[SECRET]);
        if source.scheme.proof == crate::provider::Proof::Token {
            return Ok(());
        }
        let unsigned = Unsigned { event_type: "a.b".into(), body: b"{\"x\":[1,2,3]}".to_vec(), ..Unsigned::default() };
        let mut request = sign(&source, &unsigned, NOW).unwrap();
        let mut body = request.body.to_vec();
        *place.get_mut(&mut body) ^= flip;
        request.body = body.into();
        prop_assert!(matches!(check(&source, &request), Err(Refusal::NotGenuine(Why::Wrong(_)))));
    }

    #[test]
    fn whatever_a_genuine_body_holds_its_names_can_be_stored(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            r#"\{"id":("[^"]{0,300}"|-?[0-9]{1,300}|\[\]|null),"type":"[^"]{0,20}"\}"#.prop_map(String::into_bytes),
            "(id|type|payload)=[a-z%0-9{}\":&=+]{0,80}".prop_map(String::into_bytes),
        ],
        content_type in proptest::sample::select(vec!["application/json", "application/x-www-form-urlencoded", "x"]),
    ) {
        let row = "signature = 'header:X-Sig'
            algorithm = 'hmac-sha256'
            event_id = ['json:/id', 'form:id', 'form_json:payload/id']
            event_type = [['json:/type', 'form:type']]";
        let source = custom(row, "s");
        let signature = hex::encode(made(&source, b"s", &[&body]));
        let request = request(&[("content-type", content_type), ("x-sig", &signature)], body);
        match check(&source, &request) {
            Ok(Genuine::Event(verified)) => {
                let item = &verified.items()[0];
                prop_assert!((1..=255).contains(&item.event_id.len()) && item.event_type.len() <= 255);
                prop_assert!(!item.event_id.contains(char::is_control) && !item.event_type.contains(char::is_control));
            }
            Err(Refusal::Malformed(_)) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
