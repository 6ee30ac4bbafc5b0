//! Who runs what, on disk: for the hookbox that comes after one that was killed.
//!
//! Each thread that starts handlers keeps one small file beside the result files and writes one line over it for each
//! attempt: job, attempt, process, and when it was started. A process that is kept for many jobs has a file of its own for
//! as long as it runs. They are never synced: they have to outlive hookbox, not the machine. Where one cannot be written,
//! leftovers are still known by their environment.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

/// How the files are called, before a number.
const NAME: &str = "running-";

/// In the place of a job, for a process that is kept for many jobs.
const WORKER: i64 = 0;

/// Bytes of a record; shorter ones are filled up.
const LENGTH: usize = 96;

thread_local! {
    static FILE: RefCell<Option<(PathBuf, File)>> = const { RefCell::new(None) };
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The leader of an attempt's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runner) struct Leader {
    pub(in crate::runner) job: i64,
    pub(in crate::runner) attempt: u32,
    pub(in crate::runner) pid: i32,
    /// The earliest and the latest tick at which it can have been started.
    pub(in crate::runner) started_at: (u64, u64),
}

impl Leader {
    /// Whether its process is kept for many jobs.
    pub(in crate::runner) fn is_kept(&self) -> bool {
        self.job == WORKER
    }
}

/// Notes an attempt whose process was started between `before` and now.
pub(in crate::runner) fn note(results: &Path, (job, attempt): (i64, u32), pid: Pid, before: u64) {
    let leader = Leader { job, attempt, pid: pid.as_raw_pid(), started_at: (before, ticks()) };
    let written = FILE.with_borrow_mut(|file| match file {
        Some((folder, file)) if folder == results => write(file, &leader),
        _ => {
            let (_, file) = file.insert((results.to_owned(), create(&next_path(results))?));
            write(file, &leader)
        }
    });
    if let Err(error) = written {
        log::debug!("job {job} attempt {attempt} is not on record: {error}");
    }
}

/// A process that is kept for many jobs: on record until this is dropped.
#[derive(Debug)]
pub(in crate::runner) struct OnRecord(PathBuf);

impl OnRecord {
    /// Notes a process that was started between `before` and now; `None` where that cannot be written.
    pub(in crate::runner) fn new(results: &Path, pid: Pid, before: u64) -> Option<Self> {
        let leader = Leader { job: WORKER, attempt: 0, pid: pid.as_raw_pid(), started_at: (before, ticks()) };
        let path = next_path(results);
        let on_record = Self(path.clone());
        let written = create(&path).and_then(|file| write(&file, &leader));
        written.inspect_err(|error| log::debug!("worker {} is not on record: {error}", leader.pid)).ok()?;
        Some(on_record)
    }
}

impl Drop for OnRecord {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::debug!("the record of a worker that has ended stays: {error}");
            }
            _ => {}
        }
    }
}

/// Hundredths of a second since the machine was started.
pub(in crate::runner) fn ticks() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 100 + now.tv_nsec / 10_000_000).unwrap_or(0)
}

/// The last attempt of every thread of the hookbox that was there before.
pub(in crate::runner) fn read(results: &Path) -> Vec<Leader> {
    let files = fs::read_dir(results).into_iter().flatten().flatten();
    let records = files.filter(|file| is_record(&file.file_name().to_string_lossy()));
    records.filter_map(|file| parse(&fs::read_to_string(file.path()).ok()?)).collect()
}

/// Whether a file in the folder of results is one of these.
pub(in crate::runner) fn is_record(name: &str) -> bool {
    name.starts_with(NAME)
}

fn next_path(results: &Path) -> PathBuf {
    results.join(format!("{NAME}{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write(file: &File, leader: &Leader) -> io::Result<()> {
    let Leader { job, attempt, pid, started_at: (from, to) } = leader;
    let line = format!("{:<LENGTH$}\n", format!("{job} {attempt} {pid} {from} {to}"));
    file.write_all_at(line.as_bytes(), 0)
}

fn parse(line: &str) -> Option<Leader> {
    let mut fields = line.split_whitespace();
    let mut field = || fields.next();
    let (job, attempt, pid) = (field()?.parse().ok()?, field()?.parse().ok()?, field()?.parse().ok()?);
    Some(Leader { job, attempt, pid, started_at: (field()?.parse().ok()?, field()?.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_of_each_thread_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let pid = |number| Pid::from_raw(number).unwrap();
        note(folder.path(), (1_000_000, 4711), pid(4_000_000), 0);
        note(folder.path(), (7, 1), pid(70), 3);
        std::thread::scope(|scope| scope.spawn(|| note(folder.path(), (8, 2), pid(80), 3)).join().unwrap());
        let mut seen: Vec<_> =
            read(folder.path()).iter().map(|leader| (leader.job, leader.attempt, leader.pid)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(7, 1, 70), (8, 2, 80)]);
        fs::write(folder.path().join("running-x"), "7 1").unwrap();
        assert_eq!(read(folder.path()).len(), 2);
        assert_eq!(read(Path::new("/no/such/folder")), []);
        assert!(OnRecord::new(Path::new("/no/such/folder"), pid(90), 3).is_none());
        let kept = OnRecord::new(folder.path(), pid(90), 3).unwrap();
        note(folder.path(), (9, 1), pid(91), 3);
        let kept_pids = || -> Vec<i32> {
            read(folder.path()).iter().filter(|leader| leader.is_kept()).map(|leader| leader.pid).collect()
        };
        assert_eq!(kept_pids(), [90]);
        drop(kept);
        assert_eq!(kept_pids(), [0; 0]);
    }
}
