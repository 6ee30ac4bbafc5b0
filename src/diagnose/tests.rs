//! One refused delivery per cause: signed as the provider does, then changed as the cause describes.

use super::*;
use crate::config::Admission;
use crate::model::request::Request;
use crate::providers::{self, Scheme};
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::published_keys::tests::provider::{Provider, RSA, certificate};
use crate::verify::{self, Defect, TestEvent, VerifiedRequest, Verifier};

const NOW: Millis = Millis(1_700_000_000_000);
const BODY: &str = "{\"b\":\"caf\\u00e9/é\",\"a\":[1.0,{}]}";

fn source(name: &str, provider: &str, secrets: &[&str]) -> Source {
    let scheme = Scheme::from_row(providers::find(provider).unwrap()).unwrap();
    Source {
        name: name.into(),
        provider: provider.to_owned(),
        path: format!("/hooks/{name}"),
        scheme_summary: vec![],
        scheme: scheme.into(),
        secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
        max_body: 1 << 20,
        public_keys: Vec::new(),
        key_ids: Vec::new(),
        api_key: None,
        verify_token: None,
        topics: Vec::new(),
        confirm_subscriptions: false,
        keys_url: None,
        urls: Vec::new(),
        admission: Admission::default(),
    }
}

fn key() -> DigestKey {
    DigestKey::new([3; 32])
}

/// What the provider would send to `source`.
fn signed(source: &Source, body: &str, at: Millis) -> Request {
    let event = TestEvent {
        event_type: String::new(),
        event_id: Some("id".to_owned()).filter(|_| !["stripe", providers::CUSTOM].contains(&&*source.provider)),
        body: body.into(),
        content_type: None,
        defect: Defect::None,
        private_key: None,
    };
    let mut request = verify::sign(source, &event, at).unwrap();
    request.received_at = NOW;
    request
}

/// As the receiver stores it.
fn kept(request: &Request, source: &Source) -> RefusedDelivery {
    let refusal = Verifier::new(source).check(request, NOW);
    let reason = match &refusal {
        Err(refusal) => refusal.to_string(),
        Ok(VerifiedRequest::Delivery(_)) => "genuine".to_owned(),
        Ok(_) => "a handshake".to_owned(),
    };
    let masked = Verifier::new(source).redact(request, &key());
    RefusedDelivery {
        source: source.name.to_string(),
        received_at: NOW,
        status: 401,
        reason,
        remote: None,
        method: "POST".to_owned(),
        target: masked.target,
        headers: masked.headers,
        tokens: masked.tokens,
        body: masked.body.to_vec(),
        body_bytes: request.body.len() as u64,
    }
}

/// The findings for a request that was sent to the first of these sources.
fn found(request: &Request, sources: &[&Source]) -> Vec<String> {
    let sources: Vec<Arc<Source>> = sources.iter().map(|source| Arc::new((*source).clone())).collect();
    let explanation = diagnose(&kept(request, &sources[0]), &sources, Some(&key()));
    let texts: Vec<_> = explanation.findings.iter().flat_map(|finding| [&finding.what, &finding.change]).collect();
    for secret in sources.iter().flat_map(|source| &source.secrets) {
        let shown = texts.iter().any(|text| text.contains(secret.reveal().trim()));
        assert!(!shown, "a finding contains a secret: {texts:?}");
    }
    explanation.findings.into_iter().map(|finding| finding.what).collect()
}

fn assert_found(request: &Request, sources: &[&Source], part: &str) {
    let found = found(request, sources);
    assert_eq!(found.len(), 1, "{part}: {found:?}");
    assert!(found[0].contains(part), "{found:?} has no {part:?}");
}

#[test]
fn other_secret_is_named_by_source_and_position() {
    let right = source("right", "github", &["alpha-old", "alpha-new"]);
    let mine = source("mine", "github", &["something else"]);
    let request = signed(&Source { secrets: vec![Secret::new("alpha-new")], ..mine.clone() }, BODY, NOW);
    assert_found(&request, &[&mine, &right], "secret 2 of `right`");
    let gitlab = source("mine", "gitlab", &["something else"]);
    let request = signed(&Source { secrets: vec![Secret::new("alpha-old")], ..gitlab.clone() }, BODY, NOW);
    assert_found(&request, &[&gitlab, &right], "secret 1 of `right`");
}

