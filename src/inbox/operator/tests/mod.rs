//! Which files are opened and which are rejected unchanged, with real files in a temporary folder.

mod bulk_update;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::inbox_file::{READ_ONLY, immutable};
use super::*;
use crate::inbox::lock_path;
use crate::inbox::schema::SCHEMA_VERSION;
use crate::inbox::tests::Sample;

fn refusal(path: &Path) -> String {
    InboxFile::open(path).unwrap_err().to_string()
}

#[test]
fn missing_file_is_rejected_and_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hookbox.db");
    assert!(refusal(&path).ends_with("hookbox.db: there is no inbox"));
    assert!(!path.exists());
}

#[test]
fn other_files_are_rejected_and_not_changed() {
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
fn other_version_is_rejected_with_a_hint() {
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
fn busy_error_says_for_how_long() {
    let sample = Sample::new();
    let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
    assert!(InboxFileError::from_sqlite(&sample.path(), &error).to_string().contains("for 5 s"));
}

#[test]
fn commits_of_other_processes_are_visible() {
    let sample = Sample::new();
    let file = InboxFile::open(&sample.path()).unwrap();
    let newest = || file.reader().newest_seq();
    assert_eq!(newest().unwrap(), None);
    sample.event("s", "a", "t", 1);
    assert_eq!(newest().unwrap(), Some(1));
}

#[test]
fn read_only_inbox_is_opened_as_immutable() {
    let sample = Sample::new();
    sample.event("s", "a", "t", 1);
    let path = sample.path();
    let copy = path.with_file_name("odd %41?#.db");
    sample.connection.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o400)).unwrap();
    let connection = Connection::open_with_flags(immutable(&copy), READ_ONLY | OpenFlags::SQLITE_OPEN_URI).unwrap();
    assert_eq!(connection.query_row("SELECT event_id FROM events", [], |row| row.get::<_, String>(0)).unwrap(), "a");
    assert!(InboxFile::open(&copy).is_ok());
}

#[test]
fn lock_names_the_process_that_serves() {
    let sample = Sample::new();
    assert_eq!(served_by(&sample.path()).unwrap(), None);
    fs::write(lock_path(&sample.path()), "4711\n").unwrap();
    assert_eq!(served_by(&sample.path()).unwrap(), None);
    let held = File::open(lock_path(&sample.path())).unwrap();
    held.lock().unwrap();
    assert_eq!(served_by(&sample.path()).unwrap(), Some(4711));
}
