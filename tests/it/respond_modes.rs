//! `respond` with URLs and workers.

use std::time::{Duration, Instant};

use crate::respond::{TWILIO, call, deliver_plain, discord, interact, slash};
use crate::support::delivery::Delivery;
use crate::support::endpoint::{Endpoint, Talk, answer};
use crate::support::script::{Script, sh};
use crate::support::{Hookbox, Running, github, until};

/// Longer than any test takes.
const PATIENT: &str = "respond = true\nrespond_timeout = \"60s\"\n";
const HASTY: &str = "respond = true\nrespond_timeout = \"300ms\"\n";
const HOURLY: &str = "retry = { attempts = 5, initial = \"1h\", max = \"1h\", jitter = 0.0 }\n";

/// A hookbox whose only handler, `says`, is this URL.
fn at(endpoint: &Endpoint, source: &str, lines: &str) -> Hookbox {
    let url = endpoint.url();
    let lines = format!("mode = \"http\"\nurl = \"{url}\"\nsources = [\"{source}\"]\n{lines}");
    Hookbox::new().handler_section("says", &lines)
}

fn note(hookbox: &Running) -> String {
    let sql = "SELECT coalesce(note, '') FROM attempts";
    hookbox.inbox.rows(sql, [], |row| row.get(0)).remove(0)
}

