//! Alerts: each condition is reported once when it begins and once when it is over, to a command or a URL.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::script::{exits, sh, succeeds};
use crate::support::{Hookbox, Running, github, until, until_within};

/// Adds an `[alerts]` section with a command that appends each alert to `records/alerts`.
fn with_alerts(hookbox: Hookbox, lines: &str) -> Hookbox {
    let script = "#!/bin/sh\n(cat; echo) >> records/alerts\n";
    let file = hookbox.folder().join("handlers/alert");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    hookbox.dispatch(&format!("[alerts]\ncommand = [\"handlers/alert\"]\n{lines}"))
}

fn alerts(hookbox: &Running) -> Vec<Value> {
    let text = fs::read_to_string(hookbox.folder().join("records/alerts")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(alerts: &[Value]) -> Vec<String> {
    let word = |alert: &Value, key: &str| alert[key].as_str().unwrap().to_owned();
    alerts.iter().map(|alert| [word(alert, "alert"), word(alert, "state")].join(" ")).collect()
}

fn wait_for(hookbox: &Running, expected: &[&str]) -> Vec<Value> {
    until(&format!("{expected:?}"), || Some(alerts(hookbox)).filter(|alerts| kinds(alerts) == expected))
}

#[test]
fn dead_job_is_reported_once_and_again_when_none_is_dead() {
    let script = sh("echo 'a secret of the application' >&2; exit 65");
    let hookbox = with_alerts(Hookbox::new().handler("deploy", script), "").expect_failures().start();
    let event = hookbox.deliver(github::push().with_body(r#"{"card":"4111111111111111"}"#));
    let sent = wait_for(&hookbox, &["dead begun"]);
    assert_eq!((sent[0]["handler"].as_str(), sent[0]["event_id"].as_str()), (Some("deploy"), Some(event.id.as_str())));
    assert_eq!((sent[0]["count"].as_i64(), sent[0]["source"].as_str()), (Some(1), Some("github")));
    assert!(sent[0]["text"].as_str().unwrap().contains("hookbox jobs --state dead --handler deploy"));
    let raw = sent[0].to_string();
    assert!(!raw.contains("secret") && !raw.contains("4111"), "{raw}");
    hookbox.ok(&["skip", &event.id]);
    let sent = wait_for(&hookbox, &["dead begun", "dead over"]);
    assert_eq!(sent[1]["handler"], "deploy");
}

#[test]
fn jobs_dead_before_the_start_are_not_reported_poison_jobs_are() {
    let script = sh("case $HOOKBOX_EVENT_TYPE in bad) exit 65;; *) kill -KILL $PPID;; esac");
    let setup = with_alerts(Hookbox::new().handler("deploy", script), "").expect_failures();
    let mut hookbox = setup.expect_warning("running when hookbox was killed").start();
    hookbox.deliver(github::push().of_type("bad"));
    wait_for(&hookbox, &["dead begun"]);
    hookbox.try_send(&github::push()).ok();
    assert!(!hookbox.wait_for_end().success());
    for _ in 0..2 {
        hookbox.start_again();
        hookbox.inbox.writer().execute("UPDATE jobs SET run_at = 0", []).unwrap();
        assert!(!hookbox.wait_for_end().success());
    }
    hookbox.start_again();
    let sent = wait_for(&hookbox, &["dead begun", "dead begun"]);
    assert_eq!((sent[1]["count"].as_i64(), sent[1]["dead"].as_i64()), (Some(1), Some(2)));
    assert!(sent[1]["reason"].as_str().unwrap().starts_with("poison"), "{sent:?}");
}

#[test]
fn many_dead_jobs_are_few_alerts() {
    let hookbox = with_alerts(Hookbox::new().handler("deploy", exits(65)), "").expect_failures().start();
    for _ in 0..10 {
        hookbox.deliver(github::push());
    }
    wait_for(&hookbox, &["dead begun"]);
    // Dead jobs without running 490 processes.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 490)
               INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
               SELECT 'github', 'more-' || i, 'push', 0, 0, zeroblob(32) FROM n;
               INSERT INTO jobs (event_seq, handler, state, run_at, created_at, finished_at)
               SELECT seq, 'deploy', 'dead', 0, 0, 1 FROM events WHERE event_id LIKE 'more-%';";
    hookbox.inbox.writer().execute_batch(sql).unwrap();
    // An alert that comes later would be in the list below.
    hookbox.ok(&["skip", "--all", "--state", "dead"]);
    wait_for(&hookbox, &["dead begun", "dead over"]);
}

#[test]
fn broken_handler_is_reported_once_and_again_when_it_runs() {
    let hookbox = with_alerts(Hookbox::new().handler("deploy", succeeds()), "").expect_warning(" paused: ").start();
    fs::remove_file(hookbox.folder().join("handlers/deploy")).unwrap();
    let event = hookbox.deliver(github::push());
    let sent = wait_for(&hookbox, &["paused begun"]);
    assert!(sent[0]["reason"].as_str().unwrap().contains("No such file"), "{sent:?}");
    hookbox.install("deploy", &succeeds());
    hookbox.wait_long_for(40, &event, "succeeded");
    wait_for(&hookbox, &["paused begun", "paused over"]);
}

#[test]
fn refusals_above_the_rate_are_reported_once() {
    let hookbox = with_alerts(Hookbox::new(), "refusals_per_minute = 5").allow_warning("refused").start();
    hookbox.deliver(github::push());
    for _ in 0..4 {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    }
    until("the refusals to be counted", || {
        (hookbox.inbox.number("SELECT sum(refused) FROM hourly_counts") == 4).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    }
    let sent = wait_for(&hookbox, &["refusals begun"]);
    assert_eq!(sent[0]["source"], "github");
    assert!(sent[0]["count"].as_i64().unwrap() >= 5, "{sent:?}");
}

#[test]
fn silent_source_is_reported_once_until_it_is_heard_again() {
    let hookbox = with_alerts(Hookbox::new().source_with("github", "silence = \"2s\""), "").start();
    let sent = wait_for(&hookbox, &["silence begun"]);
    assert_eq!(sent[0]["source"], "github", "the other sources have no limit");
    hookbox.deliver(github::push());
    wait_for(&hookbox, &["silence begun", "silence over"]);
}

#[test]
fn low_disk_is_reported_once_and_again_when_there_is_space() {
    let hookbox =
        with_alerts(Hookbox::new().inbox("min_free_disk = \"1PiB\""), "").expect_warning("min_free_disk").start();
    wait_for(&hookbox, &["disk begun"]);
    hookbox.rewrite(|text| text.replace("1PiB", "1MiB"));
    hookbox.ok(&["reload"]);
    wait_for(&hookbox, &["disk begun", "disk over"]);
}

#[test]
fn alert_is_posted_to_a_url_and_retried() {
    let receiver = Receiver::new();
    let setup = Hookbox::new()
        .handler("deploy", exits(65))
        .environment("ALERT_URL", &format!("http://{}/services/T0/very-secret", receiver.address))
        .dispatch("[alerts]\nurl = { env = \"ALERT_URL\" }");
    let hookbox = setup.expect_failures().start();
    hookbox.deliver(github::push());
    let got = until_within(std::time::Duration::from_secs(30), "two tries", || {
        Some(receiver.got.lock().unwrap().clone()).filter(|got| got.len() == 2)
    });
    assert_eq!(got[0], got[1], "the first was answered 500");
    let (head, body) = &got[1];
    assert!(head.starts_with("POST /services/T0/very-secret HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let alert: Value = serde_json::from_str(body).unwrap();
    assert!(alert["text"].as_str().unwrap().contains("handler `deploy` died"), "{alert}");
    let printed = hookbox.ok(&["check"]);
    assert!(printed.contains("to the URL in alerts.url"), "{printed}");
    assert!(!printed.contains("very-secret") && !hookbox.log().concat().contains("very-secret"), "{printed}");
}

#[test]
fn check_sends_a_test_alert_and_prints_the_result() {
    let hookbox = with_alerts(Hookbox::new(), "silence = \"6h\"");
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert!(
        done.stdout.contains("handlers/alert: dead jobs") && done.stdout.contains("github silent for 6h"),
        "{done:?}"
    );
    let done = hookbox.run(&["check", "--send-test-alert"]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), "test alert sent\n"), "{done:?}");
    let sent = fs::read_to_string(hookbox.folder().join("records/alerts")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap()["alert"], "test");
    fs::write(hookbox.folder().join("handlers/alert"), "#!/bin/sh\nexit 3\n").unwrap();
    let done = hookbox.run(&["check", "--send-test-alert"]);
    assert!(done.status == Some(1) && done.stderr.contains("ended with exit status: 3"), "{done:?}");
    let nobody = Hookbox::new();
    nobody.write();
    let done = nobody.run(&["check", "--send-test-alert"]);
    assert!(done.status == Some(2) && done.stderr.contains("[alerts]"), "{done:?}");
}

/// A server that records requests and answers the first with 500.
struct Receiver {
    address: std::net::SocketAddr,
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let keep = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                let mut got = keep.lock().unwrap();
                got.push((head, String::from_utf8(body).unwrap()));
                let status = if got.len() == 1 { "500 Not Yet" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, got }
    }
}
