//! Reaps orphans: processes that handlers leave behind become children of hookbox, as a subreaper or as PID 1 of a
//! container.
//!
//! No zombie stays longer than [`POLL_INTERVAL`]. The reaper never takes the exit status of a handler, since processes
//! that hookbox starts are registered from before they can end until they are reaped.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::{LazyLock, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, waitid, waitpid};

use super::proc_fs;
use crate::support::locks;

const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Processes started by hookbox.
static OWN: LazyLock<Mutex<HashSet<Pid>>> = LazyLock::new(Mutex::default);

/// Shared while a process starts or is reaped, exclusive while orphans are reaped.
static OWN_CHANGES: RwLock<()> = RwLock::new(());

/// Starts a process and registers it as hookbox's own.
pub(crate) fn start_own(start: impl FnOnce() -> io::Result<Pid>) -> io::Result<Pid> {
    let _guard = locks::read(&OWN_CHANGES);
    let pid = start()?;
    locks::lock(&OWN).insert(pid);
    Ok(pid)
}

/// Reaps one of hookbox's own processes.
pub(crate) fn reap_own<T>(pid: Pid, reap: impl FnOnce() -> T) -> T {
    let _guard = locks::read(&OWN_CHANGES);
    locks::lock(&OWN).remove(&pid);
    reap()
}

/// The thread that reaps orphans.
#[derive(Debug)]
pub struct OrphanReaper {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl OrphanReaper {
    /// Makes hookbox the subreaper of its descendants.
    pub fn adopt() -> io::Result<Self> {
        if let Err(error) = set_child_subreaper(Some(getpid())) {
            log::debug!("hookbox is no subreaper, so orphans go to init: {error}");
        }
        let (stop, stopped) = bounded::<()>(0);
        let run = move || {
            while stopped.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                reap();
            }
        };
        let thread = std::thread::Builder::new().name("orphans".into()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Stops the thread. Orphans go to init when hookbox ends.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the orphan reaper panicked");
        }
    }
}

/// Reaps every ended child that is not hookbox's own.
fn reap() {
    // Mostly there is none, which costs one system call.
    let any = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    if !matches!(any, Ok(Some(_))) {
        return;
    }
    let _guard = locks::write(&OWN_CHANGES);
    let own = locks::lock(&OWN);
    let is_orphan = |pid: &Pid| !own.contains(pid);
    for pid in children().into_iter().filter(is_orphan) {
        if proc_fs::info(pid.as_raw_pid()).is_some_and(|child| !child.is_live)
            && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            log::debug!("orphan {pid:?} was not reaped: {error}");
        }
    }
}

/// Children of all threads. Kernels without that list in `/proc` need a scan of all processes.
fn children() -> Vec<Pid> {
    let number = |text: &str| Pid::from_raw(text.parse().ok()?);
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists: Result<Vec<String>, _> =
        threads.map(|thread| fs::read_to_string(thread.path().join("children"))).collect();
    match lists {
        Ok(lists) => lists.iter().flat_map(|list| list.split_whitespace().filter_map(number)).collect(),
        Err(_) => {
            let own = proc_fs::own_pid();
            let all = proc_fs::all().unwrap_or_default().into_iter().filter(|process| process.parent == own);
            all.filter_map(|process| Pid::from_raw(process.pid)).collect()
        }
    }
}
