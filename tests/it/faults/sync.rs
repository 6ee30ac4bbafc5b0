//! Failed syncs: the commit is not acknowledged, the sync is not repeated, and hookbox exits with status 1.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::clients::Clients;
use crate::support::script::succeeds;
use crate::support::strace::{SYNCS, calls, injecting};
use crate::support::torture::{report, rounds};
use crate::support::{Hookbox, Running, github, until, until_within};

fn hookbox() -> Hookbox {
    Hookbox::new()
        .expect_warning("could not be written and synced")
        .allow_warning("disk I/O error")
        .allow_warning("a sync has failed")
        .allow_warning("count as lost at the next start")
        .allow_warning("running when hookbox was killed")
}

/// Each sync of the log in turn, while hookbox starts and while it is running.
#[test]
fn failed_wal_sync_is_not_acknowledged_and_not_repeated() {
    let mut hookbox = hookbox().handler("work", succeeds()).start();
    let (clients, mut unanswered) = (Clients::default(), 0);
    let rounds = rounds(6);
    for nth in 1..=rounds {
        assert!(hookbox.stop().success());
        let from_then_on = if nth % 2 == 0 { "+" } else { "" };
        let fault = format!("error=EIO:when={nth}{from_then_on}");
        hookbox.under(&injecting(&hookbox, SYNCS, &["-wal"], &fault));
        let status = match hookbox.try_to_start() {
            Err(status) => status,
            Ok(()) => {
                let sent = until_within(Duration::from_secs(60), "a sync to fail", || {
                    let push = github::push();
                    (clients.send(&hookbox, &push) != Some(200)).then_some(push)
                });
                unanswered += 1;
                let status = hookbox.wait_for_end();
                assert!(!clients.acknowledged().contains(&sent.id));
                status
            }
        };
        assert_eq!(status.code(), Some(1));
        assert_not_repeated(&hookbox);
        hookbox.under(&[]);
        hookbox.start_again();
        clients.assert_kept(&hookbox.inbox);
    }
    assert!(unanswered > 0);
    clients.unclear().iter().for_each(|delivery| assert_eq!(clients.send(&hookbox, delivery), Some(200)));
    clients.assert_kept(&hookbox.inbox);
    report(3, "a sync of the log fails (EIO)", rounds, &clients);
}

/// A duplicate is acknowledged only once the original is durable.
#[test]
fn batch_whose_sync_fails_gets_no_200() {
    let mut hookbox = hookbox().start();
    assert!(hookbox.stop().success());
    // The writer syncs once for each of these, and then for the batch.
    hookbox.under(&injecting(&hookbox, SYNCS, &["-wal"], "error=EIO:when=5"));
    hookbox.start_again();
    let clients = Clients::default();
    for _ in 0..4 {
        assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
    }
    let holder = hookbox.inbox.writer();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let same = github::push();
        for number in 0..8 {
            let push = if number < 4 { same.clone() } else { github::push() };
            let (clients, hookbox) = (&clients, &hookbox);
            scope.spawn(move || assert_ne!(clients.send(hookbox, &push), Some(200)));
        }
        until("all to wait", || (waiting(&hookbox) == 7).then_some(()));
        holder.execute_batch("COMMIT").unwrap();
    });
    drop(holder);
    assert_eq!(hookbox.wait_for_end().code(), Some(1));
    hookbox.under(&[]);
    hookbox.start_again();
    clients.assert_kept(&hookbox.inbox);
    assert_eq!(clients.acknowledged().len(), 4);
    report(5, "the sync of an original and its duplicates fails", 1, &clients);
}

#[test]
fn failed_checkpoint_sync_loses_no_acknowledged_event() {
    let mut hookbox = hookbox().start();
    let clients = Clients::default();
    let large = || github::push().with_body(format!("\"{}\"", "x".repeat(1 << 20)));
    let rounds = rounds(1);
    for _ in 0..rounds {
        assert!(hookbox.stop().success());
        hookbox.under(&injecting(&hookbox, SYNCS, &[""], "error=EIO:when=1"));
        hookbox.start_again();
        // The log is checkpointed at 16 MiB.
        until_within(Duration::from_secs(60), "the fold", || {
            (clients.send(&hookbox, &large()) != Some(200)).then_some(())
        });
        assert_eq!(hookbox.wait_for_end().code(), Some(1));
        assert_not_repeated(&hookbox);
        hookbox.under(&[]);
        hookbox.start_again();
        clients.assert_kept(&hookbox.inbox);
    }
    assert!(clients.acknowledged().len() > 10);
    report(3, "a sync fails during a checkpoint (EIO)", rounds, &clients);
}

#[test]
fn failed_last_checkpoint_is_logged_and_loses_nothing() {
    let mut hookbox = hookbox().start();
    let clients = Clients::default();
    let rounds = rounds(2);
    for _ in 0..rounds {
        assert!(hookbox.stop().success());
        hookbox.under(&injecting(&hookbox, SYNCS, &[""], "error=EIO:when=1"));
        hookbox.start_again();
        for _ in 0..5 {
            assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
        }
        hookbox.signal(Signal::TERM);
        assert_eq!(hookbox.wait_for_end().code(), Some(1));
        assert_not_repeated(&hookbox);
        hookbox.under(&[]);
        hookbox.start_again();
        clients.assert_kept(&hookbox.inbox);
    }
    report(3, "a sync fails while hookbox stops (EIO)", rounds, &clients);
}

/// Number of deliveries queued for the writer, besides the one it is writing.
fn waiting(hookbox: &Running) -> u64 {
    let text = hookbox.probe("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix("hookbox_queue_depth ")).expect("it is told");
    line.parse().unwrap()
}

/// After the failure nothing is synced, and no file is removed that recovery may need.
fn assert_not_repeated(hookbox: &Running) {
    let made = calls(hookbox);
    let failed = made.iter().position(|call| call.contains("(INJECTED)")).expect("a sync has failed");
    let after: Vec<_> = made[failed + 1..].iter().filter(|call| !call.starts_with("write(")).collect();
    assert!(after.is_empty(), "after {}: {after:#?}", made[failed]);
}
