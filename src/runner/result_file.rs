//! The result file, by which a command tells hookbox more than an exit status.
//!
//! Nothing that a handler leaves there can hurt: hookbox follows no link, waits for no pipe, reads at most
//! [`MAX_RESULT_BYTES`] and removes the file afterwards.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use serde_json::{Map, Value};

use crate::config::RunAs;
use crate::retry::HandlerDirectives;

pub(super) const MAX_RESULT_BYTES: u64 = 64 * 1024;

/// Longer delays are cut to this.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Longer texts (`dead`, `note`, …) are cut to this, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 1024;

pub(super) const KEYS: [&str; 5] = ["retry_after", "dead", "note", "status", "content_type"];

/// The result file of one attempt.
#[derive(Debug)]
pub(super) struct ResultFile {
    path: PathBuf,
}

impl ResultFile {
    /// Chooses the path and removes a stale file. A handler with a `user` gets a folder of that user next to `folder`.
    pub(super) fn new(folder: &Path, job: (i64, u32), user: Option<&RunAs>) -> io::Result<Self> {
        let path = match user {
            None => folder.join(Self::name_of(job.0, job.1)),
            Some(user) => user_folder(folder, user)?.join(Self::name_of(job.0, job.1)),
        };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self { path }),
        }
    }

    pub(super) fn name_of(job_id: i64, attempt: u32) -> String {
        format!("{job_id}-{attempt}.json")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and removes the file. Also returns a note for each thing that hookbox did not understand.
    pub(super) fn take(self) -> (HandlerDirectives, Vec<String>) {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(format!("result file: {problem}"));
        let directives = match read(&self.path) {
            Ok(None) => return (HandlerDirectives::default(), problems),
            Ok(Some(text)) => parse(&text, &mut note),
            Err(error) => {
                note(error.to_string());
                HandlerDirectives::default()
            }
        };
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(&self.path),
            removed => removed,
        };
        if let Err(error) = removed {
            note(format!("cannot be removed: {error}"));
        }
        (directives, problems)
    }
}

/// `FOLDER-UID`, accessible to that user only.
fn user_folder(folder: &Path, user: &RunAs) -> io::Result<PathBuf> {
    let mut name = folder.as_os_str().to_owned();
    name.push(format!("-{}", user.uid));
    let own = PathBuf::from(name);
    match fs::DirBuilder::new().mode(0o700).create(&own) {
        Ok(()) => std::os::unix::fs::chown(&own, Some(user.uid), Some(user.gid))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(own)
}

/// Removes the folder for result files and those of users.
pub fn remove_result_files(folder: &Path) -> io::Result<()> {
    let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
    let is_of_user = |entry: &fs::DirEntry| {
        let found = entry.file_name();
        let rest = found.as_encoded_bytes().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"-"));
        rest.is_some_and(|uid| !uid.is_empty() && uid.iter().all(u8::is_ascii_digit))
    };
    let siblings = folder.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let all = siblings.filter(is_of_user).map(|entry| entry.path()).chain([folder.to_owned()]);
    let mut all_removed = Ok(());
    for folder in all {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => all_removed = Err(error),
            _ => {}
        }
    }
    all_removed
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(io::Error::other("is a symbolic link; ignored")),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("is not a regular file; ignored"));
    }
    let mut text = Vec::new();
    let read = fs::File::from(file).take(MAX_RESULT_BYTES + 1).read_to_end(&mut text)?;
    if read as u64 > MAX_RESULT_BYTES {
        return Err(io::Error::other(format!("is longer than {MAX_RESULT_BYTES} bytes; ignored")));
    }
    Ok(Some(text))
}

fn parse(text: &[u8], note: &mut dyn FnMut(String)) -> HandlerDirectives {
    if text.trim_ascii().is_empty() {
        return HandlerDirectives::default();
    }
    let object: Map<String, Value> = match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => {
            note("is not a JSON object; ignored".to_owned());
            return HandlerDirectives::default();
        }
        Err(error) => {
            note(format!("is not JSON ({error}); ignored"));
            return HandlerDirectives::default();
        }
    };
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        note(format!("`{}` is none of {}; ignored", shortened(key), KEYS.join(", ")));
    }
    let mut wrong = |key: &str, wanted: &str| note(format!("`{key}` is not {wanted}; ignored"));
    let wanted = object.get("status").filter(|value| !value.is_null());
    let status = wanted.and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    if wanted.is_some() && status.is_none() {
        wrong("status", "an HTTP status");
    }
    let mut text = |key: &str| match object.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(shortened(text)),
        Some(_) => {
            wrong(key, "a string");
            None
        }
    };
    let dead = text("dead").map(dead_reason);
    let handler_note = text("note").filter(|text| !text.is_empty());
    let content_type = text("content_type").filter(|text| !text.is_empty());
    let delay = object.get("retry_after").filter(|value| !value.is_null());
    let retry_after = delay.and_then(retry_after);
    if delay.is_some() && retry_after.is_none() {
        wrong("retry_after", "a duration such as \"5m\"");
    }
    HandlerDirectives { retry_after, dead, note: handler_note, status, content_type }
}

/// `"5m"`, or seconds as in the HTTP header Retry-After.
pub(super) fn retry_after(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => match humantime::parse_duration(text.trim()) {
            Ok(span) => return Some(span.min(MAX_RETRY_AFTER)),
            Err(_) => text.trim().parse().ok(),
        },
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(|delay| delay.min(MAX_RETRY_AFTER))
}

