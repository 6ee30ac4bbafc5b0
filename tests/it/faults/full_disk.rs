//! A full disk: deliveries get 503 with Retry-After, the admin address works, and hookbox recovers once space is free.

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

/// A small file system in a mount namespace, mounted at `disk` in hookbox's folder.
struct Small {
    holder: Child,
    /// Its path from outside the namespace. Not usable for SQLite, which resolves it to another path.
    path: PathBuf,
    /// The command prefix that enters the namespace.
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
            "this test mounts a file system: allow `unshare -Urm` (user namespaces), or run as root"
        );
        let id = holder.id();
        let inside = ["nsenter", "-t", &id.to_string(), "-U", "-m", "--preserve-credentials", "--"].map(str::to_owned);
        hookbox.under(&inside);
        let path = PathBuf::from(format!("/proc/{id}/root{}", to.display()));
        Self { holder, path, inside: inside.to_vec(), inbox: to.join("hookbox.db") }
    }

    /// Returns one column, read by sqlite3.
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

    /// Fills the file system.
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

/// Once with `min_free_disk` and once without, so that writes fail with ENOSPC. Only with it is the reserve left for
/// deleting expired events.
#[test]
fn full_disk_gets_503_until_space_is_free_again() {
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
        fill_and_free(&hookbox, &small, has_floor);
        assert!(hookbox.stop().success());
    }
}

fn fill_and_free(hookbox: &Running, small: &Small, has_floor: bool) {
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
        until("a delivery to be rejected", || {
            if !has_floor {
                small.fill();
            }
            assert_answer(&clients, hookbox)
        });
    }
    let told = hookbox.log().iter().filter(|line| line.contains("was not stored")).count();
    assert!(told <= 2, "a full disk is not logged for each delivery: {told}");
    assert_eq!(hookbox.probe("/healthz").status, 200);
    let metrics = hookbox.probe("/metrics");
    assert!(metrics.status == 200 && metrics.text().contains("hookbox_disk_free_bytes"));
    for page in ["/", "/events", "/api/v1/status"] {
        assert_eq!(hookbox.look(page, &[]).status, 200, "{page}");
    }
    let status = hookbox.run_under(&["status"]);
    assert_eq!(status.status, Some(0), "{status:?}");
    until("expired events to be deleted on the full disk", || {
        (!has_floor || small.texts("SELECT count(*) FROM events") == ["0"]).then_some(())
    });
    if has_floor {
        let pruned = hookbox.run_under(&["prune"]);
        assert_eq!(pruned.status, Some(0), "{pruned:?}");
        assert!(assert_answer(&clients, hookbox).is_some(), "the disk is still full");
    }
    fs::remove_file(small.filler()).unwrap();
    until("deliveries to be accepted again", || assert_answer(&clients, hookbox).is_none().then_some(()));
    assert_eq!(hookbox.probe("/readyz").status, 200);
    assert_eq!(clients.send(hookbox, &large()), Some(200));
    let known = "SELECT event_id FROM events UNION SELECT event_id FROM seen_ids";
    let known = small.texts(known);
    assert!(clients.acknowledged().iter().all(|id| known.contains(id)), "an acknowledged event is missing");
    assert_eq!(small.texts("PRAGMA integrity_check; PRAGMA foreign_key_check"), ["ok"]);
    report(4, "the disk is full", 1, &clients);
}

/// On a file system that reports ENOSPC only at the sync. Nothing may be added after pages that were not written.
#[test]
fn sync_that_fails_on_a_full_disk_does_not_stop_hookbox() {
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
    // The writer syncs once for each delivery.
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
    // The space of a deleted file is freed later.
    until("its space to be free", || (free() >= 7 << 20).then_some(()));
    until("the disk to be nearly full", || {
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
    assert!(first("ftruncate") < first("pwrite64"), "the log is truncated before anything is added to it");
    let stored = small.texts("SELECT event_id FROM events");
    assert!(clients.acknowledged().iter().all(|id| stored.contains(id)), "an acknowledged event is missing");
    assert_eq!(small.texts("PRAGMA integrity_check; PRAGMA foreign_key_check"), ["ok"]);
    assert!(hookbox.stop().success());
    report(3, "a sync fails on a full disk (ENOSPC)", 1, &clients);
}

/// Sends a delivery. Returns the Retry-After if it was rejected.
fn assert_answer(clients: &Clients, hookbox: &Running) -> Option<u64> {
    let push = github::push().with_body(format!("\"{}\"", "x".repeat(300_000)));
    clients.note(&push.id);
    let reply = hookbox.send(&push);
    match reply.status {
        200 => clients.acknowledge(&push.id),
        status => assert_eq!(status, 503, "{}", reply.text()),
    }
    (reply.status == 503).then(|| reply.retry_after().expect("Retry-After is set"))
}
