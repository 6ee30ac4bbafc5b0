//! TERM loses nothing: requests are answered, handlers get their grace period, results are written, exit status 0.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::script::{sh, succeeds, waits_for};
use crate::support::torture::{report_count, rounds};
use crate::support::wire::Wire;
use crate::support::{Event, Hookbox, Running, github, until};

#[test]
fn idle_connections_do_not_delay_shutdown() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut hookbox = hookbox().handler("deploy", succeeds()).start();
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
        let idle: Vec<Wire> = (0..8).map(|_| Wire::open(hookbox.hooks()).unwrap()).collect();
        let started = Instant::now();
        hookbox.signal(signal);
        assert_eq!(hookbox.wait_for_end().code(), Some(0));
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "idle connections delay shutdown: {:?}",
            started.elapsed()
        );
        drop(idle);
        hookbox.inbox.assert_sound();
    }
}

#[test]
fn write_ahead_log_is_empty_after_shutdown() {
    let mut hookbox = hookbox().start();
    for _ in 0..20 {
        hookbox.deliver(github::push());
    }
    assert!(hookbox.stop().success());
    let left = std::fs::metadata(hookbox.folder().join("hookbox.db-wal")).map_or(0, |file| file.len());
    assert_eq!(left, 0);
}

#[test]
fn open_request_is_answered_before_exit() {
    let mut hookbox = hookbox().start();
    let push = github::push();
    let request = push.render();
    let mut wire = Wire::begin(hookbox.hooks(), &request, 5).unwrap();
    hookbox.signal(Signal::TERM);
    until("new connections to be refused", || refuses_deliveries(&hookbox).then_some(()));
    wire.write(&request.body[5..]).unwrap();
    let reply = wire.reply().unwrap();
    assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
    assert!(hookbox.wait_for_end().success());
    let stored = hookbox.inbox.state("github", &push.id).is_some();
    assert_eq!(stored, reply.status == 200);
}

#[test]
fn request_waiting_for_the_database_is_answered_before_exit() {
    let mut hookbox = hookbox().start();
    let holder = hookbox.inbox.writer();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let push = github::push();
    let request = push.render();
    let mut wire = Wire::begin(hookbox.hooks(), &request, request.body.len()).unwrap();
    hookbox.signal(Signal::TERM);
    until("new connections to be refused", || refuses_deliveries(&hookbox).then_some(()));
    holder.execute_batch("COMMIT").unwrap();
    let status = wire.reply().unwrap().status;
    assert!(matches!(status, 200 | 503), "{status}");
    assert!(hookbox.wait_for_end().success());
    assert!(status == 503 || hookbox.inbox.state("github", &push.id).is_some());
}

/// Two hundred times in `make torture`.
#[test]
fn every_200_under_load_is_stored_and_complete() {
    let mut hookbox = hookbox().handler("deploy", succeeds()).start();
    let acknowledged = std::sync::Mutex::new(Vec::new());
    let count = || acknowledged.lock().unwrap().len();
    let rounds = 2 * rounds(2);
    for round in 1..=rounds {
        let (address, enough) = (hookbox.hooks(), count() + 50);
        let torn: usize = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| send_until_closed(address, &acknowledged))).collect();
            until("fifty acknowledgements", || (count() >= enough).then_some(()));
            assert_eq!(hookbox.stop().code(), Some(0));
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert_eq!(torn, 0, "responses that were cut off");
        let stored: BTreeSet<_> = hookbox.inbox.texts("SELECT event_id FROM events").into_iter().collect();
        let gone: Vec<_> = acknowledged.lock().unwrap().iter().filter(|id| !stored.contains(*id)).cloned().collect();
        assert!(gone.is_empty(), "acknowledged but not stored: {gone:?}");
        let counted = "SELECT count(*) FROM jobs WHERE failures > 0 OR lost > 0 OR state = 'running'";
        assert_eq!(hookbox.inbox.number(counted), 0, "no failure is counted, nothing stays running");
        hookbox.inbox.assert_sound();
        if round < rounds {
            hookbox.start_again();
        }
    }
    report_count(15, "SIGTERM under keep-alive load", rounds, count());
}

#[test]
fn handler_finishing_within_grace_succeeds() {
    let mut hookbox =
        hookbox().dispatch("shutdown_grace = \"20s\"").handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    hookbox.signal(Signal::TERM);
    until("new connections to be refused", || refuses_deliveries(&hookbox).then_some(()));
    hookbox.open_gate("gate");
    assert_eq!(hookbox.wait_for_end().code(), Some(0));
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn handler_outlasting_grace_reruns_without_counted_failure() {
    let script = sh("if [ \"$HOOKBOX_ATTEMPT\" -gt 1 ]; then exit 0; fi\ntrap '' TERM").then(waits_for("never"));
    let mut hookbox = hookbox().dispatch("shutdown_grace = \"200ms\"").handler("deploy", script).start();
    let event = hookbox.deliver(github::push());
    until("the handler to have started", || (hookbox.starts("deploy").len() == 1).then_some(()));
    let started = Instant::now();
    assert_eq!(hookbox.stop().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let job = hookbox.job(&event);
    assert_eq!((job.state.as_str(), job.failures, job.lost, job.deferrals), ("pending", 0, 0, 0));
    assert_eq!(hookbox.attempts(&event), ["stopped"]);
    hookbox.start_again();
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["stopped", "exit 0"]);
}

#[test]
fn unstarted_jobs_run_after_restart() {
    let script = sh("if [ \"$HOOKBOX_EVENT_TYPE\" = first ]; then").then(waits_for("gate")).then(sh("fi"));
    let mut hookbox =
        hookbox().dispatch("workers = 1").dispatch("shutdown_grace = \"20s\"").handler("deploy", script).start();
    let first = hookbox.deliver(github::push().of_type("first"));
    hookbox.wait_for(&first, "running");
    let events: Vec<Event> = (0..5).map(|_| hookbox.deliver(github::push())).collect();
    hookbox.signal(Signal::TERM);
    until("new connections to be refused", || refuses_deliveries(&hookbox).then_some(()));
    hookbox.open_gate("gate");
    assert!(hookbox.wait_for_end().success());
    assert_eq!(hookbox.starts("deploy").len(), 1, "nothing was claimed after TERM");
    hookbox.start_again();
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    assert_eq!(hookbox.starts("deploy").len(), 6);
}

/// A hookbox that is stopped while clients connect. actix logs a warning for each connection that it then drops.
fn hookbox() -> Hookbox {
    Hookbox::new().allow_warning("No workers")
}

/// Whether a new delivery cannot connect or gets 503.
fn refuses_deliveries(hookbox: &Running) -> bool {
    match hookbox.try_send(&github::push().forged()) {
        Ok(reply) => reply.status == 503,
        Err(_) => true,
    }
}

/// Sends until the server closes. Returns the number of incomplete responses.
fn send_until_closed(address: std::net::SocketAddr, acknowledged: &std::sync::Mutex<Vec<String>>) -> usize {
    let Ok(mut wire) = Wire::open(address) else { return 0 };
    loop {
        let push = github::push();
        let request = push.render();
        match wire.exchange("POST", &request.path, &request.headers, &request.body) {
            Ok(reply) if reply.status == 200 => acknowledged.lock().unwrap().push(push.id),
            Ok(reply) => assert_eq!(reply.status, 503),
            Err(_) => return usize::from(wire.unread() > 0),
        }
    }
}
