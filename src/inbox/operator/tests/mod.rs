//! Which files a person's way in opens, and which it refuses and leaves as they are.
//!
//! Over real files in a scratch folder, some of them in the hands of another process.

use std::os::unix::fs::PermissionsExt as _;

mod bulk_update;

use super::*;
use crate::inbox::tests::Sample;

fn refusal(path: &Path) -> String {
    InboxFile::open(path).unwrap_err().to_string()
}

#[test]
fn a_missing_file_is_refused_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hookbox.db");
    assert!(refusal(&path).ends_with("hookbox.db: there is no inbox"));
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_no_inbox_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "x".repeat(5000)).unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let other = folder.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    for path in [&text, &empty, &other, &folder.path().to_owned()] {
        let before = fs::read(path).ok();
        assert!(refusal(path).contains("is not a hookbox inbox"), "{}", refusal(path));
        assert_eq!(fs::read(path).ok(), before);
    }
}

#[test]
fn another_version_is_refused_with_what_to_do() {
    let sample = Sample::new();
    for (version, hint) in [(SCHEMA_VERSION + 1, "newer"), (SCHEMA_VERSION - 1, "serve")] {
        sample.run(&format!("PRAGMA user_version = {version}"));
        let error = InboxFile::open(&sample.path()).unwrap_err();
        assert!(error.is_wrong_file());
        assert!(error.to_string().contains(&format!("has version {version}")), "{error}");
        assert!(error.hint().unwrap().contains(hint));
    }
}

#[test]
fn a_writer_that_does_not_let_go_is_told() {
    let sample = Sample::new();
    let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
    assert!(InboxFileError::from_sqlite(&sample.path(), &error).to_string().contains("for 5 s"));
}

#[test]
fn what_another_process_wrote_is_seen_at_once() {
    let sample = Sample::new();
    let file = InboxFile::open(&sample.path()).unwrap();
    let newest = || file.reader().newest_seq();
    assert_eq!(newest().unwrap(), None);
    sample.event("s", "a", "t", 1);
    assert_eq!(newest().unwrap(), Some(1));
}

#[test]
fn an_inbox_on_a_read_only_place_is_taken_as_it_is() {
    let sample = Sample::new();
    sample.event("s", "a", "t", 1);
    let path = sample.path();
    let copy = path.with_file_name("odd %41?#.db");
    sample.connection.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o400)).unwrap();
    let connection = Connection::open_with_flags(immutable(&copy), READING | OpenFlags::SQLITE_OPEN_URI).unwrap();
    assert_eq!(connection.query_row("SELECT event_id FROM events", [], |row| row.get::<_, String>(0)).unwrap(), "a");
    assert!(InboxFile::open(&copy).is_ok());
}

#[test]
fn the_lock_tells_who_serves() {
    let sample = Sample::new();
    assert_eq!(served_by(&sample.path()).unwrap(), None);
    fs::write(lock_path(&sample.path()), "4711\n").unwrap();
    assert_eq!(served_by(&sample.path()).unwrap(), None);
    let held = File::open(lock_path(&sample.path())).unwrap();
    held.lock().unwrap();
    assert_eq!(served_by(&sample.path()).unwrap(), Some(4711));
}
