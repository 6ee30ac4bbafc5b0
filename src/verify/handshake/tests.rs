//! Every handshake of the table gets its exact response; similar requests do not.

use super::*;
use crate::model::request::Headers;
use crate::providers::Scheme;
use crate::support::time::Millis;
use crate::verify::tests::custom;

/// A handshake request and its expected response.
struct Case {
    name: &'static str,
    method: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    answer: (u16, Option<&'static str>, &'static [(&'static str, &'static str)], &'static str),
}

const TEXT: Option<&str> = Some("text/plain");
const JSON: Option<&str> = Some("application/json");

const POST: Case = Case { name: "", method: "POST", query: "", headers: &[], body: "", answer: (200, None, &[], "") };
const GET: Case = Case { method: "GET", ..POST };

/// HMACs and digests were computed with Python's hmac and hashlib, with the key `key`.
const CASES: &[Case] = &[
    Case {
        name: "slack_url_verification",
        body: r#"{"type":"url_verification","token":"t","challenge":"3eZ\"ü"}"#,
        answer: (200, TEXT, &[], "3eZ\"ü"),
        ..POST
    },
    Case {
        name: "meta_hub_challenge",
        query: "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=to%20ken",
        answer: (200, TEXT, &[], "1158201444"),
        ..GET
    },
    Case {
        name: "websub_intent",
        query: "hub.mode=subscribe&hub.topic=https%3A%2F%2Fa.example%2Ffeed&hub.challenge=c1&hub.lease_seconds=9",
        answer: (200, TEXT, &[], "c1"),
        ..GET
    },
    Case {
        name: "ms_graph_validation",
        query: "validationToken=Validation%3A+Testing%20client",
        answer: (200, TEXT, &[], "Validation: Testing client"),
        ..POST
    },
    Case {
        name: "zoom_url_validation",
        body: r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event":"endpoint.url_validation"}"#,
        answer: (
            200,
            JSON,
            &[],
            r#"{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"f2b3627702c43576251dc6a643384a2eb050e6e1d078adecf3415e1416944a43"}"#,
        ),
        ..POST
    },
    Case {
        name: "x_crc",
        query: "crc_token=abc",
        answer: (200, JSON, &[], r#"{"response_token":"sha256=nBluMtwBdfhvSxy4konWYZ3mvuaZ5MN45oMJ7Zehpqs="}"#),
        ..GET
    },
    Case { name: "query_challenge_echo", query: "challenge=x%3Cb%3E", answer: (200, TEXT, &[], "x<b>"), ..GET },
    Case {
        name: "discord_interaction_ping",
        body: r#"{"id":"9","type":1}"#,
        answer: (200, JSON, &[], r#"{"type":1}"#),
        ..POST
    },
    Case { name: "discord_webhook_ping", body: r#"{"type":0}"#, answer: (204, None, &[], ""), ..POST },
    Case {
        name: "monday_challenge",
        body: r#"{"challenge":"a\"b"}"#,
        answer: (200, JSON, &[], r#"{"challenge":"a\"b"}"#),
        ..POST
    },
    Case {
        name: "okta_challenge",
        headers: &[("x-okta-verification-challenge", "my verification")],
        answer: (200, JSON, &[], r#"{"verification":"my verification"}"#),
        ..GET
    },
    Case {
        name: "twitch_challenge",
        headers: &[("Twitch-Eventsub-Message-Type", "webhook_callback_verification")],
        body: r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo"}"#,
        answer: (200, TEXT, &[], "pogchamp-kappa-360noscope-vohiyo"),
        ..POST
    },
    Case {
        name: "eventgrid_validation",
        headers: &[("aeg-event-type", "SubscriptionValidation")],
        body: r#"[{"id":"1","data":{"validationCode":"512d38b6"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent"}]"#,
        answer: (200, JSON, &[], r#"{"validationResponse":"512d38b6"}"#),
        ..POST
    },
    Case {
        name: "cloudevents_options",
        method: "OPTIONS",
        headers: &[("WebHook-Request-Origin", "eventemitter.example.com"), ("WebHook-Request-Rate", "120")],
        answer: (
            200,
            None,
            &[("Allow", "POST"), ("WebHook-Allowed-Origin", "eventemitter.example.com"), ("WebHook-Allowed-Rate", "*")],
            "",
        ),
        ..POST
    },
    Case {
        name: "adobe_sign_echo",
        headers: &[("X-AdobeSign-ClientId", "key")],
        answer: (200, JSON, &[("X-AdobeSign-ClientId", "key")], r#"{"xAdobeSignClientId":"key"}"#),
        ..GET
    },
    Case {
        name: "ebay_challenge",
        query: "challenge_code=a8628072",
        answer: (
            200,
            JSON,
            &[],
            r#"{"challengeResponse":"fe3c76140184d1729af1b7693e128d1aec657abfbbc0befa8e4241300d0d1a4a"}"#,
        ),
        ..GET
    },
    Case {
        name: "worldline_get",
        headers: &[("X-GCS-Webhooks-Endpoint-Verification", "3f1e")],
        answer: (200, TEXT, &[], "3f1e"),
        ..GET
    },
    Case {
        name: "tebex_validation",
        body: r#"{"id":"1a","type":"validation.webhook"}"#,
        answer: (200, JSON, &[], r#"{"id":"1a"}"#),
        ..POST
    },
    Case {
        name: "linkedin_challenge",
        query: "challengeCode=890e4665-4dfe-4ab1-b689-ed553bceeed0",
        answer: (
            200,
            JSON,
            &[],
            r#"{"challengeCode":"890e4665-4dfe-4ab1-b689-ed553bceeed0","challengeResponse":"f771e90128bc123c5d487cad718aee5ca5f9e35fb533e5084c4ec84a71c6ad4f"}"#,
        ),
        ..GET
    },
    Case { name: "front_challenge", headers: &[("X-Front-Challenge", "q1")], answer: (200, TEXT, &[], "q1"), ..POST },
    Case {
        name: "braintree_challenge",
        query: "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53",
        answer: (200, TEXT, &[], "integration_public_key|df0bcdfdeaa384b050219fcc81f605aab219d5f8"),
        ..GET
    },
    Case { name: "onfleet_check", query: "check=c4", answer: (200, TEXT, &[], "c4"), ..GET },
    Case { name: "head_ok", method: "HEAD", ..POST },
    Case { name: "get_ok", ..GET },
    Case { name: "get_ok", method: "HEAD", ..POST },
    Case {
        name: "oura_challenge",
        query: "verification_token=to+ken&challenge=c5",
        answer: (200, JSON, &[], r#"{"challenge":"c5"}"#),
        ..GET
    },
];

fn source(name: &str, secrets: &[&str]) -> Source {
    let source = custom("signature = 'header:X'\nalgorithm = 'hmac-sha256'", "");
    let mut scheme = Scheme::clone(&source.scheme);
    scheme.handshake = Some(Handshake::find(name).unwrap());
    let secrets = secrets.iter().map(|text| Secret::new(*text)).collect();
    Source { scheme: scheme.into(), secrets, ..source }
}

fn built(source: Source) -> HandshakeResponder {
    let secret = source.secrets.first().cloned();
    HandshakeResponder::new(&Arc::new(source), secret.as_ref())
}

fn responder(name: &str) -> HandshakeResponder {
    built(Source {
        verify_token: Some(Secret::new("to ken")),
        topics: vec!["https://a.example/feed".to_owned()],
        urls: vec!["https://here.example/hooks/x".to_owned()],
        key_ids: vec![Secret::new("integration_public_key")],
        ..source(name, &["key"])
    })
}

fn without_secret(name: &str) -> HandshakeResponder {
    built(source(name, &[]))
}

fn request(method: &str, query: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut fields = Headers::default();
    headers.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()));
    Request {
        method: method.to_owned(),
        path: "/hooks/x".to_owned(),
        query: query.to_owned(),
        headers: fields,
        body: body.as_bytes().to_vec().into(),
        received_at: Millis(0),
    }
}

/// The outcome before the signature check, or else after it.
fn outcome(responder: &HandshakeResponder, request: &Request) -> Result<HandshakeOutcome, VerifyError> {
    let pointers = Pointers::new(pointers(responder.handshake).iter());
    let texts = pointers.read(&request.body).ok();
    let json = |pointer: &str| Ok(texts.as_ref().and_then(|texts| texts.at(pointer)).map(ToString::to_string));
    match responder.before_signature(request)? {
        HandshakeOutcome::None => responder.after_signature(request, &json),
        outcome => Ok(outcome),
    }
}

fn answer(name: &str, request: &Request) -> Option<ProviderResponse> {
    match outcome(&responder(name), request) {
        Ok(HandshakeOutcome::Respond(answer)) => Some(answer),
        Ok(HandshakeOutcome::None) => None,
        other => panic!("{name}: {other:?}"),
    }
}

fn get(query: &str) -> Request {
    request("GET", query, &[], "")
}

#[test]
fn every_handshake_gets_its_exact_response() {
    for case in CASES {
        let asked = request(case.method, case.query, case.headers, case.body);
        let answer = answer(case.name, &asked).unwrap_or_else(|| panic!("{}: not recognised", case.name));
        let (status, content_type, headers, body) = case.answer;
        assert_eq!(String::from_utf8(answer.body).unwrap(), body, "{}", case.name);
        assert_eq!((answer.status, answer.content_type.as_deref()), (status, content_type), "{}", case.name);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(answer.headers, headers, "{}", case.name);
    }
    let elsewhere = ["asana_hook_secret", "notion_verification_token", "sns_subscription_confirmation"];
    let acknowledged = ["xero_itr", "hello_api_event_received", "salesforce_soap_ack"];
    for (name, _) in Handshake::all() {
        let is_tested = CASES.iter().any(|case| case.name == name);
        assert!(is_tested || elsewhere.contains(&name) || acknowledged.contains(&name), "{name}");
    }
}

#[test]
fn only_unsigned_handshakes_are_answered_before_the_signature() {
    for case in CASES.iter().filter(|case| case.method == "POST") {
        let responder = responder(case.name);
        let asked = request("POST", case.query, case.headers, case.body);
        let is_before = !matches!(responder.before_signature(&asked), Ok(HandshakeOutcome::None));
        assert_eq!(is_before, ["ms_graph_validation", "monday_challenge"].contains(&case.name), "{}", case.name);
    }
}

#[test]
fn other_requests_are_not_handshakes() {
    for case in CASES {
        if !Handshake::find(case.name).unwrap().when.is_empty() {
            assert_eq!(answer(case.name, &request(case.method, "a=b", &[], "{\"a\":1}")), None, "{}", case.name);
        }
        let asked = request("PUT", case.query, case.headers, case.body);
        assert_eq!(answer(case.name, &asked), None, "{}", case.name);
    }
    assert_eq!(answer("monday_challenge", &request("POST", "", &[], r#"{"challenge":"x","event":{}}"#)), None);
    assert_eq!(answer("monday_challenge", &request("POST", "", &[], r#"[{"challenge":"x"}]"#)), None);
    assert_eq!(answer("discord_interaction_ping", &request("POST", "", &[], r#"{"type":2}"#)), None);
}

#[test]
fn mismatch_with_a_setting_is_rejected() {
    let status = |name: &str, request: &Request| match outcome(&responder(name), request) {
        Err(VerifyError::Handshake(mismatch)) => mismatch.status,
        other => panic!("{name}: {other:?}"),
    };
    for token in ["hub.verify_token=token", "hub.verify_token=", "x=y", "hub.verify_token=to%20ken2"] {
        assert_eq!(status("meta_hub_challenge", &get(&format!("hub.mode=subscribe&hub.challenge=1&{token}"))), 403);
    }
    assert_eq!(status("oura_challenge", &get("challenge=1&verification_token=x")), 403);
    assert_eq!(status("adobe_sign_echo", &request("GET", "", &[("X-AdobeSign-ClientId", "other")], "")), 403);
    let topic = |mode: &str, topic: &str| get(&format!("hub.mode={mode}&hub.challenge=1&hub.topic={topic}"));
    assert_eq!(status("websub_intent", &topic("subscribe", "https://evil.example")), 404);
    assert_eq!(status("websub_intent", &topic("unsubscribe", "https://a.example/feed")), 404);
    assert!(answer("websub_intent", &topic("unsubscribe", "https://former.example")).is_some());
    // Without a configured token nothing matches, not even an empty one.
    let empty = get("hub.mode=subscribe&hub.challenge=1&hub.verify_token=");
    assert!(matches!(outcome(&without_secret("meta_hub_challenge"), &empty), Err(VerifyError::Handshake(_))));
}

#[test]
fn only_short_printable_texts_are_sent_back() {
    let long = "x".repeat(2049);
    for challenge in ["%0d%0aSet-Cookie:a", "%00", "%C3%A9", &long, "a&challenge=b"] {
        let result = outcome(&responder("query_challenge_echo"), &get(&format!("challenge={challenge}")));
        assert!(matches!(result, Err(VerifyError::Malformed(_))), "{challenge}: {result:?}");
    }
    for challenge in ["20f9f8ed05f77439fe9", "20F9F8ED05F77439FE955C977E4C8A53", "<script>alert(1)</script>"] {
        let result = outcome(&responder("braintree_challenge"), &get(&format!("bt_challenge={challenge}")));
        assert!(matches!(result, Err(VerifyError::Malformed(_))), "{challenge}: {result:?}");
    }
    let signed = request("POST", "", &[], r#"{"type":"url_verification","challenge":"a\nb"}"#);
    assert!(matches!(outcome(&responder("slack_url_verification"), &signed), Err(VerifyError::Malformed(_))));
    let origin = request("OPTIONS", "", &[("WebHook-Request-Origin", "a\u{1}b")], "");
    assert!(matches!(outcome(&responder("cloudevents_options"), &origin), Err(VerifyError::Malformed(_))));
}

#[test]
fn unanswerable_unsigned_post_is_checked_as_a_delivery() {
    let deep = format!("{{\"challenge\":\"{}\"}}", "x".repeat(MAX_UNSIGNED_BODY));
    assert_eq!(answer("monday_challenge", &request("POST", "", &[], &deep)), None);
    assert_eq!(answer("monday_challenge", &request("POST", "", &[], r#"{"challenge":"a\u0000"}"#)), None);
    assert_eq!(answer("ms_graph_validation", &request("POST", "validationToken=%0a", &[], "")), None);
}

#[test]
fn secret_is_enrolled_only_while_none_is_configured() {
    const SECRET: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";
    let hook = request("POST", "", &[("X-Hook-Secret", SECRET)], "");
    let Ok(HandshakeOutcome::Enroll(enrollment)) = outcome(&without_secret("asana_hook_secret"), &hook) else {
        panic!("no enrollment")
    };
    assert_eq!(enrollment.secret.reveal(), SECRET);
    assert_eq!(enrollment.response.headers, [("X-Hook-Secret", SECRET.to_owned())]);
    assert!(matches!(
        outcome(&responder("asana_hook_secret"), &hook),
        Err(VerifyError::NotGenuine(SignatureError::AlreadyEnrolled))
    ));

    let body = format!("{{\"verification_token\":\"{SECRET}\"}}");
    let token = request("POST", "", &[], &body);
    let Ok(HandshakeOutcome::Enroll(enrollment)) = outcome(&without_secret("notion_verification_token"), &token) else {
        panic!("no enrollment")
    };
    assert_eq!((enrollment.secret.reveal(), enrollment.response.status), (SECRET, 200));
    assert!(enrollment.response.headers.is_empty() && enrollment.response.body.is_empty());
    let known = built(source("asana_hook_secret", &[SECRET]));
    assert!(matches!(outcome(&known, &hook), Ok(HandshakeOutcome::Respond(_))));
    // A short secret could be guessed.
    let weak = request("POST", "", &[("X-Hook-Secret", "short")], "");
    assert!(matches!(outcome(&without_secret("asana_hook_secret"), &weak), Ok(HandshakeOutcome::None)));
}

#[test]
fn confirmation_returns_its_url() {
    let body = r#"{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.us-east-1.amazonaws.com/?a=b"}"#;
    let asked = request("POST", "", &[], body);
    match outcome(&responder("sns_subscription_confirmation"), &asked) {
        Ok(HandshakeOutcome::Visit { url: address, response: answer }) => {
            assert_eq!(address, "https://sns.us-east-1.amazonaws.com/?a=b");
            assert_eq!((answer.status, answer.body.len()), (200, 0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn some_providers_get_their_own_acknowledgement() {
    let posted = request("POST", "", &[("X-AdobeSign-ClientId", "key")], "{}");
    let acknowledged = |name: &str| responder(name).acknowledgement(&posted);
    assert_eq!(acknowledged("hello_api_event_received").unwrap().body, b"Hello API Event Received");
    let soap = String::from_utf8(acknowledged("salesforce_soap_ack").unwrap().body).unwrap();
    assert!(soap.contains("<notificationsResponse xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack>"));
    let xero = acknowledged("xero_itr").unwrap();
    assert_eq!((xero.status, xero.content_type.as_deref(), xero.body.len()), (200, None, 0));
    assert!(responder("xero_itr").rejects_with_status_only() && !responder("get_ok").rejects_with_status_only());
    assert_eq!(acknowledged("adobe_sign_echo").unwrap().headers, [("X-AdobeSign-ClientId", "key".to_owned())]);
    assert_eq!(acknowledged("slack_url_verification"), None);
    assert!(matches!(outcome(&responder("xero_itr"), &posted), Ok(HandshakeOutcome::None)));
}

#[test]
fn methods_are_those_of_the_providers_handshake() {
    let methods = |name: &str| responder(name).further_methods().collect::<Vec<_>>();
    assert_eq!(methods("meta_hub_challenge"), ["GET"]);
    assert_eq!(methods("get_ok"), ["GET", "HEAD"]);
    assert_eq!(methods("cloudevents_options"), ["OPTIONS"]);
    assert!(methods("slack_url_verification").is_empty() && methods("xero_itr").is_empty());
}
