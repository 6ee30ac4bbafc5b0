//! `respond`: a handler's response is sent to the provider once, in time, and no event is lost.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::support::delivery::Delivery;
use crate::support::script::{Script, exits, says, sh, succeeds, waits_for};
use crate::support::wire::{Reply, Wire};
use crate::support::{Event, Hookbox, Running, github, until};

/// Longer than any test takes.
const PATIENT: &str = "respond = true\nrespond_timeout = \"60s\"\nsources = [\"github\"]";
const HASTY: &str = "respond = true\nrespond_timeout = \"300ms\"\nsources = [\"github\"]";
const HOURLY: &str = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;

#[test]
fn handler_answers_a_slack_command_with_its_stdout() {
    let answer = r#"{"response_type":"in_channel","text":"deploying"}"#;
    let lines = "respond = true\nrespond_timeout = \"60s\"\nsources = [\"slack\"]\nevents = [\"/deploy\"]";
    let hookbox = Hookbox::new()
        .source_with("slack", "event_id = [\"json:/event_id\", \"body\"]")
        .handler_with("deploy", lines, sh(&format!("grep -q text=main || exit 1\nprintf '%s' '{answer}'")))
        .handler_with("other", "sources = [\"slack\"]", succeeds())
        .start();
    let command = slash("command=%2Fdeploy&text=main&trigger_id=1");
    let reply = hookbox.send(&command);
    assert_eq!((reply.status, reply.text().as_str()), (200, answer));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE handler = 'deploy' AND status = 'succeeded'"), 1);
    let again = hookbox.send(&command);
    assert_eq!((again.text().as_str(), hookbox.starts("deploy").len()), (answer, 1));
    let other = hookbox.send(&slash("command=%2Fweather&text=&trigger_id=2"));
    assert!(other.text().contains("accepted"), "another command gets the plain 200: {}", other.text());
}

