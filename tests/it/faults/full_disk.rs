//! A full disk: only 503 with Retry-After, the operator's side goes on, old events still go, and room is all it takes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::clients::Clients;
use crate::support::inbox::Inbox;
use crate::support::running::finish;
use crate::support::strace::{SYNCS, calls, injecting};
use crate::support::torture::{report, rounds};
use crate::support::{Hookbox, Running, github, until};

/// A file system of its own, which only hookbox sees, in `disk` of its folder.
struct Small {
    holder: Child,
    /// The way to it from here, for all but SQLite, which follows it to another place.
    path: PathBuf,
    /// What a command begins with that runs where it can be seen.
    inside: Vec<String>,
    inbox: PathBuf,
}

impl Small {
    fn mount(hookbox: &mut Running, mebibytes: usize) -> Self {
        let to = hookbox.folder().join("disk");
        fs::create_dir(&to).unwrap();
        let script = "mount -t tmpfs -o size=\"$2\"m,mode=700 tmpfs \"$1\" && echo mounted && exec sleep 100000";
        let mut holder = Command::new("unshare");
        holder.args(["-Urm", "sh", "-c", script, "sh", to.to_str().unwrap(), &mebibytes.to_string()]);
        let mut holder = holder.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            "mounted",
            "this test needs a file system of its own: let `unshare -Urm` work here (user namespaces), or be root"
        );
        let id = holder.id();
        let inside = ["nsenter", "-t", &id.to_string(), "-U", "-m", "--preserve-credentials", "--"].map(str::to_owned);
        hookbox.under(&inside);
        let path = PathBuf::from(format!("/proc/{id}/root{}", to.display()));
        Self { holder, path, inside: inside.to_vec(), inbox: to.join("hookbox.db") }
    }

    /// One column, as sqlite3 reads it.
    fn texts(&self, sql: &str) -> Vec<String> {
        let mut command = Command::new(&self.inside[0]);
        command.args(&self.inside[1..]).args(["sqlite3", "-readonly", "-cmd", ".timeout 20000"]).arg(&self.inbox);
        let done = finish(command.arg(sql).stdin(Stdio::null()));
        assert_eq!(done.status, Some(0), "{done:?}");
        done.stdout.lines().map(str::to_owned).collect()
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.filler()).unwrap();
        for block in [1 << 20, 1 << 12] {
            while file.write_all(&vec![b'x'; block]).is_ok() {}
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

/// Once with a floor under the free space, and once without, so that writes themselves find no room. The last reserve is
/// for forgetting what is old, and only a floor keeps deliveries from using it up.
#[test]
fn a_full_disk_is_answered_with_503_and_room_is_all_it_takes() {
    let rounds = rounds(2);
    for round in 0..rounds {
        let has_floor = round % 2 == 0;
        let floor = if has_floor { "16MiB" } else { "0B" };
        let mut hookbox = Hookbox::new()
            .inbox("path = \"disk/hookbox.db\"\nkeep_payloads = \"3s\"\nkeep_events = \"3s\"\nkeep_keys = \"1h\"")
            .inbox(&format!("min_free_disk = \"{floor}\""))
            .allow_warning("deliveries get 503")
            .allow_warning("disk is full")
            .allow_warning("was not stored")
            .allow_warning("could not be f")
            .prepare();
        let small = Small::mount(&mut hookbox, 64);
        hookbox.start_again();
        full_and_with_room_again(&hookbox, &small, has_floor);
        assert!(hookbox.stop().success());
    }
}

fn full_and_with_room_again(hookbox: &Running, small: &Small, has_floor: bool) {
    let clients = Clients::default();
    let large = || github::push().with_body(format!("\"{}\"", "x".repeat(300_000)));
    for _ in 0..10 {
        assert_eq!(clients.send(hookbox, &large()), Some(200));
    }
    let reserve = small.path.join("hookbox.db.reserve");
    until("the disk reserve to be created", || reserve.exists().then_some(()));
    small.fill();
    until("the disk reserve to be deleted", || (!reserve.exists()).then_some(()));
    for _ in 0..5 {
        until("a delivery to be turned away", || {
            if !has_floor {
                small.fill();
            }
            assert_answer(&clients, hookbox)
        });
    }
    let told = hookbox.log().iter().filter(|line| line.contains("was not stored")).count();
    assert!(told <= 2, "the log of a full disk's hookbox does not grow with each delivery: {told}");
    assert_eq!(hookbox.probe("/healthz").status, 200);
    let metrics = hookbox.probe("/metrics");
    assert!(metrics.status == 200 && metrics.text().contains("hookbox_disk_free_bytes"));
    for page in ["/", "/events", "/api/v1/status"] {
        assert_eq!(hookbox.look(page, &[]).status, 200, "{page}");
    }
    let status = hookbox.run_under(&["status"]);
    assert_eq!(status.status, Some(0), "{status:?}");
    until("what is old to be forgotten, on a full disk", || {
        (!has_floor || small.texts("SELECT count(*) FROM events") == ["0"]).then_some(())
    });
    if has_floor {
        let pruned = hookbox.run_under(&["prune"]);
        assert_eq!(pruned.status, Some(0), "{pruned:?}");
        assert!(assert_answer(&clients, hookbox).is_some(), "it is full still");
    }
    fs::remove_file(small.filler()).unwrap();
    until("deliveries to be accepted again", || assert_answer(&clients, hookbox).is_none().then_some(()));
    assert_eq!(hookbox.probe("/readyz").status, 200);
    assert_eq!(clients.send(hookbox, &large()), Some(200));
    let known = "SELECT event_id FROM events UNION SELECT event_id FROM seen_ids";
    let known = small.texts(known);
    assert!(clients.acknowledged().iter().all(|id| known.contains(id)), "acknowledged and gone");
    assert_eq!(small.texts("PRAGMA integrity_check; PRAGMA foreign_key_check"), ["ok"]);
    report(4, "the disk is full", 1, &clients);
}

/// Where a file system finds out only at the sync that there is no room. Nothing may be built on what that was to write.
#[test]
fn a_sync_that_fails_for_want_of_space_ends_nothing() {
    let mut hookbox = Hookbox::new()
        .inbox("path = \"disk/hookbox.db\"")
        .inbox("min_free_disk = \"0B\"")
        .expect_warning("was not stored")
        .allow_warning("deliveries get 503")
        .allow_warning("disk is full")
        .allow_warning("could not be f")
        .prepare();
    let small = Small::mount(&mut hookbox, 64);
    hookbox.inbox = Inbox { file: small.inbox.clone() };
    // The thread that writes syncs once for each delivery.
    let failing = injecting(&hookbox, SYNCS, &["-wal"], "error=ENOSPC:when=6");
    hookbox.under(&[small.inside.clone(), failing].concat());
    hookbox.start_again();
    let clients = Clients::default();
    for _ in 0..5 {
        assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
    }
    let reserve = small.path.join("hookbox.db.reserve");
    until("the disk reserve to be created", || reserve.exists().then_some(()));
    small.fill();
    until("the disk reserve to be deleted", || (!reserve.exists()).then_some(()));
    let free = || rustix::fs::statvfs(&small.path).unwrap().f_bavail * 4096;
    // A file's name goes before its room comes back.
    until("its room to be back", || (free() >= 7 << 20).then_some(()));
    until("nearly all room to be taken", || {
        small.fill();
        let filler = File::options().write(true).open(small.filler()).unwrap();
        filler.set_len(filler.metadata().unwrap().len() - (60 << 10)).unwrap();
        (free() <= 60 << 10).then_some(())
    });
    assert_eq!(clients.send(&hookbox, &github::push()), Some(503));
    assert!(calls(&hookbox).iter().any(|call| call.contains("ENOSPC") && call.contains("(INJECTED)")));
    assert_eq!(hookbox.probe("/healthz").status, 200);
    fs::remove_file(small.filler()).unwrap();
    until("deliveries to be accepted again", || assert_answer(&clients, &hookbox).is_none().then_some(()));
    let made = calls(&hookbox);
    let failed = made.iter().position(|call| call.contains("(INJECTED)")).unwrap();
    let first = |call: &str| made[failed..].iter().position(|line| line.starts_with(call)).expect("it was made");
    assert!(first("ftruncate") < first("pwrite64"), "the log begins anew before anything is added to it");
    let stored = small.texts("SELECT event_id FROM events");
    assert!(clients.acknowledged().iter().all(|id| stored.contains(id)), "acknowledged and gone");
    assert_eq!(small.texts("PRAGMA integrity_check; PRAGMA foreign_key_check"), ["ok"]);
    assert!(hookbox.stop().success());
    report(3, "a sync fails for want of space (ENOSPC)", 1, &clients);
}

/// Sends one: it is stored, or turned away with a time to come again, which is returned.
fn assert_answer(clients: &Clients, hookbox: &Running) -> Option<u64> {
    let push = github::push().with_body(format!("\"{}\"", "x".repeat(300_000)));
    clients.note(&push.id);
    let reply = hookbox.send(&push);
    match reply.status {
        200 => clients.acknowledge(&push.id),
        status => assert_eq!(status, 503, "{}", reply.text()),
    }
    (reply.status == 503).then(|| reply.retry_after().expect("it is told when to come again"))
}
