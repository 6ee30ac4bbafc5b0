//! Amazon SNS and PayPal, signed with test keys that a local provider serves.

mod api;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::config::Source;
use crate::model::request::{Headers, Request};
use crate::providers::{Scheme, find};
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::published_keys::tests::provider::{Provider, RSA, certificate, jwk, rsa, set};
use crate::verify::{SignatureError, VerifiedRequest, Verifier, VerifyError};

/// 2023-11-14T22:13:20Z
const NOW: Millis = Millis(1_700_000_000_000);
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:orders";
const CERT: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem";
const WEBHOOK: &str = "8PT597110X687430LKGECATA";

fn source(name: &str, provider: &Provider) -> Source {
    Source {
        name: "here".into(),
        provider: name.to_owned(),
        path: "/hooks/here".to_owned(),
        scheme_summary: vec![],
        scheme: Arc::new(Scheme::from_row(find(name).unwrap()).unwrap()),
        secrets: Vec::new(),
        public_keys: Vec::new(),
        key_ids: vec![Secret::new("other"), Secret::new(WEBHOOK)],
        api_key: None,
        verify_token: None,
        urls: Vec::new(),
        topics: vec![TOPIC.to_owned()],
        confirm_subscriptions: true,
        keys_url: Some(provider.base()),
        max_body: 1 << 20,
        admission: crate::config::Admission::default(),
    }
}

fn request(headers: &[(&str, &str)], body: &str) -> Request {
    let mut fields = Headers::default();
    headers.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()));
    Request {
        method: "POST".to_owned(),
        path: "/hooks/here".to_owned(),
        query: String::new(),
        headers: fields,
        body: body.as_bytes().to_vec().into(),
        received_at: NOW,
    }
}

fn sha256(key: &RsaPrivateKey, text: &str) -> String {
    STANDARD.encode(key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(text)).unwrap())
}

fn notification() -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "My First Message",
        "Message": "Hello world!\nsecond line",
        "Timestamp": "2023-11-14T22:13:00.000Z",
        "SignatureVersion": "2",
        "SigningCertURL": CERT,
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
}

fn subscription() -> Value {
    json!({
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37",
        "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe",
        "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=a&Token=2336412f37",
        "Timestamp": "2023-11-14T22:13:00.000Z",
        "SignatureVersion": "1",
        "SigningCertURL": CERT,
    })
}

/// The body with a signature over the members of its type, sorted by name.
fn signed(mut message: Value, key: &RsaPrivateKey) -> Request {
    let members = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
    let text: String =
        members.iter().filter_map(|name| Some(format!("{name}\n{}\n", message.get(name)?.as_str()?))).collect();
    let signature = match message["SignatureVersion"].as_str() {
        Some("1") => STANDARD.encode(key.sign(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(&text)).unwrap()),
        _ => sha256(key, &text),
    };
    message["Signature"] = signature.into();
    request(&[("content-type", "text/plain; charset=UTF-8")], &message.to_string())
}

fn with(mut message: Value, name: &str, value: &str) -> Value {
    message[name] = value.into();
    message
}

fn check(source: &Source, request: &Request) -> Result<VerifiedRequest, VerifyError> {
    Verifier::new(source).check(request, NOW)
}

