//! A killed upgrade leaves the old schema version or the new one, and every row.
//!
//! There is only one version so far, so the upgrade is made up. It runs in a child process of this test binary.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use rusqlite::{Connection, OpenFlags};

use crate::support::strace::{SYNCS, injecting};
use crate::support::torture::{is_long, report_count};
use crate::support::{Hookbox, github};

const SCHEMA: &str = include_str!("../../../schema.sql");
const ROWS: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO events (source, event_id, type, received_at, deliveries, body_bytes, body_sha256)
    SELECT 'github', 'old-' || i, 'push', unixepoch() * 1000, 1, 2, zeroblob(32) FROM n;
    INSERT INTO payloads (event_seq, headers, content_type, body) SELECT seq, '{}', 'application/json', x'7b7d' FROM events;
    INSERT INTO refusals SELECT seq, 's', 1, 401, 'why', NULL, 'POST', '/', '{}', '{}', zeroblob(900), 900, NULL FROM events;";
/// From version 1 to 2: rewrites a table as a real upgrade would.
const UPGRADE: &str = "
    CREATE TABLE copied AS SELECT * FROM refusals; DELETE FROM refusals;
    INSERT INTO refusals SELECT * FROM copied; DROP TABLE copied;";
/// Environment variable: the inbox that the child process upgrades.
const INBOX: &str = "HOOKBOX_TEST_UPGRADED_INBOX";

#[test]
fn killed_upgrade_leaves_the_old_version_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    let connection = Connection::open(&old).unwrap();
    connection.execute_batch(&format!("PRAGMA auto_vacuum = INCREMENTAL; {SCHEMA} {ROWS}")).unwrap();
    drop(connection);
    let (mut seen, mut kills) = (Vec::new(), 0);
    for call in ["pwrite64", SYNCS, "ftruncate,unlink"] {
        let places: Box<dyn Iterator<Item = usize>> =
            if is_long() { Box::new(1..) } else { Box::new([1, 2, 3, 8, 9, 40, 100].into_iter()) };
        for nth in places {
            let mut hookbox = Hookbox::new().allow_warning("has another body").prepare();
            let inbox = hookbox.inbox.file.clone();
            fs::copy(&old, &inbox).unwrap();
            let fault = format!("signal=SIGKILL:when={nth}");
            let status = upgrade(&inbox, &injecting(&hookbox, call, &["", "-wal", "-journal"], &fault));
            if status.success() {
                break;
            }
            assert_eq!(status.signal(), Some(9));
            kills += 1;
            let version = version_of(&inbox);
            assert!(version == 1 || version == 2, "{version}");
            seen.push(version);
            assert!(upgrade(&inbox, &[]).success());
            assert_eq!(version_of(&inbox), 2);
            // The made-up version has the tables of version 1.
            Connection::open(&inbox).unwrap().pragma_update(None, "user_version", 1).unwrap();
            hookbox.start_again();
            hookbox.inbox.assert_sound();
            let kept = "SELECT (SELECT count(*) FROM payloads JOIN events ON seq = event_seq) || ' ' || (SELECT count(*) FROM refusals)";
            assert_eq!(hookbox.inbox.texts(kept), ["200 200"]);
            assert!(hookbox.send(&github::push().with_id("old-7").with_body("{}")).text().contains("duplicate"));
        }
    }
    assert!(kills >= 6 && seen.contains(&1) && seen.contains(&2), "{kills} kills, {seen:?}");
    report_count(14, "kill -9 at the Nth write, sync or cut of an upgrade", kills, 200 * kills);
}

fn upgrade(inbox: &Path, wrapper: &[String]) -> std::process::ExitStatus {
    let this = std::env::current_exe().unwrap().display().to_string();
    let child = [&this, "faults::upgrade::upgrade_in_child_process", "--exact", "--ignored", "--test-threads=1"];
    let words: Vec<&str> = wrapper.iter().map(String::as_str).chain(child).collect();
    Command::new(words[0]).args(&words[1..]).env(INBOX, inbox).output().unwrap().status
}

#[test]
#[ignore = "started by the test of killed upgrades"]
fn upgrade_in_child_process() {
    let Some(inbox) = std::env::var_os(INBOX) else { return };
    ::hookbox::internals::upgrade_with(Path::new(&inbox), &[UPGRADE]).unwrap();
}

fn version_of(inbox: &Path) -> i64 {
    let connection = Connection::open_with_flags(inbox, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}
