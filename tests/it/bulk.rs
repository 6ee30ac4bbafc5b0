//! Large bulk updates run in the background. They report progress, can be stopped, and can be repeated after an
//! interruption.

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::api::{assert_documented, document};
use crate::support::browser::Browser;
use crate::support::delivery::github;
use crate::support::script::succeeds;
use crate::support::wire::Reply;
use crate::support::{Hookbox, Running, until};

const MANY: i64 = 3_000;
/// Jobs per step.
const STEP: i64 = 250;
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A paused handler with `MANY` jobs in one state.
fn full(state: &str, setup: Hookbox) -> Running {
    full_of(MANY, state, setup)
}

fn full_of(many: i64, state: &str, setup: Hookbox) -> Running {
    let hookbox = setup.handler("deploy", succeeds()).start();
    hookbox.ok(&["pause", "deploy"]);
    hookbox.wait_for_log("handler `deploy` paused");
    hookbox
        .inbox
        .writer()
        .execute_batch(&format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
             INSERT INTO events SELECT i, 'github', 'e' || i, 'push', unixepoch() * 1000, 1, 2, zeroblob(32), 0 FROM n;
             INSERT INTO payloads SELECT seq, '{{}}', NULL, x'7b7d' FROM events;
             INSERT INTO jobs (event_seq, handler, state, run_at, attempt, created_at, finished_at)
             SELECT seq, 'deploy', '{state}', 0, 1, received_at, received_at - 1000 FROM events;
             COMMIT;"
        ))
        .unwrap();
    hookbox
}

/// Locks the database against other writers until it is dropped.
fn hold(hookbox: &Running) -> Connection {
    let writer = hookbox.inbox.writer();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer
}

fn post(hookbox: &Running, path: &str, body: &Value) -> Reply {
    hookbox.ask("POST", &format!("/api/v1{path}"), &[JSON], &body.to_string())
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn get(hookbox: &Running, path: &str) -> Value {
    json_of(&hookbox.look(path, &[]))
}

fn ended(hookbox: &Running, place: &str) -> Value {
    until("the change to end", || Some(get(hookbox, place)).filter(|change| change["state"] != "running"))
}

fn pending(hookbox: &Running) -> i64 {
    hookbox.inbox.number("SELECT count(*) FROM jobs WHERE state = 'pending'")
}

fn page(hookbox: &Running, target: &str) -> String {
    let reply = hookbox.look(target, &[("Accept", "text/html")]);
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.text().replace("&amp;", "&")
}

/// The text between two others.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    page.split_once(before).unwrap_or_else(|| panic!("{before}: {page}")).1.split(after).next().unwrap()
}

fn submit(hookbox: &Running, on: &str, action: &str, fields: &str) -> Reply {
    let csrf = between(on, "name=\"csrf\" value=\"", "\"");
    hookbox.submit(action, &[], &format!("csrf={csrf}&{fields}"))
}

#[test]
fn large_update_is_accepted_and_its_progress_has_a_url() {
    let hookbox = full("dead", Hookbox::new());
    let document = document();
    let held = hold(&hookbox);
    let reply = post(&hookbox, "/jobs/retry", &json!({ "state": ["dead"] }));
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_documented(&document, &document["paths"]["/api/v1/jobs/retry"]["post"], &reply, "retry");
    let place = reply.header("location").unwrap().to_owned();
    let change = get(&hookbox, &place);
    assert_eq!((&change["state"], &change["total"], &change["done"]), (&json!("running"), &json!(MANY), &json!(0)));
    assert_eq!(pending(&hookbox), 0);
    drop(held);
    let change = ended(&hookbox, &place);
    assert_eq!((&change["state"], &change["done"], &change["changed"]), (&json!("done"), &json!(MANY), &json!(MANY)));
    assert_eq!(pending(&hookbox), MANY);
    for (path, target) in [("/api/v1/changes/{id}", place.as_str()), ("/api/v1/changes", "/api/v1/changes")] {
        let operation = &document["paths"][path]["get"];
        assert_documented(&document, operation, &hookbox.look(target, &[]), path);
    }
    assert_eq!(get(&hookbox, "/api/v1/changes")[0], change);
    let few = post(&hookbox, "/jobs/skip", &json!({ "events": [1, 2] }));
    assert_eq!((few.status, &json_of(&few)["changed"]), (200, &json!(2)), "a few are changed at once");
    assert_eq!(get(&hookbox, "/api/v1/changes").as_array().unwrap().len(), 1);
}