fn event(source: &Source, request: &Request) -> (String, String) {
    match check(source, request) {
        Ok(VerifiedRequest::Delivery(verified)) => {
            (verified.items()[0].event_id.clone(), verified.items()[0].event_type.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn signature_error(source: &Source, request: &Request) -> SignatureError {
    match check(source, request) {
        Err(VerifyError::NotGenuine(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sns_messages_of_both_signature_versions_are_genuine() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let sns = source("aws-sns", &provider);
    let expected = ("22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".to_owned(), "Notification".to_owned());
    assert_eq!(event(&sns, &signed(notification(), &RSA)), expected);
    assert_eq!(event(&sns, &signed(with(notification(), "SignatureVersion", "1"), &RSA)), expected);
    let mut without_subject = notification();
    without_subject.as_object_mut().unwrap().remove("Subject");
    assert_eq!(event(&sns, &signed(without_subject, &RSA)), expected);
    assert_eq!(provider.targets()[0], "/SimpleNotificationService-0.pem");
}

#[test]
fn other_topics_and_hosts_are_rejected_without_fetching() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let sns = source("aws-sns", &provider);
    let theirs = signed(with(notification(), "TopicArn", "arn:aws:sns:us-east-1:666:orders"), &RSA);
    assert_eq!(signature_error(&sns, &theirs), SignatureError::TopicNotAllowed);
    for url in [
        "https://evil.example/a.pem",
        "http://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a",
    ] {
        let foreign = signed(with(notification(), "SigningCertURL", url), &RSA);
        assert!(matches!(signature_error(&sns, &foreign), SignatureError::UrlNotAllowed("SigningCertURL", _)), "{url}");
    }
    for body in ["", "Hello world!", "{}", "[]", &notification().to_string()] {
        assert!(matches!(signature_error(&sns, &request(&[], body)), SignatureError::NotAMessage(_)), "{body}");
    }
    let twice = signed(notification(), &RSA);
    let text = String::from_utf8(twice.body.to_vec()).unwrap().replacen('{', r#"{"TopicArn":"arn:evil","#, 1);
    assert!(matches!(signature_error(&sns, &request(&[], &text)), SignatureError::NotAMessage(_)));
    assert_eq!(provider.requests(), 0);
}

#[test]
fn forged_and_stale_sns_messages_are_rejected() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let sns = source("aws-sns", &provider);
    assert!(matches!(signature_error(&sns, &signed(notification(), &rsa())), SignatureError::NoMatch(_)));
    for name in ["Message", "MessageId", "Subject", "Timestamp", "Type"] {
        let genuine = signed(notification(), &RSA);
        let altered = with(serde_json::from_slice(&genuine.body).unwrap(), name, "SubscriptionConfirmation");
        assert!(check(&sns, &request(&[], &altered.to_string())).is_err(), "{name}");
    }
    for version in ["3", "", "2 "] {
        assert!(matches!(
            signature_error(&sns, &signed(with(notification(), "SignatureVersion", version), &RSA)),
            SignatureError::NotAMessage(_)
        ));
    }
    let downgraded = with(serde_json::from_slice(&signed(notification(), &RSA).body).unwrap(), "SignatureVersion", "1");
    assert!(matches!(signature_error(&sns, &request(&[], &downgraded.to_string())), SignatureError::NoMatch(_)));
    let stale = signed(with(notification(), "Timestamp", "2023-11-13T22:13:19.999Z"), &RSA);
    assert!(matches!(signature_error(&sns, &stale), SignatureError::TooOld { .. }));
    let future = signed(with(notification(), "Timestamp", "2023-11-15T22:13:20.001Z"), &RSA);
    assert!(matches!(signature_error(&sns, &future), SignatureError::InFuture { .. }));
    provider.now_answers("200 OK", "", &certificate(&RSA, 2020, 2023));
    let expired = with(notification(), "SigningCertURL", "https://sns.us-east-1.amazonaws.com/old.pem");
    assert_eq!(signature_error(&sns, &signed(expired, &RSA)), SignatureError::UnknownKey);
}

#[test]
fn unavailable_keys_are_not_a_wrong_signature() {
    let provider = Provider::start("");
    for (status, body) in [("500 Internal Server Error", ""), ("200 OK", "<html>"), ("404 Not Found", "")] {
        provider.now_answers(status, "", body);
        let result = check(&source("aws-sns", &provider), &signed(notification(), &RSA));
        assert!(matches!(result, Err(VerifyError::Unavailable(_))), "{result:?}");
    }
}

#[test]
fn subscription_is_confirmed_only_if_configured_and_signed() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let sns = source("aws-sns", &provider);
    let asked = signed(subscription(), &RSA);
    let Ok(VerifiedRequest::Confirmation(confirmation)) = check(&sns, &asked) else { panic!("no confirmation") };
    assert_eq!(provider.requests(), 1);
    let answer = Verifier::new(&sns).confirm(confirmation.clone(), NOW).unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(provider.targets()[1], "/?Action=ConfirmSubscription&TopicArn=a&Token=2336412f37");
    provider.now_answers("500 Internal Server Error", "", "");
    assert!(matches!(Verifier::new(&sns).confirm(confirmation, NOW), Err(VerifyError::Unavailable(_))));

    provider.now_answers("200 OK", "", &certificate(&RSA, 2020, 2030));
    assert!(matches!(signature_error(&sns, &signed(subscription(), &rsa())), SignatureError::NoMatch(_)));
    for url in
        ["https://evil.example/?Action=ConfirmSubscription&", "https://sns.us-east-1.amazonaws.com/?Action=Publish&"]
    {
        let foreign = signed(with(subscription(), "SubscribeURL", url), &RSA);
        assert!(matches!(signature_error(&sns, &foreign), SignatureError::UrlNotAllowed("SubscribeURL", _)), "{url}");
    }
    let silent = Source { confirm_subscriptions: false, ..source("aws-sns", &provider) };
    assert_eq!(event(&silent, &asked).1, "SubscriptionConfirmation");
    let leaving = with(subscription(), "Type", "UnsubscribeConfirmation");
    assert_eq!(event(&sns, &signed(leaving, &RSA)).1, "UnsubscribeConfirmation");
}

fn payment(key: &RsaPrivateKey, webhook: &str, body: &str) -> Request {
    let (id, time) = ("69cd13f0-d67a-11e5-baa3-778b53f4ae55", "2023-11-14T22:13:00Z");
    let text = format!("{id}|{time}|{webhook}|{}", crc32fast::hash(body.as_bytes()));
    let headers = [
        ("PAYPAL-TRANSMISSION-ID", id),
        ("PAYPAL-TRANSMISSION-TIME", time),
        ("PAYPAL-TRANSMISSION-SIG", &sha256(key, &text)),
        ("PAYPAL-CERT-URL", "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"),
        ("PAYPAL-AUTH-ALGO", "SHA256withRSA"),
    ];
    request(&headers, body)
}

const PAYMENT: &str = r#"{"id":"WH-2WR32451HC0233532","event_type":"PAYMENT.SALE.COMPLETED"}"#;

fn replaced(request: &Request, name: &str, value: &str) -> Request {
    let mut headers = Headers::default();
    for (own, written) in request.headers.iter() {
        headers.push(own, if own == name { value.as_bytes() } else { written });
    }
    Request { headers, ..request.clone() }
}

#[test]
fn paypal_deliveries_of_the_sources_webhooks_are_genuine() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let paypal = source("paypal", &provider);
    let expected = ("WH-2WR32451HC0233532".to_owned(), "PAYMENT.SALE.COMPLETED".to_owned());
    assert_eq!(event(&paypal, &payment(&RSA, WEBHOOK, PAYMENT)), expected);
    assert_eq!(provider.targets(), ["/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"]);
}

#[test]
fn forged_paypal_deliveries_are_rejected() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let paypal = source("paypal", &provider);
    let genuine = payment(&RSA, WEBHOOK, PAYMENT);
    assert!(matches!(signature_error(&paypal, &payment(&rsa(), WEBHOOK, PAYMENT)), SignatureError::NoMatch(_)));
    assert!(matches!(signature_error(&paypal, &payment(&RSA, "1AB", PAYMENT)), SignatureError::NoMatch(_)));
    let altered = Request { body: PAYMENT.replace("SALE", "XALE").into_bytes().into(), ..genuine.clone() };
    assert!(matches!(signature_error(&paypal, &altered), SignatureError::NoMatch(_)));
    for name in ["PAYPAL-TRANSMISSION-ID", "PAYPAL-TRANSMISSION-TIME"] {
        assert!(
            matches!(signature_error(&paypal, &replaced(&genuine, name, "other")), SignatureError::NoMatch(_)),
            "{name}"
        );
    }
    for name in ["ID", "TIME", "SIG"].map(|name| format!("PAYPAL-TRANSMISSION-{name}")) {
        assert!(
            matches!(signature_error(&paypal, &replaced(&genuine, &name, "")), SignatureError::Missing(_)),
            "{name}"
        );
    }
    let weaker = replaced(&genuine, "PAYPAL-AUTH-ALGO", "SHA1withRSA");
    assert!(matches!(signature_error(&paypal, &weaker), SignatureError::UnexpectedValue(..)));
    let asked = provider.requests();
    for url in [
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://www.paypal.com/redirect?/v1/notifications/certs/",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
    ] {
        let foreign = replaced(&genuine, "PAYPAL-CERT-URL", url);
        assert!(
            matches!(signature_error(&paypal, &foreign), SignatureError::UrlNotAllowed("PAYPAL-CERT-URL", _)),
            "{url}"
        );
    }
    assert_eq!(provider.requests(), asked);
    let result = Verifier::new(&paypal).check(&genuine, Millis(NOW.0 + 4 * 86_400_000 + 1));
    assert!(matches!(result, Err(VerifyError::NotGenuine(SignatureError::TooOld { .. }))), "{result:?}");
}

const AUDIENCE: &str = "https://here.example/hooks/pubsub";
const ACCOUNT: &str = "push@project.iam.gserviceaccount.com";

fn pubsub(provider: &Provider) -> Source {
    let key_ids = vec![Secret::new(ACCOUNT)];
    Source { urls: vec![AUDIENCE.to_owned()], key_ids, ..source("google-pubsub", provider) }
}

fn claims() -> Value {
    let seconds = NOW.0 / 1000;
    json!({
        "aud": AUDIENCE, "email": ACCOUNT, "email_verified": true, "iss": "https://accounts.google.com",
        "iat": seconds - 10, "exp": seconds + 3590, "sub": "104",
    })
}

fn token(key: &RsaPrivateKey, header: &Value, claims: &Value) -> Request {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(&message)).unwrap();
    let bearer = format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let body = r#"{"message":{"data":"SGk=","messageId":"2070443601311540","attributes":{"eventType":"a.b"}}}"#;
    request(&[("content-type", "application/json"), ("authorization", &bearer)], body)
}

fn by(kid: &str) -> Value {
    json!({ "alg": "RS256", "kid": kid, "typ": "JWT" })
}

#[test]
fn push_of_the_sources_subscription_is_genuine() {
    let provider = Provider::start(&set(&[jwk(&rsa(), "other"), jwk(&RSA, "a")]));
    let expected = ("2070443601311540".to_owned(), "a.b".to_owned());
    assert_eq!(event(&pubsub(&provider), &token(&RSA, &by("a"), &claims())), expected);
}

#[test]
fn tokens_for_other_audiences_or_issuers_are_rejected() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a"), jwk(&rsa(), "b")]));
    let source = pubsub(&provider);
    for (name, value) in [
        ("aud", json!("https://elsewhere.example")),
        ("email", json!("push@evil.iam.gserviceaccount.com")),
        ("email_verified", json!(false)),
        ("iss", json!("https://evil.example")),
    ] {
        let mut altered = claims();
        altered[name] = value;
        assert_eq!(
            signature_error(&source, &token(&RSA, &by("a"), &altered)),
            SignatureError::ClaimMismatch(name.to_owned())
        );
        altered.as_object_mut().unwrap().remove(name);
        assert!(
            matches!(signature_error(&source, &token(&RSA, &by("a"), &altered)), SignatureError::MissingField(..)),
            "{name}"
        );
    }
    let mut expired = claims();
    expired["exp"] = (NOW.0 / 1000 - 61).into();
    assert!(matches!(signature_error(&source, &token(&RSA, &by("a"), &expired)), SignatureError::TooOld { .. }));
    let mut early = claims();
    early["iat"] = (NOW.0 / 1000 + 61).into();
    assert!(matches!(signature_error(&source, &token(&RSA, &by("a"), &early)), SignatureError::InFuture { .. }));
    assert!(matches!(signature_error(&source, &token(&RSA, &by("b"), &claims())), SignatureError::NoMatch(_)));
    assert!(matches!(signature_error(&source, &token(&rsa(), &by("a"), &claims())), SignatureError::NoMatch(_)));
    assert_eq!(signature_error(&source, &token(&RSA, &by("c"), &claims())), SignatureError::UnknownKey);
    assert_eq!(signature_error(&source, &token(&RSA, &by(&"c".repeat(257)), &claims())), SignatureError::UnknownKey);
    for algorithm in ["none", "HS256", "ES256", "rs256", ""] {
        let header = json!({ "alg": algorithm, "kid": "a" });
        assert!(
            matches!(
                signature_error(&source, &token(&RSA, &header, &claims())),
                SignatureError::AlgorithmNotAllowed(_)
            ),
            "{algorithm}"
        );
    }
    let unnamed = json!({ "alg": "RS256" });
    assert!(matches!(signature_error(&source, &token(&RSA, &unnamed, &claims())), SignatureError::Undecodable(..)));
    assert!(matches!(signature_error(&source, &request(&[], "{}")), SignatureError::Missing(_)));
    for text in ["Bearer", "Bearer ", "Bearer a.b.c", "a", "Bearer ..", "Basic YTpi"] {
        let noise = request(&[("authorization", text)], "{}");
        assert!(matches!(check(&source, &noise), Err(VerifyError::NotGenuine(_))), "{text}");
    }
}

#[test]
fn new_key_is_fetched_and_unavailable_set_is_no_wrong_signature() {
    let provider = Provider::start(&set(&[jwk(&RSA, "old")]));
    let verifier = Verifier::new(&pubsub(&provider));
    assert!(verifier.may_block());
    assert!(verifier.check(&token(&RSA, &by("old"), &claims()), NOW).is_ok());
    let key = rsa();
    provider.now_answers("200 OK", "", &set(&[jwk(&RSA, "old"), jwk(&key, "new")]));
    let rotated = token(&key, &by("new"), &claims());
    assert!(matches!(verifier.check(&rotated, NOW), Err(VerifyError::NotGenuine(SignatureError::UnknownKey))));
    assert!(verifier.check(&rotated, Millis(NOW.0 + 60_000)).is_ok());
    assert_eq!(provider.requests(), 2);
    provider.now_answers("503 Service Unavailable", "", "");
    let result = verifier.check(&token(&key, &by("newer"), &claims()), Millis(NOW.0 + 120_000));
    assert!(matches!(result, Err(VerifyError::Unavailable(_))), "{result:?}");
}

#[test]
fn signature_without_key_name_tries_all_and_newer_keys() {
    use ed25519_dalek::Signer as _;
    let [old, new] = [[1; 32], [2; 32]].map(|seed| ed25519_dalek::SigningKey::from_bytes(&seed));
    let jwk = |key: &ed25519_dalek::SigningKey| {
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().to_bytes());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
    };
    let body = r#"{"request_id":"r1","status":"OK"}"#;
    let deliver = |key: &ed25519_dalek::SigningKey, seconds: i64| {
        let time = (NOW.0 / 1000 + seconds).to_string();
        let text = format!("r1\nu1\n{time}\n{}", hex::encode(Sha256::digest(body)));
        let headers = [
            ("x-fal-webhook-request-id", "r1"),
            ("x-fal-webhook-user-id", "u1"),
            ("x-fal-webhook-timestamp", &time),
            ("x-fal-webhook-signature", &hex::encode(key.sign(text.as_bytes()).to_bytes())),
        ];
        request(&headers, body)
    };
    let provider = Provider::start(&set(&[jwk(&old)]));
    let fal = source("fal-ai", &provider);
    assert_eq!(event(&fal, &deliver(&old, 0)), ("r1".to_owned(), "OK".to_owned()));
    assert!(matches!(signature_error(&fal, &deliver(&old, -301)), SignatureError::TooOld { .. }));
    let verifier = Verifier::new(&fal);
    assert!(verifier.check(&deliver(&old, 0), NOW).is_ok());
    provider.now_answers("200 OK", "", &set(&[jwk(&old), jwk(&new)]));
    let later = Millis(NOW.0 + 61_000);
    assert!(verifier.check(&deliver(&new, 61), later).is_ok());
    let altered = Request { body: b"{}"[..].into(), ..deliver(&new, 61) };
    assert!(matches!(verifier.check(&altered, later), Err(VerifyError::NotGenuine(SignatureError::NoMatch(_)))));
}

