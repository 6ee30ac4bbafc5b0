//! Handshakes over HTTP, secrets that the provider sends in a handshake, and fetched keys.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::wire::{Reply, Wire};
use crate::support::{Hookbox, Running, until};

const SECRET: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";

fn custom(name: &str, further: &str, handshake: &str) -> String {
    format!(
        "provider = \"custom\"\n{further}\n[sources.{name}.verify]\nsignature = \"header:X-Hook-Signature\"\n\
         algorithm = \"hmac-sha256\"\nhandshake = \"{handshake}\"\nevent_id = [\"json:/id\"]\nevent_type = [\"json:/type\"]\n"
    )
}

fn exchange(hookbox: &Running, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Wire::open(hookbox.hooks()).unwrap().exchange(method, target, &headers, body.as_bytes()).unwrap()
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Delivers a signed event and returns the status.
fn deliver(hookbox: &Running, secret: &str, id: &str) -> u16 {
    let body = format!("{{\"id\":\"{id}\"}}");
    let signature = signature(secret, &body);
    exchange(hookbox, "POST", "/hooks/asana", &[("X-Hook-Signature", &signature)], &body).status
}

fn send_secret(hookbox: &Running, secret: &str) -> Reply {
    exchange(hookbox, "POST", "/hooks/asana", &[("X-Hook-Secret", secret)], "{}")
}

#[test]
fn get_with_a_challenge_is_answered_in_plain_text_others_get_405() {
    let meta = custom("meta", "secret = \"s\"\nverify_token = \"to ken\"", "meta_hub_challenge");
    let hookbox = Hookbox::new().source("meta", &meta).start();
    let get = |query: &str| exchange(&hookbox, "GET", &format!("/hooks/meta{query}"), &[], "");
    let reply = get("?hub.mode=subscribe&hub.challenge=%3Cscript%3E1158&hub.verify_token=to%20ken");
    assert_eq!((reply.status, reply.text().as_str()), (200, "<script>1158"));
    assert!(reply.header("content-type").unwrap().starts_with("text/plain"), "{:?}", reply.headers);
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let wrong = get("?hub.mode=subscribe&hub.challenge=1158&hub.verify_token=wrong");
    assert_eq!(wrong.status, 403);
    assert!(!wrong.text().contains("1158"));
    for reply in [get(""), get("?a=b"), exchange(&hookbox, "PUT", "/hooks/meta", &[], "")] {
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST, GET")));
    }
    let other = exchange(&hookbox, "GET", "/hooks/github?hub.mode=subscribe&hub.challenge=1", &[], "");
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn head_and_options_are_answered_for_providers_that_use_them() {
    let hookbox = Hookbox::new()
        .source("trello", &custom("trello", "secret = \"s\"", "head_ok"))
        .source("cloud", &custom("cloud", "secret = \"s\"", "cloudevents_options"))
        .start();
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    wire.write_head("HEAD", "/hooks/trello", &[]).unwrap();
    assert_eq!(wire.status_alone().unwrap(), 200);
    let origin = [("WebHook-Request-Origin", "eventemitter.example.com")];
    let reply = exchange(&hookbox, "OPTIONS", "/hooks/cloud", &origin, "");
    assert_eq!((reply.status, reply.header("webhook-allowed-origin")), (200, Some("eventemitter.example.com")));
    assert_eq!((reply.header("webhook-allowed-rate"), reply.header("allow")), (Some("*"), Some("POST")));
    assert_eq!(exchange(&hookbox, "OPTIONS", "/hooks/cloud", &[], "").status, 405);
}

#[test]
fn provider_gets_the_acknowledgement_it_expects() {
    let hookbox = Hookbox::new().source("asana", &custom("asana", "secret = \"s\"", "xero_itr")).start();
    let body = "{\"id\":\"1\"}";
    let send = |signature: &str| exchange(&hookbox, "POST", "/hooks/asana", &[("X-Hook-Signature", signature)], body);
    for _ in 0..2 {
        let reply = send(&signature("s", body));
        assert_eq!((reply.status, reply.text().as_str(), reply.header("content-type")), (200, "", None));
    }
    let reply = send(&signature("t", body));
    assert_eq!((reply.status, reply.text().as_str()), (401, ""));
    assert_eq!(hookbox.inbox.texts("SELECT event_id || ' ' || deliveries FROM events"), ["1 2"]);
}

#[test]
fn secret_is_learned_once_and_survives_a_restart() {
    let asana = custom("asana", "", "asana_hook_secret");
    let mut hookbox = Hookbox::new()
        .source("asana", &asana)
        .expect_warning("refused a handshake that would change the known secret")
        .start();
    assert_eq!(send_secret(&hookbox, SECRET).status, 401);
    assert_eq!(deliver(&hookbox, SECRET, "early"), 401);
    assert!(hookbox.ok(&["learn", "asana"]).contains("accepting the next handshake of `asana` until"));
    let reply = until("the window", || Some(send_secret(&hookbox, SECRET)).filter(|reply| reply.status == 200));
    assert_eq!((reply.header("x-hook-secret"), reply.text().as_str()), (Some(SECRET), ""));
    assert_eq!(deliver(&hookbox, SECRET, "one"), 200);
    // The provider may repeat its handshake. Another secret is rejected.
    assert_eq!(send_secret(&hookbox, SECRET).status, 200);
    let other = SECRET.replace('b', "c");
    assert_eq!(send_secret(&hookbox, &other).status, 401);
    assert_eq!(deliver(&hookbox, &other, "forged"), 401);
    let refused = hookbox.run(&["learn", "asana"]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is already known") && refused.stderr.contains("--forget"), "{refused:?}");

    assert!(hookbox.stop().success());
    hookbox.start_again();
    assert_eq!(deliver(&hookbox, SECRET, "two"), 200);
    assert_eq!(send_secret(&hookbox, &other).status, 401);
    let address = format!("http://{}/hooks/asana", hookbox.hooks());
    hookbox.ok(&["send", "asana", "--id", "three", "--type", "test", "--url", &address]);
    assert_eq!(hookbox.inbox.texts("SELECT event_id FROM events ORDER BY seq"), ["one", "two", "three"]);
    assert_eq!(hookbox.ok(&["learn", "asana", "--show"]).trim(), SECRET);
    for line in hookbox.log() {
        assert!(!line.contains(SECRET) && !line.contains(&other), "{line}");
    }
    let kept = "SELECT headers || tokens || CAST(body AS TEXT) || target || reason FROM refusals";
    assert!(hookbox.inbox.texts(kept).iter().all(|text| !text.contains(&other) && !text.contains(SECRET)));

    hookbox.ok(&["learn", "asana", "--forget"]);
    until("the new secret", || (send_secret(&hookbox, &other).status == 200).then_some(()));
    assert_eq!(deliver(&hookbox, &other, "four"), 200);
    assert_eq!(deliver(&hookbox, SECRET, "five"), 401);
}

#[test]
fn learn_is_rejected_for_sources_with_a_known_secret() {
    let hookbox = Hookbox::new().source("asana", &custom("asana", "secret = \"s\"", "asana_hook_secret")).start();
    for (name, part) in [
        ("github", "does not send its secret"),
        ("asana", "has a secret in the configuration"),
        ("nobody", "no source"),
    ] {
        let refused = hookbox.run(&["learn", name]);
        assert_eq!(refused.status, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    assert_eq!(send_secret(&hookbox, SECRET).status, 401);
}

#[test]
fn unavailable_keys_are_503_and_unverifiable_tokens_401() {
    let pubsub = "provider = \"google-pubsub\"\nkey_id = \"push@p.iam.gserviceaccount.com\"\n\
                  url = \"https://here.example/x\"\nkeys_url = \"http://127.0.0.1:1\"";
    let hookbox = Hookbox::new().source("pubsub", pubsub).allow_warning("Connection refused").start();
    let send = |token: &str| exchange(&hookbox, "POST", "/hooks/pubsub", &[("Authorization", token)], "{}");
    // {"alg":"RS256","kid":"a"} and {"alg":"none","kid":"a"}
    let reply = send("Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.c2ln");
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.retry_after().is_some());
    assert_eq!(send("Bearer eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30.").status, 401);
    assert_eq!(send("Bearer x").status, 401);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}
