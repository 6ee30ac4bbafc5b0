//! Ids, types and handshakes of deliveries with a valid signature.
//!
//! Ambiguous deliveries are rejected as malformed, never stored under a guess.

use super::*;
use crate::providers::sample;
use crate::verify::error::EventField;

const SIGNED: &str = "signature = 'header:X-Sig'\nalgorithm = 'hmac-sha256'\n";

/// A correctly signed delivery to a custom source.
fn signed(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let signature = hex::encode(signature_of(source, b"s", &[body]));
    with(&request(headers, body), "X-Sig", &signature)
}

fn named(names: &str) -> Source {
    custom(&format!("{SIGNED}{names}"), "s")
}

const JSON: (&str, &str) = ("Content-Type", "application/json; charset=utf-8");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[test]
fn selectors_are_tried_in_order_and_lists_are_joined() {
    let source = named(
        "event_id = ['header:X-Id', ['json:/a', 'json:/b'], 'json:/n', 'body']
         event_type = [['header:X-Type', 'json:/action', 'json:/what'], 'json:/b']",
    );
    let read = |headers: &[(&str, &str)], body: &str| event(&source, &signed(&source, headers, body.as_bytes()));
    let pair = |id: &str, event_type: &str| (id.to_owned(), event_type.to_owned());
    let body = r#"{"a":"1","b":2.50,"action":"opened"}"#;
    assert_eq!(read(&[("X-Id", "x"), ("X-Type", "pull")], body), pair("x", "pull.opened"));
    assert_eq!(read(&[("X-Id", "")], body), pair("1:2.50", "opened"));
    assert_eq!(
        read(&[("X-Type", "push")], r#"{"a":"1","n":123456789012345678901}"#),
        pair("123456789012345678901", "push")
    );
    assert_eq!(read(&[], r#"{"n":-1e5,"b":"z"}"#), pair("-1e5", "z"));
    let (id, event_type) = read(&[], "abc");
    assert_eq!(id, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(event_type, "");
}

#[test]
fn ids_and_types_are_read_from_forms_and_queries() {
    let source =
        named("event_id = ['form:id', 'query:id', 'form_json:payload/id']\nevent_type = ['form_json:payload/deep/0']");
    let form = signed(&source, &[FORM], b"id=a%20b&payload=%7B%22deep%22%3A%5B%22t%22%5D%7D");
    assert_eq!(event(&source, &form), ("a b".to_owned(), "t".to_owned()));
    let mut query = signed(&source, &[JSON], b"{}");
    query.query = "x&id=q".to_owned();
    assert_eq!(event(&source, &query).0, "q");
    query.query = "id=q&id=r".to_owned();
    assert!(matches!(extract_error(&source, &query), ExtractError::Repeated(_)));
    let nested = signed(&source, &[FORM], b"payload={\"id\":7}");
    assert_eq!(event(&source, &nested).0, "7");
    assert_eq!(extract_error(&source, &signed(&source, &[FORM], b"payload=x")), ExtractError::NotJson);
    assert!(matches!(extract_error(&source, &signed(&source, &[FORM], b"id=%ff")), ExtractError::NotText(_)));
    assert!(matches!(extract_error(&source, &signed(&source, &[FORM], b"id=1&id=2")), ExtractError::Repeated(_)));
    // A JSON body is not a form, even if its strings look like one.
    assert!(matches!(extract_error(&source, &signed(&source, &[JSON], br#"{"x":"&id=1&"}"#)), ExtractError::NoId(_)));
}

#[test]
fn missing_id_is_rejected_unless_none_is_allowed() {
    let source = named("event_id = ['header:X-Id', ['json:/a', 'json:/b']]");
    assert_eq!(
        check(&source, &signed(&source, &[], b"{\"a\":1}")).unwrap_err().to_string(),
        "genuine, but no event id at `header:X-Id` or `json:/a` with `json:/b`"
    );
    let fresh = named("event_id = ['json:/id', 'none']");
    let ids = [(); 2].map(|()| event(&fresh, &signed(&fresh, &[], b"x")).0);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].len(), 36);
    let unnamed = named("");
    assert!(matches!(extract_error(&unnamed, &signed(&unnamed, &[], b"{}")), ExtractError::NoId(_)));
}

#[test]
fn unreadable_selectors_fall_through() {
    let source = named("event_id = ['json:/id', 'body']\nevent_type = ['json:/type']");
    let cloud = ("content-type", "application/cloudevents+JSON");
    for (header, body) in [(JSON, &b"{\"id\":"[..]), (cloud, b""), (JSON, b"\xff"), (FORM, b"x=%ff")] {
        let (id, event_type) = event(&source, &signed(&source, &[header], body));
        assert_eq!((id.len(), event_type), (64, String::new()));
    }
    let only = named("event_id = ['json:/id']");
    assert_eq!(extract_error(&only, &signed(&only, &[JSON], b"{\"id\":")), ExtractError::NotJson);
    let marked = signed(&source, &[JSON], b"\xef\xbb\xbf{\"id\":\"1\",\"type\":\"a.b\"}");
    assert_eq!(event(&source, &marked), ("1".to_owned(), "a.b".to_owned()));
}

#[test]
fn packed_body_is_verified_as_received_or_unpacked() {
    let names = "event_id = ['json:/id']\nevent_type = ['form:t', 'json:/t']";
    let source = named(&format!("signs_unpacked = true\n{names}"));
    let body = br#"{"id":"1","t":"x"}"#;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, body).unwrap();
    let packed = packed.finish().unwrap();
    let header = ("Content-Encoding", "gzip");
    let over_packed = signed(&source, &[JSON, header], &packed);
    let over_body = Request { body: packed.clone().into(), ..signed(&source, &[JSON, header], body) };
    let only_received = check(&named(names), &over_body);
    assert!(matches!(only_received, Err(VerifyError::NotGenuine(_))), "unpacked only if the row says so");
    for request in [over_packed, over_body] {
        let Ok(VerifiedRequest::Delivery(delivery)) = check(&source, &request) else { panic!("refused") };
        let stored = &delivery.items()[0];
        assert_eq!((&*stored.event_id, &*stored.event_type, &stored.body[..]), ("1", "x", &packed[..]));
        assert_eq!(stored.sha256[..], Sha256::digest(&packed)[..]);
    }
    let forged = Request { body: packed.clone().into(), ..signed(&source, &[JSON, header], b"{}") };
    assert!(matches!(check(&source, &forged), Err(VerifyError::NotGenuine(_))));
    let small = Source { max_body: 10, ..source };
    assert_eq!(extract_error(&small, &signed(&small, &[JSON, header], &packed)), ExtractError::UnpacksTooLarge(10));
}

#[test]
fn ids_and_types_are_bounded_without_control_characters() {
    let source = named("event_id = ['header:X-Id']\nevent_type = ['json:/type']");
    let check = |id: &str, body: &str| check(&source, &signed(&source, &[("X-Id", id)], body.as_bytes()));
    let longest = "é".repeat(127) + "x";
    assert_eq!(longest.len(), 255);
    assert!(check(&longest, &format!(r#"{{"type":"{longest}"}}"#)).is_ok());
    let refused = |error: ExtractError| Err::<(), _>(VerifyError::Malformed(error));
    let plain = |result: Result<VerifiedRequest, VerifyError>| result.map(drop);
    let long = "é".repeat(128);
    assert_eq!(plain(check(&long, "{}")), refused(ExtractError::TooLong(EventField::Id, 256)));
    // A type that cannot be stored is empty.
    assert!(check("1", &format!(r#"{{"type":"{long}"}}"#)).is_ok());
    for control in ["a\u{1}", "\u{7f}", "\t", "a\u{85}b", "a\nb"] {
        assert_eq!(plain(check(control, "{}")), refused(ExtractError::ControlCharacter(EventField::Id)), "{control:?}");
    }
    assert!(check("1", r#"{"type":"a\u0000"}"#).is_ok());
    let latin = altered(&signed(&source, &[("X-Id", "1")], b"{}"), |name, value| {
        Some(if name == "X-Id" { vec![0xe9] } else { value.to_vec() })
    });
    assert!(matches!(extract_error(&source, &latin), ExtractError::NotText(_)));
    let twice = signed(&source, &[("X-Id", "1"), ("x-id", "2")], b"{}");
    assert!(matches!(extract_error(&source, &twice), ExtractError::Repeated(_)));
}

#[test]
fn github_form_mode_reads_the_action_inside_the_form() {
    let github = known("github", &["s"]);
    let body = b"payload=%7B%22action%22%3A%22opened%22%7D";
    let signature = hex::encode(signature_of(&github, b"s", &[body]));
    let headers = [FORM, ("X-GitHub-Event", "issues"), ("X-GitHub-Delivery", "d-1")];
    let request = with(&request(&headers, body), "X-Hub-Signature-256", &format!("sha256={signature}"));
    assert_eq!(event(&github, &request), ("d-1".to_owned(), "issues.opened".to_owned()));
}

#[test]
fn gitlab_without_idempotency_key_distinguishes_recursive_hooks() {
    let gitlab = known("gitlab", &["s"]);
    let request = |body: &str| {
        let headers = [JSON, ("X-Gitlab-Token", "s"), ("X-Gitlab-Event-UUID", "u"), ("X-Gitlab-Event", "Push Hook")];
        super::request(&headers, body)
    };
    let (first, event_type) = event(&gitlab, &request(r#"{"a":1}"#));
    assert!(first.starts_with("u:") && first.len() == 66, "{first}");
    assert_eq!(event_type, "Push Hook");
    assert_eq!(event(&gitlab, &request(r#"{"a":1}"#)).0, first);
    assert_ne!(event(&gitlab, &request(r#"{"a":2}"#)).0, first);
    assert_eq!(event(&gitlab, &with(&request("{}"), "Idempotency-Key", "k")).0, "k");
    assert!(matches!(extract_error(&gitlab, &without(&request("{}"), "x-gitlab-event-uuid")), ExtractError::NoId(_)));
}

#[test]
fn only_slack_gets_its_challenge_back() {
    let slack = known("slack", &["s"]);
    let unsigned = TestEvent {
        event_type: "url_verification".to_owned(),
        body: sample("slack", "url_verification", "3eZbrw1aB \"ü\""),
        ..TestEvent::default()
    };
    let request = sign(&slack, &unsigned, NOW).unwrap();
    match check(&slack, &request) {
        Ok(VerifiedRequest::Handshake(answer)) => {
            assert_eq!((answer.status, answer.content_type.as_deref()), (200, Some("text/plain")));
            assert_eq!(answer.body, "3eZbrw1aB \"ü\"".as_bytes());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(signature_error(&known("slack", &["t"]), &request), SignatureError::NoMatch(_)));
    let late = Verifier::new(&slack).check(&request, Millis(NOW.0 + 301_000));
    assert!(matches!(late, Err(VerifyError::NotGenuine(SignatureError::TooOld { .. }))));
    let empty = TestEvent { body: br#"{"type":"url_verification"}"#.to_vec(), ..unsigned };
    assert_eq!(
        extract_error(&slack, &sign(&slack, &empty, NOW).unwrap()),
        ExtractError::NoChallenge("json:/challenge".to_owned())
    );
}

#[test]
fn slack_interactivity_uses_the_trigger_id() {
    let slack = known("slack", &["s"]);
    let body = b"payload=%7B%22type%22%3A%22block_actions%22%2C%22trigger_id%22%3A%2212.34%22%7D";
    let unsigned = TestEvent { body: body.to_vec(), content_type: Some(FORM.1.to_owned()), ..TestEvent::default() };
    let request = sign(&slack, &unsigned, NOW).unwrap();
    assert_eq!(request.body, body[..]);
    assert_eq!(event(&slack, &request), ("12.34".to_owned(), "block_actions".to_owned()));
}

#[test]
fn body_that_already_fits_is_sent_unchanged() {
    let stripe = known("stripe", &["s"]);
    let body = br#"{ "type":"invoice.paid","id" : "evt_1","x":1.0 }"#;
    let unsigned = TestEvent { event_type: "invoice.paid".into(), body: body.to_vec(), ..TestEvent::default() };
    let request = sign(&stripe, &unsigned, NOW).unwrap();
    assert_eq!(request.body, body[..]);
    assert_eq!(event(&stripe, &request).0, "evt_1");
    let changed = TestEvent { event_id: Some("evt_2".into()), ..unsigned };
    let request = sign(&stripe, &changed, NOW).unwrap();
    assert_eq!(request.body, br#"{"id":"evt_2","type":"invoice.paid","x":1.0}"#[..]);
    assert_eq!(event(&stripe, &request), ("evt_2".to_owned(), "invoice.paid".to_owned()));
}

#[test]
fn payload_may_refine_the_type() {
    let github = known("github", &["s"]);
    let unsigned =
        TestEvent { event_type: "issues".into(), body: br#"{"action":"opened"}"#.to_vec(), ..TestEvent::default() };
    let request = sign(&github, &unsigned, NOW).unwrap();
    assert_eq!(event(&github, &request).1, "issues.opened");
    assert_eq!(request.body, unsigned.body);
}

#[test]
fn id_or_type_that_cannot_be_set_is_an_error() {
    let body = TestEvent { body: b"no json".to_vec(), event_type: "t".into(), ..TestEvent::default() };
    let message = sign(&known("stripe", &["s"]), &body, NOW).unwrap_err();
    assert_eq!(message, "type `t` cannot be set where this source reads it: `json:/type`");
    let digest = named("event_id = ['body']");
    assert!(sign(&digest, &TestEvent { event_id: Some("x".into()), ..TestEvent::default() }, NOW).is_err());
    assert!(sign(&digest, &TestEvent::default(), NOW).is_ok());
    let header = TestEvent { event_id: Some("a\r\nb".into()), ..TestEvent::default() };
    assert!(sign(&known("github", &["s"]), &header, NOW).is_err());
}

#[test]
fn rotation_answers_zoom_with_the_secret_that_signed() {
    let body = br#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}"#.to_vec();
    for signing in ["old", "new"] {
        let unsigned = TestEvent { body: body.clone(), ..TestEvent::default() };
        let request = sign(&known("zoom", &[signing]), &unsigned, NOW).unwrap();
        match check(&known("zoom", &["new", "old"]), &request) {
            Ok(VerifiedRequest::Handshake(answer)) => {
                let digest = hex::encode(hmac_of(signing, "abc"));
                let expected = format!("{{\"plainToken\":\"abc\",\"encryptedToken\":\"{digest}\"}}");
                assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn hmac_of(secret: &str, text: &str) -> Vec<u8> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
