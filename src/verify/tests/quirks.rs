//! Peculiarities of single providers, as in their SDKs, and what must be rejected despite them.

use super::*;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

fn with_url(provider: &str, secret: &str, url: &str) -> Source {
    Source { urls: vec![url.to_owned()], ..known(provider, &[secret]) }
}

fn base64(bytes: &[u8]) -> String {
    signature_header::encode(crate::providers::Encoding::Base64, bytes)
}

fn is_genuine(source: &Source, request: &Request) -> bool {
    !matches!(check(source, request), Err(VerifyError::NotGenuine(_)))
}

#[test]
fn twilio_accepts_explicit_default_port_and_json_by_hash() {
    let twilio = with_url("twilio", "t", "https://a.example/x?foo=1");
    let signed = |url: &str, fields: &str, body: &str, content_type, query: &str| {
        let signature = base64(&signature_of(&twilio, b"t", &[url.as_bytes(), fields.as_bytes()]));
        let request = request(&[("X-Twilio-Signature", &signature), content_type], body);
        Request { query: query.to_owned(), ..request }
    };
    for url in ["https://a.example/x?foo=1", "https://a.example:443/x?foo=1"] {
        assert!(is_genuine(&twilio, &signed(url, "A1A2B3", "B=3&A=2&A=1&A=2", FORM, "foo=1")), "{url}");
    }
    for url in ["http://a.example/x?foo=1", "https://a.example:8443/x?foo=1", "https://a.example/x"] {
        assert!(!is_genuine(&twilio, &signed(url, "A1", "A=1", FORM, "foo=1")), "{url}");
    }
    let body = r#"{"a":1}"#;
    let hash = hex::encode(Sha256::digest(body));
    let (url, query) = (format!("https://a.example/x?foo=1&bodySHA256={hash}"), format!("foo=1&bodySHA256={hash}"));
    assert!(is_genuine(&twilio, &signed(&url, "", body, JSON, &query)));
    assert!(!is_genuine(&twilio, &signed(&url, "", r#"{"a":2}"#, JSON, &query)));
    // A signature over the URL alone does not cover a body.
    let bare = "https://a.example/x?foo=1";
    assert!(is_genuine(&twilio, &signed(bare, "", "", FORM, "foo=1")));
    assert!(!is_genuine(&twilio, &signed(bare, "", body, JSON, "foo=1")));
    assert!(!is_genuine(&twilio, &signed(bare, "", "x", ("content-type", "text/plain"), "foo=1")));
}

#[test]
fn signalwire_keeps_repeated_values_in_received_order() {
    let source = with_url("signalwire", "t", "https://a.example/x");
    for name in ["X-SignalWire-Signature", "X-Twilio-Signature"] {
        let signature = base64(&signature_of(&source, b"t", &[b"https://a.example/x", b"A2A1A2B3"]));
        let sent = request(&[(name, &signature), FORM], "B=3&A=2&A=1&A=2");
        assert!(is_genuine(&source, &sent), "{name}");
        assert!(!is_genuine(&source, &Request { body: "B=3&A=1&A=2&A=2".into(), ..sent }), "{name}");
    }
}

#[test]
fn box_accepts_either_key_and_escaped_ascii() {
    let source = known("box", &["one", "two"]);
    let at = "2023-11-14T22:13:20Z";
    let body = r#"{"id":"1","trigger":"é😀","url":"a/b\/c"}"#;
    let ascii = r#"{"id":"1","trigger":"\u00e9\ud83d\ude00","url":"a/b\/c"}"#;
    let slashes = r#"{"id":"1","trigger":"\u00e9\ud83d\ude00","url":"a\/b\/c"}"#;
    for signed in [body, ascii, slashes] {
        for (name, key) in [("BOX-SIGNATURE-PRIMARY", "one"), ("BOX-SIGNATURE-SECONDARY", "two")] {
            let signature = base64(&signature_of(&source, key.as_bytes(), &[signed.as_bytes(), at.as_bytes()]));
            let headers = [
                (name, signature.as_str()),
                ("BOX-DELIVERY-TIMESTAMP", at),
                ("BOX-SIGNATURE-VERSION", "1"),
                ("BOX-SIGNATURE-ALGORITHM", "HmacSHA256"),
            ];
            let request = request(&headers, body);
            assert_eq!(event(&source, &request), ("1".to_owned(), "é😀".to_owned()));
            for required in ["BOX-SIGNATURE-VERSION", "BOX-SIGNATURE-ALGORITHM"] {
                assert!(matches!(signature_error(&source, &without(&request, required)), SignatureError::Missing(_)));
                let other = replaced(&request, required, |_| "2".to_owned());
                assert!(matches!(signature_error(&source, &other), SignatureError::UnexpectedValue(..)));
            }
        }
    }
}

#[test]
fn optional_template_parts_may_be_missing_but_not_empty() {
    let source = known("mercado-pago", &["s"]);
    let signed = |content: &str, query: &str, headers: &[(&str, &str)]| {
        let signature = hex::encode(signature_of(&source, b"s", &[content.as_bytes()]));
        let value = format!("ts=1700000000,v1={signature}");
        let mut request = with(&request(headers, r#"{"id":1}"#), "x-signature", &value);
        request.query = query.to_owned();
        request
    };
    let id = [("x-request-id", "r")];
    for (content, query, headers) in [
        ("id:Ab;request-id:r;ts:1700000000;", "data.id=Ab", &id[..]),
        ("request-id:r;ts:1700000000;", "", &id[..]),
        ("id:Ab;ts:1700000000;", "data.id=Ab&type=payment", &[]),
    ] {
        assert!(is_genuine(&source, &signed(content, query, headers)), "{content}");
    }
    assert!(!is_genuine(&source, &signed("id:Ab;ts:1700000000;", "data.id=ab", &[])));
    assert!(!is_genuine(&source, &signed("ts:1700000000;", "data.id=Ab", &[])));
    assert!(!is_genuine(&source, &signed("id:a;ts:1700000000;", "data.id=a&data.id=b", &[])));
}

#[test]
fn signatures_may_be_in_several_headers_sets_or_items() {
    let mollie = known("mollie", &["s"]);
    let own = hex::encode(signature_of(&mollie, b"s", &[b"{}"]));
    let prefixed = format!("sha256={own}");
    for values in [&["sha256=00", prefixed.as_str()][..], &[&own, "x"], &[&own]] {
        let headers: Vec<_> = values.iter().map(|value| ("X-Mollie-Signature", *value)).collect();
        assert!(is_genuine(&mollie, &request(&headers, "{}")), "{values:?}");
    }
    let many: Vec<_> = (0..17).map(|_| ("X-Mollie-Signature", prefixed.as_str())).collect();
    assert!(matches!(signature_error(&mollie, &request(&many, "{}")), SignatureError::TooManySignatures(_)));

    let persona = known("persona", &["old", "new"]);
    let set = |key: &str, at: &str| {
        let signature = hex::encode(signature_of(&persona, key.as_bytes(), &[at.as_bytes(), b".", b"{}"]));
        format!("t={at},v1={signature}")
    };
    let both = format!("{} {}", set("older", "1700000000"), set("new", "1700000001"));
    assert!(is_genuine(&persona, &request(&[("Persona-Signature", &both)], "{}")));
    let stale = format!("{} {}", set("x", "1700000000"), set("new", "1600000000"));
    assert!(!is_genuine(&persona, &request(&[("Persona-Signature", &stale)], "{}")));

    let docusign = known("docusign", &["one"]);
    let own = base64(&signature_of(&docusign, b"one", &[b"{}"]));
    let numbered = [("X-DocuSign-Signature-1", "AAAA"), ("X-DocuSign-Signature-2", own.as_str())];
    assert!(is_genuine(&docusign, &request(&numbered, "{}")));
    assert!(!is_genuine(&docusign, &request(&numbered[1..], "{}")));

    let recurly = known("recurly", &["s"]);
    let own = hex::encode(signature_of(&recurly, b"s", &[b"1700000000000.{}"]));
    assert!(is_genuine(&recurly, &request(&[("recurly-signature", &format!("1700000000000,00,{own}"))], "{}")));
    for value in [own.clone(), format!("{own},1700000000000"), format!("1700000000001,{own}"), ",".into()] {
        assert!(!is_genuine(&recurly, &request(&[("recurly-signature", &value)], "{}")), "{value}");
    }

    let elevenlabs = known("elevenlabs", &["s"]);
    let own = hex::encode(signature_of(&elevenlabs, b"s", &[b"1700000000.{}"]));
    let header = |items: &str| request(&[("ElevenLabs-Signature", &format!("t=1700000000,{items}"))], "{}");
    assert!(is_genuine(&elevenlabs, &header(&format!("v0={own},v0=00"))));
    assert!(!is_genuine(&elevenlabs, &header(&format!("v0=00,v0={own}"))));
}

#[test]
fn unknown_key_id_or_algorithm_is_rejected() {
    let pusher = Source { key_ids: vec![Secret::new("k1"), Secret::new("k2")], ..known("pusher", &["s"]) };
    let body = r#"{"time_ms":1,"events":[{"name":"a"}]}"#;
    let signature = hex::encode(signature_of(&pusher, b"s", &[body.as_bytes()]));
    let sent = |key: &str| request(&[("X-Pusher-Key", key), ("X-Pusher-Signature", &signature)], body);
    assert!(is_genuine(&pusher, &sent("k1")) && is_genuine(&pusher, &sent("k2")));
    assert!(matches!(signature_error(&pusher, &sent("k3")), SignatureError::UnknownKeyId(_)));
    assert!(matches!(signature_error(&pusher, &without(&sent("k1"), "X-Pusher-Key")), SignatureError::Missing(_)));

    let sumsub = known("sumsub", &["s"]);
    let sha512 = <hmac::Hmac<sha2::Sha512> as hmac::KeyInit>::new_from_slice(b"s").unwrap();
    let own = hex::encode(hmac::Mac::finalize(hmac::Mac::chain_update(sha512, "{}")).into_bytes());
    let sent = |name: &str| request(&[("x-payload-digest-alg", name), ("x-payload-digest", &own)], "{}");
    assert!(is_genuine(&sumsub, &sent("HMAC_SHA512_HEX")));
    assert!(matches!(signature_error(&sumsub, &sent("HMAC_SHA256_HEX")), SignatureError::NoMatch(_)));
    assert!(matches!(signature_error(&sumsub, &sent("HMAC_MD5_HEX")), SignatureError::AlgorithmNotAllowed(_)));
    assert!(matches!(signature_error(&sumsub, &sent("")), SignatureError::Missing(_)));
}

#[test]
fn gitea_signs_json_in_a_form_braintree_one_pair() {
    let gitea = known("gitea", &["s"]);
    let signature = hex::encode(signature_of(&gitea, b"s", &[b"{\"a\":1}"]));
    let names = [("X-Gitea-Signature", signature.as_str()), ("X-Gitea-Delivery", "1"), ("X-Gitea-Event", "push")];
    let form: Vec<_> = names.iter().copied().chain([FORM]).collect();
    let json: Vec<_> = names.iter().copied().chain([JSON]).collect();
    event(&gitea, &request(&json, "{\"a\":1}"));
    event(&gitea, &request(&form, "payload=%7B%22a%22%3A1%7D"));
    assert!(matches!(
        signature_error(&gitea, &request(&form, "payload=%7B%22a%22%3A2%7D")),
        SignatureError::NoMatch(_)
    ));

    let row = crate::providers::find("braintree").unwrap();
    let source = source(&ProviderRow { field: Some("pub".to_owned()), ..row.clone() }, &["private"]);
    let key = <sha1::Sha1 as Digest>::digest("private");
    let mac = <hmac::Hmac<sha1::Sha1> as hmac::KeyInit>::new_from_slice(&key).unwrap();
    for payload in ["PGE+\n", "PGE+"] {
        let mac = hmac::Mac::finalize(hmac::Mac::chain_update(mac.clone(), payload)).into_bytes();
        let pairs = format!("other|00&pub|{}", hex::encode(mac));
        let mut form = String::new();
        form::push(&mut form, "bt_signature", &pairs);
        form::push(&mut form, "bt_payload", payload.trim_end());
        assert!(is_genuine(&source, &request(&[FORM], form.clone())), "{payload:?}");
        assert!(!is_genuine(&source, &request(&[FORM], form.replace("pub%7C", "bup%7C"))), "{payload:?}");
    }
}

#[test]
fn hygraph_signs_json_with_the_body_as_a_string() {
    let hygraph = known("hygraph", &["s"]);
    let content = r#"{"Body":"{\"a\":\"é\\n\"}","EnvironmentName":"master","TimeStamp":1700000000000}"#;
    let own = base64(&signature_of(&hygraph, b"s", &[content.as_bytes()]));
    let header = |env: &str| format!("sign={own}, env={env}, t=1700000000000");
    let sent = |env: &str| request(&[("gcms-signature", &header(env))], "{\"a\":\"é\\n\"}");
    assert!(is_genuine(&hygraph, &sent("master")));
    assert!(matches!(signature_error(&hygraph, &sent("dev")), SignatureError::NoMatch(_)));
}

#[test]
fn authentication_scheme_is_case_insensitive() {
    let basic = known("postmark", &["user:pass:word"]);
    let value = base64(b"user:pass:word");
    for (written, expected) in [
        (format!("Basic {value}"), true),
        (format!("bAsIc  {value}"), true),
        (format!("Bearer {value}"), false),
        (value, false),
        (format!("Basic {}", base64(b"user:pass")), false),
        ("Basic !".into(), false),
    ] {
        assert_eq!(is_genuine(&basic, &request(&[("Authorization", &written), JSON], "{}")), expected, "{written}");
    }
    let bearer = known("brevo", &["token"]);
    for (written, expected) in
        [("Bearer token", true), ("bearer token", true), ("token", false), ("Basic token", false)]
    {
        assert_eq!(is_genuine(&bearer, &request(&[("Authorization", written), JSON], "{}")), expected, "{written}");
    }
}

#[test]
fn dropbox_sign_sends_multipart() {
    let source = known("dropbox-sign", &["key"]);
    let hash = hex::encode(signature_of(&source, b"key", &[b"1348177752", b"sent"]));
    let json =
        format!("{{\"event\":{{\"event_time\":\"1348177752\",\"event_type\":\"sent\",\"event_hash\":\"{hash}\"}}}}");
    let body = format!("--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{json}\r\n--b--\r\n");
    let sent = request(&[("content-type", "multipart/form-data; boundary=b")], body.clone());
    assert_eq!(event(&source, &sent).1, "sent");
    assert!(!is_genuine(&source, &Request { body: body.replace("\"sent\"", "\"paid\"").into(), ..sent }));
}

/// From twilio-node's spec/validation.spec.js, whose address has a query.
#[test]
fn query_and_path_of_each_request_are_signed() {
    let source = with_url("twilio", "12345", "https://mycompany.com/myapp.php");
    let source = Source { path: "/myapp.php".to_owned(), ..source };
    let body = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    let mut genuine = request(
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ],
        body,
    );
    (genuine.path, genuine.query) = ("/myapp.php".to_owned(), "foo=1&bar=2".to_owned());
    assert!(check(&source, &genuine).is_ok());
    for (path, query) in [
        ("/myapp.php", "foo=1&bar=3"),
        ("/myapp.php", ""),
        ("/myapp.php", "bar=2&foo=1"),
        ("/myapp.php", "foo=1&bar=2&x"),
        ("/myapp.php/x", "foo=1&bar=2"),
    ] {
        let forged = Request { path: path.to_owned(), query: query.to_owned(), ..genuine.clone() };
        assert!(matches!(signature_error(&source, &forged), SignatureError::NoMatch(_)), "{path}?{query}");
    }
    let bases = ["https://other.example/in".to_owned(), "https://mycompany.com/myapp.php".to_owned()];
    assert!(check(&Source { urls: bases.to_vec(), ..source.clone() }, &genuine).is_ok());
    assert!(check(&Source { urls: bases[..1].to_vec(), ..source }, &genuine).is_err());
}

#[test]
fn other_spellings_of_the_signed_url_match() {
    let path = "/hooks/here/order/17".to_owned();
    let received = with_url("square", "s", "https://a.example/hooks/here");
    for (signed, query) in [
        ("https://a.example:443/hooks/here/order/17?a=%2F", "a=%2F"),
        ("https://a.example/hooks/here/order/17/?a=1", "a=1"),
        ("https://a.example/hooks/here/order/17?a=%2f", "a=%2F"),
        ("https://a.example/hooks/here/order/17?a=b@c", "a=b%40c"),
    ] {
        let body = "{\"event_id\":\"1\"}";
        let signature = signature_of(&received, b"s", &[signed.as_bytes(), body.as_bytes()]);
        let mut genuine = request(&[("x-square-hmacsha256-signature", &*base64(&signature))], body);
        (genuine.path, genuine.query) = (path.clone(), query.to_owned());
        assert!(check(&received, &genuine).is_ok(), "{signed}");
        genuine.query = "a=2".to_owned();
        assert!(check(&received, &genuine).is_err(), "{signed}");
    }
}

/// Every alternative of every row: a delivery signed that way is accepted, a forged one is not.
#[test]
fn alternatives_accept_only_what_they_signed() {
    for (name, row) in crate::providers::all().filter(|(_, row)| !row.or.is_empty()) {
        let scheme = walk::scheme_of(row);
        for alternative in &scheme.alternatives {
            let signing = walk::source_of(name, alternative.clone(), &[0]);
            let event = TestEvent {
                body: b"{\"x\":1}".to_vec(),
                private_key: walk::private_key(alternative),
                ..TestEvent::default()
            };
            let genuine = sign(&signing, &event, NOW).unwrap();
            let source = Source { scheme: Arc::new(scheme.clone()), ..signing.clone() };
            assert!(check(&source, &genuine).is_ok(), "{name}: {:?}", check(&source, &genuine));
            let forged = sign(&signing, &TestEvent { defect: Defect::WrongSignature, ..event.clone() }, NOW).unwrap();
            assert!(!is_genuine(&source, &forged), "{name}");
            if scheme.covers_body() || alternative.covers_body() {
                let changed = Request { body: b"{\"x\":2}".to_vec().into(), ..genuine.clone() };
                assert!(!is_genuine(&source, &changed), "{name}");
            }
            let nothing_configured = Source { secrets: vec![], public_keys: vec![], ..source.clone() };
            assert!(!is_genuine(&nothing_configured, &genuine), "{name}");
            if alternative.timestamp.is_some() {
                let stale = sign(&signing, &TestEvent { defect: Defect::Stale, ..event }, NOW).unwrap();
                assert!(!is_genuine(&source, &stale), "{name}");
            }
        }
    }
}