#[test]
fn secret_fixed_since_is_found() {
    let mine = source("mine", "github", &["old-secret", "new-secret"]);
    let request = signed(&Source { secrets: vec![Secret::new("new-secret")], ..mine.clone() }, BODY, NOW);
    assert_found(&request, &[&mine], "matches secret 2 of `mine`");
}

#[test]
fn delivery_for_another_source_is_found() {
    let (stripe, github) = (source("pay", "stripe", &["hunter2"]), source("code", "github", &["alpha-secret"]));
    assert_found(
        &signed(&stripe, r#"{"id":"evt_1","type":"x"}"#, NOW),
        &[&github, &stripe],
        "a delivery for `pay` (stripe)",
    );
}

#[test]
fn secret_in_another_form_is_found() {
    for (theirs, ours, part) in [
        ("hunter2", "hunter2\n", "without the white space"),
        ("hunter2", " hunter2", "without the white space"),
        ("hunter2\n", "hunter2", "with a newline after it"),
        ("hunter2\r\n", "hunter2", "with a carriage return"),
        ("hunter2 ", "hunter2", "with a space after it"),
        (" hunter2", "hunter2", "with a space before it"),
        ("hunter2", "\"hunter2\"", "without the quotes"),
        ("hunter2", "'hunter2'\n", "without the quotes"),
        ("hunter2", "\u{feff}hunter2", "without the byte order mark"),
        ("hunter2", "hunt\u{200b}er2", "without the byte order mark"),
        ("hunter2", "HOOK_SECRET=hunter2", "without the name before `=`"),
        ("hunter2", "export HOOK_SECRET=\"hunter2\"", "without the name before `=`"),
        ("\"hunter2\"", "hunter2", "with quotes"),
        ("hunter2", "whsec_hunter2", "without its prefix"),
        ("hunter2", "aHVudGVyMg==", "decoded from base64"),
        ("hunter2", "68756e74657232", "decoded from hex"),
        ("aHVudGVyMg==", "hunter2", "written in base64"),
        ("68756e74657232", "hunter2", "written in hex"),
    ] {
        for provider in ["github", "gitlab"] {
            let ours = source("mine", provider, &["unrelated", ours]);
            let theirs = source("mine", provider, &[theirs]);
            assert_found(&signed(&theirs, BODY, NOW), &[&ours], &format!("secret 2 of `mine` {part}"));
        }
    }
    let ours = source("mine", "standard-webhooks", &["whsec_aHVudGVyMg=="]);
    for (text, part) in [
        ("whsec_aHVudGVyMg==", "with its prefix and not decoded"),
        ("aHVudGVyMg==", "as plain text without its prefix"),
    ] {
        let coded = format!("whsec_{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text));
        let theirs = source("mine", "standard-webhooks", &[&coded]);
        assert_found(&signed(&theirs, BODY, NOW), &[&ours], part);
    }
}

#[test]
fn rewritten_body_is_found() {
    let github = source("mine", "github", &["hunter2"]);
    for (signed_body, came, part) in [
        (BODY, &format!("{BODY}\n")[..], "without the newline"),
        ("{}\n", "{}", "with a newline"),
        ("{}\r\n", "{}", "with CRLF at its end"),
        ("{\n\"a\":\n1}", "{\r\n\"a\":\r\n1}", "with LF instead of CRLF"),
        ("{\r\n\"a\":\r\n1}", "{\n\"a\":\n1}", "with CRLF instead of LF"),
        ("{\"a\":1}", "{ \"a\" : 1 }", "as JSON without white space"),
        ("{\"a\": 1, \"b\": [1, 2]}", "{\"a\":1,\"b\":[1,2]}", "with a space after each comma and colon"),
        ("{\n  \"a\": 1\n}", "{\"a\":1}", "indented by two"),
        ("{\n    \"a\": 1\n}", "{\"a\":1}", "indented by four"),
        ("{\"a\":\"\\u00e9\"}", "{\"a\":\"é\"}", "non-ASCII characters escaped"),
        ("{\"a\": \"\\u00e9\"}", "{\"a\":\"é\"}", "spaces and non-ASCII"),
        ("{\"a\":\"x\\/y\"}", "{\"a\":\"x/y\"}", "escaped slashes"),
        ("{\"a\":\"\\/\\u00e9\"}", "{\"a\":\"/é\"}", "escaped slashes and non-ASCII"),
        ("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "its keys sorted"),
        ("{\"a\": 1, \"b\": 2}", "{\"b\":2,\"a\":1}", "its keys sorted, and spaces"),
        ("{\"a\":1}", "%7B%22a%22%3A1%7D", "decoded from a form"),
        ("{\"a\":1}", "payload=%7B%22a%22%3A1%7D&x=1", "the form field `payload`"),
        ("{\"a\":\"Ã©\"}", "{\"a\":\"Ã\u{83}Â©\"}", "Latin-1"),
        ("", "{\"a\":1}", "left out"),
    ] {
        let mut request = signed(&github, signed_body, NOW);
        request.body = came.to_owned().into();
        assert_found(&request, &[&github], part);
    }
}

fn custom(verify: &str) -> Source {
    let row = toml::from_str(&format!("event_id = ['body']\nsignature = 'header:X-Sig'\n{verify}")).unwrap();
    let scheme = Scheme::from_row(&row).unwrap();
    Source { provider: providers::CUSTOM.to_owned(), scheme: scheme.into(), ..source("mine", "github", &["hunter2"]) }
}

#[test]
fn other_way_of_signing_is_found() {
    let plain = "algorithm = 'hmac-sha256'";
    let timed = "algorithm = 'hmac-sha256'\ntimestamp = 'header:X-At'";
    for (theirs, ours, part) in [
        ("algorithm = 'hmac-sha512'", plain, "made with SHA-512"),
        ("algorithm = 'hmac-sha1'", plain, "made with SHA-1"),
        (plain, "algorithm = 'hmac-sha256'\nencoding = 'base64'", "written in hex"),
        ("algorithm = 'hmac-sha256'\nencoding = 'base64'", plain, "written in base64"),
        ("algorithm = 'hmac-sha512'\nencoding = 'base64'", plain, "made with SHA-512 and written in base64"),
        ("algorithm = 'hmac-sha256'\nsyntax = 'prefixed'\nprefix = 'sha256='", plain, "written after `sha256=`"),
        (plain, "algorithm = 'hmac-sha256'\nsyntax = 'prefixed'\nprefix = 'sha256='", "without a prefix"),
        (
            "algorithm = 'hmac-sha512'\nsyntax = 'prefixed'\nprefix = 'sha512='",
            "algorithm = 'hmac-sha256'\nsyntax = 'prefixed'\nprefix = 'sha256='",
            "made with SHA-512 and written after `sha512=`",
        ),
        (
            &format!("{timed}\nsigned_content = '{{timestamp}}.{{body}}'"),
            &format!("{timed}\nsigned_content = '{{timestamp}}{{body}}'"),
            "made over \"{timestamp}.{body}\"",
        ),
    ] {
        assert_found(&signed(&custom(theirs), BODY, NOW), &[&custom(ours)], part);
    }
    let timed = custom(&format!("{timed}\nsigned_content = '{{timestamp}}.{{body}}'"));
    let mut request = signed(&timed, BODY, NOW);
    let at = request.headers.one("x-at").unwrap().unwrap().to_vec();
    let millis = [&at[..], b"000"].concat();
    let mut headers = crate::model::request::Headers::default();
    request.headers.iter().for_each(|(name, value)| headers.push(name, if value == at { &millis } else { value }));
    request.headers = headers;
    assert_found(&request, &[&timed], "in seconds, but sent in milliseconds");
}

#[test]
fn other_url_is_found() {
    let custom = custom("algorithm = 'hmac-sha256'\nsigned_content = '{url}|{body}'");
    let with = |url: &str| Source { urls: vec![url.to_owned()], ..custom.clone() };
    for (theirs, ours, part) in [
        ("http://a.example/in", "https://a.example/in", "with http for https"),
        ("https://a.example/in", "https://a.example:8443/in", "without its port"),
        ("https://a.example/in", "https://a.example/in?a=1", "without its query"),
        ("https://a.example/hooks/mine", "https://a.example/elsewhere", "with the path of the request"),
        ("https://b.example/in", "https://a.example/in", "with the host of the request"),
        ("http://a.example/in", "https://a.example:8443/in", "with http for https and without its port"),
    ] {
        let mut request = signed(&with(theirs), BODY, NOW);
        request.headers.push("Host", b"b.example");
        assert_found(&request, &[&with(ours)], part);
    }
}

#[test]
fn handshake_with_another_secret_is_found() {
    let (ours, theirs) = (source("mine", "slack", &["alpha-secret"]), source("other", "slack", &["beta-secret"]));
    let request = signed(&theirs, r#"{"type":"url_verification","challenge":"c"}"#, NOW);
    assert_found(&request, &[&ours, &theirs], "matches the secret of `other`");
    let mended = Source { secrets: vec![Secret::new("beta-secret")], ..ours };
    let explanation = diagnose(&kept(&request, &mended), &[Arc::new(mended)], Some(&key()));
    assert!(explanation.findings[0].what.contains("carries no event"), "{explanation:?}");
}

#[test]
fn timestamp_in_another_unit_is_found() {
    let timed = "algorithm = 'hmac-sha256'\nsigned_content = '{timestamp}.{body}'\ntimestamp = 'header:X-At'";
    let (seconds, millis) = (custom(timed), custom(&format!("{timed}\ntimestamp_unit = 'ms'")));
    assert_found(&signed(&millis, BODY, NOW), &[&seconds], "if it is read as unix milliseconds");
    assert_found(&signed(&seconds, BODY, NOW), &[&millis], "if it is read as unix seconds");
}

#[test]
fn timestamp_out_of_the_window_is_reported_in_seconds() {
    let slack = source("mine", "slack", &["hunter2"]);
    let at = |seconds: i64| Millis(NOW.0 + seconds * 1000);
    let body = r#"{"type":"event_callback","event_id":"id"}"#;
    assert_found(
        &signed(&slack, body, at(-3600)),
        &[&slack],
        "signed 3600 s before it was received. The limit is 300 s",
    );
    assert_found(&signed(&slack, body, at(900)), &[&slack], "signed 900 s after it was received");
}

#[test]
fn missing_header_is_reported_with_similar_ones() {
    let github = source("mine", "github", &["hunter2"]);
    let mut request = signed(&github, BODY, NOW);
    let mut headers = crate::model::request::Headers::default();
    headers.push("User-Agent", b"curl/8");
    request.headers = headers.clone();
    let text = &found(&request, &[&github])[0];
    assert!(
        text.contains("Header `X-Hub-Signature-256` is missing, and there is no similar one")
            && text.contains("curl/8"),
        "{text}"
    );
    headers.push("X-Other-Signature", b"sha1=00");
    request.headers = headers;
    let text = &found(&request, &[&github])[0];
    assert!(text.contains("Header `X-Hub-Signature-256` is missing, but there is `X-Other-Signature`"), "{text}");
}

#[test]
fn masked_token_in_the_body_is_restored() {
    let figma = custom("algorithm = 'token'");
    let mut scheme = (*figma.scheme).clone();
    scheme.signature = crate::providers::ValueLocation::Json(crate::providers::Pointer::parse("/passcode").unwrap());
    let ours = Source { scheme: scheme.into(), ..figma };
    let theirs = Source { name: "other".into(), secrets: vec![Secret::new("alpha-secret")], ..ours.clone() };
    let mut request = signed(&source("mine", "github", &["x-secret"]), r#"{"passcode":"alpha-secret"}"#, NOW);
    assert_found(&request, &[&ours, &theirs], "matches the secret of `other`");
    let taken = |body: &str, by: &Source, request: &mut Request| {
        request.body = body.to_owned().into();
        reverify(&kept(request, &ours), by, Some(&key()))
    };
    let body = r#"{"passcode":"alpha-secret"}"#;
    assert!(matches!(taken(body, &theirs, &mut request), ReverifyResult::Verified(_)));
    assert!(matches!(taken(body, &ours, &mut request), ReverifyResult::StillRefused(_)));
    let starred = r#"{"passcode":"alpha-secret","x":"***"}"#;
    assert!(
        matches!(taken(starred, &theirs, &mut request), ReverifyResult::Unrecoverable(_)),
        "the masked token cannot be distinguished from stars in the body"
    );
}

#[test]
fn truncated_body_is_reported_unless_a_token_is_sent() {
    let github = source("mine", "github", &["hunter2"]);
    let mut refused = kept(&signed(&source("mine", "github", &["other"]), BODY, NOW), &github);
    refused.body_bytes = 100_000;
    let explanation = diagnose(&refused, &[Arc::new(github)], Some(&key()));
    assert!(explanation.findings[0].what.contains("cannot be computed again"), "{explanation:?}");
    let (gitlab, other) = (source("mine", "gitlab", &["hunter2"]), source("other", "gitlab", &["alpha"]));
    let mut refused = kept(&signed(&other, BODY, NOW), &gitlab);
    refused.body_bytes = 100_000;
    let explanation = diagnose(&refused, &[Arc::new(gitlab), Arc::new(other)], Some(&key()));
    assert!(explanation.findings[0].what.contains("the secret of `other`"), "{explanation:?}");
}

#[test]
fn refusals_for_other_reasons_are_explained() {
    let github = Arc::new(source("mine", "github", &["hunter2"]));
    let request = signed(&github, BODY, NOW);
    for (status, part) in
        [(403, "because of its address"), (408, "request_timeout"), (413, "over the limit"), (429, "rate_limit")]
    {
        let refused = RefusedDelivery { status, reason: "in `allow_ips`".to_owned(), ..kept(&request, &github) };
        let explanation = diagnose(&refused, std::slice::from_ref(&github), None);
        assert!(explanation.findings[0].what.contains(part), "{explanation:?}");
    }
    let explanation = diagnose(&kept(&request, &github), &[], None);
    assert!(explanation.findings[0].what.contains("`mine` is not in the configuration"), "{explanation:?}");
    let mut headers = crate::model::request::Headers::default();
    let kept_headers = request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-github-delivery"));
    kept_headers.for_each(|(name, value)| headers.push(name, value));
    let without_id = Request { headers, ..request };
    assert_found(&without_id, &[&github], "Its signature matches, but no event id");
}

/// A message of the topic, signed with a test key, and the source that fetches the certificate of that key.
fn published(at: Millis, provider: &Provider) -> (Source, Request) {
    use rsa::pkcs8::EncodePrivateKey as _;
    let pem = RSA.to_pkcs8_pem(Default::default()).unwrap();
    let sns = Source {
        topics: vec!["arn:aws:sns:us-east-1:123456789012:orders".to_owned()],
        keys_url: Some(provider.base()),
        ..source("mine", "aws-sns", &[])
    };
    let event = TestEvent {
        event_type: "Notification".to_owned(),
        private_key: Some(Secret::new(pem.as_str())),
        ..TestEvent::default()
    };
    let request = verify::sign(&sns, &event, at).unwrap();
    (sns, Request { received_at: NOW, ..request })
}

#[test]
fn public_keys_are_fetched_once() {
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let (sns, late) = published(Millis(NOW.0 - 172_800_000), &provider);
    assert_found(&late, &[&sns], "Its signature matches, but it was signed 172800 s before it was received");
    let (sns, mut altered) = published(NOW, &provider);
    let text = String::from_utf8(altered.body.to_vec()).unwrap();
    altered.body = text.replace("Saturn", "Jupiter").into();
    let before = provider.requests();
    let refused = kept(&altered, &sns);
    let fetched = provider.requests() - before;
    let explanation = diagnose(&refused, &[Arc::new(sns)], Some(&key()));
    assert!(explanation.findings.is_empty() && explanation.tried.len() > 1, "{explanation:?}");
    assert_eq!((fetched, provider.requests() - before), (1, 2));
}

#[test]
fn unavailable_public_keys_are_reported() {
    let provider = Provider::start("");
    let (sns, request) = published(NOW, &provider);
    provider.now_answers("503 Service Unavailable", "", "");
    let explanation = diagnose(&kept(&request, &sns), &[Arc::new(sns)], Some(&key()));
    assert!(explanation.findings[0].what.contains("cannot be fetched now: http://127.0.0.1"), "{explanation:?}");
    assert!(explanation.findings[0].what.contains("responded with status 503"), "{explanation:?}");
}

#[test]
fn without_a_match_the_tries_are_listed() {
    let github = source("mine", "github", &["hunter2"]);
    let request = signed(&source("mine", "github", &["nobody knows"]), BODY, NOW);
    let sources = [Arc::new(github.clone())];
    let explanation = diagnose(&kept(&request, &github), &sources, Some(&key()));
    assert!(explanation.findings.is_empty(), "{explanation:?}");
    assert_eq!(explanation.tried.len(), 4, "{explanation:?}");
    let gitlab = source("mine", "gitlab", &["hunter2"]);
    let request = signed(&source("mine", "gitlab", &["nobody knows"]), BODY, NOW);
    let explanation = diagnose(&kept(&request, &gitlab), &[Arc::new(gitlab)], Some(&key()));
    assert_eq!((explanation.findings.len(), explanation.tried.len()), (0, 2), "{explanation:?}");
}

/// A secret that every decoding accepts: hex, and base64 of 24 bytes; with a colon for Basic.
fn secret_of(scheme: &Scheme, digit: char) -> String {
    match scheme.auth {
        providers::AuthMethod::Basic => format!("user-{digit}:{}", digit.to_string().repeat(32)),
        _ => digit.to_string().repeat(32),
    }
}

/// For every row with a shared secret: a source, and what its provider would send with another secret.
fn walk() -> Vec<(Source, Source, Request)> {
    let mut all = Vec::new();
    for (name, row) in providers::all().filter(|(_, row)| row.unsupported.is_none()) {
        let field = row.field.as_ref().map(|field| field.replace("{key_id}", "key-1"));
        let scheme = Scheme::from_row(&providers::ProviderRow { field, ..row.clone() }).unwrap();
        let needs = scheme.required_settings();
        let is_kept = scheme.auth.is_token()
            || scheme.covers_body()
            || !scheme.token_headers().iter().any(
                |name| matches!(&scheme.signature, providers::ValueLocation::Header(own) if own.eq_ignore_ascii_case(name)),
            );
        if needs.public_key || scheme.auth.is_asymmetric() || !is_kept {
            continue;
        }
        let ours = Source {
            key_ids: if needs.key_id { vec![Secret::new("key-1")] } else { Vec::new() },
            api_key: needs.api_key.then(|| Secret::new("api-1")),
            verify_token: needs.verify_token.then(|| Secret::new("token-1")),
            urls: needs.url.then(|| "https://example.com/hooks/here".to_owned()).into_iter().collect(),
            secrets: vec![Secret::new(secret_of(&scheme, 'a'))],
            scheme: scheme.clone().into(),
            ..source("mine", "github", &[])
        };
        let ours = Source { provider: name.to_owned(), ..ours };
        let secrets = vec![Secret::new(secret_of(&scheme, 'b'))];
        let theirs = Source { name: "other".into(), secrets, ..ours.clone() };
        let event = TestEvent {
            event_type: String::new(),
            event_id: None,
            body: if scheme.is_form() { b"x=1".to_vec() } else { b"{\"x\":1}".to_vec() },
            content_type: scheme.is_form().then(|| "application/x-www-form-urlencoded".to_owned()),
            defect: Defect::None,
            private_key: None,
        };
        let Ok(request) = verify::sign(&Source { path: ours.path.clone(), ..theirs.clone() }, &event, NOW) else {
            continue;
        };
        if matches!(Verifier::new(&theirs).check(&request, NOW), Ok(VerifiedRequest::Delivery(_))) {
            all.push((ours, theirs, request));
        }
    }
    assert!(all.len() > 150, "only {} of the table", all.len());
    all
}

#[test]
fn every_provider_is_diagnosed_and_reverified_without_storing_secrets() {
    for (ours, theirs, request) in walk() {
        let name = &ours.provider;
        let refused = kept(&request, &ours);
        let secret = theirs.secrets[0].reveal();
        let shown = format!("{} {} {}", refused.target, refused.headers, String::from_utf8_lossy(&refused.body));
        assert!(!shown.contains(secret), "{name}: {shown}");
        assert!(matches!(reverify(&refused, &ours, Some(&key())), ReverifyResult::StillRefused(_)), "{name}");
        let standing = reverify(&refused, &Source { name: ours.name.clone(), ..theirs.clone() }, Some(&key()));
        assert!(matches!(standing, ReverifyResult::Verified(_)), "{name}: {standing:?} {refused:?}");
        let sources = [ours, theirs].map(Arc::new);
        let explanation = diagnose(&refused, &sources, Some(&key()));
        let what: Vec<_> = explanation.findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(what, ["It matches the secret of `other`."], "{}", sources[0].provider);
    }
}

#[test]
fn token_that_does_not_cover_the_body_is_not_stored() {
    let row = toml::from_str::<providers::ProviderRow>(
        "signature = 'header:Authorization'\nsyntax = 'prefixed'\nprefix = 'Bearer '\nalgorithm = 'jwt'\n\
         jwt_algorithms = ['HS256']\nbody_unsigned = true\nevent_id = ['body']",
    );
    let Ok(scheme) = Scheme::from_row(&row.unwrap()) else { panic!("the row is valid") };
    let push = Source { scheme: scheme.into(), ..source("mine", "github", &["hunter2"]) };
    let mut request = signed(&source("mine", "github", &["x-secret"]), BODY, NOW);
    request.headers.push("Authorization", b"Bearer aaa.bbb.ccc");
    let refused = kept(&request, &push);
    assert!(!refused.headers.contains("aaa.bbb.ccc"), "{}", refused.headers);
    assert!(matches!(reverify(&refused, &push, Some(&key())), ReverifyResult::Unrecoverable(_)));
    let explanation = diagnose(&refused, &[Arc::new(push)], Some(&key()));
    assert!(explanation.findings[0].what.contains("was not stored"), "{explanation:?}");
}

#[test]
fn id_that_is_not_utf8_is_unchanged_by_reverify() {
    let source = source("github", "github", &["a secret of some length"]);
    let mut request = signed(&source, BODY, NOW);
    let mut headers = crate::model::request::Headers::default();
    for (name, value) in request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-github-delivery")) {
        headers.push(name, value);
    }
    headers.push("X-GitHub-Delivery", b"rawff\xff");
    request.headers = headers;
    let refused = kept(&request, &source);
    assert_eq!(refused.request().headers.one("x-github-delivery"), Ok(Some(&b"rawff\xff"[..])));
    let standing = reverify(&refused, &source, Some(&key()));
    assert!(
        matches!(&standing, ReverifyResult::StillRefused(why) if *why == refused.reason),
        "{standing:?} {}",
        refused.reason
    );
    let found = found(&request, &[&source]);
    assert!(found[0].contains("Its signature matches, but"), "{found:?}");
}

/// Writes a configuration, merges a finding's settings into it, and returns the source as `check` reads it.
fn configured(base: &str, settings: &str) -> Source {
    let mut root: toml::Table = base.parse().unwrap();
    let advised: toml::Table = settings.parse().unwrap();
    let section = root["sources"]["mine"].as_table_mut().unwrap();
    section.extend(advised["sources"]["mine"].as_table().unwrap().clone());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbox.toml");
    std::fs::write(&file, toml::to_string(&root).unwrap()).unwrap();
    let config = crate::config::read(&file, &|_| None).unwrap_or_else(|errors| panic!("{errors}\n{settings}"));
    Source::clone(&config.sources[0])
}

/// The finding's settings pass `check`, and `reverify` accepts the delivery with them.
fn assert_advice_works(base: &str, request: &Request, part: &str) {
    let ours = configured(base, "[sources.mine]");
    let refused = kept(request, &ours);
    assert!(!matches!(reverify(&refused, &ours, Some(&key())), ReverifyResult::Verified(_)), "{part}: was accepted");
    let explanation = diagnose(&refused, &[Arc::new(ours)], Some(&key()));
    let finding = explanation.findings.first().unwrap_or_else(|| panic!("{part}: {explanation:?}"));
    assert!(finding.what.contains(part), "{part}: {finding:?}");
    let settings = finding.settings.as_deref().unwrap_or_else(|| panic!("{part}: {finding:?}"));
    let advised = configured(base, settings);
    let again = reverify(&refused, &advised, Some(&key()));
    assert!(matches!(again, ReverifyResult::Verified(_)), "{part}: {again:?}\n{settings}");
}

#[test]
fn every_setting_that_is_advised_passes_check_and_accepts_the_delivery() {
    const CUSTOM: &str = "[sources.mine]\nprovider = 'custom'\nsecret = 'hunter2hunter2'\n[sources.mine.verify]\n\
                          signature = 'header:X-Sig'\nevent_id = ['body']\n";
    let sha = "algorithm = 'hmac-sha256'";
    let timed = format!("{sha}\ntimestamp = 'header:X-Timestamp'\nsigned_content = '{{timestamp}}.{{body}}'");
    for (theirs, ours, part) in [
        ("algorithm = 'hmac-sha1'\nencoding = 'base64'", sha, "made with SHA-1 and written in base64"),
        ("algorithm = 'hmac-sha256'\nsyntax = 'prefixed'\nprefix = 'sha256='", sha, "written after `sha256=`"),
        (
            sha,
            "algorithm = 'hmac-sha256'\nsyntax = 'prefixed'\nprefix = 'v1='\nprefix_optional = false",
            "without a prefix",
        ),
        (sha, &*timed, "made over \"{body}\""),
        (&*timed, sha, "made over \"{timestamp}.{body}\""),
        (&format!("{sha}\nsigned_content = '{{method}}{{path}}{{body}}'"), sha, "made over \"{method}{path}{body}\""),
        (&format!("{timed}\ntimestamp_unit = 'ms'"), &*timed, "read as unix milliseconds"),
        (&format!("{sha}\nsecret_decoding = 'hex'"), sha, "decoded from hex"),
    ] {
        let secret = if part.contains("hex") { "68756e7465723268756e74657232" } else { "hunter2hunter2" };
        let [theirs, ours] = [theirs, ours].map(|verify| format!("{CUSTOM}{verify}").replace("hunter2hunter2", secret));
        let sender = configured(&theirs, "[sources.mine]");
        let mut request = signed(&sender, BODY, NOW);
        if theirs.contains(sha) && ours.contains("X-Timestamp") && !theirs.contains("X-Timestamp") {
            request.headers.push("X-Timestamp", b"1700000000");
        }
        assert_advice_works(&ours, &request, part);
    }
    let url = format!("{CUSTOM}{sha}\nsigned_content = '{{url}}{{body}}'");
    let with_url =
        |url: &str, path: &str| url.replace("[sources.mine.verify]", &format!("url = '{path}'\n[sources.mine.verify]"));
    let mut request = signed(&configured(&with_url(&url, "https://a.example/hooks/mine"), "[sources.mine]"), BODY, NOW);
    request.headers.push("Host", b"a.example");
    assert_advice_works(&with_url(&url, "https://b.example/in"), &request, "with the host of the request");
    assert_advice_works(&format!("{CUSTOM}{sha}"), &request, "made over \"{url}{body}\"");
}

#[test]
fn advice_for_named_providers_is_a_custom_scheme_that_works() {
    let github = "[sources.mine]\nprovider = 'github'\nsecret = 'hunter2hunter2'\n";
    let scheme =
        "[sources.mine.verify]\nevent_id = ['header:X-GitHub-Delivery']\nevent_type = ['header:X-GitHub-Event']\n";
    let custom = github.replace("'github'", "'custom'") + scheme;
    let sent = |verify: &str| {
        let sender = configured(&format!("{custom}{verify}"), "[sources.mine]");
        signed(&sender, BODY, NOW)
    };
    let prefixed = "algorithm = 'hmac-sha1'\nsyntax = 'prefixed'\nprefix = 'sha1='";
    let signature = |name: &str| format!("signature = 'header:{name}'\n{prefixed}");
    assert_advice_works(github, &sent(&signature("X-Hub-Signature-256")), "made with SHA-1");
    assert_advice_works(github, &sent(&signature("X-Hub-Signature")), "`X-Hub-Signature` matches the secret");
    let slack = "[sources.mine]\nprovider = 'slack'\nsecret = 'hunter2hunter2'\n";
    let body = r#"{"type":"event_callback","event_id":"id"}"#;
    let late = signed(&configured(slack, "[sources.mine]"), body, Millis(NOW.0 - 3_600_000));
    assert_advice_works(slack, &late, "signed 3600 s before it was received");
}
