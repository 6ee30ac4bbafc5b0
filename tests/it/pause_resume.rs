//! Pause and resume: with and without `serve`, and of a broken handler.

use std::fs;

use crate::support::script::{exits, succeeds, waits_for};
use crate::support::{Hookbox, Running, github, until};

#[test]
fn paused_handler_starts_nothing_until_resumed() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).handler("other", succeeds()).start();
    let printed = hookbox.ok(&["pause", "deploy", "--reason", "release freeze"]);
    assert!(printed.contains("paused deploy"), "{printed}");
    hookbox.wait_for_log("handler `deploy` paused by the operator: release freeze");
    let held = hookbox.deliver(github::push());
    until("the other handler to succeed", || (hookbox.job_of(&held, "other").state == "succeeded").then_some(()));
    let status = hookbox.ok(&["status"]);
    assert!(status.contains("paused by operator") && status.contains("release freeze"), "{status}");
    let row = hookbox.json(&["pause", "deploy"]);
    assert_eq!((&row[0]["handler"], &row[0]["paused_by"]), (&"deploy".into(), &"operator".into()));
    assert_eq!((&row[0]["changed"], &row[0]["reason"]), (&false.into(), &"release freeze".into()));
    assert_eq!(hookbox.job_of(&held, "deploy").attempt, 0);
    assert!(hookbox.ok(&["resume", "deploy"]).contains("resumed deploy"));
    hookbox.wait_for(&held, "succeeded");
    assert!(hookbox.ok(&["resume", "deploy"]).contains("deploy is not paused"));
}

#[test]
fn running_attempt_continues_while_its_handler_is_paused() {
    let hookbox = Hookbox::new().handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    hookbox.ok(&["pause", "deploy"]);
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
}

#[test]
fn pause_survives_restarts_and_works_without_serve() {
    let mut hookbox = Hookbox::new().handler("one", succeeds()).handler("two", succeeds()).start();
    assert!(hookbox.stop().success());
    let paused = hookbox.json(&["pause", "--all"]);
    assert_eq!(paused.as_array().unwrap().len(), 2, "{paused}");
    hookbox.start_again();
    let event = hookbox.deliver(github::push());
    hookbox.stop();
    hookbox.start_again();
    assert_eq!(hookbox.inbox.jobs("github", &event.id).iter().map(|job| job.attempt).max(), Some(0));
    hookbox.ok(&["resume", "--all"]);
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn resume_probes_a_broken_handler_with_one_job() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).expect_warning(" paused: ").start();
    fs::remove_file(hookbox.folder().join("handlers/deploy")).unwrap();
    let event = hookbox.deliver(github::push());
    until("the handler to be paused", || (probes(&hookbox) >= 0).then_some(()));
    // The next planned probe is far away then.
    until("some probes to fail", || (probes(&hookbox) >= 2).then_some(()));
    let status = hookbox.ok(&["status"]);
    assert!(status.contains("paused as broken") && status.contains("next probe in"), "{status}");
    hookbox.install("deploy", &succeeds());
    let before = hookbox.job(&event).attempt;
    let printed = hookbox.ok(&["resume", "deploy"]);
    assert!(printed.contains("deploy is broken") && printed.contains("probing it now"), "{printed}");
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.job(&event).attempt, before + 1);
}

#[test]
fn unknown_handler_is_a_usage_error_with_a_hint() {
    let hookbox = Hookbox::new().handler("deploy", exits(0)).start();
    for verb in ["pause", "resume"] {
        let done = hookbox.run(&[verb, "deplyo"]);
        assert_eq!(done.status, Some(2));
        assert!(done.stderr.contains("there is no handler `deplyo`\nhint: did you mean `deploy`?"), "{}", done.stderr);
        assert_eq!(hookbox.run(&[verb]).status, Some(2));
        assert_eq!(hookbox.run(&[verb, "deploy", "--all"]).status, Some(2));
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM handlers WHERE paused = 1"), 0);
}

fn probes(hookbox: &Running) -> i64 {
    let sql = "SELECT coalesce(max(probes), -1) FROM handlers WHERE paused_by = 'hookbox'";
    hookbox.inbox.number(sql)
}
