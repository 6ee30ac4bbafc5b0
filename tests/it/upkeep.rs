//! Retention, `prune`, `backup`, `tail` and `status`, whether or not the inbox is served.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::{Connection, OpenFlags};

use crate::support::running::{Done, finish};
use crate::support::script::{exits, sh, succeeds, waits_for};
use crate::support::torture::report_count;
use crate::support::{BINARY, Hookbox, Running, github, until};

/// Makes everything that has finished older by this many days.
fn age(hookbox: &Running, days: i64) {
    let by = days * 86_400_000;
    hookbox
        .inbox
        .writer()
        .execute_batch(&format!(
            "UPDATE events SET received_at = received_at - {by};
             UPDATE jobs SET finished_at = finished_at - {by};
             UPDATE seen_ids SET received_at = received_at - {by};"
        ))
        .unwrap();
}

fn count(hookbox: &Running, what: &str) -> i64 {
    hookbox.inbox.number(&format!("SELECT count(*) FROM {what}"))
}

#[test]
fn expired_events_are_deleted_and_their_replay_stays_a_duplicate() {
    let hookbox = Hookbox::new()
        .inbox("keep_payloads = \"2s\"\nkeep_events = \"4s\"")
        .handler("deploy", sh("echo printed"))
        .start();
    let push = github::push();
    let event = hookbox.deliver(&push);
    let unmatched = hookbox.send(&push).text();
    assert!(unmatched.contains("duplicate"), "{unmatched}");
    until("the payload to be deleted", || (count(&hookbox, "payloads") == 0).then_some(()));
    assert_eq!(count(&hookbox, "events"), 1, "the event is kept longer than its body");
    assert_eq!(count(&hookbox, "attempts WHERE stdout IS NOT NULL"), 0);
    let done = hookbox.run(&["replay", &event.id]);
    assert_eq!(done.status, Some(1), "{done:?}");
    assert!(done.stderr.contains("no longer stored"), "{done:?}");
    let done = hookbox.run(&["events", "body", &event.id]);
    assert!(done.status == Some(1) && done.stderr.contains("no longer stored"), "{done:?}");
    until("the event to be deleted", || (count(&hookbox, "events") == 0).then_some(()));
    assert_eq!(count(&hookbox, "jobs") + count(&hookbox, "attempts"), 0);
    let reply = hookbox.send(&push);
    assert!(reply.status == 200 && reply.text().contains("duplicate"), "{}", reply.text());
    assert_eq!(count(&hookbox, "events"), 0);
    assert_eq!(hookbox.inbox.number("SELECT deliveries FROM seen_ids"), 3);
    let done = hookbox.run(&["events", "show", &event.id]);
    assert!(done.status != Some(0) && done.stderr.contains("pruned"), "{done:?}");
    assert_eq!(hookbox.starts("deploy").len(), 1);
    hookbox.wait_for_log("deleted what has expired");
}

#[test]
fn event_with_an_open_job_does_not_expire() {
    let hookbox = Hookbox::new()
        .inbox("keep_payloads = \"1s\"\nkeep_events = \"1s\"\nkeep_keys = \"1h\"")
        .handler_with("waits", "retry = { initial = \"1h\" }", exits(1))
        .handler("runs", waits_for("gate").then_succeeds())
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    let old = hookbox.deliver(github::push().of_type("other"));
    until("both jobs to wait for a retry", || {
        (count(&hookbox, "jobs WHERE handler = 'waits' AND failures = 1") == 2).then_some(())
    });
    age(&hookbox, 3);
    // Once another event that may expire is deleted, a second pass has begun.
    hookbox.ok(&["skip", &old.id]);
    until("the other event to be deleted", || (count(&hookbox, "events") == 1).then_some(()));
    assert_eq!((count(&hookbox, "payloads"), count(&hookbox, "jobs")), (1, 2));
    hookbox.open_gate("gate");
    hookbox.ok(&["skip", &event.id, "--handler", "waits"]);
    until("the event to be deleted", || (count(&hookbox, "events") == 0).then_some(()));
}

