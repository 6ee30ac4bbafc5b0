//! The table of attempt statuses: what each exit means for the job, and what is recorded.

use crate::support::script::{exits, fails, records, says, sh, succeeds, waits_for};
use crate::support::{Hookbox, github, until};

#[test]
fn exit_0_is_success() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
    assert_eq!(hookbox.starts("deploy"), [format!("{} 1", event.id)]);
}

#[test]
fn failed_attempt_is_retried_until_it_succeeds() {
    let hookbox = Hookbox::new().handler("deploy", fails(2).then_succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 1", "exit 1", "exit 0"]);
}

#[test]
fn retry_delay_doubles_up_to_the_maximum() {
    let retry = r#"retry = { attempts = 5, initial = "100ms", max = "300ms", jitter = 0.0 }"#;
    let hookbox = Hookbox::new().handler_with("deploy", retry, exits(1)).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let ledger = hookbox.ledger(&event);
    let pauses: Vec<i64> = ledger.windows(2).map(|pair| pair[1].started_at - pair[0].finished_at.unwrap()).collect();
    for (pause, least) in pauses.iter().zip([100, 200, 300, 300]) {
        assert!((least..least + 60_000).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 4);
}

#[test]
fn job_is_dead_after_its_last_attempt() {
    let hookbox = Hookbox::new().handler("deploy", exits(3)).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let job = hookbox.job(&event);
    assert_eq!((job.attempt, job.failures), (5, 5));
    assert!(job.reason.as_deref().is_some_and(|reason| reason.contains('3')), "{job:?}");
    assert_eq!(hookbox.attempts(&event), ["exit 3"; 5]);
}

#[test]
fn exit_65_is_dead() {
    let hookbox = Hookbox::new().handler("deploy", exits(65)).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert_eq!(hookbox.attempts(&event), ["exit 65"]);
    assert_eq!(hookbox.ledger(&event)[0].ending.as_deref(), Some("dead"));
    assert!(hookbox.job(&event).reason.unwrap().contains("65"));
}

#[test]
fn dead_exit_codes_are_configurable() {
    let script = sh("if [ \"$HOOKBOX_ATTEMPT\" = 1 ]; then exit 65; fi").then_exits(12);
    let hookbox = Hookbox::new().handler_with("deploy", "dead_exit_codes = [12, 13]", script).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert_eq!(hookbox.attempts(&event), ["exit 65", "exit 12"]);
}

#[test]
fn dead_in_the_result_file_is_dead_with_its_reason() {
    let script = says(r#"{"dead":"no such customer"}"#);
    let hookbox = Hookbox::new()
        .handler("fails", script.clone().then_exits(1))
        .handler("succeeds", script.then_succeeds())
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    for handler in ["fails", "succeeds"] {
        until("the job to be dead", || (hookbox.job_of(&event, handler).state == "dead").then_some(()));
        let job = hookbox.job_of(&event, handler);
        assert!(job.reason.as_deref().is_some_and(|reason| reason.contains("no such customer")), "{job:?}");
        assert_eq!(job.attempt, 1);
    }
}

#[test]
fn retry_after_is_respected_and_uncounted() {
    let script = sh("if [ \"$HOOKBOX_ATTEMPT\" -gt 6 ]; then exit 0; fi")
        .then(says(r#"{"retry_after":"20ms","note":"not before noon"}"#))
        .then_exits(75);
    let retry = r#"retry = { attempts = 1, initial = "1h", max = "1h", jitter = 0.0 }"#;
    let hookbox = Hookbox::new().handler_with("deploy", retry, script).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), [["exit 75"; 6].as_slice(), &["exit 0"]].concat());
    let first = &hookbox.ledger(&event)[0];
    assert_eq!((first.ending.as_deref(), first.note.as_deref()), (Some("deferred"), Some("not before noon")));
    assert_eq!(hookbox.job(&event).failures, 0);
}

#[test]
fn retry_after_with_exit_0_is_success() {
    let script = says(r#"{"retry_after":"1ms"}"#).then_succeeds();
    let hookbox = Hookbox::new().handler("deploy", script).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
}

#[test]
fn more_than_a_hundred_deferrals_are_a_failure() {
    let script = says(r#"{"retry_after":"1ms"}"#).then_exits(1);
    let retry = r#"retry = { attempts = 1, initial = "1ms", max = "1ms", jitter = 0.0 }"#;
    let hookbox = Hookbox::new().handler_with("deploy", retry, script).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let job = hookbox.job(&event);
    assert_eq!((job.attempt, job.deferrals, job.failures), (101, 100, 1));
}

#[test]
fn note_is_stored_with_the_attempt() {
    let script = says(r#"{"note":"deployed abc123"}"#).then_succeeds();
    let hookbox = Hookbox::new().handler("deploy", script).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.ledger(&event)[0].note.as_deref(), Some("deployed abc123"));
}

#[test]
fn invalid_result_file_changes_nothing() {
    let garbage = ["not json", "[1]", r#"{"retry_after":"soon"}"#, r#"{"dead":7}"#, r#"{"deaad":"typo"}"#];
    for text in garbage {
        let hookbox = Hookbox::new().handler("deploy", says(text).then_succeeds()).start();
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
        assert!(hookbox.ledger(&event)[0].note.is_some(), "no note about {text}");
    }
}

#[test]
fn signal_is_a_failure() {
    let script = sh("if [ \"$HOOKBOX_ATTEMPT\" = 1 ]; then kill -KILL $$; fi").then_succeeds();
    let hookbox = Hookbox::new().handler("deploy", script).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["signal 9", "exit 0"]);
    assert_eq!(hookbox.job(&event).failures, 1);
}

#[test]
fn time_limit_is_a_failure_and_kills_the_group() {
    let script = sh(concat!(
        "if [ \"$HOOKBOX_ATTEMPT\" != 1 ]; then exit 0; fi\n",
        "sleep 1000 &\necho $! > child\nmkfifo never\nread -r word < never",
    ));
    let hookbox = Hookbox::new().handler_with("deploy", "timeout = \"200ms\"", script).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["timeout", "exit 0"]);
    assert_eq!(hookbox.job(&event).failures, 1);
    let child = std::fs::read_to_string(hookbox.folder().join("child")).unwrap();
    until("the background child to be gone", || is_gone(child.trim()).then_some(()));
}

#[test]
fn handler_that_ignores_sigterm_is_killed() {
    let script = sh("trap '' TERM\nwhile :; do sleep 1000 & wait $!; done");
    let retry = r#"retry = { attempts = 1, initial = "1s", max = "1s", jitter = 0.0 }"#;
    let hookbox = Hookbox::new()
        .handler_with("deploy", &format!("timeout = \"100ms\"\n{retry}"), script)
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert_eq!(hookbox.attempts(&event), ["timeout"]);
}

#[test]
fn background_child_with_open_output_delays_nothing() {
    let hookbox = Hookbox::new().handler("deploy", sh("sleep 1000 &\necho done\nexit 0")).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
}

#[test]
fn handler_need_not_read_its_stdin() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let event = hookbox.deliver(github::push().with_body(format!("\"{}\"", "x".repeat(4 << 20))));
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn handler_gets_the_exact_bytes_and_environment() {
    let hookbox = Hookbox::new()
        .environment("GREETING", "hello there")
        .environment("NOT_NAMED", "never seen")
        .handler_with("keep", "env = [\"GREETING\"]", records().then(fails(1)).then_succeeds())
        .expect_failures()
        .start();
    let body = b"{\"ref\":\"refs/heads/main\", \"zero\":\"\\u0000\"}\r\n";
    let push = github::push().with_body(*body).with_header("Authorization", "Bearer abc").with_header("Cookie", "a=b");
    let event = hookbox.deliver(&push);
    hookbox.wait_for(&event, "succeeded");
    let ((first, environment), (second, again)) =
        (hookbox.record("keep", &event, 1), hookbox.record("keep", &event, 2));
    assert_eq!((first, second), (body.to_vec(), body.to_vec()));
    let value = |name: &str| {
        let line = environment.iter().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is missing in {environment:#?}")).to_owned()
    };
    let expected = [
        ("HOOKBOX_SOURCE", "github"),
        ("HOOKBOX_EVENT_ID", &event.id),
        ("HOOKBOX_EVENT_TYPE", "push"),
        ("HOOKBOX_HANDLER", "keep"),
        ("HOOKBOX_ATTEMPT", "1"),
        ("HOOKBOX_CONTENT_TYPE", "application/json"),
        ("GREETING", "hello there"),
    ];
    for (name, wanted) in expected {
        assert_eq!(value(name), wanted, "{name}");
    }
    let received_at: i64 = hookbox.inbox.number("SELECT received_at FROM events");
    assert_eq!(value("HOOKBOX_RECEIVED_AT").parse::<jiff::Timestamp>().unwrap().as_millisecond(), received_at);
    let headers: serde_json::Value = serde_json::from_str(&value("HOOKBOX_HEADERS")).unwrap();
    let names: Vec<String> = headers.as_object().unwrap().keys().map(|name| name.to_ascii_lowercase()).collect();
    assert!(names.contains(&"x-github-event".to_owned()), "{names:?}");
    for private in ["authorization", "cookie", "x-hub-signature-256"] {
        assert!(!names.contains(&private.to_owned()), "{private} must not reach a handler");
    }
    assert!(value("HOOKBOX_RESULT").starts_with('/'));
    assert!(!environment.iter().any(|line| line.starts_with("NOT_NAMED=") || line.starts_with("HOOKBOX_CONFIG=")));
    let key = format!("HOOKBOX_IDEMPOTENCY_KEY={}", value("HOOKBOX_IDEMPOTENCY_KEY"));
    assert!(again.contains(&key), "the key is the same for every attempt");
    assert!(again.contains(&"HOOKBOX_ATTEMPT=2".to_owned()));
}

#[test]
fn handler_runs_in_the_folder_of_the_configuration_or_cwd() {
    let hookbox = Hookbox::new()
        .handler("here", sh("pwd > records/here"))
        .handler_with("there", "cwd = \"records\"", sh(": from another folder\npwd > there"))
        .start();
    let event = hookbox.deliver(github::push());
    until("the handler to report its folder", || {
        std::fs::read_to_string(hookbox.folder().join("records/there")).ok().filter(|text| text.ends_with('\n'))
    });
    hookbox.wait_for(&event, "succeeded");
    let reported = |name: &str| std::fs::read_to_string(hookbox.folder().join("records").join(name)).unwrap();
    let folder = hookbox.folder().canonicalize().unwrap();
    assert_eq!(reported("here").trim(), folder.to_str().unwrap());
    assert_eq!(reported("there").trim(), folder.join("records").to_str().unwrap());
}

#[test]
fn running_attempt_is_shown() {
    let hookbox = Hookbox::new().handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    assert_eq!(hookbox.attempts(&event), ["running"]);
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
}

fn is_gone(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}
