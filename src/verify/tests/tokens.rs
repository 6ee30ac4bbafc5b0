//! JSON Web Tokens: accepted claims, and attacks that must fail.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::providers::{Hash, JwtAlgorithm};

const BODY: &str = r#"{"id":"1","event":"room"}"#;

fn livekit() -> Source {
    Source { api_key: Some(Secret::new("api")), ..known("livekit", &["s"]) }
}

fn claims() -> Value {
    let hash = signature_header::encode(crate::providers::Encoding::Base64, &Sha256::digest(BODY));
    json!({ "iss": "api", "sha256": hash, "exp": 1_700_000_060, "nbf": 1_699_999_990 })
}

fn token(header: &Value, claims: &Value, key: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mac = <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).unwrap();
    let signature = hmac::Mac::finalize(hmac::Mac::chain_update(mac, &message)).into_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sent(token: &str) -> Request {
    request(&[("Authorization", token), ("content-type", "application/webhook+json")], BODY)
}

fn with_claim(name: &str, value: Value) -> Request {
    let mut claims = claims();
    claims[name] = value;
    sent(&token(&json!({ "alg": "HS256" }), &claims, b"s"))
}

#[test]
fn token_is_bound_to_body_issuer_and_time() {
    let good = token(&json!({ "alg": "HS256", "typ": "JWT" }), &claims(), b"s");
    assert_eq!(event(&livekit(), &sent(&good)), ("1".to_owned(), "room".to_owned()));
    event(&livekit(), &sent(&format!("Bearer {good}")));
    assert!(matches!(
        signature_error(&livekit(), &Request { body: "{}".into(), ..sent(&good) }),
        SignatureError::ClaimMismatch(_)
    ));
    assert!(matches!(
        signature_error(&livekit(), &with_claim("iss", json!("other"))),
        SignatureError::ClaimMismatch(_)
    ));
    assert!(matches!(
        signature_error(&livekit(), &with_claim("iss", json!(["api"]))),
        SignatureError::ClaimMismatch(_)
    ));
    assert!(matches!(
        signature_error(&livekit(), &with_claim("exp", json!(1_699_999_900))),
        SignatureError::TooOld { .. }
    ));
    assert!(matches!(
        signature_error(&livekit(), &with_claim("exp", json!("1800000000"))),
        SignatureError::MalformedTimestamp(_)
    ));
    assert!(matches!(
        signature_error(&livekit(), &with_claim("nbf", json!(1_700_000_100))),
        SignatureError::InFuture { .. }
    ));
    assert!(matches!(
        signature_error(&livekit(), &with_claim("iat", json!(1_700_000_100))),
        SignatureError::InFuture { .. }
    ));
    event(&livekit(), &with_claim("iat", json!(1_500_000_000.5)));
    let mut without = claims();
    without.as_object_mut().unwrap().remove("exp");
    let unlimited = token(&json!({ "alg": "HS256" }), &without, b"s");
    assert!(matches!(signature_error(&livekit(), &sent(&unlimited)), SignatureError::MissingField(..)));
}

#[test]
fn only_the_schemes_algorithms_are_allowed_never_none() {
    for alg in ["none", "None", "HS384", "RS256", "ES256", "", "hs256"] {
        let request = sent(&token(&json!({ "alg": alg }), &claims(), b"s"));
        assert!(matches!(signature_error(&livekit(), &request), SignatureError::AlgorithmNotAllowed(_)), "{alg}");
    }
    let critical = sent(&token(&json!({ "alg": "HS256", "crit": ["b64"] }), &claims(), b"s"));
    assert!(matches!(signature_error(&livekit(), &critical), SignatureError::AlgorithmNotAllowed(_)));
    let stripped = token(&json!({ "alg": "none" }), &claims(), b"s");
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert!(matches!(signature_error(&livekit(), &sent(stripped)), SignatureError::AlgorithmNotAllowed(_)));
    assert!(matches!(
        signature_error(&livekit(), &sent(&token(&json!({ "alg": "HS256" }), &claims(), b"x"))),
        SignatureError::NoMatch(_)
    ));
    for token in ["", ".", "..", "a.b.c", "e30.e30.e30", "Bearer", "é.é.é"] {
        signature_error(&livekit(), &sent(token));
    }
}

