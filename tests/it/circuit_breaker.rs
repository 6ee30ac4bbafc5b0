//! The circuit breaker: a handler that cannot be executed is paused, counts no failure and is probed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::script::{exits, sh, succeeds};
use crate::support::{Event, Hookbox, Running, github, until};

/// Seconds. Probes come with growing delays.
const PROBES: u64 = 60;

#[test]
fn missing_command_pauses_its_handler() {
    assert_paused_and_probed(|hookbox| fs::remove_file(hookbox.folder().join("handlers/deploy")).unwrap());
}

#[test]
fn command_without_permission_pauses_its_handler() {
    assert_paused_and_probed(|hookbox| {
        let file = hookbox.folder().join("handlers/deploy");
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    });
}

#[test]
fn command_that_is_no_program_pauses_its_handler() {
    assert_paused_and_probed(|hookbox| {
        let file = hookbox.folder().join("handlers/deploy");
        fs::write(&file, b"\x7fELF and then nothing of the kind").unwrap();
    });
}

#[test]
fn three_different_jobs_with_exit_127_pause_the_handler() {
    let hookbox =
        Hookbox::new().handler_with("deploy", HOURLY, exits(127)).expect_failures().expect_warning(" paused: ").start();
    let events: Vec<Event> = (0..3).map(|_| hookbox.deliver(github::push())).collect();
    wait_until_paused(&hookbox);
    let later = hookbox.deliver(github::push());
    hookbox.wait_for(&later, "pending");
    hookbox.install("deploy", &succeeds());
    hookbox.wait_long_for(PROBES, &later, "succeeded");
    assert!(!is_paused(&hookbox));
    assert!(events.iter().all(|event| hookbox.attempts(event)[0] == "exit 127"));
}

#[test]
fn one_job_with_exit_127_never_pauses() {
    let hookbox = Hookbox::new().handler("deploy", exits(127)).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert_eq!(hookbox.attempts(&event), ["exit 127"; 5]);
    assert!(!is_paused(&hookbox));
}

#[test]
fn other_exit_resets_the_count_of_127() {
    let script = sh("case $HOOKBOX_EVENT_TYPE in good) exit 0;; *) exit 127;; esac");
    let hookbox =
        Hookbox::new().handler_with("deploy", &format!("concurrency = 1\n{HOURLY}"), script).expect_failures().start();
    for _ in 0..3 {
        for _ in 0..2 {
            let event = hookbox.deliver(github::push().of_type("bad"));
            until("the attempt to end", || (hookbox.attempts(&event) == ["exit 127"]).then_some(()));
        }
        let event = hookbox.deliver(github::push().of_type("good"));
        hookbox.wait_for(&event, "succeeded");
    }
    assert!(!is_paused(&hookbox));
}

#[test]
fn paused_handler_does_not_block_others() {
    let hookbox = Hookbox::new()
        .dispatch("workers = 1")
        .handler("broken", succeeds())
        .handler("works", succeeds())
        .expect_warning(" paused: ")
        .start();
    fs::remove_file(hookbox.folder().join("handlers/broken")).unwrap();
    for _ in 0..5 {
        let event = hookbox.deliver(github::push());
        until("the other handler to succeed", || (hookbox.job_of(&event, "works").state == "succeeded").then_some(()));
    }
}

const HOURLY: &str = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;

fn assert_paused_and_probed(break_it: impl FnOnce(&Running)) {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).expect_warning(" paused: ").start();
    break_it(&hookbox);
    let event = hookbox.deliver(github::push());
    wait_until_paused(&hookbox);
    hookbox.wait_for(&event, "pending");
    let job = hookbox.job(&event);
    assert_eq!((job.failures, job.deferrals, job.lost), (0, 0, 0), "{job:?}");
    let reason = hookbox.inbox.texts("SELECT reason FROM handlers WHERE name = 'deploy'").remove(0);
    assert!(!reason.is_empty());
    let status = hookbox.ok(&["status"]);
    assert!(status.contains("paused") && status.contains("deploy"), "{status}");
    let other = hookbox.deliver(github::push());
    hookbox.install("deploy", &succeeds());
    for event in [&event, &other] {
        hookbox.wait_long_for(PROBES, event, "succeeded");
    }
    assert!(!is_paused(&hookbox));
    assert!(hookbox.attempts(&event).iter().all(|ending| ending == "broken" || ending == "exit 0"));
}

fn is_paused(hookbox: &Running) -> bool {
    let sql = "SELECT count(*) FROM handlers WHERE name = 'deploy' AND paused = 1 AND paused_by = 'hookbox'";
    hookbox.inbox.number(sql) == 1
}

fn wait_until_paused(hookbox: &Running) {
    until("the handler to be paused", || is_paused(hookbox).then_some(()));
}
