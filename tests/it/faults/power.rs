//! Power failure: whichever unsynced writes reach the disk, every acknowledged event is stored exactly once.
//!
//! The system calls of hookbox are recorded, and possible disk images are built for many moments. With
//! `durability = "normal"` events must be lost, otherwise the test would detect nothing.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::support::clients::Clients;
use crate::support::disk::{Call, Disk, What, recorded, recording};
use crate::support::script::succeeds;
use crate::support::torture::{report, rounds};
use crate::support::{Hookbox, Running, github, until, until_within};

/// Images built from one recording.
const IMAGES: usize = 60;

#[test]
fn acknowledged_events_survive_a_power_failure() {
    let rounds = rounds(1);
    for round in 1..=rounds {
        let (calls, clients) = at_work("full", round);
        let folds =
            calls.iter().filter(|call| matches!(&call.what, What::Sync(file, _) if file == "hookbox.db")).count();
        assert!(folds >= 3, "at creation, while running, and at the end");
        let seen = power_failures(&calls, &clients, &mut random(round));
        assert_eq!(seen.lost, 0, "an acknowledged event is missing");
        assert!(seen.most > 50, "{seen:?}");
        assert_served(&calls, &clients, &mut random(round));
        report(2, "power failure, anything unsynced lost, torn or reordered", seen.images, &clients);
    }
}

/// The control experiment.
#[test]
fn durability_normal_loses_events_in_a_power_failure() {
    let (calls, clients) = at_work("normal", 1);
    let seen = power_failures(&calls, &clients, &mut random(1));
    assert!(seen.lost > 0, "the test detects nothing: {seen:?}");
}

/// After a failed sync the kernel reports unwritten pages as written. Nothing may be added after them.
#[test]
fn events_after_a_failed_sync_survive_a_power_failure() {
    let rounds = rounds(1);
    let mut hookbox = Hookbox::new()
        .expect_warning("could not be written and synced")
        .allow_warning("disk I/O error")
        .allow_warning("a sync has failed")
        .start();
    hookbox.stop();
    std::fs::remove_file(&hookbox.inbox.file).unwrap();
    let (clients, mut calls) = (Clients::default(), Vec::new());
    for _ in 0..rounds {
        hookbox.under(&recording(&hookbox, &["-e", "inject=fsync,fdatasync:error=EIO:when=20"]));
        hookbox.start_again();
        until("a sync to fail", || (clients.send(&hookbox, &github::push()) != Some(200)).then_some(()));
        assert_eq!(hookbox.wait_for_end().code(), Some(1));
        calls.extend(recorded(&hookbox));
        hookbox.under(&recording(&hookbox, &[]));
        hookbox.start_again();
        for _ in 0..10 {
            assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
        }
        hookbox.stop();
        calls.extend(recorded(&hookbox));
    }
    assert!(calls.iter().any(|call| matches!(call.what, What::Sync(_, false))));
    let seen = power_failures(&calls, &clients, &mut random(2));
    assert_eq!(seen.lost, 0, "an acknowledged event is missing");
    report(2, "power failure after a failed sync", seen.images, &clients);
}

fn random(round: usize) -> fastrand::Rng {
    fastrand::Rng::with_seed(u64::try_from(round).unwrap())
}

/// Records hookbox while it creates an inbox, stores events under load, checkpoints, stores more, and stops.
fn at_work(durability: &str, round: usize) -> (Vec<Call>, Clients) {
    let mut hookbox = Hookbox::new()
        .inbox(&format!("durability = \"{durability}\""))
        .handler_with("work", "concurrency = 2", succeeds())
        .start();
    hookbox.stop();
    std::fs::remove_file(&hookbox.inbox.file).unwrap();
    hookbox.under(&recording(&hookbox, &[]));
    hookbox.start_again();
    let clients = Clients::default();
    let mut bodies = random(round);
    // In `make torture` sometimes enough for a checkpoint under load, at 16 MiB.
    let bytes = if round.is_multiple_of(10) { 300_000 } else { bodies.usize(0..4_000) };
    let push = || github::push().with_body(format!("\"{}\"", "x".repeat(bytes)));
    let load = |more: usize| {
        let enough = clients.acknowledged().len() + more;
        clients.under_load_of(push, hookbox.hooks(), || {
            until("more acknowledgements", || (clients.acknowledged().len() >= enough).then_some(()));
        });
    };
    load(40);
    wait_for_the_checkpoint(&hookbox);
    load(40);
    assert!(hookbox.stop().success());
    (recorded(&hookbox), clients)
}

