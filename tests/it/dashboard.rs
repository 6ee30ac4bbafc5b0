//! The dashboard without a script: pages are read and forms are sent as any browser would.

use rustix::process::Signal;

use crate::support::script::{fails, sh, succeeds, waits_for};
use crate::support::wire::{Reply, Wire};
use crate::support::{Event, Hookbox, Running, github, until};

const HOURLY: &str = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;

fn page(hookbox: &Running, target: &str) -> String {
    let reply = hookbox.look(target, &[("Accept", "text/html")]);
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    reply.text()
}

/// Sends the form of a page that goes there, with its own fields and these.
fn send(hookbox: &Running, on: &str, action: &str, more: &str) -> Reply {
    let page = page(hookbox, on);
    let form = page.split("<form").find(|form| form.contains(&format!("action=\"{action}\""))).expect("the form");
    let form = form.split("</form>").next().unwrap();
    let attribute =
        |tag: &str, name: &str| Some(tag.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned());
    let hidden = form.split("<input").filter(|tag| tag.contains("type=\"hidden\""));
    let fields: Vec<_> = hidden
        .map(|tag| format!("{}={}", attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()))
        .chain([more.to_owned()])
        .collect();
    hookbox.submit(action, &[], &fields.join("&"))
}

fn seq_of(hookbox: &Running, event: &Event) -> i64 {
    let shown = hookbox.json(&["events", "show", &event.id]);
    shown[0]["seq"].as_i64().unwrap()
}

#[test]
fn an_empty_inbox_tells_how_to_send_a_first_event_and_the_command_works() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let first = page(&hookbox, "/");
    let command = first.split("first-command\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let words: Vec<_> = command.split(' ').collect();
    assert_eq!(words[..2], ["hookbox", "send"]);
    assert!(first.contains("Nothing has arrived yet"));
    let here = format!("http://{}", hookbox.hooks());
    hookbox.ok(&[&words[1..], &["--url", &here]].concat());
    assert!(!page(&hookbox, "/").contains("Nothing has arrived yet"));
}

#[test]
fn retry_replay_and_skip_work_as_forms() {
    let hookbox = Hookbox::new()
        .handler_with("deploy", HOURLY, fails(1).then_succeeds())
        .handler("sink", sh("cat >/dev/null; exit 65"))
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    until("both to have failed", || {
        let jobs = hookbox.inbox.jobs("github", &event.id);
        jobs.iter().all(|job| job.attempt == 1 && job.state != "running").then_some(())
    });
    let seq = seq_of(&hookbox, &event);
    let on = format!("/events/{seq}");
    let state = |handler: &str| {
        hookbox.inbox.jobs("github", &event.id).into_iter().find(|job| job.handler == handler).unwrap().state
    };
    let reply = send(&hookbox, &on, &format!("{on}/skip"), "handler=sink");
    assert_eq!((reply.status, reply.header("location")), (303, Some(format!("{on}?did=skip&n=1").as_str())));
    assert_eq!(state("sink"), "skipped");
    assert_eq!(state("deploy"), "pending");
    assert!(page(&hookbox, reply.header("location").unwrap()).contains("1 job skipped."));
    assert_eq!(send(&hookbox, &on, &format!("{on}/retry"), "handler=deploy").status, 303);
    until("the retry", || (state("deploy") == "succeeded").then_some(()));
    assert_eq!(send(&hookbox, &on, &format!("{on}/replay"), "").status, 303);
    until("the replay", || {
        let jobs = hookbox.inbox.jobs("github", &event.id);
        jobs.iter().any(|job| job.replays == 1 && job.state == "succeeded").then_some(())
    });
}

#[test]
fn what_is_done_to_many_is_counted_first_and_keeps_to_the_filter() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let events: Vec<_> = (0..3).map(|_| hookbox.deliver(github::push())).collect();
    let other = hookbox.deliver(github::push().of_type("issues"));
    events.iter().chain([&other]).for_each(|event| hookbox.wait_for(event, "dead"));
    let list = page(&hookbox, "/jobs?state=dead&type=push");
    assert!(list.contains("href=\"/jobs/skip?state=dead&amp;type=push\""), "{list}");
    let ask = "/jobs/skip?state=dead&type=push";
    assert!(page(&hookbox, ask).contains("Skip 3 jobs?"));
    let reply = send(&hookbox, ask, "/jobs/skip", "");
    assert_eq!((reply.status, reply.header("location")), (303, Some("/jobs?state=dead&type=push&did=skip&n=3")));
    events.iter().for_each(|event| assert_eq!(hookbox.job(event).state, "skipped"));
    assert_eq!(hookbox.job(&other).state, "dead");
    assert_eq!(hookbox.look("/jobs/skip", &[]).status, 400, "without a state it would be everything");
}

#[test]
fn a_form_that_no_page_of_ours_has_made_changes_nothing() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    for action in ["/events/1/retry", "/events/1/skip", "/jobs/skip", "/handlers/deploy/pause", "/refusals/1/reverify"]
    {
        assert_eq!(hookbox.submit(action, &[], "state=dead&csrf=guessed").status, 403, "{action}");
        assert_eq!(hookbox.submit(action, &[], "state=dead").status, 403, "{action}");
    }
    assert_eq!((hookbox.job(&event).state.as_str(), hookbox.job(&event).attempt), ("dead", 1));
}