#[test]
fn header_may_name_the_key_of_a_set() {
    let provider = Provider::start(&set(&[jwk(&RSA, "k1"), jwk(&rsa(), "k2")]));
    let shipengine = source("shipengine", &provider);
    let body = r#"{"resource_type":"API_TRACK"}"#;
    let deliver = |kid: &str| {
        let headers = [
            ("x-shipengine-rsa-sha256-key-id", kid),
            ("x-shipengine-timestamp", "2023-11-14T22:13:00Z"),
            ("x-shipengine-rsa-sha256-signature", &sha256(&RSA, &format!("2023-11-14T22:13:00Z.{body}"))),
        ];
        request(&headers, body)
    };
    assert_eq!(event(&shipengine, &deliver("k1")).1, "API_TRACK");
    assert!(matches!(signature_error(&shipengine, &deliver("k2")), SignatureError::NoMatch(_)));
    assert_eq!(signature_error(&shipengine, &deliver("k3")), SignatureError::UnknownKey);
    assert!(matches!(signature_error(&shipengine, &deliver("")), SignatureError::Missing(_)));
}

#[test]
fn self_hosted_set_is_fetched_from_keys_url() {
    let provider = Provider::start(&set(&[jwk(&RSA, "k1")]));
    let body = r#"{"event":{"id":"e1","type":"user.create"}}"#;
    let row = crate::providers::ProviderRow {
        jwt_algorithms: vec!["RS256".to_owned()],
        ..find("fusionauth").unwrap().clone()
    };
    let scheme = Arc::new(Scheme::from_row(&row).unwrap());
    let own =
        crate::support::net::keys_url::KeysUrl::parse(&format!("{}/.well-known/jwks.json", provider.url)).unwrap();
    let fusionauth = Source { scheme, keys_url: Some(own), ..source("fusionauth", &provider) };
    let deliver = |kid: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let hash = STANDARD.encode(Sha256::digest(body));
        let message = format!("{}.{}", part(&by(kid)), part(&json!({ "request_body_sha256": hash })));
        let signature =
            URL_SAFE_NO_PAD.encode(RSA.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(&message)).unwrap());
        request(&[("x-fusionauth-signature-jwt", &format!("{message}.{signature}"))], body)
    };
    assert_eq!(event(&fusionauth, &deliver("k1")), ("e1".to_owned(), "user.create".to_owned()));
    assert_eq!(signature_error(&fusionauth, &deliver("k2")), SignatureError::UnknownKey);
    assert_eq!(provider.targets()[0], "/.well-known/jwks.json");
}