#[test]
fn stopped_update_can_be_repeated_for_the_rest() {
    let hookbox = full("dead", Hookbox::new());
    let held = hold(&hookbox);
    let reply = post(&hookbox, "/jobs/skip", &json!({ "state": ["dead"] }));
    let place = reply.header("location").unwrap().to_owned();
    assert_eq!(post(&hookbox, &format!("{}/stop", &place["/api/v1".len()..]), &json!({})).status, 200);
    drop(held);
    let change = ended(&hookbox, &place);
    assert_eq!((&change["state"], &change["changed"]), (&json!("stopped"), &json!(STEP)));
    assert!(change["reason"].as_str().unwrap().contains("operator"), "{change}");
    let rest = json_of(&post(&hookbox, "/jobs/skip", &json!({ "state": ["dead"], "dry_run": true })));
    assert_eq!(rest["changed"], MANY - STEP);
    assert_eq!(post(&hookbox, "/changes/1/stop", &json!({})).status, 404);
}

/// Connections of `serve` that can write to the database file.
fn writing_connections(hookbox: &Running) -> usize {
    let process = std::path::Path::new("/proc").join(hookbox.id().to_string());
    let is_writable = |fd: &std::fs::DirEntry| {
        let is_database = std::fs::read_link(fd.path()).is_ok_and(|file| file.ends_with("hookbox.db"));
        let info = std::fs::read_to_string(process.join("fdinfo").join(fd.file_name())).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("0").trim();
        is_database && i32::from_str_radix(flags, 8).unwrap() & 0o3 != 0
    };
    std::fs::read_dir(process.join("fd")).unwrap().flatten().filter(is_writable).count()
}

#[test]
fn bulk_change_and_deliveries_share_one_writer() {
    let many = 10 * MANY;
    let hookbox = full_of(many, "dead", Hookbox::new());
    let reply = post(&hookbox, "/jobs/retry", &json!({ "state": ["dead"] }));
    assert_eq!(reply.status, 202, "{}", reply.text());
    let place = reply.header("location").unwrap().to_owned();
    let mut acknowledged = 0;
    while get(&hookbox, &place)["state"] == "running" {
        assert_eq!(writing_connections(&hookbox), 1);
        hookbox.deliver(github::push());
        acknowledged += 1;
    }
    let change = get(&hookbox, &place);
    assert_eq!((&change["state"], &change["changed"]), (&json!("done"), &json!(many)));
    assert!(acknowledged > 0);
    assert_eq!(pending(&hookbox), many + acknowledged);
    assert!(!hookbox.log().iter().any(|line| line.contains("lock")), "{:?}", hookbox.log());
}

#[test]
fn number_of_concurrent_updates_is_limited() {
    let hookbox = full("dead", Hookbox::new());
    let held = hold(&hookbox);
    let skip = || post(&hookbox, "/jobs/skip", &json!({ "state": ["dead"] }));
    let places: Vec<_> = (0..4).map(|_| skip().header("location").unwrap().to_owned()).collect();
    let reply = skip();
    assert_eq!(reply.status, 409);
    let document = document();
    assert_documented(&document, &document["paths"]["/api/v1/jobs/skip"]["post"], &reply, "skip");
    assert!(json_of(&reply)["hint"].as_str().unwrap().contains("/api/v1/changes"), "{}", reply.text());
    drop(held);
    let changes: Vec<_> = places.iter().map(|place| ended(&hookbox, place)).collect();
    let sum = |key: &str| changes.iter().map(|change| change[key].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("changed"), sum("done")), (MANY, 4 * MANY), "each job is changed once: {changes:?}");
}

