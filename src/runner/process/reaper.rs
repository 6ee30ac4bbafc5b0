//! OrphanReaper: processes that handlers left behind come to hookbox, as a subreaper or as the first process of a container,
//! and are reaped there.
//!
//! Promises: no zombie stays for longer than [`LOOK_EVERY`], and no exit status of a handler is ever taken away: every
//! process that hookbox starts is known here from before it can end until it is reaped.

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

/// Between two looks for what has ended.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// hookbox's own processes, by number.
static OWN: LazyLock<Mutex<HashSet<Pid>>> = LazyLock::new(Mutex::default);

/// Held, shared, while a process comes or goes, and alone while orphans are looked for.
static COMINGS_AND_GOINGS: RwLock<()> = RwLock::new(());

/// Starts a process and remembers it as hookbox's own.
pub(in crate::runner) fn started(start: impl FnOnce() -> io::Result<Pid>) -> io::Result<Pid> {
    let _held = locks::read(&COMINGS_AND_GOINGS);
    let pid = start()?;
    locks::lock(&OWN).insert(pid);
    Ok(pid)
}

/// Reaps a process of hookbox's own, which is no longer known afterwards.
pub(in crate::runner) fn reaped<T>(pid: Pid, reap: impl FnOnce() -> T) -> T {
    let _held = locks::read(&COMINGS_AND_GOINGS);
    locks::lock(&OWN).remove(&pid);
    reap()
}

/// The thread that reaps orphans; ends when told to.
#[derive(Debug)]
pub struct OrphanReaper {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl OrphanReaper {
    /// From now on what handlers leave behind comes to hookbox.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn adopt() -> io::Result<Self> {
        if let Err(error) = set_child_subreaper(Some(getpid())) {
            log::debug!("what handlers leave behind goes to init: {error}");
        }
        let (end, ends) = bounded::<()>(0);
        let look = move || {
            while ends.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                reap();
            }
        };
        let thread = std::thread::Builder::new().name("orphans".into()).spawn(look)?;
        Ok(Self { end, thread })
    }

    /// Reaps no more; orphans go to init when hookbox ends.
    pub fn stop(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            log::error!("the reaper of orphans ended in a panic");
        }
    }
}

/// Reaps every child that has ended and is not hookbox's own.
fn reap() {
    // Mostly there is none: one system call tells.
    let any = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    if !matches!(any, Ok(Some(_))) {
        return;
    }
    let _alone = locks::write(&COMINGS_AND_GOINGS);
    let own = locks::lock(&OWN);
    let is_orphan = |pid: &Pid| !own.contains(pid);
    for pid in children().into_iter().filter(is_orphan) {
        if proc_fs::seen(pid.as_raw_pid()).is_some_and(|child| !child.is_live)
            && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            log::debug!("orphan {pid:?} was not reaped: {error}");
        }
    }
}

/// Children of all threads. Without that list in /proc, as on some kernels, all processes are looked at.
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