#[test]
fn public_key_is_never_used_as_an_hmac_secret() {
    let row = crate::providers::find("fusionauth").unwrap();
    let row = ProviderRow { jwt_algorithms: vec!["RS256".to_owned()], keys: None, ..row.clone() };
    let scheme = Scheme::from_row(&row).unwrap();
    assert!(scheme.required_settings().public_key);
    let mut source = walk::source_of("fusionauth", scheme.clone(), &[0]);
    let unsigned = TestEvent {
        body: br#"{"event":{"id":"1","type":"t"}}"#.to_vec(),
        private_key: walk::private_key(&scheme),
        ..TestEvent::default()
    };
    assert_eq!(event(&source, &sign(&source, &unsigned, NOW).unwrap()), ("1".to_owned(), "t".to_owned()));
    let hash = signature_header::encode(crate::providers::Encoding::Base64, &Sha256::digest(BODY));
    let pem = source.public_keys[0].reveal().to_owned();
    for key in [pem.as_bytes(), &source.scheme.key(&source.public_keys[0]).unwrap()] {
        let forged = token(&json!({ "alg": "HS256" }), &json!({ "request_body_sha256": hash }), key);
        let request = request(&[("X-FusionAuth-Signature-JWT", &forged)], BODY);
        assert!(matches!(signature_error(&source, &request), SignatureError::AlgorithmNotAllowed(_)));
    }
    source.public_keys.clear();
    assert!(matches!(
        signature_error(&source, &sign(&walk::source_of("x", scheme, &[0]), &unsigned, NOW).unwrap()),
        SignatureError::NoMatch(_)
    ));
    let mixed = ProviderRow { jwt_algorithms: vec!["HS256".into(), "RS256".into()], ..row };
    assert!(Scheme::from_row(&mixed).is_err());
    assert_eq!(jwt::algorithm_name(JwtAlgorithm::Hs(Hash::Sha384)), "HS384");
}

#[test]
fn messagebird_signs_the_url_and_id() {
    let url = "https://a.example/hook?x=1";
    let source = Source { urls: vec![url.to_owned()], ..known("messagebird", &["s"]) };
    let claims = |url: &str| {
        json!({
            "iss": "MessageBird", "jti": "j-1", "exp": 1_700_000_060, "nbf": 1_700_000_000,
            "url_hash": hex::encode(Sha256::digest(url)), "payload_hash": hex::encode(Sha256::digest(BODY)),
        })
    };
    let sent = |url: &str| {
        request(&[("MessageBird-Signature-JWT", &token(&json!({ "alg": "HS256" }), &claims(url), b"s"))], BODY)
    };
    assert_eq!(event(&source, &sent(url)).0, "j-1");
    assert!(matches!(signature_error(&source, &sent("https://a.example/hook")), SignatureError::ClaimMismatch(_)));
}

#[test]
fn empty_body_needs_no_claim_only_if_the_scheme_says_so() {
    let url = "https://example.com/hooks";
    let bird = Source { urls: vec![url.to_owned()], ..known("messagebird", &["s"]) };
    let url_hash = hex::encode(Sha256::digest(url));
    let claims =
        json!({ "iss": "MessageBird", "url_hash": url_hash, "exp": 1_700_000_060, "nbf": 1_699_999_990, "jti": "a" });
    let sent = |claims: &Value, body: &str| {
        request(&[("MessageBird-Signature-JWT", &token(&json!({ "alg": "HS256" }), claims, b"s"))], body)
    };
    assert_eq!(event(&bird, &sent(&claims, "")).0, "a");
    assert!(matches!(signature_error(&bird, &sent(&claims, " ")), SignatureError::MissingField(..)));
    let mut hashed = claims;
    hashed["payload_hash"] = hex::encode(Sha256::digest("{}")).into();
    assert!(matches!(signature_error(&bird, &sent(&hashed, "")), SignatureError::ClaimMismatch(_)));
    assert_eq!(event(&bird, &sent(&hashed, "{}")).0, "a");
    let mut of_an_access_token = self::claims();
    of_an_access_token.as_object_mut().unwrap().remove("sha256");
    let access = self::sent(&token(&json!({ "alg": "HS256" }), &of_an_access_token, b"s"));
    assert!(matches!(
        signature_error(&livekit(), &Request { body: Bytes::new(), ..access }),
        SignatureError::MissingField(..)
    ));
}

#[test]
fn token_body_is_read_through_nested_json_strings() {
    let row = crate::providers::find("wix").unwrap();
    let source = walk::source_of("wix", Scheme::from_row(row).unwrap(), &[0]);
    let signed = |claims: Value| {
        let body = claims.to_string().into_bytes();
        let private_key = walk::private_key(&source.scheme);
        sign(&source, &TestEvent { body, private_key, ..TestEvent::default() }, NOW).unwrap()
    };
    let inner = json!({ "id": "e-1", "entityFqdn": "wix.ecom.v1.order" }).to_string();
    let middle = json!({ "data": inner, "instanceId": "i", "eventType": "wix.ecom.v1.order_created" });
    let request = signed(json!({ "data": middle.to_string(), "iat": 1_700_000_000, "exp": 1_700_000_060 }));
    assert_eq!(event(&source, &request), ("e-1".to_owned(), "wix.ecom.v1.order_created".to_owned()));
    assert_eq!(request.body.iter().filter(|byte| **byte == b'.').count(), 2);
    let stale = signed(json!({ "data": middle.to_string(), "exp": 1_699_999_900 }));
    assert!(matches!(signature_error(&source, &stale), SignatureError::TooOld { .. }));
    let bare = signed(json!({ "data": "no json" }));
    assert_eq!(event(&source, &bare).1, "");
    let nested = json!({ "a": json!("\"{\\\"b\\\":1}\"").to_string() });
    assert_eq!(jwt::claim_text(&nested, &["a".to_owned(), "b".to_owned()]), None);
}
