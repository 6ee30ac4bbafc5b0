//! `kill -9` at each write and sync while an inbox is created, used, checkpointed and closed.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use crate::crashes::assert_explained;
use crate::support::clients::Clients;
use crate::support::script::succeeds;
use crate::support::strace::{SYNCS, injecting};
use crate::support::torture::{is_long, report, report_count};
use crate::support::{Hookbox, Running, until, until_within};

/// Writes, syncs, and the truncation and removal of the log.
const CALLS: [&str; 3] = ["pwrite64", SYNCS, "ftruncate,unlink"];

fn hookbox() -> Hookbox {
    Hookbox::new()
        .handler("work", succeeds())
        .allow_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
}

/// Some calls in `make test`; in `make torture` every call, until hookbox exits without being killed.
fn places() -> Box<dyn Iterator<Item = usize>> {
    if is_long() { Box::new(1..) } else { Box::new([1, 5, 18, 130].into_iter()) }
}

#[test]
fn inbox_in_use_survives_a_kill_at_any_system_call() {
    let mut hookbox = hookbox().start();
    let (clients, mut kills) = (Clients::default(), 0);
    assert!(hookbox.stop().success());
    for call in CALLS {
        for nth in places() {
            if !is_killed(&mut hookbox, &clients, call, nth) {
                break;
            }
            kills += 1;
            start_within_five_seconds(&mut hookbox);
            clients.assert_kept(&hookbox.inbox);
            assert!(hookbox.stop().success());
        }
    }
    hookbox.under(&[]);
    hookbox.start_again();
    for delivery in clients.unclear() {
        assert_eq!(clients.send(&hookbox, &delivery), Some(200));
    }
    until_within(Duration::from_secs(120), "every job to finish", || {
        let open = "SELECT count(*) FROM jobs WHERE state IN ('pending', 'running')";
        (hookbox.inbox.number(open) == 0).then_some(())
    });
    clients.assert_kept(&hookbox.inbox);
    assert_explained(&hookbox, "work");
    assert!(kills >= 7, "{kills} kills");
    report(1, "kill -9 at the Nth write, sync or cut of an inbox in use", kills, &clients);
}

#[test]
fn new_inbox_survives_a_kill_at_any_system_call() {
    let (mut acknowledged, mut kills) = (0, 0);
    for call in CALLS {
        for nth in places() {
            let (mut hookbox, clients) = (hookbox().prepare(), Clients::default());
            let is_killed = is_killed(&mut hookbox, &clients, call, nth);
            if !is_killed {
                break;
            }
            kills += 1;
            start_within_five_seconds(&mut hookbox);
            clients.assert_kept(&hookbox.inbox);
            acknowledged += clients.acknowledged().len();
        }
    }
    assert!(kills >= 7 && acknowledged > 0, "{kills} kills, {acknowledged} acknowledged");
    report_count(1, "kill -9 at the Nth write, sync or cut of a new inbox", kills, acknowledged);
}

/// Starts hookbox, sends a few dozen events and stops it. Returns whether it was killed meanwhile.
fn is_killed(hookbox: &mut Running, clients: &Clients, call: &str, nth: usize) -> bool {
    hookbox.under(&injecting(hookbox, call, &["", "-wal", "-journal"], &format!("signal=SIGKILL:when={nth}")));
    let status = match hookbox.try_to_start() {
        Err(status) => status,
        Ok(()) => {
            let enough = clients.acknowledged().len() + 25;
            clients.under_load(hookbox.hooks(), || {
                until("a kill or enough acknowledgements", || {
                    (hookbox.has_ended() || clients.acknowledged().len() >= enough).then_some(())
                });
            });
            if !hookbox.has_ended() {
                hookbox.signal(rustix::process::Signal::TERM);
            }
            hookbox.wait_for_end()
        }
    };
    assert!(status.signal() == Some(9) || status.code() == Some(0), "{status}");
    hookbox.under(&[]);
    status.signal() == Some(9)
}

fn start_within_five_seconds(hookbox: &mut Running) {
    let began = Instant::now();
    hookbox.start_again();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}
