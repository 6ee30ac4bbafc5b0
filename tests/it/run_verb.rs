//! `run`: executes a handler on stored events in the foreground, without changing the inbox.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::script::{exits, fails, records, says, sh, succeeds, waits_for};
use crate::support::{Hookbox, Running, github, until};

#[test]
fn run_leaves_the_inbox_unchanged() {
    let hookbox = Hookbox::new().handler("keep", records().then(sh("echo out\necho err >&2"))).start();
    let event = hookbox.deliver(github::push().with_body("{\"a\":1}"));
    hookbox.wait_for(&event, "succeeded");
    let before = dump(&hookbox);
    let done = hookbox.run(&["run", "keep", &event.id]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), "out\n"), "{done:?}");
    assert!(done.stderr.starts_with("err\n") && done.stderr.contains("would succeed"), "{}", done.stderr);
    assert_eq!(dump(&hookbox), before);
    let (body, environment) = hookbox.record("keep", &event, 2);
    assert_eq!(body, b"{\"a\":1}");
    assert!(environment.contains(&"HOOKBOX_DRY_RUN=1".to_owned()), "{environment:?}");
    assert!(!environment.iter().any(|line| line.contains("X-Hub-Signature") || line.contains("x-hub-signature")));
    let key = |attempt| {
        let (_, environment) = hookbox.record("keep", &event, attempt);
        environment.into_iter().find(|line| line.starts_with("HOOKBOX_IDEMPOTENCY_KEY=")).unwrap()
    };
    assert_eq!(key(1), key(2));
    let (_, served) = hookbox.record("keep", &event, 1);
    assert!(!served.iter().any(|line| line.starts_with("HOOKBOX_DRY_RUN")));
}

