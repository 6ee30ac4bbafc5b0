//! Records of running processes on disk, for the hookbox that starts after a crash of this one.
//!
//! Each executor thread has one small file in the results folder and overwrites it for each attempt: job, attempt, pid
//! and start time. Each worker process has its own file while it runs. Never synced, since the records must outlive
//! hookbox but not the machine. Without a record, orphans are still recognised by their environment.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

/// File-name prefix, followed by a number.
const PREFIX: &str = "running-";

/// In place of the job id, for worker processes.
const WORKER: i64 = 0;

/// Length of a record in bytes, padded with spaces.
const LENGTH: usize = 96;

thread_local! {
    static FILE: RefCell<Option<(PathBuf, File)>> = const { RefCell::new(None) };
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The session leader of an attempt, or a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidRecord {
    pub(crate) job: i64,
    pub(crate) attempt: u32,
    pub(crate) pid: i32,
    /// The earliest and the latest tick at which the process can have started.
    pub(crate) started_at: (u64, u64),
}

impl PidRecord {
    pub(crate) fn is_worker(&self) -> bool {
        self.job == WORKER
    }
}

/// Records an attempt whose process was started between `before` and now.
pub(crate) fn record(results: &Path, (job, attempt): (i64, u32), pid: Pid, before: u64) {
    let record = PidRecord { job, attempt, pid: pid.as_raw_pid(), started_at: (before, ticks()) };
    let written = FILE.with_borrow_mut(|file| match file {
        Some((folder, file)) if folder == results => write(file, &record),
        _ => {
            let (_, file) = file.insert((results.to_owned(), create(&next_path(results))?));
            write(file, &record)
        }
    });
    if let Err(error) = written {
        log::debug!("job {job} attempt {attempt} could not be recorded: {error}");
    }
}

/// The record of a worker process. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct WorkerRecord(PathBuf);

impl WorkerRecord {
    /// Records a process that was started between `before` and now; `None` if that fails.
    pub(crate) fn new(results: &Path, pid: Pid, before: u64) -> Option<Self> {
        let record = PidRecord { job: WORKER, attempt: 0, pid: pid.as_raw_pid(), started_at: (before, ticks()) };
        // Removes a file that could not be written whole.
        let file = Self(next_path(results));
        let written = create(&file.0).and_then(|file| write(&file, &record));
        written
            .inspect_err(|error| log::debug!("worker process {} could not be recorded: {error}", record.pid))
            .ok()
            .map(|()| file)
    }
}

impl Drop for WorkerRecord {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::debug!("the record of an ended worker process could not be removed: {error}");
            }
            _ => {}
        }
    }
}

/// Hundredths of a second since boot.
pub(crate) fn ticks() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 100 + now.tv_nsec / 10_000_000).unwrap_or(0)
}

/// Reads the records of the previous hookbox: the last attempt of every thread, and worker processes.
pub(crate) fn read(results: &Path) -> Vec<PidRecord> {
    let files = fs::read_dir(results).into_iter().flatten().flatten();
    let records = files.filter(|file| is_record(&file.file_name().to_string_lossy()));
    records.filter_map(|file| parse(&fs::read_to_string(file.path()).ok()?)).collect()
}

/// Whether a file in the results folder is a record, by its name.
pub(crate) fn is_record(name: &str) -> bool {
    name.starts_with(PREFIX)
}

fn next_path(results: &Path) -> PathBuf {
    results.join(format!("{PREFIX}{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write(file: &File, record: &PidRecord) -> io::Result<()> {
    let PidRecord { job, attempt, pid, started_at: (from, to) } = record;
    let line = format!("{:<LENGTH$}\n", format!("{job} {attempt} {pid} {from} {to}"));
    file.write_all_at(line.as_bytes(), 0)
}

fn parse(line: &str) -> Option<PidRecord> {
    let mut fields = line.split_whitespace();
    let mut field = || fields.next();
    let (job, attempt, pid) = (field()?.parse().ok()?, field()?.parse().ok()?, field()?.parse().ok()?);
    Some(PidRecord { job, attempt, pid, started_at: (field()?.parse().ok()?, field()?.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_attempt_of_each_thread_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let pid = |number| Pid::from_raw(number).unwrap();
        record(folder.path(), (1_000_000, 4711), pid(4_000_000), 0);
        record(folder.path(), (7, 1), pid(70), 3);
        std::thread::scope(|scope| scope.spawn(|| record(folder.path(), (8, 2), pid(80), 3)).join().unwrap());
        let mut seen: Vec<_> =
            read(folder.path()).iter().map(|record| (record.job, record.attempt, record.pid)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(7, 1, 70), (8, 2, 80)]);
        fs::write(folder.path().join("running-x"), "7 1").unwrap();
        assert_eq!(read(folder.path()).len(), 2);
        assert_eq!(read(Path::new("/no/such/folder")), []);
        assert!(WorkerRecord::new(Path::new("/no/such/folder"), pid(90), 3).is_none());
        let worker = WorkerRecord::new(folder.path(), pid(90), 3).unwrap();
        record(folder.path(), (9, 1), pid(91), 3);
        let worker_pids = || -> Vec<i32> {
            read(folder.path()).iter().filter(|record| record.is_worker()).map(|record| record.pid).collect()
        };
        assert_eq!(worker_pids(), [90]);
        drop(worker);
        assert_eq!(worker_pids(), [0; 0]);
    }
}