#[test]
fn event_is_new_again_after_its_id_has_expired() {
    let hookbox = Hookbox::new()
        .inbox("keep_payloads = \"1s\"\nkeep_events = \"1s\"\nkeep_keys = \"3s\"")
        .source_with("github", "replay_guard = \"id+body\"")
        .start();
    let push = github::push();
    hookbox.deliver(&push);
    until("the id to be kept", || (count(&hookbox, "seen_ids") == 1).then_some(()));
    assert_eq!(count(&hookbox, "seen_bodies"), 1);
    until("the id to be deleted", || (count(&hookbox, "seen_ids") == 0).then_some(()));
    assert_eq!(count(&hookbox, "seen_bodies"), 0);
    let reply = hookbox.send(&push);
    assert!(reply.text().contains("accepted"), "{}", reply.text());
}

#[test]
fn prune_dry_run_reports_what_prune_deletes() {
    let mut hookbox = Hookbox::new().handler("deploy", exits(65)).expect_failures().start();
    for _ in 0..6 {
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "dead");
    }
    // A running hookbox would delete the events first.
    assert!(hookbox.stop().success());
    age(&hookbox, 40);
    hookbox
        .inbox
        .writer()
        .execute_batch(
            "UPDATE jobs SET finished_at = unixepoch() * 1000 WHERE event_seq = (SELECT max(seq) FROM events)",
        )
        .unwrap();
    let done = hookbox.run(&["prune", "--dry-run"]);
    assert_eq!(done.stdout, "would delete 0 events, 5 bodies of newer events, and 0 ids of already deleted events\n");
    assert!(done.stderr.contains("5 dead jobs"), "{done:?}");
    assert_eq!(count(&hookbox, "payloads"), 6);
    assert!(hookbox.ok(&["prune"]).starts_with("deleted 0 events, 5 bodies"));
    assert_eq!((count(&hookbox, "payloads"), count(&hookbox, "events")), (1, 6));
    age(&hookbox, 60);
    let printed = hookbox.ok(&["prune"]);
    assert_eq!(printed, "deleted 5 events, 1 body of newer events, and 0 ids of already deleted events\n");
    assert_eq!((count(&hookbox, "events"), count(&hookbox, "seen_ids"), count(&hookbox, "jobs")), (1, 5, 1));
    hookbox.inbox.assert_sound();
    assert!(hookbox.ok(&["prune"]).starts_with("deleted 0 events, 0 bodies"));
}

#[test]
fn prune_works_while_hookbox_is_serving() {
    let mut hookbox = Hookbox::new().handler("deploy", exits(65)).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert!(hookbox.stop().success());
    age(&hookbox, 100);
    hookbox.start_again();
    assert!(hookbox.ok(&["prune"]).starts_with("deleted "));
    until("the event to be deleted by prune or serve", || (count(&hookbox, "events") == 0).then_some(()));
    assert_eq!(count(&hookbox, "seen_ids"), 1);
}

#[test]
fn invalid_retention_is_refused_and_deletes_nothing() {
    for (lines, key) in [
        ("keep_payloads = \"10d\"\nkeep_events = \"5d\"", "inbox.keep_payloads"),
        ("keep_events = \"200d\"\nkeep_keys = \"100d\"", "inbox.keep_keys"),
        ("keep_events = \"0s\"", "inbox.keep_events"),
    ] {
        let hookbox = Hookbox::new().inbox(lines);
        let done = hookbox.refuse_to_start();
        assert!(done.status == Some(2) && done.stderr.contains(key), "{done:?}");
        let done = hookbox.run(&["prune"]);
        assert!(done.status == Some(2) && done.stderr.contains("hookbox check"), "{done:?}");
    }
}