#[test]
fn run_reports_what_the_result_would_mean() {
    let retry = r#"retry = { attempts = 5, initial = "3s", max = "1h", jitter = 0.0 }"#;
    let mut hookbox = Hookbox::new().handler_with("deploy", retry, succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert!(hookbox.stop().success());
    let cases = [
        (exits(1), "would be retried in 3 s: exit 1"),
        (exits(65), "would be dead"),
        (says(r#"{"dead":"no such customer"}"#), "would be dead: no such customer"),
        (says(r#"{"retry_after":"5m","note":"busy"}"#).then_exits(1), "would be retried in 5 min"),
        (sh("kill -KILL $$"), "signal 9"),
    ];
    for (script, words) in cases {
        hookbox.install("deploy", &script);
        let done = hookbox.run(&["run", "deploy", &event.id]);
        assert_eq!(done.status, Some(1), "{done:?}");
        assert!(done.stderr.contains(words), "{words}: {}", done.stderr);
    }
    std::fs::remove_file(hookbox.folder().join("handlers/deploy")).unwrap();
    std::fs::create_dir(hookbox.folder().join("handlers/deploy")).unwrap();
    let broken = hookbox.run(&["run", "deploy", &event.id]);
    assert_eq!(broken.status, Some(2), "its section is wrong then: {broken:?}");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
}

#[test]
fn unmatched_event_runs_with_a_warning() {
    let hookbox = Hookbox::new()
        .handler_with("deploy", "events = [\"ping\"]", sh("echo ran"))
        .handler_with("says", "respond = true\nevents = [\"pong\"]\nsources = [\"github\"]", sh("printf '{}'"))
        .start();
    let event = hookbox.deliver(github::push());
    let done = hookbox.run(&["run", "deploy", "#1"]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), "ran\n"));
    assert!(done.stderr.contains("`deploy` does not match this event (github push)"), "{}", done.stderr);
    let says = hookbox.run(&["run", "says", &event.id]);
    assert!(says.stderr.contains("response to the provider: 200, application/json, 2 bytes"), "{}", says.stderr);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM jobs"), 0);
}

#[test]
fn output_is_streamed_and_ctrl_c_stops_the_handler() {
    let hookbox =
        Hookbox::new().handler_with("deploy", "events = [\"never\"]", sh("echo begun").then(waits_for("gate"))).start();
    hookbox.deliver(github::push());
    let out = hookbox.folder().join("out");
    let mut command = hookbox.command();
    command.args(["run", "deploy", "#1"]).stdin(Stdio::null());
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap();
    until("the first line", || (std::fs::read_to_string(&out).unwrap() == "begun\n").then_some(()));
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(1) && said.contains("was stopped"), "{said}");
}

/// As the handler that `init` writes, it says its number.
const SAYS: &str = "echo \"for $HOOKBOX_EVENT_ID, attempt $HOOKBOX_ATTEMPT\"";

#[test]
fn run_last_needs_yes_and_reports_differences() {
    let hookbox = Hookbox::new().handler_with("deploy", "events = [\"push\"]", sh(SAYS)).start();
    let events: Vec<_> = (0..4).map(|_| hookbox.deliver(github::push())).collect();
    hookbox.deliver(github::push().of_type("ping"));
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    let starts = hookbox.starts("deploy").len();
    let asked = hookbox.run(&["run", "deploy", "--last", "3"]);
    assert_eq!(asked.status, Some(2));
    assert!(
        asked.stderr.contains("3 events") && asked.stderr.contains("DEPLOYS AND CHARGES AGAIN"),
        "{}",
        asked.stderr
    );
    assert_eq!(hookbox.starts("deploy").len(), starts, "nothing has run");
    let before = dump(&hookbox);
    let same = hookbox.run(&["run", "deploy", "--last", "3", "--yes"]);
    assert_eq!(same.status, Some(0), "{same:?}");
    assert!(same.stderr.contains("3 events would have the same result"), "{}", same.stderr);
    assert_eq!(hookbox.starts("deploy").len(), starts + 3);
    let changed = format!(
        "[ \"$HOOKBOX_EVENT_ID\" = {} ] && exit 1\n[ \"$HOOKBOX_EVENT_ID\" = {} ] && echo more\n{SAYS}",
        events[1].id, events[2].id
    );
    hookbox.install("deploy", &sh(&changed));
    let other = hookbox.run(&["run", "deploy", "--last", "50", "--yes", "--json"]);
    assert_eq!(other.status, Some(1), "{other:?}");
    assert!(other.stderr.contains("2 of 4 events would have a different result"), "{}", other.stderr);
    let rows: serde_json::Value = serde_json::from_str(&other.stdout).unwrap();
    let differs: Vec<String> = rows.as_array().unwrap().iter().map(|row| row["differs"].to_string()).collect();
    assert_eq!(differs, ["[]", r#"["exit","result","output"]"#, r#"["output"]"#, "[]"]);
    assert_eq!((&rows[1]["ledger"]["exit_code"], &rows[1]["now"]["exit_code"]), (&0.into(), &1.into()));
    assert_eq!(dump(&hookbox), before);
}

#[test]
fn run_last_compares_with_the_last_finished_attempt() {
    let hookbox = Hookbox::new().handler("deploy", fails(1).then_succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.run(&["run", "deploy", "--last", "1", "--yes"]).status, Some(0));
    let table = hookbox.ok(&["run", "deploy", "--last", "1", "--yes"]);
    assert!(table.contains("succeeded, exit 0") && table.contains(&event.id), "{table}");
}

#[test]
fn wrong_usage_is_reported_with_a_hint() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    hookbox.deliver(github::push());
    for (arguments, words) in [
        (&["run", "deplyo", "#1"][..], "did you mean `deploy`?"),
        (&["run", "deploy"], "--last"),
        (&["run", "deploy", "#1", "--last", "3"], "cannot be used with"),
        (&["run", "deploy", "#1", "--source", "github"], "filters and --json require `--last`"),
        (&["run", "deploy", "#1", "--json"], "filters and --json require `--last`"),
    ] {
        let done = hookbox.run(arguments);
        assert!(done.status == Some(2) && done.stderr.contains(words), "{arguments:?}: {done:?}");
    }
    assert_eq!(hookbox.run(&["run", "deploy", "#99"]).status, Some(1));
}

/// Everything that a run could have changed.
fn dump(hookbox: &Running) -> Vec<String> {
    let mut all =
        hookbox.inbox.texts("SELECT id || state || attempt || failures || coalesce(reason, '') FROM jobs ORDER BY id");
    all.extend(
        hookbox
            .inbox
            .texts("SELECT job_id || '.' || number || coalesce(status, '') FROM attempts ORDER BY job_id, number"),
    );
    all.extend(hookbox.inbox.texts("SELECT event_seq || 'answer' FROM replies"));
    all.extend(hookbox.inbox.texts("SELECT name || paused FROM handlers"));
    all
}
