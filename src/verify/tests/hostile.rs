//! Random headers, bodies and queries are rejected by every provider of the table, without a panic.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::providers::{TimestampLocation, ValueLocation, all};

const SECRET: &str = "bmV3ZXN0IHNlY3JldCE=";

/// Header names that some provider uses, in any case, and others.
fn name() -> impl Strategy<Value = String> {
    let mut known = vec!["content-type".to_owned(), "webhook-id".to_owned(), "svix-id".to_owned()];
    for (source, _) in sources() {
        known.extend(source.scheme.signature_locations().filter_map(|place| match place {
            ValueLocation::Header(name) => Some(name.clone()),
            ValueLocation::Numbered(prefix) => Some(format!("{prefix}1")),
            _ => None,
        }));
        if let Some(TimestampLocation::At(ValueLocation::Header(name))) =
            source.scheme.timestamp.as_ref().map(|time| &time.location)
        {
            known.push(name.clone());
        }
    }
    prop_oneof![4 => proptest::sample::select(known), 1 => "[a-zA-Z-]{1,12}"]
}

/// A source for every supported provider.
fn sources() -> &'static [(Source, Verifier)] {
    static SOURCES: LazyLock<Vec<(Source, Verifier)>> = LazyLock::new(|| {
        let rows = all().filter(|(_, row)| row.unsupported.is_none());
        let sources = rows.map(|(name, row)| walk::source_of(name, walk::scheme_of(row), &[0]));
        sources
            .map(|source| {
                let verifier = Verifier::new(&source);
                (source, verifier)
            })
            .collect()
    });
    &SOURCES
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "(sha256=|v0=|v1,|t=[0-9]{0,20},v1=|v1=)?[0-9a-fA-F]{0,70}".prop_map(String::into_bytes),
        "(v1,|v1a,)[A-Za-z0-9+/]{0,44}={0,2}( v1,[A-Za-z0-9+/]{43}=){0,20}".prop_map(String::into_bytes),
        "(sha512=|sha1=|HMAC |JWT |Bearer |Basic |v2=)[A-Za-z0-9+/=._-]{0,90}".prop_map(String::into_bytes),
        "(ts=|t=|time=|v=|,|;|&|\\||=|v0|v1|h1|d=|sign=|[0-9a-f]{8}| ){0,16}".prop_map(String::into_bytes),
        "[A-Za-z0-9_-]{0,20}(\\.[A-Za-z0-9_-]{0,20}){0,4}".prop_map(String::into_bytes),
        "[-+]?[0-9]{0,25}".prop_map(String::into_bytes),
        Just(b"1700000000".to_vec()),
        Just(b"application/json".to_vec()),
        Just(b"application/x-www-form-urlencoded".to_vec()),
        Just(b"multipart/form-data; boundary=x".to_vec()),
    ]
}

fn noise() -> impl Strategy<Value = Request> {
    let headers = proptest::collection::vec((name(), value()), 0..12);
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        r#"(\{|\}|\[|\]|:|,|"signature"|"value"|"clientState"|"passcode"|"notificationItems"|1|null){0,24}"#
            .prop_map(String::into_bytes),
        "((json|bt_signature|bt_payload|mandrill_events|signature)=[%0-9A-F&=a-z|]{0,20}&?){0,4}"
            .prop_map(String::into_bytes),
    ];
    (headers, body, "((signature|secret|code|data.id|bodySHA256)=[a-z%0-9]{0,12}&?){0,3}").prop_map(
        |(fields, body, query)| {
            let mut headers = Headers::default();
            fields.iter().for_each(|(name, value)| headers.push(name, value));
            Request { query, headers, ..request(&[], body) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_requests_are_never_genuine(request in noise(), now in prop_oneof![Just(NOW.0), any::<i64>()]) {
        for (source, verifier) in sources() {
            let result = verifier.check(&request, Millis(now));
            prop_assert!(matches!(result, Err(VerifyError::NotGenuine(_))), "{}: {result:?}", source.provider);
            let stored: Result<serde_json::Value, _> = serde_json::from_str(&verifier.headers_json(&request.headers));
            prop_assert!(stored.is_ok());
        }
    }

    #[test]
    fn genuine_delivery_with_one_changed_byte_is_rejected(
        place in any::<proptest::sample::Index>(),
        flip in 1_u8..=255,
        name in proptest::sample::select(vec!["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe", "svix"]),
    ) {
        let source = known(name, &[SECRET]);
        if source.scheme.auth == crate::providers::AuthMethod::Token {
            return Ok(());
        }
        let unsigned = TestEvent { event_type: "a.b".into(), body: b"{\"x\":[1,2,3]}".to_vec(), ..TestEvent::default() };
        let mut request = sign(&source, &unsigned, NOW).unwrap();
        let mut body = request.body.to_vec();
        *place.get_mut(&mut body) ^= flip;
        request.body = body.into();
        prop_assert!(matches!(check(&source, &request), Err(VerifyError::NotGenuine(SignatureError::NoMatch(_)))));
    }

    #[test]
    fn ids_and_types_of_any_genuine_body_can_be_stored(
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
        let signature = hex::encode(signature_of(&source, b"s", &[&body]));
        let request = request(&[("content-type", content_type), ("x-sig", &signature)], body);
        match check(&source, &request) {
            Ok(VerifiedRequest::Delivery(verified)) => {
                let item = &verified.items()[0];
                prop_assert!((1..=255).contains(&item.event_id.len()) && item.event_type.len() <= 255);
                prop_assert!(!item.event_id.contains(char::is_control) && !item.event_type.contains(char::is_control));
            }
            Err(VerifyError::Malformed(_)) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