/// Waits for the checkpoint after five idle seconds, after which the log is reused from its start.
fn wait_for_the_checkpoint(hookbox: &Running) {
    let written = || std::fs::metadata(&hookbox.inbox.file).unwrap().modified().unwrap();
    let before = written();
    until_within(std::time::Duration::from_secs(60), "the WAL to be checkpointed", || {
        (written() > before).then_some(())
    });
}

/// The result of power failures at many moments.
#[derive(Debug, Default)]
struct Seen {
    images: usize,
    /// Acknowledged events missing, over all images.
    lost: usize,
    /// The highest number of acknowledged events at one moment.
    most: usize,
}

/// At every sync, and at other moments, [`IMAGES`] in total.
fn power_failures(calls: &[Call], clients: &Clients, random: &mut fastrand::Rng) -> Seen {
    let mut moments: Vec<usize> = (0..calls.len()).filter(|&at| calls[at].is_sync()).collect();
    random.shuffle(&mut moments);
    moments.truncate(IMAGES / 2);
    moments.extend((moments.len()..IMAGES).map(|_| random.usize(..calls.len())));
    moments.sort_unstable();
    let (mut disk, mut taken_in, mut seen) = (Disk::default(), 0, Seen::default());
    for moment in moments {
        calls[taken_in..moment].iter().for_each(|call| disk.take_in(&call.what));
        taken_in = moment;
        let acknowledged = clients.acknowledged_before(calls[moment].began_at);
        let folder = tempfile::tempdir().unwrap();
        disk.fail(folder.path(), random);
        let stored = stored(folder.path());
        seen.images += 1;
        seen.lost += acknowledged.iter().filter(|id| stored.binary_search(id).is_err()).count();
        seen.most = seen.most.max(acknowledged.len());
    }
    seen
}

/// Starts hookbox on the image of one moment.
fn assert_served(calls: &[Call], clients: &Clients, random: &mut fastrand::Rng) {
    let moment = random.usize(calls.len() / 2..calls.len());
    let acknowledged = clients.acknowledged_before(calls[moment].began_at);
    let setup = Hookbox::new()
        .handler("work", succeeds())
        .allow_warning("running when hookbox was killed")
        .expect_warning("has another body");
    let mut disk = Disk::default();
    calls[..moment].iter().for_each(|call| disk.take_in(&call.what));
    disk.fail(setup.folder(), random);
    let mut hookbox = setup.start();
    let known = acknowledged.iter().next_back().unwrap();
    let reply = hookbox.send(&github::push().with_id(known));
    assert!(reply.text().contains("duplicate"), "{}", reply.text());
    hookbox.deliver(github::push());
    assert!(hookbox.stop().success());
    hookbox.inbox.assert_sound();
    let stored = hookbox.inbox.texts("SELECT event_id FROM events");
    assert!(acknowledged.iter().all(|id| stored.contains(id)));
}

/// Returns the ids in an image, checking that it is intact and has no duplicates. Empty if there is no inbox yet.
fn stored(folder: &Path) -> Vec<String> {
    let file = folder.join("hookbox.db");
    if std::fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
        return Vec::new();
    }
    let image = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let texts = |sql: &str| {
        let mut statement = image.prepare(sql).unwrap();
        statement.query_map([], |row| row.get::<_, String>(0)).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(texts("PRAGMA integrity_check"), ["ok"]);
    assert_eq!(texts("SELECT \"table\" FROM pragma_foreign_key_check"), [""; 0]);
    if texts("SELECT name FROM sqlite_schema WHERE name = 'events'").is_empty() {
        return Vec::new();
    }
    let mut ids = texts("SELECT event_id FROM events ORDER BY event_id");
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id has two rows");
    ids
}