#[test]
fn handler_answers_discord_and_hookbox_its_ping() {
    let answer = r#"{"type":4,"data":{"content":"pong"}}"#;
    let hookbox = Hookbox::new()
        .source("discord", &discord())
        .handler_with(
            "reply",
            "respond = true\nsources = [\"discord\"]\nrespond_timeout = \"60s\"",
            sh(&format!("echo '{answer}'")),
        )
        .start();
    assert_eq!(interact(&hookbox, r#"{"id":"1","type":1}"#).text(), r#"{"type":1}"#);
    assert_eq!(hookbox.starts("reply").len(), 0);
    let reply = interact(&hookbox, r#"{"id":"2","type":2,"data":{"name":"ping"}}"#);
    assert_eq!((reply.status, reply.text()), (200, format!("{answer}\n")));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[test]
fn handler_answers_twilio_with_twiml() {
    let twiml = "<Response><Say>Goodbye</Say></Response>";
    let script = says(r#"{"content_type":"application/xml"}"#).then(sh(&format!("printf '%s' '{twiml}'")));
    let hookbox = Hookbox::new()
        .source("twilio", TWILIO)
        .handler_with("say", "respond = true\nsources = [\"twilio\"]\nrespond_timeout = \"60s\"", script)
        .start();
    for _ in 0..2 {
        let reply = call(&hookbox);
        assert_eq!((reply.status, reply.text().as_str()), (200, twiml));
        assert_eq!(reply.header("content-type"), Some("application/xml"));
    }
    assert_eq!(hookbox.starts("say").len(), 1);
}

#[test]
fn slow_handler_gets_the_plain_200_and_continues() {
    let hookbox = Hookbox::new().handler_with("slow", HASTY, waits_for("gate").then(sh("printf late"))).start();
    let push = github::push();
    let event = deliver_plain(&hookbox, &push);
    assert_eq!(hookbox.job(&event).state, "running");
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
    assert_eq!(hookbox.send(&push).text(), "late", "the late response is kept for duplicates");
}

#[test]
fn failed_handler_gets_the_plain_200_and_a_retry() {
    let lines = format!("{PATIENT}\n{HOURLY}");
    let hookbox = Hookbox::new().handler_with("fails", &lines, sh("printf no\nexit 1")).expect_failures().start();
    let began = Instant::now();
    let event = deliver_plain(&hookbox, &github::push());
    assert!(began.elapsed() < Duration::from_secs(30), "the request does not wait for a late retry");
    assert_eq!((hookbox.attempts(&event), hookbox.job(&event).state.as_str()), (vec!["exit 1".to_owned()], "pending"));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM replies"), 0);
}

#[test]
fn retry_within_the_timeout_still_answers() {
    let script =
        sh("[ \"$HOOKBOX_EVENT_TYPE\" = dies ] && exit 65\n[ \"$HOOKBOX_ATTEMPT\" = 3 ] || exit 1\nprintf third");
    let hookbox = Hookbox::new().handler_with("flaky", PATIENT, script).expect_failures().start();
    assert_eq!(hookbox.send(&github::push()).text(), "third");
    deliver_plain(&hookbox, &github::push().of_type("dies"));
}

#[test]
fn invalid_response_is_not_sent_and_noted() {
    let too_long = sh("head -c 65537 /dev/zero | tr '\\0' x");
    let cases: [(Script, &str); 3] = [
        (too_long, "longer than 65536 bytes"),
        (says(r#"{"status":404}"#).then(sh("printf no")), "status 404"),
        (says(r#"{"content_type":"nonsense"}"#).then(sh("printf no")), "is not a content type"),
    ];
    for (script, why) in cases {
        let hookbox = Hookbox::new().handler_with("says", PATIENT, script.then_succeeds()).start();
        let event = deliver_plain(&hookbox, &github::push());
        hookbox.wait_for(&event, "succeeded");
        let note = hookbox.ledger(&event)[0].note.clone().unwrap_or_default();
        assert!(note.contains("not sent to the provider") && note.contains(why), "{note}");
    }
}

#[test]
fn longest_response_other_status_and_empty_response_are_sent() {
    let script = sh(concat!(
        "case $HOOKBOX_EVENT_TYPE in\n",
        "long) head -c 65536 /dev/zero | tr '\\0' x;;\n",
        "status) echo '{\"status\":201}' > \"$HOOKBOX_RESULT\"; printf made;;\nesac",
    ));
    let hookbox = Hookbox::new().handler_with("says", PATIENT, script.then_succeeds()).start();
    let long = hookbox.send(&github::push().of_type("long"));
    assert_eq!((long.status, long.body), (200, vec![b'x'; 65536]));
    let made = hookbox.send(&github::push().of_type("status"));
    assert_eq!((made.status, made.text().as_str()), (201, "made"));
    assert_eq!(made.header("content-type"), Some("text/plain; charset=utf-8"));
    let silent = hookbox.send(&github::push().of_type("silent"));
    assert_eq!((silent.status, silent.body.len(), silent.header("content-type")), (200, 0, None));
}

#[test]
fn duplicates_wait_for_the_same_response() {
    let script = waits_for("gate").then(sh("printf \"run %s\" \"$$\""));
    let hookbox = Hookbox::new().handler_with("says", PATIENT, script).start();
    let push = github::push();
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..8).map(|_| scope.spawn(|| hookbox.send(&push))).collect();
        until("all duplicates to be counted", || {
            (hookbox.inbox.number("SELECT coalesce(max(deliveries), 0) FROM events") == 8).then_some(())
        });
        hookbox.open_gate("gate");
        sent.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(replies[0].text().starts_with("run "), "{}", replies[0].text());
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
    assert_eq!((hookbox.starts("says").len(), hookbox.send(&push).text()), (1, replies[0].text()));
}

#[test]
fn retry_and_replay_keep_the_stored_response() {
    let hookbox = Hookbox::new().handler_with("says", PATIENT, sh("printf 'answer %s' \"$HOOKBOX_ATTEMPT\"")).start();
    let push = github::push();
    assert_eq!(hookbox.send(&push).text(), "answer 1");
    hookbox.ok(&["replay", &push.id]);
    until("the replay", || {
        (hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status = 'succeeded'") == 2).then_some(())
    });
    assert_eq!(hookbox.send(&push).text(), "answer 1");
}

#[test]
fn responding_handler_needs_no_free_executor() {
    let hookbox = Hookbox::new()
        .dispatch("workers = 1")
        .handler_with("hangs", "sources = [\"gitlab\"]", waits_for("gate").then_succeeds())
        .handler_with("says", PATIENT, sh("printf here"))
        .start();
    let hanging = hookbox.deliver(Delivery::from("gitlab"));
    hookbox.wait_for(&hanging, "running");
    assert_eq!(hookbox.send(&github::push()).text(), "here");
    hookbox.open_gate("gate");
    hookbox.wait_for(&hanging, "succeeded");
}

#[test]
fn responding_handler_keeps_its_concurrency() {
    let lines = format!("{HASTY}\nconcurrency = 1");
    let hookbox = Hookbox::new().handler_with("says", &lines, waits_for("$HOOKBOX_EVENT_ID").then_succeeds()).start();
    let events: Vec<Event> = (0..3).map(|_| deliver_plain(&hookbox, &github::push())).collect();
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts"), 1);
    for event in &events {
        hookbox.open_gate(&event.id);
        hookbox.wait_for(event, "succeeded");
    }
}

#[test]
fn nobody_waits_for_a_paused_or_broken_handler() {
    let hookbox = Hookbox::new().handler_with("says", PATIENT, sh("printf here")).expect_warning(" paused: ").start();
    hookbox.ok(&["pause", "says"]);
    hookbox.wait_for_log("paused by the operator");
    let began = Instant::now();
    let held = deliver_plain(&hookbox, &github::push());
    hookbox.ok(&["resume", "says"]);
    hookbox.wait_for(&held, "succeeded");
    std::fs::remove_file(hookbox.folder().join("handlers/says")).unwrap();
    let first = deliver_plain(&hookbox, &github::push());
    let second = deliver_plain(&hookbox, &github::push());
    assert!(began.elapsed() < Duration::from_secs(50), "each was answered before its timeout");
    hookbox.install("says", &sh("printf here"));
    hookbox.ok(&["resume", "says"]);
    for event in [first, second] {
        hookbox.wait_long_for(60, &event, "succeeded");
    }
}

#[test]
fn waiting_request_is_answered_at_shutdown() {
    let mut hookbox = Hookbox::new()
        .dispatch("shutdown_grace = \"4s\"")
        .handler_with("says", PATIENT, waits_for("gate").then(sh("printf here")))
        .start();
    let (push, address) = (github::push(), hookbox.hooks());
    let request = push.render();
    let waiting = std::thread::spawn(move || {
        Wire::open(address).unwrap().exchange("POST", &request.path, &request.headers, &request.body).unwrap()
    });
    let event = Event { source: "github".into(), id: push.id.clone() };
    until("it to run", || (hookbox.inbox.state("github", &push.id).as_deref() == Some("running")).then_some(()));
    assert!(hookbox.stop().success());
    let reply = waiting.join().unwrap();
    assert!(reply.status == 200 && reply.text().contains("accepted"), "{}", reply.text());
    assert_eq!(hookbox.attempts(&event), ["stopped"]);
    hookbox.start_again();
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.send(&push).text(), "here");
}

#[test]
fn after_kill_9_duplicates_get_the_response_of_the_retry() {
    let mut hookbox = Hookbox::new()
        .handler_with(
            "says",
            HASTY,
            sh("[ \"$HOOKBOX_ATTEMPT\" = 1 ] || { printf again; exit 0; }").then(waits_for("gate")),
        )
        .expect_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
        .start();
    let push = github::push();
    let event = deliver_plain(&hookbox, &push);
    hookbox.kill();
    hookbox.start_again();
    assert!(hookbox.send(&push).text().contains("duplicate"), "the retry comes too late for this request");
    hookbox.wait_long_for(60, &event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["lost", "exit 0"]);
    assert_eq!(hookbox.send(&push).text(), "again");
}

#[test]
fn handlers_that_cannot_respond_are_configuration_errors() {
    let cases = [
        (vec![("one", PATIENT), ("two", PATIENT)], "`one` responds to the same events"),
        (
            vec![("one", "respond = true\nsources = [\"sendgrid\"]")],
            "source `sendgrid` sends several events in one request",
        ),
        (vec![("one", "respond_timeout = \"1s\"")], "is only read with `respond = true`"),
        (
            vec![("one", "respond = true\nsources = [\"github\"]\norder_by = \"/a\"")],
            "cannot be combined with `order_by`",
        ),
        (vec![("one", "respond = true\nsources = [\"github\"]\nrespond_timeout = \"2m\"")], "respond_timeout"),
    ];
    for (handlers, why) in cases {
        let batches = "provider = \"custom\"\nsecret = \"s\"\n[verify]\nsignature = \"header:X-S\"\nalgorithm = \"hmac-sha256\"\nbatch = \"/events\"\nevent_id = [\"json:/id\"]";
        let mut hookbox = Hookbox::new().source("sendgrid", batches);
        for (name, lines) in handlers {
            hookbox = hookbox.handler_with(name, lines, exits(0));
        }
        hookbox.write();
        let done = hookbox.run(&["check"]);
        assert!(done.status == Some(2) && done.stderr.contains(why), "{why}: {done:?}");
    }
    let apart = "respond = true\nsources = [\"slack\"]\nevents = [\"/weather\"]";
    let hookbox = Hookbox::new()
        .handler_with("one", "respond = true\nsources = [\"slack\"]\nevents = [\"/deploy\"]", exits(0))
        .handler_with("two", apart, exits(0));
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
}

/// Sends a delivery and expects the plain 200.
pub fn deliver_plain(hookbox: &Running, delivery: &Delivery) -> Event {
    let reply = hookbox.send(delivery);
    assert_eq!(reply.text(), r#"{"status":"accepted","events":1,"duplicates":0}"#);
    Event { source: delivery.source.clone(), id: delivery.id.clone() }
}

/// A slash command of Slack.
pub fn slash(form: &str) -> Delivery {
    Delivery::from("slack").with_content_type("application/x-www-form-urlencoded").with_body(form)
}

fn discord_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The configuration of a source `discord`.
pub fn discord() -> String {
    let public = hex::encode(discord_key().verifying_key().to_bytes());
    format!("provider = \"discord-interactions\"\npublic_key = \"{public}\"")
}

/// Sends an interaction of Discord.
pub fn interact(hookbox: &Running, body: &str) -> Reply {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let signature = hex::encode(discord_key().sign(format!("{now}{body}").as_bytes()).to_bytes());
    let headers = [("X-Signature-Ed25519", signature), ("X-Signature-Timestamp", now)];
    post(hookbox, "/hooks/discord", &headers, "application/json", body)
}

/// The configuration of a source `twilio`.
pub const TWILIO: &str = "provider = \"twilio\"\nsecret = \"token\"\nurl = \"https://example.com/hooks/twilio\"";

/// Sends a call of Twilio, the same one each time.
pub fn call(hookbox: &Running) -> Reply {
    let mut mac = Hmac::<Sha1>::new_from_slice(b"token").unwrap();
    mac.update(b"https://example.com/hooks/twilioCallSidCA1CallStatusringing");
    let headers = [("X-Twilio-Signature", BASE64.encode(mac.finalize().into_bytes()))];
    let form = "CallSid=CA1&CallStatus=ringing";
    post(hookbox, "/hooks/twilio", &headers, "application/x-www-form-urlencoded", form)
}

fn post(hookbox: &Running, path: &str, headers: &[(&str, String)], content_type: &str, body: &str) -> Reply {
    let mut all = vec![("Content-Type".to_owned(), content_type.to_owned())];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Wire::open(hookbox.hooks()).unwrap().exchange("POST", path, &all, body.as_bytes()).unwrap()
}