#[test]
fn url_answers_a_slack_command() {
    let says = r#"{"response_type":"in_channel","text":"deploying"}"#;
    let endpoint = Endpoint::new(move |_, stream| answer(stream, "200 OK", "Content-Type: application/json\r\n", says));
    let hookbox =
        at(&endpoint, "slack", PATIENT).source_with("slack", "event_id = [\"json:/event_id\", \"body\"]").start();
    let command = slash("command=%2Fdeploy&text=main&trigger_id=1");
    for _ in 0..2 {
        let reply = hookbox.send(&command);
        assert_eq!((reply.status, reply.text().as_str()), (200, says));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(endpoint.asked().len(), 1, "a duplicate gets the stored response");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status = 'succeeded'"), 1);
}

#[test]
fn url_answers_discord_and_twilio() {
    let pong = r#"{"type":4,"data":{"content":"pong"}}"#;
    let endpoint = Endpoint::new(move |_, stream| answer(stream, "200 OK", "Content-Type: application/json\r\n", pong));
    let hookbox = at(&endpoint, "discord", PATIENT).source("discord", &discord()).start();
    assert_eq!(interact(&hookbox, r#"{"id":"1","type":1}"#).text(), r#"{"type":1}"#);
    assert_eq!(endpoint.asked().len(), 0, "hookbox answers the PING");
    let reply = interact(&hookbox, r#"{"id":"2","type":2,"data":{"name":"ping"}}"#);
    assert_eq!((reply.text().as_str(), reply.header("content-type")), (pong, Some("application/json")));

    let twiml = "<Response><Say>Goodbye</Say></Response>";
    let endpoint = Endpoint::new(move |_, stream| answer(stream, "200 OK", "Content-Type: text/xml\r\n", twiml));
    let hookbox = at(&endpoint, "twilio", PATIENT).source("twilio", TWILIO).start();
    let reply = call(&hookbox);
    assert_eq!((reply.text().as_str(), reply.header("content-type")), (twiml, Some("text/xml")));
}

#[test]
fn late_answer_of_a_url_is_kept_for_duplicates() {
    let (open, gate) = crossbeam_channel::bounded::<()>(1);
    let endpoint = Endpoint::new(move |_, stream| {
        gate.recv_timeout(Duration::from_secs(60)).ok();
        answer(stream, "200 OK", "Content-Type: text/plain\r\n", "late")
    });
    let hookbox = at(&endpoint, "github", HASTY).start();
    let push = github::push();
    let event = deliver_plain(&hookbox, &push);
    assert_eq!(hookbox.job(&event).state, "running");
    open.send(()).unwrap();
    hookbox.wait_for(&event, "succeeded");
    let reply = hookbox.send(&push);
    assert_eq!((reply.text().as_str(), reply.header("content-type")), ("late", Some("text/plain")));
    assert_eq!(endpoint.asked().len(), 1);
}

#[test]
fn failed_url_gets_the_plain_200() {
    for status in ["500 Broken", "404 Not Found", "302 Found", "503 Busy"] {
        let endpoint = Endpoint::new(move |_, stream| answer(stream, status, "Retry-After: 3600\r\n", "no"));
        let hookbox = at(&endpoint, "github", &format!("{PATIENT}{HOURLY}")).expect_failures().start();
        let began = Instant::now();
        let event = deliver_plain(&hookbox, &github::push());
        assert!(began.elapsed() < Duration::from_secs(30), "the request does not wait for a late retry");
        assert_eq!((hookbox.job(&event).state.as_str(), endpoint.asked().len()), ("pending", 1), "{status}");
        assert_eq!(hookbox.inbox.number("SELECT count(*) FROM replies"), 0);
    }
}

#[test]
fn invalid_answer_of_a_url_is_not_sent_and_noted() {
    let long = "x".repeat(65537);
    let sized = move |stream: &mut dyn Talk, head: &str, body: &str| {
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}").as_bytes()).unwrap();
        false
    };
    let endpoint = Endpoint::new(move |asked, stream| match asked.header("hookbox-event-type").unwrap() {
        "long" => answer(stream, "200 OK", "", &long),
        "endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            false
        }
        "broken" => sized(stream, "Content-Length: 100\r\n", "beginning"),
        "encoded" => answer(stream, "200 OK", "Content-Encoding: gzip\r\n", "\u{1f}"),
        _ => answer(stream, "200 OK", "Content-Type: nonsense\r\n", "words"),
    });
    let hookbox = at(&endpoint, "github", PATIENT).start();
    for (kind, why) in [
        ("long", "longer than 65536 bytes"),
        ("endless", "longer than 65536 bytes"),
        ("broken", "is incomplete"),
        ("encoded", "encoded as gzip"),
        ("typed", "is not a content type"),
    ] {
        let event = deliver_plain(&hookbox, &github::push().of_type(kind));
        hookbox.wait_for(&event, "succeeded");
        let note = hookbox.ledger(&event)[0].note.clone().unwrap_or_default();
        assert!(note.contains("not sent to the provider") && note.contains(why), "{kind}: {note}");
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM replies"), 0);
}

#[test]
fn longest_answer_other_status_and_empty_answer_of_a_url_are_sent() {
    let long = "x".repeat(65536);
    let endpoint = Endpoint::new(move |asked, stream| match asked.header("hookbox-event-type").unwrap() {
        "long" => answer(stream, "201 Created", "", &long),
        "list" => answer(stream, "202 Accepted", "", "[1]"),
        _ => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok(),
    });
    let hookbox = at(&endpoint, "github", PATIENT).start();
    let long = hookbox.send(&github::push().of_type("long"));
    assert_eq!((long.status, long.body), (201, vec![b'x'; 65536]));
    let list = hookbox.send(&github::push().of_type("list"));
    assert_eq!((list.status, list.header("content-type")), (202, Some("application/json")), "derived from the body");
    let silent = hookbox.send(&github::push().of_type("silent"));
    assert_eq!((silent.status, silent.body.len(), silent.header("content-type")), (204, 0, None));
}

#[test]
fn after_kill_9_the_url_is_asked_again() {
    let (open, gate) = crossbeam_channel::bounded::<()>(1);
    let endpoint = Endpoint::new(move |asked, stream| {
        if asked.header("hookbox-attempt") == Some("1") {
            gate.recv_timeout(Duration::from_secs(60)).ok();
        }
        answer(stream, "200 OK", "", &format!("attempt {}", asked.header("hookbox-attempt").unwrap()))
    });
    let mut hookbox = at(&endpoint, "github", HASTY).expect_warning("running when hookbox was killed").start();
    let push = github::push();
    let event = deliver_plain(&hookbox, &push);
    endpoint.wait_for(1);
    hookbox.kill();
    open.send(()).unwrap();
    hookbox.start_again();
    assert!(hookbox.send(&push).text().contains("duplicate"), "the retry comes too late for this request");
    hookbox.wait_long_for(60, &event, "succeeded");
    assert_eq!(hookbox.send(&push).text(), "attempt 2");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status = 'lost'"), 1);
}

/// A worker in Python whose response depends on the type of the event.
fn worker() -> Script {
    let text = r#"
import json, os, sys
for line in sys.stdin:
    job = json.loads(line)
    if "hookbox" in job: continue
    kind, done = job["type"], {"id": job["id"], "ok": True}
    if kind == "waits" and job["attempt"] == 1:
        if not os.path.exists("gates/gate"): os.mkfifo("gates/gate")
        open("gates/gate").read()
    done["response"] = {
        "bytes": {"body_base64": "/wAK", "content_type": "application/octet-stream"},
        "made": {"status": 201, "body": "made"},
        "long": {"body": "\u0001" * 65536},
        "longer": {"body": "x" * 65537},
        "gone": {"status": 410, "body": "no"},
        "nothing": {},
        "silent": None,
    }.get(kind, {"body": json.dumps({"text": "attempt %d" % job["attempt"]})})
    if kind == "fails": done.update(ok=False)
    if kind == "garbled": done["response"] = "words"
    sys.stdout.write(json.dumps(done) + "\n")
    sys.stdout.flush()
"#;
    sh(&format!("exec python3 -c '{text}'"))
}

fn by_worker(source: &str, lines: &str) -> Hookbox {
    Hookbox::new().handler_with("says", &format!("mode = \"worker\"\nsources = [\"{source}\"]\n{lines}"), worker())
}

#[test]
fn worker_answers_the_provider_in_its_reply() {
    let hookbox = by_worker("github", PATIENT).start();
    let ask = |kind: &str| hookbox.send(&github::push().of_type(kind));
    let words = ask("push");
    assert_eq!(
        (words.text().as_str(), words.header("content-type")),
        (r#"{"text": "attempt 1"}"#, Some("application/json"))
    );
    let bytes = ask("bytes");
    assert_eq!(
        (bytes.body.as_slice(), bytes.header("content-type")),
        (&b"\xff\x00\n"[..], Some("application/octet-stream"))
    );
    let made = ask("made");
    assert_eq!((made.status, made.text().as_str()), (201, "made"));
    assert_eq!(ask("long").body, vec![1; 65536], "six bytes of JSON for each byte");
    assert_eq!(ask("nothing").body, b"");
    assert!(ask("silent").text().contains("accepted"), "without a response, hookbox sends the plain 200");
    let stdout = "SELECT count(*) FROM attempts WHERE stdout = CAST('made' AS BLOB) AND stdout_bytes = 4";
    assert_eq!(hookbox.inbox.number(stdout), 1, "the body is stored as stdout");
}

#[test]
fn worker_answers_a_slash_command_and_its_duplicate() {
    let hookbox = by_worker("slack", PATIENT).source_with("slack", "event_id = [\"json:/event_id\", \"body\"]").start();
    let command = slash("command=%2Fdeploy&text=main&trigger_id=1");
    assert_eq!([0, 1].map(|_| hookbox.send(&command).text()), [r#"{"text": "attempt 1"}"#; 2]);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts"), 1);
}

#[test]
fn invalid_response_of_a_worker_is_not_sent_and_noted() {
    let hookbox = by_worker("github", &format!("{PATIENT}{HOURLY}")).expect_failures().start();
    for (kind, state, why) in [
        ("longer", "succeeded", "not sent to the provider: the response is longer than 65536 bytes"),
        ("gone", "succeeded", "not sent to the provider: status 410"),
        ("fails", "pending", "`response` counts only with `\"ok\":true`"),
        ("garbled", "pending", "is invalid"),
    ] {
        let event = deliver_plain(&hookbox, &github::push().of_type(kind));
        hookbox.wait_for(&event, state);
        let note = hookbox.ledger(&event)[0].note.clone().unwrap_or_default();
        assert!(note.contains(why), "{kind}: {note}");
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM replies"), 0);
    let hookbox = by_worker("github", "").start();
    let event = deliver_plain(&hookbox, &github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(note(&hookbox), "`response` counts only with `respond = true`; ignored");
}

#[test]
fn busy_worker_gets_the_plain_200_and_answers_duplicates() {
    let hookbox = by_worker("github", &format!("{HASTY}concurrency = 1")).start();
    let busy = deliver_plain(&hookbox, &github::push().of_type("waits"));
    until("the process to be busy", || hookbox.folder().join("gates/gate").exists().then_some(()));
    let push = github::push();
    let waiting = deliver_plain(&hookbox, &push);
    assert_eq!(hookbox.job(&waiting).state, "pending");
    hookbox.open_gate("gate");
    hookbox.wait_for(&busy, "succeeded");
    hookbox.wait_for(&waiting, "succeeded");
    assert_eq!(hookbox.send(&push).text(), r#"{"text": "attempt 1"}"#);
}

#[test]
fn after_kill_9_a_new_process_answers_duplicates() {
    let mut hookbox = by_worker("github", HASTY)
        .expect_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
        .start();
    let push: Delivery = github::push().of_type("waits");
    let event = deliver_plain(&hookbox, &push);
    until("the process to be busy", || hookbox.folder().join("gates/gate").exists().then_some(()));
    hookbox.kill();
    hookbox.start_again();
    hookbox.wait_long_for(60, &event, "succeeded");
    assert_eq!(hookbox.send(&push).text(), r#"{"text": "attempt 2"}"#);
}
