//! The most used providers in detail: only genuine deliveries are accepted.
//!
//! One case per provider describes its delivery. Each test changes one thing in all of them.

use super::*;
use crate::providers::{AuthMethod, SignatureSyntax, TimestampLocation, sample};

struct Case {
    name: &'static str,
    event_type: &'static str,
}

const CASES: &[Case] = &[
    Case { name: "github", event_type: "pull_request.opened" },
    Case { name: "gitlab", event_type: "Push Hook" },
    Case { name: "shopify", event_type: "orders/create" },
    Case { name: "slack", event_type: "app_mention" },
    Case { name: "standard-webhooks", event_type: "user.created" },
    Case { name: "stripe", event_type: "invoice.payment_failed" },
    Case { name: "svix", event_type: "user.created" },
];

const SECRET: &str = "bmV3ZXN0IHNlY3JldCE=";
const OLDER: &str = "b2xkZXIgc2VjcmV0ISE=";

impl Case {
    fn source(&self) -> Source {
        known(self.name, &[SECRET])
    }

    fn unsigned(&self) -> TestEvent {
        TestEvent {
            event_type: self.event_type.to_owned(),
            event_id: Some("id-17".to_owned()),
            body: sample(self.name, self.event_type, "id-17"),
            ..TestEvent::default()
        }
    }

    fn signed(&self) -> Request {
        sign(&self.source(), &self.unsigned(), NOW).unwrap()
    }

    fn is_token(&self) -> bool {
        self.source().scheme.auth == AuthMethod::Token
    }

