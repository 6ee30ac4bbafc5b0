//! No secret, token, signature or body appears in logs, responses, lists or the database file.

use crate::support::delivery::{Delivery, PROVIDERS, secret_of};
use crate::support::script::{sh, succeeds};
use crate::support::wire::Wire;
use crate::support::{Hookbox, Running, github, until};

const BODY: &str = r#"{"a":"a-body-that-must-not-be-logged"}"#;

#[test]
fn no_secret_is_shown_or_logged() {
    for format in ["text", "json"] {
        let mut hookbox = Hookbox::new()
            .environment("HOOKBOX_LOG", "trace")
            .option(&format!("--log-format={format}"))
            .source("env", "provider = \"github\"\nsecret = { env = \"FROM_THE_ENVIRONMENT\" }")
            .environment("FROM_THE_ENVIRONMENT", "secret-of-the-environment")
            .handler("fine", succeeds())
            .handler("dies", sh("echo \"$HOOKBOX_HEADERS\" >&2; exit 65"))
            .expect_failures()
            .start();
        let mut secrets: Vec<String> = PROVIDERS.iter().map(|provider| secret_of(provider)).collect();
        secrets.extend(["secret-of-the-environment", "Bearer-of-the-tests", "cookie-of-the-tests"].map(str::to_owned));
        let mut answers = Vec::new();
        for &provider in PROVIDERS {
            let delivery = Delivery::from(provider)
                .with_header("Authorization", "Bearer-of-the-tests")
                .with_header("Cookie", "session=cookie-of-the-tests");
            let event = hookbox.deliver(&delivery);
            hookbox.wait_for(&event, "dead");
            for other in [delivery.clone().forged(), delivery.clone().aged(86_400), delivery.with_id("")] {
                answers.push(hookbox.send(&other).text());
            }
        }
        let event = hookbox.deliver(github::push().with_body(BODY));
        hookbox.wait_for(&event, "dead");
        until("refusals to be stored", || (hookbox.inbox.refusals().len() > 5).then_some(()));
        let refusals: Vec<String> = hookbox.inbox.refusals().iter().map(|row| row.id.to_string()).collect();
        let shows: [&[&str]; 14] = [
            &["events", "--json"],
            &["events", "show", &event.id, "--json"],
            &["events", "show", &event.id],
            &["jobs", "--json"],
            &["refusals"],
            &["refusals", "--json"],
            &["refusals", "show", &refusals[0], &refusals[1], &refusals[4]],
            &["refusals", "show", &refusals[0], &refusals[1], &refusals[4], "--json"],
            &["explain", &refusals[0], &refusals[1], &refusals[3], &refusals[4], &refusals[5]],
            &["explain", &refusals[0], &refusals[1], &refusals[3], &refusals[4], &refusals[5], "--json"],
            &["status", "--json"],
            &["providers", "--json"],
            &["check"],
            &["status"],
        ];
        let shown: Vec<String> = shows.iter().map(|arguments| hookbox.ok(arguments)).collect();
        assert!(hookbox.stop().success());
        let log = hookbox.log().join("\n");
        let file = String::from_utf8_lossy(&std::fs::read(&hookbox.inbox.file).unwrap()).into_owned();
        for secret in &secrets {
            for (where_, text) in [
                ("the log", &log),
                ("an answer", &answers.join("\n")),
                ("a list", &shown.join("\n")),
                ("the file", &file),
            ] {
                assert!(!text.contains(secret.as_str()), "{secret} in {where_}: {}", around(text, secret));
            }
        }
        assert!(!log.contains("a-body-that-must-not-be-logged"), "{}", around(&log, "a-body-that"));
        for signature in ["sha256=", "v1=", "v0="] {
            assert!(!log.contains(signature), "signature in the log: {}", around(&log, signature));
        }
    }
}

