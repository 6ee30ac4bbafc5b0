//! Alerts: each condition is told once when it begins and once when it is over, to a command and to an address.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::script::{exits, sh, succeeds};
use crate::support::{Hookbox, Running, github, until, until_within};

/// An `[alerts]` section before the sources, with a command that keeps every alert in `records/alerts`.
fn told(hookbox: Hookbox, lines: &str) -> Hookbox {
    let script = "#!/bin/sh\n(cat; echo) >> records/alerts\n";
    let file = hookbox.folder().join("handlers/tell");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    hookbox.dispatch(&format!("[alerts]\ncommand = [\"handlers/tell\"]\n{lines}"))
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
fn a_dead_job_is_told_once_and_again_when_none_is_dead() {
    let script = sh("echo 'a secret of the application' >&2; exit 65");
    let hookbox = told(Hookbox::new().handler("deploy", script), "").expect_failures().start();
    let event = hookbox.deliver(github::push().with_body(r#"{"card":"4111111111111111"}"#));
    let told = wait_for(&hookbox, &["dead begun"]);
    assert_eq!((told[0]["handler"].as_str(), told[0]["event_id"].as_str()), (Some("deploy"), Some(event.id.as_str())));
    assert_eq!((told[0]["count"].as_i64(), told[0]["source"].as_str()), (Some(1), Some("github")));
    assert!(told[0]["text"].as_str().unwrap().contains("hookbox jobs --state dead --handler deploy"));
    let raw = told[0].to_string();
    assert!(!raw.contains("secret") && !raw.contains("4111"), "{raw}");
    hookbox.ok(&["skip", &event.id]);
    let told = wait_for(&hookbox, &["dead begun", "dead over"]);
    assert_eq!(told[1]["handler"], "deploy");
}

#[test]
fn what_was_dead_before_the_start_is_no_news_and_poison_is() {
    let script = sh("case $HOOKBOX_EVENT_TYPE in bad) exit 65;; *) kill -KILL $PPID;; esac");
    let setup = told(Hookbox::new().handler("deploy", script), "").expect_failures();
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
    let told = wait_for(&hookbox, &["dead begun", "dead begun"]);
    assert_eq!((told[1]["count"].as_i64(), told[1]["dead"].as_i64()), (Some(1), Some(2)));
    assert!(told[1]["reason"].as_str().unwrap().starts_with("poison"), "{told:?}");
}

#[test]
fn five_hundred_dead_jobs_are_one_message_or_two() {
    let hookbox = told(Hookbox::new().handler("deploy", exits(65)), "").expect_failures().start();
    for _ in 0..10 {
        hookbox.deliver(github::push());
    }
    wait_for(&hookbox, &["dead begun"]);
    // Dead jobs as they would be, without running 490 processes for it.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 490)
               INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
               SELECT 'github', 'more-' || i, 'push', 0, 0, zeroblob(32) FROM n;
               INSERT INTO jobs (event_seq, handler, state, run_at, created_at, finished_at)
               SELECT seq, 'deploy', 'dead', 0, 0, 1 FROM events WHERE event_id LIKE 'more-%';";
    hookbox.inbox.writer().execute_batch(sql).unwrap();
    // What comes after it was told has been looked at after it.
    hookbox.ok(&["skip", "--all", "--state", "dead"]);
    wait_for(&hookbox, &["dead begun", "dead over"]);
}

#[test]
fn a_broken_handler_is_told_once_and_again_when_it_runs() {
    let hookbox = told(Hookbox::new().handler("deploy", succeeds()), "").expect_warning(" paused: ").start();
    fs::remove_file(hookbox.folder().join("handlers/deploy")).unwrap();
    let event = hookbox.deliver(github::push());
    let told = wait_for(&hookbox, &["paused begun"]);
    assert!(told[0]["reason"].as_str().unwrap().contains("No such file"), "{told:?}");
    hookbox.install("deploy", &succeeds());
    hookbox.wait_long_for(40, &event, "succeeded");
    wait_for(&hookbox, &["paused begun", "paused over"]);
}

#[test]
fn refusals_above_the_rate_are_told_once() {
    let hookbox = told(Hookbox::new(), "refusals_per_minute = 5").allow_warning("refused").start();
    hookbox.deliver(github::push());
    for _ in 0..4 {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    }
    until("they to be counted", || (hookbox.inbox.number("SELECT sum(refused) FROM hourly_counts") == 4).then_some(()));
    for _ in 0..20 {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    }
    let told = wait_for(&hookbox, &["refusals begun"]);
    assert_eq!(told[0]["source"], "github");
    assert!(told[0]["count"].as_i64().unwrap() >= 5, "{told:?}");
}

#[test]
fn a_source_that_falls_silent_is_told_once_until_it_is_heard_of() {
    let hookbox = told(Hookbox::new().source_with("github", "silence = \"2s\""), "").start();
    let told = wait_for(&hookbox, &["silence begun"]);
    assert_eq!(told[0]["source"], "github", "the others may be silent for ever");
    hookbox.deliver(github::push());
    wait_for(&hookbox, &["silence begun", "silence over"]);
}

#[test]
fn a_low_disk_is_told_once_and_again_when_there_is_room() {
    let hookbox = told(Hookbox::new().inbox("min_free_disk = \"1PiB\""), "").expect_warning("min_free_disk").start();
    wait_for(&hookbox, &["disk begun"]);
    hookbox.rewrite(|text| text.replace("1PiB", "1MiB"));
    hookbox.ok(&["reload"]);
    wait_for(&hookbox, &["disk begun", "disk over"]);
}

#[test]
fn an_address_gets_the_same_and_a_few_tries() {
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
    assert!(printed.contains("to the address in alerts.url"), "{printed}");
    assert!(!printed.contains("very-secret") && !hookbox.log().concat().contains("very-secret"), "{printed}");
}

#[test]
fn check_sends_a_test_alert_and_says_whether_it_was_taken() {
    let hookbox = told(Hookbox::new(), "silence = \"6h\"");
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert!(
        done.stdout.contains("handlers/tell: dead jobs") && done.stdout.contains("github silent for 6h"),
        "{done:?}"
    );
    let done = hookbox.run(&["check", "--send-test-alert"]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), "sent, and taken\n"), "{done:?}");
    let sent = fs::read_to_string(hookbox.folder().join("records/alerts")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap()["alert"], "test");
    fs::write(hookbox.folder().join("handlers/tell"), "#!/bin/sh\nexit 3\n").unwrap();
    let done = hookbox.run(&["check", "--send-test-alert"]);
    assert!(done.status == Some(1) && done.stderr.contains("ended with exit status: 3"), "{done:?}");
    let nobody = Hookbox::new();
    nobody.write();
    let done = nobody.run(&["check", "--send-test-alert"]);
    assert!(done.status == Some(2) && done.stderr.contains("[alerts]"), "{done:?}");
}

/// A server that keeps what is posted to it, and answers 500 to the first.
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
