//! Plaid and eBay, whose APIs return one key at a time, with a local provider.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{NOW, event, request, signature_error, source};
use crate::config::Source;
use crate::model::request::Request;
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::published_keys::tests::provider::Provider;
use crate::verify::{SignatureError, VerifiedRequest, Verifier, VerifyError};

const KID: &str = "bfbd5111-8e33-4643-8ced-b2e642a72f3c";
const BODY: &str = r#"{"webhook_type":"TRANSACTIONS","webhook_code":"SYNC_UPDATES_AVAILABLE","item_id":"i1"}"#;
const GRANT: &str = "/identity/v1/oauth2/token";

fn application(name: &str, provider: &Provider) -> Source {
    let (api_key, secrets) = (Some(Secret::new("app-1")), vec![Secret::new("hunter2"), Secret::new("older")]);
    Source { api_key, secrets, key_ids: Vec::new(), topics: Vec::new(), ..source(name, provider) }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn later(seconds: i64) -> Millis {
    Millis(NOW.0 + seconds * 1000)
}

fn result(verifier: &Verifier, request: &Request, seconds: i64) -> Result<(), VerifyError> {
    match verifier.check(request, later(seconds)) {
        Ok(VerifiedRequest::Delivery(_)) => Ok(()),
        Err(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn unavailable(result: Result<(), VerifyError>) -> String {
    match result {
        Err(VerifyError::Unavailable(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn published(key: &SigningKey, expired_at: &Value) -> String {
    let point = key.verifying_key().to_sec1_point(false);
    let encode = |part: Option<&_>| URL_SAFE_NO_PAD.encode::<&[u8]>(<_ as AsRef<[u8]>>::as_ref(part.unwrap()));
    let (x, y) = (encode(point.x()), encode(point.y()));
    json!({
        "key": { "alg": "ES256", "created_at": 1_560_466_143, "crv": "P-256", "expired_at": expired_at, "kid": KID,
            "kty": "EC", "use": "sig", "x": x, "y": y },
        "request_id": "RZ6Omi1bzzwDaLo",
    })
    .to_string()
}

fn plaid(key: &SigningKey, (alg, kid): (&str, &str), seconds: i64, body: &str) -> Request {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let hash = hex::encode(Sha256::digest(body));
    let claims = json!({ "iat": NOW.0 / 1000 + seconds, "request_body_sha256": hash });
    let message = format!("{}.{}", part(&json!({ "alg": alg, "kid": kid, "typ": "JWT" })), part(&claims));
    let signature: Signature = key.sign(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    request(&[("plaid-verification", &token), ("content-type", "application/json")], body)
}

const ES256: (&str, &str) = ("ES256", KID);

#[test]
fn plaid_delivery_is_genuine_and_its_key_fetched_once() {
    let provider = Provider::start(&published(&key(1), &Value::Null));
    let verifier = Verifier::new(&application("plaid", &provider));
    assert!(verifier.may_block());
    for seconds in [0, 1, 299, -299, 3599] {
        assert_eq!(result(&verifier, &plaid(&key(1), ES256, seconds, BODY), seconds), Ok(()));
    }
    assert_eq!(provider.requests(), 1);
    let (target, body) = provider.asked()[0].split_once(" [] ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(target, "/webhook_verification_key/get");
    let asked: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(asked, json!({ "client_id": "app-1", "secret": "hunter2", "key_id": KID }));
    let id = format!("{}:{}", NOW.0 / 1000, hex::encode(Sha256::digest(BODY)));
    let named = (id, "TRANSACTIONS.SYNC_UPDATES_AVAILABLE".to_owned());
    assert_eq!(event(&application("plaid", &provider), &plaid(&key(1), ES256, 0, BODY)), named);
    assert_eq!(result(&verifier, &plaid(&key(1), ES256, 3600, BODY), 3600), Ok(()));
    assert_eq!(provider.requests(), 3);
}

#[test]
fn forged_altered_and_stale_plaid_deliveries_are_rejected() {
    let provider = Provider::start(&published(&key(1), &Value::Null));
    let plaids = application("plaid", &provider);
    let genuine = plaid(&key(1), ES256, 0, BODY);
    assert!(matches!(signature_error(&plaids, &plaid(&key(2), ES256, 0, BODY)), SignatureError::NoMatch(_)));
    let altered = Request { body: BODY.replace("i1", "i2").into_bytes().into(), ..genuine.clone() };
    assert_eq!(signature_error(&plaids, &altered), SignatureError::ClaimMismatch("request_body_sha256".to_owned()));
    let respaced = Request { body: BODY.replace(':', ": ").into_bytes().into(), ..genuine };
    assert_eq!(signature_error(&plaids, &respaced), SignatureError::ClaimMismatch("request_body_sha256".to_owned()));
    assert!(matches!(signature_error(&plaids, &plaid(&key(1), ES256, -301, BODY)), SignatureError::TooOld { .. }));
    assert!(matches!(signature_error(&plaids, &plaid(&key(1), ES256, 301, BODY)), SignatureError::InFuture { .. }));
    let asked = provider.requests();
    for alg in ["HS256", "none", "RS256", "es256"] {
        assert!(
            matches!(
                signature_error(&plaids, &plaid(&key(1), (alg, KID), 0, BODY)),
                SignatureError::AlgorithmNotAllowed(_)
            ),
            "{alg}"
        );
    }
    for kid in ["", "../x", "a b", "a\"b", &"a".repeat(129), &"a".repeat(300)] {
        assert_eq!(
            signature_error(&plaids, &plaid(&key(1), ("ES256", kid), 0, BODY)),
            SignatureError::UnknownKey,
            "{kid}"
        );
    }
    assert!(matches!(signature_error(&plaids, &request(&[], BODY)), SignatureError::Missing(_)));
    assert_eq!(provider.requests(), asked, "what no key could prove was asked for");
}

#[test]
fn expired_plaid_key_is_rejected() {
    let at = |seconds: i64| json!(NOW.0 / 1000 + seconds);
    let provider = Provider::start(&published(&key(1), &at(10)));
    let verifier = Verifier::new(&application("plaid", &provider));
    assert_eq!(result(&verifier, &plaid(&key(1), ES256, 9, BODY), 9), Ok(()));
    let expired = result(&verifier, &plaid(&key(1), ES256, 10, BODY), 10);
    assert_eq!(expired, Err(VerifyError::NotGenuine(SignatureError::UnknownKey)));
    assert_eq!(provider.requests(), 1);
}

#[test]
fn unknown_plaid_keys_are_fetched_once_a_minute() {
    let provider = Provider::start(&published(&key(1), &Value::Null));
    let verifier = Verifier::new(&application("plaid", &provider));
    assert_eq!(result(&verifier, &plaid(&key(1), ES256, 0, BODY), 0), Ok(()));
    let unknown = r#"{"error_type":"INVALID_INPUT","error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID"}"#;
    provider.now_answers("400 Bad Request", "", unknown);
    let other = |name: &str, seconds| plaid(&key(2), ("ES256", name), seconds, BODY);
    for seconds in [0, 1, 59] {
        let refused = result(&verifier, &other("other", seconds), seconds);
        assert_eq!(refused, Err(VerifyError::NotGenuine(SignatureError::UnknownKey)));
    }
    assert_eq!(provider.requests(), 2);
    for number in 0..100 {
        assert!(result(&verifier, &other(&format!("made-up-{number}"), 59), 59).is_err());
    }
    assert!(provider.requests() <= 22, "{} questions within a minute", provider.requests());
    assert_eq!(result(&verifier, &plaid(&key(1), ES256, 59, BODY), 59), Ok(()));
    provider.now_answers("200 OK", "", &published(&key(2), &Value::Null));
    assert_eq!(result(&verifier, &other("other", 120), 120), Ok(()));
}

#[test]
fn failing_api_is_not_a_wrong_signature() {
    let provider = Provider::start("");
    let wrong = r#"{"error_type":"INVALID_INPUT","error_code":"INVALID_API_KEYS","error_message":"hunter2"}"#;
    for (status, body, expected) in [
        ("500 Internal Server Error", "", "responded with status 500"),
        ("400 Bad Request", wrong, "responded with status 400 (INVALID_API_KEYS)"),
        ("200 OK", "<html>", "no usable key"),
        ("200 OK", r#"{"key":{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}}"#, "no usable key"),
        ("302 Found", "", "responded with status 302"),
    ] {
        provider.now_answers(status, "", body);
        for (name, delivery) in
            [("plaid", plaid(&key(1), ES256, 0, BODY)), ("ebay", ebay(&key(1), ("ecdsa", KID, "SHA1"), NOTICE))]
        {
            if (name, expected) == ("ebay", "responded with status 400 (INVALID_API_KEYS)") {
                continue;
            }
            let error = unavailable(result(&Verifier::new(&application(name, &provider)), &delivery, 0));
            let expected =
                if name == "ebay" { expected.replace("no usable key", "no access token") } else { expected.to_owned() };
            assert!(error.contains(&expected), "{name}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("app-1"), "{error}");
        }
    }
}

const NOTICE: &str =
    r#"{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION"},"notification":{"notificationId":"n1","data":{}}}"#;

fn ebay(key: &SigningKey, (alg, kid, digest): (&str, &str, &str), body: &str) -> Request {
    let hash = if digest == "SHA1" { Sha1::digest(body).to_vec() } else { Sha256::digest(body).to_vec() };
    let signature: Signature = key.sign_prehash(&hash).unwrap();
    let signature = STANDARD.encode(signature.to_der().as_bytes());
    signed(&json!({ "alg": alg, "kid": kid, "signature": signature, "digest": digest }), body)
}

fn signed(claim: &Value, body: &str) -> Request {
    let header = STANDARD.encode(claim.to_string());
    request(&[("x-ebay-signature", &header), ("content-type", "application/json")], body)
}

fn ebays(key: &SigningKey) -> Provider {
    let provider = Provider::start("");
    provider.answers_at(GRANT, "200 OK", r#"{"access_token":"v^1.1#t","expires_in":7200}"#);
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap().replace('\n', "");
    let published = json!({ "key": pem, "algorithm": "ECDSA", "digest": "SHA1" });
    provider.now_answers("200 OK", "", &published.to_string());
    provider
}

const SHA1: (&str, &str, &str) = ("ecdsa", KID, "SHA1");

#[test]
fn delivery_from_ebays_sdk_is_genuine() {
    let body = concat!(
        r#"{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION","schemaVersion":"1.0","deprecated":false},"#,
        r#""notification":{"notificationId":"49feeaeb-4982-42d9-a377-9645b8479411_33f7e043-fed8-442b-9d44-791923bd9a6d","#,
        r#""eventDate":"2021-03-19T20:43:59.462Z","publishDate":"2021-03-19T20:43:59.679Z","publishAttemptCount":1,"#,
        r#""data":{"username":"test_user","userId":"ma8vp1jySJC","eiasToken":"nY+sHZ2PrBmdj6wVnY+sEZ2PrA2dj6wJnY+gAZGEpwmdj6x9nY+seQ=="}}}"#,
    );
    let header = concat!(
        "eyJhbGciOiJlY2RzYSIsImtpZCI6Ijk5MzYyNjFhLTdkN2ItNDYyMS1hMGYxLTk2Y2NiNDI4YWY0OSIsInNpZ25hdHVyZSI6Ik1FWUNJUUNmeGZJV3V4b",
        "VdjSUJRSjljNS9YN2lHREpxczJSQ0dzQkVhQWppbnlycmZBSWhBSVY2d0djVGlCdVY1S0pVaWYyaG9reXJMK1E5c3NIa2FkK214Mm5FRTI1dyIsImRpZ2",
        "VzdCI6IlNIQTEifQ==",
    );
    let provider = ebays(&key(1));
    let key = concat!(
        "-----BEGIN PUBLIC KEY-----MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZhhxXKtR+TOvtDbgTPCkSof02qgBB7IsYOyf76ilExJ/",
        "upAa/vKIKheOoCyOpcLmi4t0b4uepb7LLjmMr90FUg==-----END PUBLIC KEY-----",
    );
    provider.now_answers("200 OK", "", &json!({ "key": key, "algorithm": "ECDSA", "digest": "SHA1" }).to_string());
    let ebay = application("ebay", &provider);
    let (id, topic) = event(&ebay, &request(&[("x-ebay-signature", header)], body));
    assert_eq!(id, "49feeaeb-4982-42d9-a377-9645b8479411_33f7e043-fed8-442b-9d44-791923bd9a6d");
    assert_eq!(topic, "MARKETPLACE_ACCOUNT_DELETION");
    let asked = provider.asked();
    let pair = STANDARD.encode("app-1:hunter2");
    let grant = "grant_type=client_credentials&scope=https%3A%2F%2Fapi.ebay.com%2Foauth%2Fapi_scope";
    assert_eq!(asked[0], format!("{GRANT} [Basic {pair}] {grant}"));
    let path = "/commerce/notification/v1/public_key/9936261a-7d7b-4621-a0f1-96ccb428af49";
    assert_eq!(asked[1..], [format!("{path} [Bearer v^1.1#t] ")]);
    let altered = body.replace("test_user", "best_user");
    assert!(matches!(
        signature_error(&ebay, &request(&[("x-ebay-signature", header)], &altered)),
        SignatureError::NoMatch(_)
    ));
}

#[test]
fn ebay_keys_are_cached_an_hour_tokens_until_expiry() {
    let provider = ebays(&key(1));
    let verifier = Verifier::new(&application("ebay", &provider));
    let delivery = ebay(&key(1), SHA1, NOTICE);
    let mut questions = Vec::new();
    for seconds in [0, 1, 3599, 3600, 7139, 7200, 7201] {
        assert_eq!(result(&verifier, &delivery, seconds), Ok(()));
        questions.push(provider.requests());
    }
    // Token and key; only the key; token and key.
    assert_eq!(questions, [2, 2, 2, 3, 3, 5, 5]);
    assert_eq!(result(&verifier, &ebay(&key(1), ("ECDSA", KID, "SHA256"), NOTICE), 7202), Ok(()));
}

#[test]
fn forged_and_altered_ebay_deliveries_are_rejected() {
    let provider = ebays(&key(1));
    let source = application("ebay", &provider);
    assert!(matches!(signature_error(&source, &ebay(&key(2), SHA1, NOTICE)), SignatureError::NoMatch(_)));
    let altered = Request { body: NOTICE.replace("n1", "n2").into_bytes().into(), ..ebay(&key(1), SHA1, NOTICE) };
    assert!(matches!(signature_error(&source, &altered), SignatureError::NoMatch(_)));
    let before = provider.requests();
    for (claim, digest) in [("none", "SHA1"), ("ecdsa", "MD5"), ("ecdsa", ""), ("rsa", "SHA1")] {
        let delivery = ebay(&key(1), (claim, KID, digest), NOTICE);
        assert!(
            matches!(signature_error(&source, &delivery), SignatureError::AlgorithmNotAllowed(_)),
            "{claim} {digest}"
        );
    }
    for kid in ["", "..", "a/b", "a?b", "a%2fb", &"a".repeat(129)] {
        assert_eq!(
            signature_error(&source, &ebay(&key(1), ("ecdsa", kid, "SHA1"), NOTICE)),
            SignatureError::UnknownKey,
            "{kid}"
        );
    }
    for claim in [json!({}), json!([]), json!({ "alg": "ecdsa", "kid": KID, "signature": "?", "digest": "SHA1" })] {
        assert!(
            matches!(signature_error(&source, &signed(&claim, NOTICE)), SignatureError::Undecodable(..)),
            "{claim}"
        );
    }
    assert!(matches!(
        signature_error(&source, &request(&[("x-ebay-signature", "no base64!")], NOTICE)),
        SignatureError::Undecodable(..)
    ));
    assert!(matches!(signature_error(&source, &request(&[], NOTICE)), SignatureError::Missing(_)));
    assert_eq!(provider.requests(), before);
    provider.now_answers("404 Not Found", "", r#"{"errors":[]}"#);
    let unknown = ebay(&key(1), ("ecdsa", "other", "SHA1"), NOTICE);
    assert_eq!(signature_error(&source, &unknown), SignatureError::UnknownKey);
}

#[test]
fn denied_or_revoked_access_token_is_not_a_wrong_signature() {
    let provider = ebays(&key(1));
    let verifier = Verifier::new(&application("ebay", &provider));
    let delivery = ebay(&key(1), SHA1, NOTICE);
    provider.answers_at(GRANT, "401 Unauthorized", r#"{"error":"invalid_client"}"#);
    let error = unavailable(result(&verifier, &delivery, 0));
    assert!(
        error.ends_with("/identity/v1/oauth2/token: responded with status 401 (hint: check `api_key` and `secret`)"),
        "{error}"
    );
    provider.answers_at(GRANT, "200 OK", r#"{"access_token":"t","expires_in":7200}"#);
    assert_eq!(result(&verifier, &delivery, 10), Ok(()));
    provider.answers_at(KID, "401 Unauthorized", "");
    assert!(unavailable(result(&verifier, &delivery, 3610)).contains("responded with status 401"));
    provider.answers_at(KID, "500 Internal Server Error", "");
    assert!(unavailable(result(&verifier, &delivery, 3621)).contains("responded with status 500"));
    let granted = provider.targets().iter().filter(|target| *target == GRANT).count();
    assert_eq!(granted, 3, "a token that was refused is used no more");
}

#[test]
fn configured_key_replaces_the_api() {
    let provider = Provider::start("");
    let pem = key(1).verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    for (name, delivery) in [("plaid", plaid(&key(1), ES256, 0, BODY)), ("ebay", ebay(&key(1), SHA1, NOTICE))] {
        let own = |pem: &str| Source { public_keys: vec![Secret::new(pem)], ..source(name, &provider) };
        assert_eq!(result(&Verifier::new(&own(&pem)), &delivery, 0), Ok(()), "{name}");
        let other = key(2).verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
        assert!(matches!(signature_error(&own(&other), &delivery), SignatureError::NoMatch(_)), "{name}");
    }
    assert_eq!(provider.requests(), 0);
}