    fn signature_header(&self) -> String {
        match &self.source().scheme.signature {
            ValueLocation::Header(name) => name.clone(),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn genuine_delivery_is_accepted_with_id_and_type() {
    for case in CASES {
        let (id, event_type) = event(&case.source(), &case.signed());
        assert_eq!((id.as_str(), event_type.as_str()), ("id-17", case.event_type), "{}", case.name);
        assert_eq!(case.signed().path, "/hooks/here");
    }
}

#[test]
fn delivery_without_id_is_sent_with_a_fresh_one() {
    for case in CASES {
        let unsigned = TestEvent { event_id: None, body: b"{}".to_vec(), ..case.unsigned() };
        let ids = [(); 2].map(|()| event(&case.source(), &sign(&case.source(), &unsigned, NOW).unwrap()).0);
        assert_ne!(ids[0], ids[1], "{}", case.name);
    }
}

#[test]
fn altered_body_is_rejected() {
    for case in CASES.iter().filter(|case| !case.is_token()) {
        let signed = case.signed();
        for body in [&b""[..], &signed.body[1..], &[&signed.body[..], b"\n"].concat()] {
            let altered = Request { body: body.to_vec().into(), ..signed.clone() };
            assert!(matches!(signature_error(&case.source(), &altered), SignatureError::NoMatch(_)), "{}", case.name);
        }
    }
}

#[test]
fn only_configured_secrets_are_accepted_including_the_second() {
    for case in CASES {
        let signed = case.signed();
        assert!(
            matches!(signature_error(&known(case.name, &[OLDER]), &signed), SignatureError::NoMatch(_)),
            "{}",
            case.name
        );
        assert!(
            matches!(signature_error(&known(case.name, &[]), &signed), SignatureError::NoMatch(_)),
            "{}",
            case.name
        );
        event(&known(case.name, &[OLDER, SECRET]), &signed);
        event(&known(case.name, &[SECRET, OLDER]), &signed);
    }
}

#[test]
fn missing_or_empty_signature_is_rejected() {
    for case in CASES {
        let name = case.signature_header();
        for request in [without(&case.signed(), &name), replaced(&case.signed(), &name, |_| String::new())] {
            assert_eq!(
                signature_error(&case.source(), &request),
                SignatureError::Missing(ValueLocation::Header(name.clone())),
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn signature_repeated_with_another_value_is_rejected() {
    for case in CASES {
        let name = case.signature_header();
        let same = String::from_utf8(case.signed().headers.one(&name).unwrap().unwrap().to_vec()).unwrap();
        event(&case.source(), &with(&case.signed(), &name.to_ascii_uppercase(), &same));
        let twice = with(&case.signed(), &name, "x");
        assert_eq!(
            signature_error(&case.source(), &twice),
            SignatureError::Repeated(ValueLocation::Header(name)),
            "{}",
            case.name
        );
    }
}

#[test]
fn malformed_signature_is_rejected() {
    for case in CASES {
        let name = case.signature_header();
        for change in [
            (|text: &str| text[..text.len() - 1].to_owned()) as fn(&str) -> String,
            |text| format!("{text}0"),
            |text| format!("!{text}"),
            |text| text.replace(|c: char| c.is_ascii_alphanumeric(), "é"),
            |text| text.chars().rev().collect(),
            |text| text.replace('=', ":").replace(',', ";"),
        ] {
            let request = replaced(&case.signed(), &name, change);
            if request.headers.one(&name) != case.signed().headers.one(&name) {
                signature_error(&case.source(), &request);
            }
        }
        let latin = altered(&case.signed(), |field, value| {
            Some(if field.eq_ignore_ascii_case(&name) { vec![0xff; 64] } else { value.to_vec() })
        });
        assert!(matches!(signature_error(&case.source(), &latin), SignatureError::Undecodable(..)), "{}", case.name);
    }
}

#[test]
fn changed_or_truncated_signature_is_rejected() {
    for case in CASES {
        let (source, name) = (case.source(), case.signature_header());
        let Some(encoding) = source.scheme.template_signature().map(|signed| signed.encoding) else { continue };
        let resigned = |change: &dyn Fn(&mut Vec<u8>)| {
            replaced(&case.signed(), &name, |text| {
                let claim = signature_header::read(&source.scheme, text).unwrap();
                let mut bytes = signature_header::decode(encoding, claim.signatures[0]).unwrap();
                change(&mut bytes);
                signature_header::write(
                    &source.scheme,
                    &signature_header::encode(encoding, &bytes),
                    claim.timestamp.unwrap_or_default(),
                    &[],
                )
            })
        };
        event(&source, &resigned(&|_| ()));
        for place in 0..32 {
            let flipped = resigned(&|bytes| bytes[place] ^= 1 << (place % 8));
            assert!(matches!(signature_error(&source, &flipped), SignatureError::NoMatch(_)), "{} {place}", case.name);
            let cut = resigned(&|bytes| bytes.truncate(place));
            signature_error(&source, &cut);
        }
        assert!(
            matches!(signature_error(&source, &resigned(&|bytes| bytes.push(0))), SignatureError::NoMatch(_)),
            "{}",
            case.name
        );
    }
}

#[test]
fn only_the_whole_token_matches() {
    let gitlab = known("gitlab", &["hunter2"]);
    let signed = sign(&gitlab, &CASES[1].unsigned(), NOW).unwrap();
    for token in ["hunter", "hunter22", "Hunter2", "hunter2 ", "h", "***"] {
        let request = replaced(&signed, "x-gitlab-token", |_| token.to_owned());
        assert!(matches!(signature_error(&gitlab, &request), SignatureError::NoMatch(_)), "{token}");
    }
}

#[test]
fn timestamps_beyond_the_tolerance_are_rejected() {
    for case in CASES.iter().filter(|case| case.source().scheme.timestamp.is_some()) {
        let signed_at = |seconds: i64| sign(&case.source(), &case.unsigned(), Millis(NOW.0 + seconds * 1000)).unwrap();
        for seconds in [-300, 0, 300] {
            event(&case.source(), &signed_at(seconds));
        }
        assert!(
            matches!(signature_error(&case.source(), &signed_at(-301)), SignatureError::TooOld { .. }),
            "{}",
            case.name
        );
        assert!(
            matches!(signature_error(&case.source(), &signed_at(301)), SignatureError::InFuture { .. }),
            "{}",
            case.name
        );
    }
}

#[test]
fn changed_timestamp_is_a_wrong_signature() {
    for case in CASES {
        let source = case.source();
        let request = match source.scheme.timestamp.as_ref().map(|timestamp| &timestamp.location) {
            Some(TimestampLocation::At(ValueLocation::Header(name))) => {
                let missing = without(&case.signed(), name);
                assert_eq!(
                    signature_error(&source, &missing),
                    SignatureError::Missing(ValueLocation::Header(name.clone())),
                    "{}",
                    case.name
                );
                assert!(
                    matches!(signature_error(&source, &with(&case.signed(), name, "1")), SignatureError::Repeated(_)),
                    "{}",
                    case.name
                );
                replaced(&case.signed(), name, |text| format!("0{text}"))
            }
            Some(TimestampLocation::Field(_)) => {
                let name = case.signature_header();
                let missing = replaced(&case.signed(), &name, |text| text.replace("t=", "u="));
                assert!(
                    matches!(signature_error(&source, &missing), SignatureError::MissingField(..)),
                    "{}",
                    case.name
                );
                let twice = replaced(&case.signed(), &name, |text| format!("{text},t=1700000000"));
                assert!(matches!(signature_error(&source, &twice), SignatureError::RepeatedField(..)), "{}", case.name);
                replaced(&case.signed(), &name, |text| text.replace("t=", "t=0"))
            }
            _ => continue,
        };
        assert!(matches!(signature_error(&source, &request), SignatureError::NoMatch(_)), "{}", case.name);
    }
}

#[test]
fn signed_timestamp_that_is_not_a_number_is_rejected() {
    let source = known("stripe", &[SECRET]);
    for text in ["", "now", "-5", "99999999999999999999", "9223372036854775807", "0"] {
        let mut request = request(&[("Stripe-Signature", "t=,v1=00")], "{}");
        let signature = signature_of(&source, SECRET.as_bytes(), &[text.as_bytes(), b".", b"{}"]);
        request = replaced(&request, "stripe-signature", |_| format!("t={text},v1={}", hex::encode(&signature)));
        let error = signature_error(&source, &request);
        assert!(!matches!(error, SignatureError::NoMatch(_)), "{text}: {error}");
    }
}

#[test]
fn any_of_several_signatures_matches_but_no_downgrade() {
    for case in CASES {
        let (source, name) = (case.source(), case.signature_header());
        let SignatureSyntax::KvList { item_separator, kv_separator, field, .. } = &source.scheme.syntax else {
            continue;
        };
        let item = |key: &str, value: &str| format!("{key}{kv_separator}{value}");
        let first = replaced(&case.signed(), &name, |text| format!("{text}{item_separator}{}", item(field, "AAAA")));
        event(&source, &first);
        let last = replaced(&case.signed(), &name, |text| format!("{}{item_separator}{text}", item(field, "AAAA")));
        event(&source, &last);
        for other in ["v0", "v1a", "v2", "V1", ""] {
            let downgraded = replaced(&case.signed(), &name, |text| text.replace(&item(field, ""), &item(other, "")));
            assert!(
                matches!(signature_error(&source, &downgraded), SignatureError::MissingField(..)),
                "{} {other}",
                case.name
            );
        }
        let many = replaced(&case.signed(), &name, |text| {
            format!("{text}{}", format!("{item_separator}{}", item(field, "AAAA")).repeat(16))
        });
        assert!(matches!(signature_error(&source, &many), SignatureError::TooManySignatures(_)), "{}", case.name);
    }
}

#[test]
fn hex_ignores_case_other_encodings_are_exact() {
    let github = known("github", &[SECRET]);
    let signed = sign(&github, &CASES[0].unsigned(), NOW).unwrap();
    let name = "x-hub-signature-256";
    event(&github, &replaced(&signed, name, |text| format!("sha256={}", text[7..].to_ascii_uppercase())));
    let bytes = |text: &str| hex::decode(&text[7..]).unwrap();
    for encoding in [crate::providers::Encoding::Base64, crate::providers::Encoding::Base64Url] {
        let recoded =
            replaced(&signed, name, |text| format!("sha256={}", signature_header::encode(encoding, &bytes(text))));
        assert!(matches!(signature_error(&github, &recoded), SignatureError::Undecodable(..)));
    }
    for prefix in ["sha1=", "SHA256=", ""] {
        let downgraded = replaced(&signed, name, |text| format!("{prefix}{}", &text[7..]));
        assert!(matches!(signature_error(&github, &downgraded), SignatureError::MissingPrefix(..)));
    }
}

#[test]
fn empty_or_different_message_id_is_rejected() {
    for (name, header) in [("standard-webhooks", "webhook-id"), ("svix", "svix-id")] {
        let source = known(name, &[SECRET]);
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let missing = SignatureError::Missing(ValueLocation::Header(header.to_owned()));
        assert_eq!(signature_error(&source, &without(&case.signed(), header)), missing);
        assert_eq!(signature_error(&source, &replaced(&case.signed(), header, |_| String::new())), missing);
        assert!(matches!(
            signature_error(&source, &replaced(&case.signed(), header, |_| "id-18".into())),
            SignatureError::NoMatch(_)
        ));
    }
    // A genuine webhook-* delivery cannot be replayed under a different svix-id.
    let svix = known("svix", &[SECRET]);
    let plain = sign(&known("standard-webhooks", &[SECRET]), &CASES[4].unsigned(), NOW).unwrap();
    assert_eq!(event(&svix, &plain).0, "id-17");
    assert!(matches!(signature_error(&svix, &with(&plain, "svix-id", "id-18")), SignatureError::NoMatch(_)));
    assert_eq!(event(&svix, &with(&plain, "svix-id", "")).0, "id-17");
}

#[test]
fn test_deliveries_with_a_defect_are_rejected() {
    for case in CASES {
        let source = case.source();
        let forged = TestEvent { defect: Defect::WrongSignature, ..case.unsigned() };
        assert!(
            matches!(signature_error(&source, &sign(&source, &forged, NOW).unwrap()), SignatureError::NoMatch(_)),
            "{}",
            case.name
        );
        let stale = TestEvent { defect: Defect::Stale, ..case.unsigned() };
        match (sign(&source, &stale, NOW), source.scheme.timestamp.is_some()) {
            (Ok(request), true) => {
                assert!(matches!(signature_error(&source, &request), SignatureError::TooOld { .. }), "{}", case.name)
            }
            (Err(message), false) => assert!(message.contains("signs no timestamp"), "{message}"),
            (other, _) => panic!("{}: {other:?}", case.name),
        }
    }
}

#[test]
fn errors_show_neither_secret_nor_signature() {
    for case in CASES {
        let name = case.signature_header();
        let signature = String::from_utf8(case.signed().headers.one(&name).unwrap().unwrap().to_vec()).unwrap();
        for request in [
            Request { body: "{}".into(), ..case.signed() },
            replaced(&case.signed(), &name, |text| format!("{text}!")),
            with(&case.signed(), &name, "x"),
        ] {
            let words = format!("{:?}", check(&known(case.name, &[OLDER]), &request));
            assert!(!words.contains(&signature) && !words.contains(SECRET) && !words.contains(OLDER), "{words}");
        }
    }
}

#[test]
fn tokens_are_stored_masked() {
    let gitlab = known("gitlab", &["hunter2"]);
    let case = &CASES[1];
    let request = with(&sign(&gitlab, &case.unsigned(), NOW).unwrap(), "Authorization", "Bearer hunter2");
    match check(&gitlab, &request) {
        Ok(VerifiedRequest::Delivery(verified)) => {
            assert!(!verified.headers_json().contains("hunter2"), "{}", verified.headers_json());
            assert!(verified.headers_json().contains(r#""X-Gitlab-Token":"***""#), "{}", verified.headers_json());
            assert_eq!(verified.content_type(), Some("application/json"));
        }
        other => panic!("{other:?}"),
    }
    let custom = custom("signature = 'query:token'\nalgorithm = 'token'\nevent_id = ['body']", "hunter2");
    let mut request = sign(&custom, &TestEvent::default(), NOW).unwrap();
    request.query.push_str("&x=1");
    event(&custom, &request);
    assert_eq!(Verifier::new(&custom).target(&request), "/hooks/here?token=***&x=1");
    request.query = "token=hunter&x=1".to_owned();
    assert!(matches!(signature_error(&custom, &request), SignatureError::NoMatch(_)));
}
