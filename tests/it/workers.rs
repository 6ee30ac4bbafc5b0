//! How many handlers run at once, and that no handler can keep the workers from another.

use crate::support::delivery::Delivery;
use crate::support::script::{Script, sh, succeeds, waits_for};
use crate::support::{Event, Hookbox, Running, github, until};

#[test]
fn a_handler_runs_as_often_at_once_as_its_concurrency_says() {
    let hookbox =
        Hookbox::new().handler_with("slow", "concurrency = 2", waits_for("$HOOKBOX_EVENT_ID").then_succeeds()).start();
    let events: Vec<Event> = (0..6).map(|_| hookbox.deliver(github::push())).collect();
    for (done, event) in events.iter().enumerate() {
        until("two to run", || (running(&hookbox) == (events.len() - done).min(2)).then_some(()));
        hookbox.open_gate(&event.id);
        hookbox.wait_for(event, "succeeded");
    }
    assert!(most_at_once(&hookbox) <= 2);
}

#[test]
fn no_more_attempts_run_than_there_are_workers() {
    let hookbox = Hookbox::new()
        .dispatch("workers = 3")
        .handler_with("one", "concurrency = 10", waits_for("$HOOKBOX_EVENT_ID").then_succeeds())
        .start();
    let events: Vec<Event> = (0..8).map(|_| hookbox.deliver(github::push())).collect();
    until("three to run", || (running(&hookbox) == 3).then_some(()));
    for event in &events {
        hookbox.open_gate(&event.id);
    }
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    assert!(most_at_once(&hookbox) <= 3);
}

#[test]
fn a_handler_that_hangs_leaves_the_other_workers_to_the_others() {
    let hookbox = Hookbox::new()
        .dispatch("workers = 2")
        .handler_with("hangs", "concurrency = 1\nsources = [\"gitlab\"]", waits_for("gate").then_succeeds())
        .handler_with("works", "sources = [\"github\"]", succeeds())
        .start();
    let hanging: Vec<Event> = (0..3).map(|_| hookbox.deliver(Delivery::from("gitlab"))).collect();
    hookbox.wait_for(&hanging[0], "running");
    for _ in 0..5 {
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
    }
    for event in &hanging {
        hookbox.open_gate("gate");
        hookbox.wait_for(event, "succeeded");
    }
}

#[test]
fn free_workers_go_round_the_handlers() {
    let order = || sh("echo \"$HOOKBOX_HANDLER\" >> records/order");
    let gated = |script: Script| {
        sh("if [ \"$HOOKBOX_EVENT_TYPE\" = first ]; then").then(waits_for("gate")).then(sh("fi")).then(script)
    };
    let hookbox = Hookbox::new()
        .dispatch("workers = 1")
        .handler_with("many", "sources = [\"gitlab\"]", gated(order()))
        .handler_with("few", "sources = [\"github\"]", order())
        .start();
    let first = hookbox.deliver(Delivery::from("gitlab").of_type("first"));
    hookbox.wait_for(&first, "running");
    let mut events: Vec<Event> = (0..20).map(|_| hookbox.deliver(Delivery::from("gitlab"))).collect();
    events.push(hookbox.deliver(github::push()));
    hookbox.open_gate("gate");
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    let order = std::fs::read_to_string(hookbox.folder().join("records/order")).unwrap();
    let place = order.lines().position(|line| line == "few").unwrap();
    assert!(place <= 3, "the other handler's one event came after {place} of the first's");
}

#[test]
fn jobs_of_one_handler_start_in_the_order_of_their_arrival() {
    let hookbox = Hookbox::new().handler_with("one", "concurrency = 1", succeeds()).start();
    let events: Vec<Event> = (0..20).map(|_| hookbox.deliver(github::push())).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    let expected: Vec<String> = events.iter().map(|event| format!("{} 1", event.id)).collect();
    assert_eq!(hookbox.starts("one"), expected);
}

fn running(hookbox: &Running) -> usize {
    usize::try_from(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status IS NULL")).unwrap()
}

/// The most attempts whose times overlap, by the ledger.
fn most_at_once(hookbox: &Running) -> i64 {
    hookbox.inbox.number(
        "SELECT max((SELECT count(*) FROM attempts b WHERE b.started_at <= a.started_at AND b.finished_at > a.started_at)) \
         FROM attempts a",
    )
}
