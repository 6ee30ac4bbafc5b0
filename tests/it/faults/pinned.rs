//! Another process keeps a read transaction open: the growing write-ahead log is logged, and shrinks afterwards.

use std::time::{Duration, Instant};

use crate::support::clients::Clients;
use crate::support::torture::{report, rounds};
use crate::support::{Hookbox, Running, github, until, until_within};

/// The log is reported as long above `LONG`, and shrinks below `KEPT`.
const LONG: u64 = 64 << 20;
const KEPT: u64 = 16 << 20;

#[test]
fn long_reader_is_logged_and_the_wal_shrinks_afterwards() {
    let mut hookbox = Hookbox::new().expect_warning("another process keeps a read transaction open").start();
    let clients = Clients::default();
    let file = hookbox.folder().join("hookbox.db-wal");
    let bytes = || std::fs::metadata(&file).map_or(0, |file| file.len());
    // A minute in `make torture`.
    let (holds_for, rounds) = (Duration::from_millis(600) * u32::try_from(rounds(1)).unwrap(), 1);
    hookbox.deliver(github::push());
    let reader = hookbox.inbox.writer();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let large = || github::push().with_body(format!("\"{}\"", "x".repeat(4 << 20)));
    let began = Instant::now();
    clients.under_load_of(large, hookbox.hooks(), || {
        until_within(Duration::from_secs(60), "the WAL to be long", || (bytes() > LONG).then_some(()));
    });
    clients.under_load(hookbox.hooks(), || {
        hookbox.wait_for_log("another process keeps a read transaction open");
        until_within(Duration::from_secs(100), "the hold time to pass", || (began.elapsed() > holds_for).then_some(()));
        assert!(metric(&hookbox, "hookbox_wal_bytes") > LONG);
        reader.execute_batch("COMMIT").unwrap();
        until("the WAL to be short under load", || (bytes() <= KEPT).then_some(()));
    });
    hookbox.wait_for_log("is short again");
    assert!(metric(&hookbox, "hookbox_wal_bytes") <= KEPT);
    let told = hookbox.log().iter().filter(|line| line.contains("keeps a read transaction open")).count();
    assert_eq!(told, 1, "it is logged once");
    clients.assert_kept(&hookbox.inbox);
    assert!(hookbox.stop().success());
    report(13, "another process holds a read transaction", rounds, &clients);
}

fn metric(hookbox: &Running, name: &str) -> u64 {
    let text = hookbox.probe("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
    line.trim().parse().unwrap()
}
