//! The most used providers from outside: accepted, duplicate, forged and stale deliveries, secret rotation.

use base64::Engine as _;

use crate::support::delivery::{Delivery, PROVIDERS, Rendered, TIMED, hmac, secret_of};
use crate::support::script::succeeds;
use crate::support::wire::{Reply, Wire};
use crate::support::{Hookbox, Running, github};

/// A provider, its signature's header, and a change of the header's value.
type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&str) -> String);

#[test]
fn providers_lists_them_all_with_how_far_to_trust_each() {
    let hookbox = Hookbox::new();
    hookbox.write();
    let done = hookbox.run(&["providers", "--json"]);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let table: Vec<serde_json::Value> = serde_json::from_str(&done.stdout).unwrap();
    assert!(table.len() >= 224, "{}", table.len());
    let row = |name: &str| table.iter().find(|row| row["name"] == name).unwrap();
    for name in PROVIDERS.iter().filter(|name| **name != "own") {
        assert_eq!(row(name)["support"], "confirmed", "{name}");
    }
    assert_eq!(row("airtable")["support"], "unconfirmed");
    assert_eq!(row("github")["unsigned_type"], serde_json::json!(["header:X-GitHub-Event"]));
    assert_eq!(row("stripe")["unsigned_id"], serde_json::json!([]));
    for row in &table {
        assert_eq!(row["support"] == "none", row["unsupported"].is_string(), "{row}");
    }
    let shown = hookbox.run(&["providers", "contentful"]);
    assert!(shown.stdout.contains("not yet: its signature covers"), "{}", shown.stdout);
}

