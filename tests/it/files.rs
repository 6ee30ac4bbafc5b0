//! Files that hookbox refuses to open, with exit status 2 and unchanged: locked, foreign, newer or unwritable ones.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rusqlite::Connection;

use crate::support::running::Done;
use crate::support::{Hookbox, github};

/// A kind of file, and how to create one.
type Maker<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn files_are_readable_by_their_owner_only() {
    let hookbox = Hookbox::new().start();
    hookbox.deliver(github::push());
    for name in ["hookbox.db", "hookbox.db-wal", "hookbox.db-shm", "hookbox.db.lock"] {
        let mode = fs::metadata(hookbox.folder().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn new_file_has_the_schema_of_schema_sql() {
    let hookbox = Hookbox::new().start();
    let fresh = Connection::open_in_memory().unwrap();
    fresh.execute_batch(include_str!("../../schema.sql")).unwrap();
    let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1";
    let mut statement = fresh.prepare(sql).unwrap();
    let expected: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(hookbox.inbox.texts(sql), expected);
    for pragma in ["PRAGMA application_id", "PRAGMA user_version"] {
        let wanted: i64 = fresh.query_row(pragma, [], |row| row.get(0)).unwrap();
        assert_eq!(hookbox.inbox.number(pragma), wanted, "{pragma}");
    }
}

#[test]
fn second_hookbox_on_the_same_file_is_refused() {
    let hookbox = Hookbox::new().start();
    let second = hookbox.run(&["serve"]);
    assert_refused(&second, "hookbox.db");
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "unmatched");
}

#[test]
fn file_of_a_newer_hookbox_is_refused_and_unchanged() {
    let mut hookbox = Hookbox::new().start();
    hookbox.deliver(github::push());
    assert!(hookbox.stop().success());
    hookbox.inbox.writer().execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 999").unwrap();
    let before = fs::read(&hookbox.inbox.file).unwrap();
    for arguments in [&["serve"][..], &["events"], &["retry", "--all"]] {
        assert_refused(&hookbox.run(arguments), "999");
    }
    assert_eq!(fs::read(&hookbox.inbox.file).unwrap(), before);
}

#[test]
fn file_of_another_program_is_refused_and_unchanged() {
    let text = b"not a database at all, but somebody's notes\n".repeat(40);
    let foreign = |file: &Path| {
        let connection = Connection::open(file).unwrap();
        connection.execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')").unwrap();
    };
    let notes = |file: &Path| fs::write(file, &text).unwrap();
    let makers: [Maker<'_>; 2] = [("a text file", &notes), ("another program's database", &foreign)];
    for (what, make) in makers {
        let hookbox = Hookbox::new();
        let file = hookbox.folder().join("hookbox.db");
        make(&file);
        let before = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().mode());
        assert_refused(&hookbox.refuse_to_start(), "hookbox.db");
        assert_eq!((fs::read(&file).unwrap(), fs::metadata(&file).unwrap().mode()), before, "{what}");
    }
}

#[test]
fn unwritable_folder_is_refused() {
    // Nobody can create a file there, not even root.
    let hookbox = Hookbox::new().inbox("path = \"/proc/hookbox.db\"");
    assert_refused(&hookbox.refuse_to_start(), "/proc/hookbox.db");
    let hookbox = Hookbox::new().inbox("path = \"no/such/folder/hookbox.db\"");
    assert_refused(&hookbox.refuse_to_start(), "no/such/folder");
}

#[test]
fn address_in_use_is_refused_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let hookbox = Hookbox::new();
    hookbox.write();
    let file = hookbox.folder().join("hookbox.toml");
    let text = fs::read_to_string(&file).unwrap().replacen("127.0.0.1:0", &address, 1);
    let done = Hookbox::new().configured(&text).refuse_to_start();
    assert_eq!(done.status, Some(1), "not 2, so that systemd tries again: {done:?}");
    assert!(done.stderr.contains(&address), "{done:?}");
}

#[test]
fn views_are_readable_in_the_sqlite_shell() {
    let hookbox = Hookbox::new()
        .handler("deploy", crate::support::script::sh("echo 'no such branch' >&2; exit 65"))
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let line = hookbox.inbox.texts("SELECT received_at || ' ' || source || ' ' || type || ' ' || event_id FROM inbox");
    assert!(line[0].ends_with(&format!("Z github push {}", event.id)), "{line:?}");
    assert_eq!(hookbox.inbox.texts("SELECT trim(last_error, char(10)) FROM failing"), ["no such branch"]);
    assert_eq!(hookbox.inbox.texts("SELECT source || ' ' || accepted FROM activity"), ["github 1"]);
}

fn assert_refused(done: &Done, named: &str) {
    assert_eq!(done.status, Some(2), "{done:?}");
    assert!(done.stderr.contains("error:") && done.stderr.contains(named), "{done:?}");
    assert!(!done.stderr.contains("panicked"), "{done:?}");
}