#[test]
fn file_shrinks_after_prune() {
    let mut hookbox = Hookbox::new().start();
    for _ in 0..6 {
        hookbox.deliver(github::push().with_body(format!("\"{}\"", "x".repeat(1 << 20))));
    }
    age(&hookbox, 40);
    hookbox.ok(&["prune"]);
    let pages = || hookbox.inbox.number("PRAGMA page_count");
    assert!(pages() < 600, "{} pages are left of six bodies of 1 MiB", pages());
    assert!(hookbox.stop().success());
    assert!(fs::metadata(&hookbox.inbox.file).unwrap().len() < 3 << 20);
}

// ---- backup ----

fn assert_whole(file: &Path) -> i64 {
    let copy = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let read = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(read("PRAGMA integrity_check"), "ok");
    assert_eq!(copy.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)), Ok(0));
    copy.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap()
}

#[test]
fn backup_of_a_served_inbox_is_complete_private_and_servable() {
    let mut hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    for _ in 0..20 {
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
    }
    let copy = hookbox.folder().join("copy.db");
    let printed = hookbox.ok(&["backup", "copy.db"]);
    assert!(printed.starts_with("copy.db: 20 events, ") && printed.ends_with(", checked\n"), "{printed}");
    assert_eq!(assert_whole(&copy), 20);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(hookbox.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains("partial")), "{left:?}");
    let again = hookbox.run(&["backup", "copy.db"]);
    assert!(again.status == Some(2) && again.stderr.contains("--force"), "{again:?}");
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    hookbox.ok(&["backup", "copy.db", "--force"]);
    assert_eq!(assert_whole(&copy), 21);
    assert!(hookbox.stop().success());
    hookbox.rewrite(|text| text.replace("[inbox]\n", "[inbox]\npath = \"copy.db\"\n"));
    hookbox.start_again();
    hookbox.deliver(github::push());
    assert_eq!(hookbox.json(&["events"]).as_array().unwrap().len(), 22);
}