/// The passcode of Figma and the clientState of Microsoft Graph are part of the body.
#[test]
fn secret_in_a_body_is_stored_with_accepted_events_only() {
    let source = |provider: &str, secret: &str| format!("provider = \"{provider}\"\nsecret = \"{secret}\"");
    let mut hookbox = Hookbox::new()
        .environment("HOOKBOX_LOG", "trace")
        .source("figma", &source("figma", "known-passcode"))
        .source("other", &source("figma", "other-passcode"))
        .source("graph", &source("ms-graph", "known-state"))
        .start();
    let figma = |passcode: &str| format!(r#"{{"event_type":"FILE_UPDATE","passcode":"{passcode}","webhook_id":"7"}}"#);
    let states = |one: &str, two: &str| {
        let item = |id: &str, state: &str| {
            format!(r#"{{"subscriptionId":"{id}","changeType":"updated","resource":"r","clientState":"{state}"}}"#)
        };
        format!(r#"{{"value":[{},{}]}}"#, item("a", one), item("b", two))
    };
    assert_eq!(post(&hookbox, "figma", &figma("other-passcode")), 401);
    assert_eq!(post(&hookbox, "graph", &states("other-state", "other-state")), 401);
    assert_eq!(post(&hookbox, "graph", &states("known-state", "third-state")), 401);
    until("refusals to be stored", || (hookbox.inbox.refusals().len() == 3).then_some(()));
    let ids: Vec<String> = hookbox.inbox.refusals().iter().map(|row| row.id.to_string()).collect();
    let explained = hookbox.ok(&["explain", &ids[0], &ids[1], &ids[2]]);
    assert!(explained.contains("It matches the secret of `other`"), "{explained}");
    let shown = hookbox.ok(&["refusals", "show", &ids[0], &ids[1], &ids[2], "--json"]);
    assert_eq!(post(&hookbox, "figma", &figma("known-passcode")), 200);
    let event = hookbox.inbox.texts("SELECT '#' || seq FROM events");
    let listed = hookbox.ok(&["events", "show", &event[0]]);
    assert_eq!(hookbox.ok(&["events", "body", &event[0]]), figma("known-passcode"), "handlers get the exact body");
    let kept = hookbox.inbox.texts("SELECT target || headers || tokens || CAST(body AS TEXT) FROM refusals").join("\n");
    assert!(hookbox.stop().success());
    let log = hookbox.log().join("\n");
    for secret in ["known-passcode", "other-passcode", "known-state", "other-state", "third-state"] {
        for text in [&kept, &explained, &shown, &listed, &log] {
            assert!(!text.contains(secret), "{secret}: {}", around(text, secret));
        }
    }
}

fn post(hookbox: &Running, source: &str, body: &str) -> u16 {
    let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
    let path = format!("/hooks/{source}");
    Wire::open(hookbox.hooks()).unwrap().exchange("POST", &path, &headers, body.as_bytes()).unwrap().status
}

#[test]
fn json_log_is_one_object_per_line() {
    let mut hookbox =
        Hookbox::new().option("--log-format=json").handler("dies", sh("exit 65")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    hookbox.send(&github::push().forged());
    assert!(hookbox.stop().success());
    let lines: Vec<String> = hookbox.log().into_iter().filter(|line| !line.starts_with("hookbox: ")).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_object(), "{line}");
    }
}

#[test]
fn response_to_a_forgery_reveals_no_signature() {
    let hookbox = Hookbox::new().start();
    for &provider in PROVIDERS {
        let genuine = Delivery::from(provider);
        let expected: Vec<String> = genuine.render().headers.into_iter().map(|(_, value)| value).collect();
        let answer = hookbox.send(&genuine.forged()).text();
        assert!(!expected.iter().any(|value| answer.contains(value.as_str())), "{provider}: {answer}");
    }
}

fn around(text: &str, part: &str) -> String {
    let at = text.find(part).unwrap_or(0);
    let from = text.floor_char_boundary(at.saturating_sub(120));
    let to = text.floor_char_boundary((at + 120).min(text.len()));
    text[from..to].to_owned()
}
