//! Several handlers of one event: attempts and failures belong to (event, handler), never to the event.

use crate::support::script::{exits, fails, succeeds, waits_for};
use crate::support::{Event, Hookbox, Running, github, until};

#[test]
fn failing_handler_never_repeats_another() {
    let hookbox = Hookbox::new()
        .handler("dies", exits(1))
        .handler("fine", succeeds())
        .handler("recovers", fails(2).then_succeeds())
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let ended = |handler: &str| hookbox.job_of(&event, handler).state != "pending";
    until("all to end", || ["dies", "fine", "recovers"].iter().all(|handler| ended(handler)).then_some(()));
    assert_eq!(endings(&hookbox, &event, "dies"), ["exit 1"; 5]);
    assert_eq!(endings(&hookbox, &event, "fine"), ["exit 0"]);
    assert_eq!(endings(&hookbox, &event, "recovers"), ["exit 1", "exit 1", "exit 0"]);
    let failures = |handler: &str| hookbox.job_of(&event, handler).failures;
    assert_eq!((failures("dies"), failures("fine"), failures("recovers")), (5, 0, 2));
}

#[test]
fn retry_of_dead_jobs_runs_the_dead_handler_only() {
    let hookbox = Hookbox::new().handler("dies", exits(65)).handler("fine", succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    until("both to end", || {
        let states = hookbox.inbox.jobs("github", &event.id).into_iter().map(|job| job.state).collect::<Vec<_>>();
        (states == ["dead", "succeeded"]).then_some(())
    });
    hookbox.install("dies", &succeeds());
    hookbox.ok(&["retry", "--state", "dead"]);
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(endings(&hookbox, &event, "dies"), ["exit 65", "exit 0"]);
    assert_eq!(endings(&hookbox, &event, "fine"), ["exit 0"]);
}

#[test]
fn duplicate_runs_neither_succeeded_nor_dead_jobs_again() {
    let hookbox = Hookbox::new().handler("dies", exits(65)).handler("fine", succeeds()).expect_failures().start();
    let push = github::push();
    let event = hookbox.deliver(&push);
    hookbox.wait_for(&event, "dead");
    until("the other one", || (hookbox.job_of(&event, "fine").state == "succeeded").then_some(()));
    for _ in 0..3 {
        assert!(hookbox.send(&push).text().contains("duplicate"));
    }
    let other = hookbox.deliver(github::push());
    hookbox.wait_for(&other, "dead");
    assert_eq!(hookbox.starts("dies").len(), 2);
    assert_eq!(hookbox.starts("fine").iter().filter(|line| line.starts_with(&event.id)).count(), 1);
}

#[test]
fn handler_hanging_on_an_event_blocks_no_other() {
    let hookbox =
        Hookbox::new().handler("hangs", waits_for("gate").then_succeeds()).handler("fine", succeeds()).start();
    let event = hookbox.deliver(github::push());
    until("the other one", || (hookbox.job_of(&event, "fine").state == "succeeded").then_some(()));
    assert_eq!(hookbox.job_of(&event, "hangs").state, "running");
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
}

fn endings(hookbox: &Running, event: &Event, handler: &str) -> Vec<String> {
    hookbox.inbox.attempts(hookbox.job_of(event, handler).id).iter().map(|attempt| attempt.summary()).collect()
}
