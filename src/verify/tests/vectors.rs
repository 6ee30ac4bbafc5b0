//! Signatures from providers' documentation, from SDK test suites, or made with Python's `hmac`.
//!
//! Each test names its source. No signature was made by the code under test.

use super::*;

const GENUINE_WITHOUT_ID: &str = "genuine, but no event id at ";

/// Whether the signature is valid at that time. A missing event id is ignored.
fn is_genuine(source: &Source, request: &Request, at: i64) -> bool {
    match Verifier::new(source).check(request, Millis(at)) {
        Ok(_) => true,
        Err(refusal) => refusal.to_string().starts_with(GENUINE_WITHOUT_ID),
    }
}

fn assert_vector(source: &Source, headers: &[(&str, &str)], body: &str, at: i64) {
    let request = request(headers, body);
    assert!(is_genuine(source, &request, at), "{headers:?}: {:?}", check(source, &request));
    let tampered = Request { body: format!("{body} ").into(), ..request.clone() };
    assert!(!is_genuine(source, &tampered, at), "{headers:?}");
    let stranger = Source { secrets: vec![Secret::new("c3RyYW5nZXI=")], ..source.clone() };
    assert!(!is_genuine(&stranger, &request, at), "{headers:?}");
}

#[test]
fn github_documentation() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let source = known("github", &["It's a Secret to Everybody"]);
    assert_vector(&source, &[("X-Hub-Signature-256", signature)], "Hello, World!", 0);
}

#[test]
fn slack_documentation() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let headers = [
        ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("X-Slack-Request-Timestamp", "1531420618"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let source = known("slack", &["8f742231b10e8888abcd99yyyzzz85a5"]);
    assert_vector(&source, &headers, body, 1_531_420_618_000);
    match Verifier::new(&source).check(&request(&headers, body), Millis(1_531_420_618_000)) {
        Ok(VerifiedRequest::Delivery(verified)) => {
            assert_eq!(verified.items()[0].event_id, "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c");
            assert_eq!(verified.items()[0].event_type, "/webhook-collect");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn standard_webhooks_test_suite_passes_with_either_header_names() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let (id, sent_at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let webhook = [("webhook-id", id), ("webhook-timestamp", sent_at), ("webhook-signature", signature)];
    let svix = [("svix-id", id), ("svix-timestamp", sent_at), ("svix-signature", signature)];
    let (body, at) = (r#"{"test": 2432232314}"#, 1_614_265_330_000);
    assert_vector(&known("standard-webhooks", &[secret]), &webhook, body, at);
    assert_vector(&known("standard-webhooks", &[&secret[6..]]), &webhook, body, at);
    assert_vector(&known("svix", &[secret]), &webhook, body, at);
    assert_vector(&known("svix", &[secret]), &svix, body, at);
}

#[test]
fn stripe_signature_made_with_python() {
    let header = "t=1700000000,v1=675677e91c58fb19262774c800c95cf0f444cfd3c7a0f6601ec80d651c12bb32,\
        v1=dfb4777aaaec4ea29ff455dd4df7fe6b2ef71096ad3a93a158db7e100109ea91,v0=00";
    let body = r#"{"id":"evt_1","object":"event","type":"invoice.paid"}"#;
    for secret in ["whsec_test_secret", "older"] {
        assert_vector(&known("stripe", &[secret]), &[("Stripe-Signature", header)], body, NOW.0);
    }
}

#[test]
fn shopify_signature_made_with_python_under_either_name() {
    for name in ["X-Shopify-Hmac-Sha256", "shopify-hmac-sha256"] {
        let headers = [(name, "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=")];
        assert_vector(&known("shopify", &["hush"]), &headers, r#"{"id":1}"#, 0);
    }
}

#[test]
fn custom_table_describes_other_providers() {
    let paddle = "signature = 'header:Paddle-Signature'
        syntax = 'kv_list'
        item_separator = ';'
        kv_separator = '='
        field = 'h1'
        algorithm = 'hmac-sha256'
        signed_content = '{timestamp}:{body}'
        timestamp = 'field:ts'
        tolerance = '5s'";
    let header = "ts=1698796800;h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9";
    let paddle = custom(paddle, "VALID_SECRET");
    assert_vector(&paddle, &[("Paddle-Signature", header)], r#"{"data": ["1", "2"]}"#, 1_698_796_805_000);
    let request = request(&[("Paddle-Signature", header)], r#"{"data": ["1", "2"]}"#);
    assert!(!is_genuine(&paddle, &request, 1_698_796_806_000));

    let sanity = "signature = 'header:sanity-webhook-signature'
        syntax = 'kv_list'
        item_separator = ','
        kv_separator = '='
        field = 'v1'
        algorithm = 'hmac-sha256'
        encoding = 'base64url'
        signed_content = '{timestamp}.{body}'
        timestamp = 'field:t'
        timestamp_unit = 'ms'";
    let header = "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0";
    let headers = [("sanity-webhook-signature", header)];
    assert_vector(&custom(sanity, "test"), &headers, r#"{"_id":"resume"}"#, 1_633_519_811_129);

    let line = "signature = 'header:X-Line-Signature'\nalgorithm = 'hmac-sha256'\nencoding = 'base64'";
    let headers = [("X-Line-Signature", "/gg9a+LvFevTH1sd7XCQycD7tsWclCsInj7MhBHxN7k=")];
    assert_vector(&custom(line, "channel_secret"), &headers, "bodybodybodybody", 0);

    let razorpay = "signature = 'header:X-Razorpay-Signature'\nalgorithm = 'hmac-sha256'";
    let signature = "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc";
    let headers = [("X-Razorpay-Signature", signature)];
    assert_vector(&custom(razorpay, "123456"), &headers, r#"{"a":1,"b":2,"c":{"d":3}}"#, 0);

    let circleci = "signature = 'header:circleci-signature'
        syntax = 'kv_list'
        item_separator = ','
        kv_separator = '='
        field = 'v1'
        algorithm = 'hmac-sha256'";
    let header = "v1=9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa,v2=ignored";
    let headers = [("circleci-signature", header)];
    assert_vector(&custom(circleci, "hunter123"), &headers, "an-important-request-payload", 0);

    let sha512 = "signature = 'query:sig'\nalgorithm = 'hmac-sha512'";
    let mut request = super::request(&[], "hello");
    request.query = "x=1&sig=6d5825ea48594257365edda03321ebdcf9cfb9c9b823e8097928c8c9a3681d6\
        813197344d10c4464963bb21be0a31f1152d5f1c4d97f2df53b7a60a614e2a705"
        .replace(' ', "");
    assert!(is_genuine(&custom(sha512, "hush"), &request, 0));
    assert!(!is_genuine(&custom(sha512, "hush"), &Request { body: "hellO".into(), ..request }, 0));
}
