//! Prefetched jobs and kill -9: an attempt that had not started costs its job nothing, and one that had started is never
//! mistaken for it.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::delivery::Delivery;
use crate::support::endpoint::{Asked, Endpoint, answer};
use crate::support::{Event, Hookbox, Running, until};

/// A handler that posts all events to one URL.
fn at(endpoint: &Endpoint, concurrency: usize) -> Hookbox {
    let lines = format!("mode = \"http\"\nurl = \"{}\"\nconcurrency = {concurrency}", endpoint.url());
    Hookbox::new()
        .handler_section("app", &lines)
        .expect_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
}

fn event(kind: &str) -> Delivery {
    Delivery::from("own").of_type(kind)
}

/// `EVENT_ID ATTEMPT` of every request.
fn requests(endpoint: &Endpoint) -> Vec<String> {
    let header = |asked: &Asked, name| asked.header(name).unwrap().to_owned();
    let both = |asked| format!("{} {}", header(asked, "hookbox-event-id"), header(asked, "hookbox-attempt"));
    endpoint.asked().iter().map(both).collect()
}

fn all_done(hookbox: &Running) {
    let open = "SELECT count(*) FROM jobs WHERE state <> 'succeeded'";
    crate::support::until_within(Duration::from_secs(120), "every job to succeed", || {
        (hookbox.inbox.number(open) == 0).then_some(())
    });
}

/// Returns once nothing more is claimed.
fn pause(hookbox: &Running) {
    let times = || hookbox.log().iter().filter(|line| line.contains("paused by the operator")).count();
    let before = times();
    hookbox.ok(&["pause", "app"]);
    until("the pause to be applied", || (times() > before).then_some(()));
}

/// An endpoint where events of the type `hangs` hang at their first attempt, until the gate is opened.
fn hanging(gate: crossbeam_channel::Receiver<()>) -> Endpoint {
    Endpoint::new(move |asked, stream| {
        if asked.header("hookbox-event-type") == Some("hangs") && asked.header("hookbox-attempt") == Some("1") {
            gate.recv_timeout(Duration::from_secs(60)).ok();
        }
        answer(stream, "200 OK", "", "")
    })
}

/// Returns a running job, and jobs of this type that are claimed but not started.
fn prefetched(hookbox: &Running, open: &crossbeam_channel::Sender<()>, kind: &str) -> (Event, Vec<Event>) {
    for _ in 0..50 {
        let quick: Vec<Event> = (0..10).map(|_| hookbox.deliver(event("quick"))).collect();
        quick.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
        pause(hookbox);
        let hangs = hookbox.deliver(event("hangs"));
        let others: Vec<Event> = (0..4).map(|_| hookbox.deliver(event(kind))).collect();
        hookbox.ok(&["resume", "app"]);
        hookbox.wait_for(&hangs, "running");
        let is_running = |event: &&Event| hookbox.job(event).state == "running";
        let waiting: Vec<Event> = others.iter().filter(is_running).cloned().collect();
        if !waiting.is_empty() {
            return (hangs, waiting);
        }
        // The machine is too slow for a prefetch now.
        let hanging = if kind == "hangs" { 5 } else { 1 };
        (0..hanging).for_each(|_| open.send(()).unwrap());
        others.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    }
    panic!("nothing was prefetched");
}

#[test]
fn prefetched_job_is_not_lost_after_kill_9() {
    let (open, gate) = crossbeam_channel::bounded::<()>(1);
    let endpoint = hanging(gate);
    let mut hookbox = at(&endpoint, 1).start();
    let (hangs, waiting) = prefetched(&hookbox, &open, "quick");
    until("the request", || requests(&endpoint).contains(&format!("{} 1", hangs.id)).then_some(()));
    hookbox.kill();
    hookbox.start_again();
    for event in &waiting {
        hookbox.wait_for(event, "succeeded");
        let endings: Vec<_> = hookbox.ledger(event).into_iter().map(|attempt| attempt.ending.unwrap()).collect();
        assert_eq!(
            (endings, hookbox.job(event).lost),
            (vec!["succeeded".to_owned()], 0),
            "as if it had never been claimed"
        );
    }
    hookbox.wait_long_for(60, &hangs, "succeeded");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status = 'lost'"), 1);
    let both = |attempt: i64| format!("{} {attempt}", hangs.id);
    assert!(
        [1, 2].into_iter().all(|attempt| requests(&endpoint).contains(&both(attempt))),
        "its number is not used again"
    );
}

#[test]
fn job_claimed_again_after_a_pause_is_lost_after_kill_9() {
    let (open, gate) = crossbeam_channel::bounded::<()>(1);
    let endpoint = hanging(gate);
    let mut hookbox = at(&endpoint, 1).start();
    let (hangs, waiting) = prefetched(&hookbox, &open, "hangs");
    pause(&hookbox);
    hookbox.wait_for(&waiting[0], "pending");
    assert_eq!(hookbox.ledger(&waiting[0]).len(), 0, "as if it had never been claimed");
    open.send(()).unwrap();
    hookbox.wait_for(&hangs, "succeeded");
    hookbox.ok(&["resume", "app"]);
    until("the request", || requests(&endpoint).contains(&format!("{} 1", waiting[0].id)).then_some(()));
    hookbox.kill();
    drop(open);
    hookbox.start_again();
    hookbox.wait_long_for(60, &waiting[0], "succeeded");
    let endings: Vec<_> = hookbox.ledger(&waiting[0]).into_iter().map(|attempt| attempt.ending.unwrap()).collect();
    assert_eq!(endings, ["lost", "succeeded"]);
}

#[test]
fn no_attempt_number_is_used_twice_after_repeated_kills() {
    let endpoint = Endpoint::new(|_, stream| answer(stream, "200 OK", "", ""));
    let mut hookbox = at(&endpoint, 4).start();
    for round in 1..=4_u64 {
        pause(&hookbox);
        (0..150).for_each(|_| drop(hookbox.deliver(event("quick"))));
        let before = endpoint.asked().len();
        hookbox.ok(&["resume", "app"]);
        endpoint.wait_for(before + usize::try_from(round).unwrap() * 20);
        hookbox.kill();
        hookbox.start_again();
    }
    all_done(&hookbox);
    let mut seen = HashSet::new();
    let twice: Vec<_> = requests(&endpoint).into_iter().filter(|attempt| !seen.insert(attempt.clone())).collect();
    assert!(twice.is_empty(), "attempts that had started and whose numbers were used again: {twice:?}");
    hookbox.wait_for_log("claimed jobs had not started when hookbox was killed");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE status = 'succeeded'"), 600);
    let attempts = hookbox.inbox.number("SELECT count(*) FROM attempts");
    assert!(attempts >= i64::try_from(seen.len()).unwrap(), "each request has an attempt");
}
