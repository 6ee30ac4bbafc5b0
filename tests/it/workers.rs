//! Concurrency: how many attempts run at the same time, and that no handler blocks another.

use crate::support::delivery::Delivery;
use crate::support::script::{Script, sh, succeeds, waits_for};
use crate::support::{Event, Hookbox, Running, github, until};

#[test]
fn concurrency_limits_attempts_of_a_handler() {
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
fn workers_setting_limits_all_attempts() {
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
fn hanging_handler_does_not_block_others() {
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
fn free_executors_alternate_between_handlers() {
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
    assert!(place <= 3, "the other handler's event came after {place} of the first one's");
}

#[test]
fn jobs_of_a_handler_start_in_arrival_order() {
    let hookbox = Hookbox::new().handler_with("one", "concurrency = 1", succeeds()).start();
    let events: Vec<Event> = (0..20).map(|_| hookbox.deliver(github::push())).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    let expected: Vec<String> = events.iter().map(|event| format!("{} 1", event.id)).collect();
    assert_eq!(hookbox.starts("one"), expected);
}

fn running(hookbox: &Running) -> usize {
    usize::try_from(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status IS NULL")).unwrap()
}

/// The largest number of attempts whose recorded times overlap.
fn most_at_once(hookbox: &Running) -> i64 {
    hookbox.inbox.number(
        "SELECT max((SELECT count(*) FROM attempts b WHERE b.started_at <= a.started_at AND b.finished_at > a.started_at)) \
         FROM attempts a",
    )
}