#[test]
fn an_event_shows_what_came_and_gives_its_body_as_it_was() {
    let hookbox = Hookbox::new().handler("deploy", sh("echo on its way; echo careful >&2")).start();
    let body = "{\"n\":1.00000000000000000001,\"t\":\"<b>\"}";
    let event = hookbox.deliver(github::push().with_body(body).with_header("Authorization", "Bearer not-for-show"));
    hookbox.wait_for(&event, "succeeded");
    let seq = seq_of(&hookbox, &event);
    let shown = page(&hookbox, &format!("/events/{seq}"));
    for part in ["on its way", "careful", "exit status 0", "1.00000000000000000001", "&lt;b&gt;", "***", "Attempt 1"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("not-for-show"));
    let reply = hookbox.look(&format!("/events/{seq}/body"), &[]);
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(reply.header("content-disposition").unwrap().starts_with("attachment;"));
    assert_eq!(hookbox.look("/events/99", &[]).status, 404);
    assert_eq!(hookbox.look("/events/99/body", &[]).status, 404);
}

#[test]
fn events_are_found_by_filter_id_and_text() {
    let hookbox = Hookbox::new().handler_with("deploy", "events = [\"push\"]", succeeds()).start();
    let first = hookbox.deliver(github::push().with_id("evt-aaa").with_body("{\"who\":\"alice\"}"));
    hookbox.deliver(github::push().with_id("evt-bbb").of_type("issues").with_body("{\"who\":\"bob\"}"));
    hookbox.wait_for(&first, "succeeded");
    let found = |query: &str| {
        let shown = page(&hookbox, &format!("/events?{query}"));
        ["evt-aaa", "evt-bbb"].map(|id| shown.contains(&format!("<code>{id}</code>")))
    };
    for (query, expected) in [
        ("", [true, true]),
        ("state=succeeded", [true, false]),
        ("state=unmatched", [false, true]),
        ("type=issues", [false, true]),
        ("source=stripe", [false, false]),
        ("id=evt-b", [false, true]),
        ("id=%231", [true, false]),
        ("text=alice", [true, false]),
        ("text=%22who%22", [true, true]),
        ("since=1h", [true, true]),
        ("until=1h", [false, false]),
        ("before=2", [true, false]),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    for wrong in ["state=deed", "since=yesterday", "before=x"] {
        assert_eq!(hookbox.look(&format!("/events?{wrong}"), &[]).status, 400, "{wrong}");
    }
}

#[test]
fn a_handler_is_paused_with_a_reason_and_resumed() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    assert_eq!(send(&hookbox, "/handlers", "/handlers/deploy/pause", "reason=freeze%20%3Cb%3E").status, 303);
    let shown = page(&hookbox, "/handlers");
    assert!(shown.contains("Paused by a person") && shown.contains("freeze &lt;b&gt;"), "{shown}");
    hookbox.wait_for_log("`deploy`");
    let event = hookbox.deliver(github::push());
    assert_eq!(send(&hookbox, "/handlers", "/handlers/deploy/resume", "").status, 303);
    hookbox.wait_for(&event, "succeeded");
    assert!(!page(&hookbox, "/handlers").contains("Paused by a person"));
}

#[test]
fn a_refusal_is_explained_and_taken_in_once_the_configuration_is_mended() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    hookbox.send(&github::push().with_secret("another-secret"));
    hookbox.rows_of_refusals(1);
    assert!(page(&hookbox, "/refusals").contains("/refusals/1"));
    assert!(page(&hookbox, "/refusals/1").contains("Judge again"));
    let reply = send(&hookbox, "/refusals/1", "/refusals/1/reverify", "");
    assert_eq!(reply.header("location"), Some("/refusals/1?did=left"));
    assert!(page(&hookbox, "/refusals/1?did=left").contains("Still refused"));
    let secret = crate::support::delivery::secret_of("github");
    hookbox.rewrite(|text| text.replace(&secret, "another-secret"));
    hookbox.ok(&["reload"]);
    hookbox.wait_for_log("the configuration was read again and holds");
    let reply = send(&hookbox, "/refusals/1", "/refusals/1/reverify", "");
    assert_eq!(reply.header("location"), Some("/refusals/1?did=reverify&n=1"));
    assert!(page(&hookbox, "/refusals/1").contains("Taken in"));
}

#[test]
fn sources_tell_how_they_sign_and_never_a_secret() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    hookbox.deliver(github::push());
    let shown = page(&hookbox, "/sources");
    assert!(shown.contains("hmac-sha256") && shown.contains("/hooks/github"), "{shown}");
    for provider in ["github", "stripe", "own"] {
        assert!(!shown.contains(&crate::support::delivery::secret_of(provider)), "{provider}");
    }
}

#[test]
fn an_event_is_given_to_a_handler_that_did_not_want_it() {
    let hookbox = Hookbox::new().handler_with("deploy", "events = [\"nothing\"]", succeeds()).start();
    let event = hookbox.deliver(github::push());
    let reply = send(&hookbox, "/events/1", "/events/1/run", "handler=deploy");
    assert_eq!(reply.header("location"), Some("/events/1?did=run&n=1"));
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn a_stream_tells_of_changes_and_ends_with_hookbox() {
    let mut hookbox = Hookbox::new().handler("deploy", waits_for("deploy")).start();
    let mut wire = Wire::open(hookbox.admin()).unwrap();
    wire.write(format!("GET /live HTTP/1.1\r\nHost: {}\r\n\r\n", hookbox.admin()).as_bytes()).unwrap();
    let answer = wire.reply().unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    hookbox.deliver(github::push());
    until("a word of the change", || wire.read_until("event: changed").then_some(()));
    hookbox.signal(Signal::TERM);
    assert!(wire.read_to_end(), "the stream ends");
    hookbox.wait_for_end();
}