#[test]
fn every_providers_event_is_handled_once() {
    let hookbox = Hookbox::new().handler("keep", crate::support::script::records().then_succeeds()).start();
    for &provider in PROVIDERS {
        let delivery = Delivery::from(provider);
        let accepted = hookbox.send(&delivery);
        assert_eq!(accepted.text(), r#"{"status":"accepted","events":1,"duplicates":0}"#, "{provider}");
        let duplicate = hookbox.send(&delivery);
        assert_eq!(duplicate.text(), r#"{"status":"duplicate","events":1,"duplicates":1}"#, "{provider}");
        let event = hookbox.deliver(&delivery);
        hookbox.wait_for(&event, "succeeded");
        assert_eq!(hookbox.record("keep", &event, 1).0, delivery.body(), "{provider}");
        assert_eq!(hookbox.inbox.event_type(provider, &event.id), delivery.event_type, "{provider}");
    }
    assert_eq!(hookbox.starts("keep").len(), PROVIDERS.len());
}

#[test]
fn forged_tampered_and_stale_deliveries_of_every_provider_get_401() {
    let hookbox = Hookbox::new().start();
    for &provider in PROVIDERS {
        assert_eq!(hookbox.send(&Delivery::from(provider).forged()).status, 401, "{provider}: forged");
        if provider != "gitlab" {
            let mut request = Delivery::from(provider).render();
            request.body.push(b'\n');
            assert_eq!(post(&hookbox, &request).status, 401, "{provider}: tampered");
        }
    }
    for provider in TIMED {
        for (seconds, status) in [(3600, 401), (330, 401), (270, 200), (-270, 200), (-330, 401), (-3600, 401)] {
            let reply = hookbox.send(&Delivery::from(provider).aged(seconds));
            assert_eq!(reply.status, status, "{provider}, signed {seconds} s ago");
        }
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 2 * i64::try_from(TIMED.len()).unwrap());
}

#[test]
fn changed_timestamp_gets_401() {
    let hookbox = Hookbox::new().start();
    for provider in TIMED {
        let mut request = Delivery::from(provider).aged(3600).render();
        let fresh = Delivery::from(provider).render();
        for ((name, value), (_, now)) in request.headers.iter_mut().zip(&fresh.headers) {
            match name.as_str() {
                "Stripe-Signature" => {
                    let (t, rest) = (now.split_once(',').unwrap().0, value.split_once(',').unwrap().1.to_owned());
                    *value = format!("{t},{rest}");
                }
                "webhook-timestamp" | "svix-timestamp" | "X-Slack-Request-Timestamp" | "X-Signed-At" => {
                    value.clone_from(now);
                }
                _ => {}
            }
        }
        assert_eq!(post(&hookbox, &request).status, 401, "{provider}");
    }
}

#[test]
fn either_of_two_secrets_is_good_while_they_rotate() {
    let mut setup = Hookbox::new();
    for &provider in PROVIDERS.iter().filter(|name| **name != "own") {
        let (newest, older) = (rotated(provider), secret_of(provider));
        setup = setup.source(provider, &format!("provider = \"{provider}\"\nsecret = [\"{newest}\", \"{older}\"]"));
    }
    let hookbox = setup.start();
    for &provider in PROVIDERS.iter().filter(|name| **name != "own") {
        hookbox.deliver(Delivery::from(provider).with_secret(&rotated(provider)));
        hookbox.deliver(Delivery::from(provider).with_secret(&secret_of(provider)));
        assert_eq!(hookbox.send(&Delivery::from(provider).forged()).status, 401, "{provider}");
    }
}

#[test]
fn any_of_several_signatures_in_one_header_may_match() {
    let hookbox = Hookbox::new().start();
    let wrong = [hex::encode([7; 32]), base64::engine::general_purpose::STANDARD.encode([7; 32])];
    let cases: [Case<'_>; 3] = [
        ("stripe", "Stripe-Signature", &|value| value.replacen(",v1=", &format!(",v1={},v1=", wrong[0]), 1)),
        ("stripe", "Stripe-Signature", &|value| format!("{value},v1={}", wrong[0])),
        ("standard-webhooks", "webhook-signature", &|value| format!("v1a,{} v1,{} {value} v2,x", wrong[1], wrong[1])),
    ];
    for (provider, header, change) in cases {
        assert_eq!(post(&hookbox, &changed(provider, header, change)).status, 200, "{provider}");
    }
    let downgraded = changed("stripe", "Stripe-Signature", |value| value.replace(",v1=", ",v0="));
    assert_eq!(post(&hookbox, &downgraded).status, 401, "v0 proves nothing");
    let other = changed("standard-webhooks", "webhook-signature", |value| value.replace("v1,", "v1a,"));
    assert_eq!(post(&hookbox, &other).status, 401, "v1a is another algorithm");
}

#[test]
fn second_timestamp_in_a_signature_is_rejected() {
    let hookbox = Hookbox::new().start();
    let request = changed("stripe", "Stripe-Signature", |value| format!("t=1,{value}"));
    assert_eq!(post(&hookbox, &request).status, 401);
}

#[test]
fn svix_may_use_the_names_of_standard_webhooks() {
    let hookbox = Hookbox::new().start();
    let delivery = Delivery::from("standard-webhooks").to("svix").with_secret(&secret_of("svix"));
    let event = hookbox.deliver(&delivery);
    hookbox.wait_for(&event, "unmatched");
}

#[test]
fn github_type_is_event_name_and_action() {
    let hookbox = Hookbox::new().start();
    let cases = [
        ("pull_request", r#"{"action":"opened"}"#, "pull_request.opened"),
        ("push", r#"{"ref":"refs/heads/main"}"#, "push"),
        ("ping", r#"{"zen":"Keep it logically awesome."}"#, "ping"),
    ];
    for (name, body, expected) in cases {
        let event = hookbox.deliver(github::push().of_type(name).with_body(body));
        assert_eq!(hookbox.inbox.event_type("github", &event.id), expected);
    }
}

#[test]
fn github_in_form_mode_is_signed_over_the_raw_form() {
    let hookbox = Hookbox::new().start();
    let body = "payload=%7B%22action%22%3A%22opened%22%7D";
    let push = github::push().with_body(body).with_content_type("application/x-www-form-urlencoded");
    let event = hookbox.deliver(&push);
    assert_eq!(hookbox.inbox.body("github", &event.id), body.as_bytes());
}

#[test]
fn slack_gets_its_challenge_back_and_nothing_is_stored() {
    let hookbox = Hookbox::new().handler("keep", succeeds()).start();
    let body = r#"{"token":"abc","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let reply = hookbox.send(&Delivery::from("slack").with_body(body));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text(), "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
    assert!(reply.header("content-type").unwrap().starts_with("text/plain"), "{:?}", reply.headers);
    let forged = hookbox.send(&Delivery::from("slack").with_body(body).forged());
    assert_eq!(forged.status, 401);
    assert!(!forged.text().contains("3eZbrw1a"));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn tolerance_is_configurable() {
    let hookbox = Hookbox::new().source_with("stripe", "tolerance = \"10s\"").start();
    assert_eq!(hookbox.send(&Delivery::from("stripe").aged(30)).status, 401);
    hookbox.deliver(Delivery::from("stripe"));
}

#[test]
fn ids_and_types_can_be_taken_from_elsewhere() {
    let hookbox = Hookbox::new()
        .source_with("github", "event_id = [\"json:/nothing\", \"json:/after\"]\nevent_type = [\"json:/ref\"]")
        .start();
    let body = r#"{"after":"d6fde92930d4715a2b49857d24b940956b26d2d3","ref":"refs/heads/main"}"#;
    hookbox.deliver(github::push().with_body(body));
    let stored = hookbox.inbox.texts("SELECT event_id || ' ' || type FROM events");
    assert_eq!(stored, ["d6fde92930d4715a2b49857d24b940956b26d2d3 refs/heads/main"]);
}

#[test]
fn id_can_be_the_body_digest_or_none() {
    let hookbox = Hookbox::new()
        .source_with("github", "event_id = [\"json:/id\", \"body\"]")
        .source_with("shopify", "event_id = [\"none\"]")
        .start();
    for delivery in [github::push().with_body("{}"), Delivery::from("shopify").with_body("{}")] {
        hookbox.deliver(&delivery);
        hookbox.deliver(&delivery);
    }
    let per_source = hookbox.inbox.texts("SELECT source || ' ' || count(*) FROM events GROUP BY source ORDER BY 1");
    assert_eq!(per_source, ["github 1", "shopify 2"]);
}

fn rotated(provider: &str) -> String {
    match provider {
        "standard-webhooks" | "svix" => {
            format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode("the key that comes after it"))
        }
        _ => format!("the secret that comes after {provider}'s"),
    }
}

fn post(hookbox: &Running, request: &Rendered) -> Reply {
    Wire::open(hookbox.hooks()).unwrap().exchange("POST", &request.path, &request.headers, &request.body).unwrap()
}

/// A genuine request with one of its headers changed afterwards.
fn changed(provider: &str, header: &str, change: impl Fn(&str) -> String) -> Rendered {
    let provider = PROVIDERS.iter().find(|name| **name == provider).unwrap();
    let mut request = Delivery::from(provider).render();
    let (_, value) = request.headers.iter_mut().find(|(name, _)| name == header).unwrap();
    *value = change(value);
    request
}

#[test]
fn signatures_match_the_standard_webhooks_specification() {
    // github.com/standard-webhooks/standard-webhooks, the example of its specification.
    let key = base64::engine::general_purpose::STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed: [&[u8]; 3] = [b"msg_p5jXN8AQM9LWM0D4loKWxJek.", b"1614265330.", br#"{"test": 2432232314}"#];
    let signature = base64::engine::general_purpose::STANDARD.encode(hmac(&key, &signed));
    assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