#[test]
fn replay_interrupted_by_a_restart_runs_nothing_twice() {
    // More than can be done between the signal and the end.
    let many = 20 * MANY;
    let mut hookbox = full_of(many, "succeeded", Hookbox::new().expect_warning("bulk replay interrupted by shutdown"));
    let held = hold(&hookbox);
    let ask = page(&hookbox, "/jobs/replay?state=succeeded&handler=deploy&n=all");
    let newest = between(&ask, "name=\"newest\" value=\"", "\"");
    let fields = format!("state=succeeded&handler=deploy&newest={newest}&count={many}");
    let reply = submit(&hookbox, &ask, "/jobs/replay", &fields);
    let place = reply.header("location").unwrap().to_owned();
    hookbox.signal(Signal::TERM);
    hookbox.wait_for_log("stopping");
    drop(held);
    hookbox.wait_for_end();
    let done = pending(&hookbox);
    assert!(done > 0 && done < many && done % STEP == 0, "whole steps were made: {done}");
    assert!(hookbox.wait_for_log(&format!("{done} of {many} jobs done")).contains("--finished-before"));
    hookbox.start_again();
    // As if the handler had run them in the meantime.
    let run = "UPDATE jobs SET state = 'succeeded', finished_at = unixepoch() * 1000 + 1000 WHERE state = 'pending'";
    hookbox.inbox.writer().execute_batch(run).unwrap();
    let shown = page(&hookbox, &place);
    assert!(shown.contains("was restarted"), "{shown}");
    let rest = between(&shown, "class=\"button\" href=\"", "\"");
    let ask = page(&hookbox, &format!("{rest}&n=all"));
    assert_eq!(between(&ask, "name=\"count\" value=\"", "\""), (many - done).to_string(), "{ask}");
}

#[test]
fn progress_page_works_without_scripts_and_stops_the_update() {
    let hookbox = full("dead", Hookbox::new());
    let held = hold(&hookbox);
    let ask = page(&hookbox, "/jobs/retry?state=dead&n=all");
    let newest = between(&ask, "name=\"newest\" value=\"", "\"");
    let reply = submit(&hookbox, &ask, "/jobs/retry", &format!("state=dead&newest={newest}&count={MANY}"));
    assert_eq!(reply.status, 303, "{}", reply.text());
    let place = reply.header("location").unwrap().to_owned();
    assert!(place.starts_with("/jobs/retry/") && place.ends_with("?state=dead"), "{place}");
    let shown = page(&hookbox, &place);
    let title = "<h1>Retry of 3,000 jobs</h1>";
    for part in [title, "0 of 3,000 jobs", "<noscript><meta http-equiv=\"refresh\"", "<progress"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let list = page(&hookbox, "/jobs?state=dead");
    assert!(list.contains("retry of 3,000 jobs") && list.contains("is running: 0 % done"), "{list}");
    let stop = format!("{}/stop", place.split('?').next().unwrap());
    let reply = submit(&hookbox, &shown, &stop, "state=dead");
    assert_eq!(reply.header("location"), Some(place.as_str()));
    let shown = page(&hookbox, &place);
    assert!(shown.contains(">stopping<") && !shown.contains(">Stop</button>"), "{shown}");
    drop(held);
    let shown = until("it to have stopped", || Some(page(&hookbox, &place)).filter(|page| page.contains(">stopped<")));
    assert!(shown.contains("250 of 3,000 jobs") && !shown.contains("http-equiv"), "{shown}");
    assert!(shown.contains("href=\"/jobs/retry?state=dead\""), "the way to the rest: {shown}");
    assert!(!page(&hookbox, "/jobs?state=dead").contains(" is running: "));
    let id: i64 = between(&place, "/retry/", "?").parse().unwrap();
    for never in ["/jobs/retry/1".to_owned(), format!("/jobs/retry/{}", id + 1), format!("/jobs/skip/{id}")] {
        assert_eq!(hookbox.ask("GET", &never, &[], "").status, 404, "{never}");
    }
}

#[test]
fn progress_page_updates_live() {
    let hookbox = full("dead", Hookbox::new());
    let held = hold(&hookbox);
    let browser = Browser::open(&hookbox, 1280);
    browser.go("/jobs/retry?state=dead&n=all");
    browser.click(&browser.find("button.primary"));
    until("the page of the change", || browser.path().starts_with("/jobs/retry/").then_some(()));
    browser.wait_for_text(".title .badge", "running");
    browser.wait_for_text("#live", "Live");
    browser.run("window.isTheSamePage = true");
    drop(held);
    browser.wait_for_text(".title .badge", "done");
    assert!(browser.text("main").contains("3,000 of 3,000 jobs"), "{}", browser.text("main"));
    assert_eq!(browser.run("return document.querySelector('progress').value"), 3_000);
    assert_eq!(browser.run("return window.isTheSamePage"), Value::Bool(true), "it was not loaded again");
    assert_eq!(browser.errors(), Vec::<String>::new());
    assert_eq!(pending(&hookbox), MANY);
}