/// A shortened `dead` reason, never empty.
pub(super) fn dead_reason(reason: String) -> String {
    if reason.is_empty() { "no reason given".to_owned() } else { reason }
}

/// A text for the inbox, within its limit.
pub(super) fn shortened(text: &str) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn taken(write: impl FnOnce(&Path)) -> (HandlerDirectives, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = ResultFile::new(folder.path(), (7, 1), None).unwrap();
        write(file.path());
        let taken = file.take();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
        taken
    }

    fn text(text: impl AsRef<[u8]>) -> (HandlerDirectives, Vec<String>) {
        taken(|path| fs::write(path, text).unwrap())
    }

    #[test]
    fn directives_are_parsed() {
        let pause = |seconds| HandlerDirectives {
            retry_after: Some(Duration::from_secs_f64(seconds)),
            ..HandlerDirectives::default()
        };
        let dead = |reason: &str| HandlerDirectives { dead: Some(reason.into()), ..HandlerDirectives::default() };
        let note = |text: &str| HandlerDirectives { note: Some(text.into()), ..HandlerDirectives::default() };
        let max = MAX_RETRY_AFTER.as_secs_f64();
        let long = "é".repeat(2000);
        let table = [
            ("", HandlerDirectives::default()),
            (" \n", HandlerDirectives::default()),
            ("{}", HandlerDirectives::default()),
            (r#"{"retry_after":"5m"}"#, pause(300.0)),
            (r#"{"retry_after":"1h 30m"}"#, pause(5400.0)),
            (r#"{"retry_after":"90"}"#, pause(90.0)),
            (r#"{"retry_after":90}"#, pause(90.0)),
            (r#"{"retry_after":1.5}"#, pause(1.5)),
            (r#"{"retry_after":0}"#, pause(0.0)),
            (r#"{"retry_after":"10years"}"#, pause(max)),
            (r#"{"retry_after":1e15}"#, pause(max)),
            (r#"{"retry_after":null,"dead":null,"note":null}"#, HandlerDirectives::default()),
            ("{\"dead\":\"no such user\"}\n", dead("no such user")),
            (r#"{"dead":" "}"#, dead("no reason given")),
            (r#"{"note":"sent 3 mails"}"#, note("sent 3 mails")),
            (r#"{"note":""}"#, HandlerDirectives::default()),
            (r#"{"status":201}"#, HandlerDirectives { status: Some(201), ..HandlerDirectives::default() }),
            (
                r#"{"content_type":"a/b"}"#,
                HandlerDirectives { content_type: Some("a/b".into()), ..HandlerDirectives::default() },
            ),
            (&format!(r#"{{"note":"{long}"}}"#), note(&"é".repeat(512))),
        ];
        for (written, expected) in table {
            assert_eq!(text(written), (expected, vec![]), "{written}");
        }
        let all = text(r#"{"retry_after":"1s","dead":"x","note":"y"}"#).0;
        assert_eq!(all, HandlerDirectives { note: Some("y".into()), dead: Some("x".into()), ..pause(1.0) });
    }

    #[test]
    fn invalid_content_becomes_a_note() {
        let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(70_000));
        let table: [(&[u8], &str); 11] = [
            (b"dead", "is not JSON"),
            (b"{\"dead\":\"x\"} trailing", "is not JSON"),
            (b"\xff\xfe", "is not JSON"),
            (b"[]", "is not a JSON object"),
            (br#"{"deaad":"typo"}"#, "`deaad` is none of retry_after, dead, note, status, content_type"),
            (br#"{"status":"created"}"#, "`status` is not an HTTP status"),
            (br#"{"dead":true}"#, "`dead` is not a string"),
            (br#"{"note":["x"]}"#, "`note` is not a string"),
            (br#"{"retry_after":"soon"}"#, "`retry_after` is not a duration"),
            (br#"{"retry_after":-1}"#, "`retry_after` is not a duration"),
            (long.as_bytes(), "is longer than 65536 bytes"),
        ];
        for (written, expected) in table {
            let (taken, problems) = text(written);
            assert_eq!(taken, HandlerDirectives::default());
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}, not {expected}");
        }
        let (mixed, problems) = text(r#"{"retry_after":true,"note":"kept"}"#);
        assert_eq!((mixed.note.as_deref(), problems.len()), (Some("kept"), 1));
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, r#"{"dead":"read through the link"}"#).unwrap();
        let link = taken(|path| symlink(&secret, path).unwrap());
        let pipe = taken(|path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        });
        let folder = taken(|path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("inside"), "").unwrap();
        });
        for ((taken, problems), expected) in
            [(link, "symbolic link"), (pipe, "not a regular"), (folder, "not a regular")]
        {
            assert_eq!(taken, HandlerDirectives::default());
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        }
        assert!(secret.exists());
    }

    #[test]
    fn missing_file_is_fine_and_stale_file_is_removed() {
        assert_eq!(taken(|_| ()), (HandlerDirectives::default(), vec![]));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("7-1.json"), r#"{"dead":"stale"}"#).unwrap();
        let file = ResultFile::new(folder.path(), (7, 1), None).unwrap();
        assert_eq!(file.take(), (HandlerDirectives::default(), vec![]));
    }
}
