//! An upgrade that is killed: the inbox is of the old version or the new one, never between, and nothing of it is lost.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::support::strace::{SYNCS, injecting};
use crate::support::torture::{is_long, report_count};
use crate::support::{Hookbox, github};

/// The first version that was ever released, and rows of it.
const FIRST: &str = include_str!("../../../src/inbox/upgrade/1.sql");
const ROWS: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO events (source, event_id, type, received_at, deliveries, body_bytes, body_sha256)
    SELECT 'github', 'old-' || i, 'push', unixepoch() * 1000, 1, 2, zeroblob(32) FROM n;
    INSERT INTO payloads (event_seq, headers, content_type, body) SELECT seq, '{}', 'application/json', x'7b7d' FROM events;
    INSERT INTO refusals SELECT seq, 's', 1, 401, 'why', NULL, 'POST', '/', '{}', zeroblob(900), 900 FROM events;";

#[test]
fn an_upgrade_that_is_killed_leaves_the_old_version_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    let made = Connection::open(&old).unwrap();
    made.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").unwrap();
    made.execute_batch(FIRST).unwrap();
    made.execute_batch(ROWS).unwrap();
    drop(made);
    let newest: i64 = include_str!("../../../schema.sql")
        .lines()
        .find_map(|line| line.strip_prefix("PRAGMA user_version = "))
        .and_then(|rest| rest.split(';').next()?.parse().ok())
        .unwrap();
    let (mut seen, mut kills) = (Vec::new(), 0);
    for call in ["pwrite64", SYNCS, "ftruncate,unlink"] {
        let places: Box<dyn Iterator<Item = usize>> =
            if is_long() { Box::new(1..) } else { Box::new([1, 3, 9, 40, 100].into_iter()) };
        for nth in places {
            let mut hookbox = Hookbox::new().allow_warning("came with another body").prepare();
            fs::copy(&old, &hookbox.inbox.file).unwrap();
            let fault = format!("signal=SIGKILL:when={nth}");
            hookbox.under(&injecting(&hookbox, call, &["", "-wal", "-journal"], &fault));
            match hookbox.try_to_start() {
                Ok(()) => break,
                Err(status) => assert_eq!(status.signal(), Some(9)),
            }
            kills += 1;
            let version = version_of(&hookbox.inbox.file);
            assert!(version == 1 || version == newest, "{version}");
            seen.push(version);
            hookbox.under(&[]);
            hookbox.start_again();
            hookbox.inbox.assert_sound();
            assert_eq!(version_of(&hookbox.inbox.file), newest);
            let kept = "SELECT (SELECT count(*) FROM payloads JOIN events ON seq = event_seq) || ' ' || (SELECT count(*) FROM refusals)";
            assert_eq!(hookbox.inbox.texts(kept), ["200 200"]);
            assert!(hookbox.send(&github::push().with_id("old-7").with_body("{}")).text().contains("duplicate"));
        }
    }
    assert!(kills >= 6 && seen.contains(&1) && seen.contains(&newest), "{kills} kills, {seen:?}");
    report_count(14, "kill -9 at the Nth write, sync or cut of an upgrade", kills, 200 * kills);
}

fn version_of(inbox: &Path) -> i64 {
    let connection = Connection::open_with_flags(inbox, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let whole: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}