#[test]
fn backup_of_an_inbox_that_cannot_shrink_can_shrink() {
    let mut hookbox = Hookbox::new().start();
    hookbox.deliver(github::push().with_body(format!("\"{}\"", "x".repeat(1 << 20))));
    assert!(hookbox.stop().success());
    hookbox.inbox.writer().execute_batch("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    hookbox.start_again();
    age(&hookbox, 40);
    let done = hookbox.run(&["prune"]);
    assert!(done.status == Some(0) && done.stderr.contains("hint: stop hookbox, run `hookbox backup NEW`"), "{done:?}");
    hookbox.ok(&["backup", "copy.db"]);
    let copy = crate::support::inbox::Inbox { file: hookbox.folder().join("copy.db") };
    assert_eq!(copy.number("PRAGMA auto_vacuum"), 2);
    assert_eq!(assert_whole(&copy.file), 1);
}

#[test]
fn backup_never_overwrites_an_inbox() {
    let hookbox = Hookbox::new().start();
    hookbox.deliver(github::push());
    let refused = |name: &str, part: &str| {
        let done = hookbox.run(&["backup", name, "--force"]);
        assert!(done.status == Some(2) && done.stderr.contains(part), "{done:?}");
    };
    refused("hookbox.db", "the inbox itself");
    std::os::unix::fs::symlink("hookbox.db", hookbox.folder().join("link.db")).unwrap();
    refused("link.db", "the inbox itself");
    let other = Hookbox::new().start();
    refused(other.inbox.file.to_str().unwrap(), "is serving");
    fs::write(hookbox.folder().join("old.db-wal"), "of another database").unwrap();
    refused("old.db", "old.db-wal");
    let done = hookbox.run(&["backup", "no/such/folder/copy.db"]);
    assert_eq!(done.status, Some(1), "{done:?}");
    hookbox.inbox.assert_sound();
    assert_eq!(hookbox.json(&["events"]).as_array().unwrap().len(), 1);
}

/// Promise 14: if a backup is killed at any write, sync, rename or unlink, FILE is absent or complete.
#[test]
fn killed_backup_leaves_no_partial_copy() {
    let hookbox = Hookbox::new().start();
    for _ in 0..50 {
        hookbox.deliver(github::push().with_body(format!("\"{}\"", "x".repeat(20_000))));
    }
    let copy = hookbox.folder().join("copy.db");
    let (mut absent, mut whole, mut survived) = (0, 0, false);
    for call in ["pwrite64", "fsync", "renameat2", "unlink,unlinkat"] {
        for nth in [1, 2, 3, 10, 40] {
            let done = killed_at(&hookbox, call, nth);
            survived |= done.status == Some(0);
            match copy.exists() {
                false => absent += 1,
                true => {
                    assert_eq!(assert_whole(&copy), 50, "{call} {nth}");
                    whole += 1;
                    fs::remove_file(&copy).unwrap();
                }
            }
        }
    }
    assert!(absent >= 5 && whole >= 1 && survived, "absent {absent} times, complete {whole} times");
    hookbox.ok(&["backup", "copy.db"]);
    assert_eq!(assert_whole(&copy), 50);
    report_count(14, "kill -9 at the Nth write, sync or rename of a backup", absent + whole, 50);
}

fn killed_at(hookbox: &Running, call: &str, nth: u32) -> Done {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={call}:signal=SIGKILL:when={nth}")]);
    strace.arg(BINARY).args(["backup", "copy.db"]).current_dir(hookbox.folder()).stdin(Stdio::null());
    finish(&mut strace)
}

// ---- tail and status ----

/// Returns the first `lines` lines of `tail`, then interrupts it. It must exit with 0.
fn tail(hookbox: &Running, arguments: &[&str], lines: usize, meanwhile: impl FnOnce()) -> Vec<String> {
    let mut command = hookbox.command();
    command.arg("tail").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut reader = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first = reader.next().unwrap().unwrap();
    meanwhile();
    let mut printed = vec![first];
    printed.extend((1..lines).map(|_| reader.next().unwrap().unwrap()));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    printed
}

#[test]
fn tail_prints_last_events_then_follows_arrivals_attempts_and_refusals() {
    let hookbox = Hookbox::new().handler("deploy", exits(65)).expect_failures().start();
    let old: Vec<_> = (0..3).map(|_| hookbox.deliver(github::push())).collect();
    old.iter().for_each(|event| hookbox.wait_for(event, "dead"));
    let printed = tail(&hookbox, &["-n", "1"], 4, || {
        let holder = hookbox.inbox.writer();
        holder.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
        let event = hookbox.deliver(github::push().of_type("new"));
        hookbox.wait_for(&event, "dead");
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    });
    assert!(printed[0].contains("  #3  github  push  ") && printed[0].ends_with("dead"), "{printed:?}");
    assert!(printed[1].contains("  #4  github  new  "), "{printed:?}");
    assert!(printed[2].contains("#4  deploy  attempt 1 dead after") && printed[2].contains("exit 65"), "{printed:?}");
    assert!(printed[3].contains("refused with 401") && printed[3].contains("hookbox explain"), "{printed:?}");
    let printed = tail(&hookbox, &["--json", "--type", "new", "--state", "dead"], 1, || {});
    let line: serde_json::Value = serde_json::from_str(&printed[0]).unwrap();
    assert_eq!(
        (line["kind"].as_str(), line["seq"].as_i64(), line["type"].as_str()),
        (Some("event"), Some(4), Some("new"))
    );
}

#[test]
fn status_shows_disk_usage_and_jobs_of_removed_handlers() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let insert = "INSERT INTO jobs (event_seq, handler, run_at, created_at) VALUES (1, 'gone', 0, 0)";
    hookbox.inbox.writer().execute(insert, []).unwrap();
    let printed = hookbox.ok(&["status"]);
    assert!(printed.contains("free on disk") && printed.contains("THIS HOUR"), "{printed}");
    let gone = printed.lines().find(|line| line.starts_with("gone ")).expect("the job is shown");
    assert!(gone.contains("not in the configuration"), "{printed}");
    let status = hookbox.json(&["status"]);
    assert!(status["room"]["database_bytes"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["sources"].as_array().unwrap().iter().filter(|row| row["accepted_this_hour"] == 1).count(), 1);
}
