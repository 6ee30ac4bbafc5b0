//! The processes of one worker: started on demand, kept, watched while idle, replaced when they die or wear out.
//!
//! There are never more than `concurrency`, including those that are ending. Dead processes are not handed out. After a
//! reload with other settings, only new processes get jobs. None is left after [`WorkerPool::join`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::line;
use super::process::WorkerProcess;
use crate::config::{Handler, Mode};
use crate::retry::AttemptExit;
use crate::runner::attempt::{AttemptPurpose, KILL_GRACE};
use crate::runner::cancel::{CancelToken, StopReason};
use crate::runner::environment;
use crate::runner::process::pid_record::{self, WorkerRecord};
use crate::runner::process::spawn::{Stdin, spawn};
use crate::support::locks;

/// Between two checks of idle processes.
const IDLE_CHECK: Duration = Duration::from_millis(500);
/// How long a waiting attempt sleeps before it checks whether it was cancelled.
const WAIT_STEP: Duration = Duration::from_millis(50);
/// The delay of a restart after the first death. It doubles with each further one in a row.
const FIRST_RESTART_DELAY: Duration = Duration::from_millis(50);
const MAX_RESTART_DELAY: Duration = Duration::from_secs(1);
/// How long [`WorkerPool::join`] waits after SIGKILL.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);

/// Numbers for worker processes of all handlers.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
pub(crate) struct WorkerPool {
    results: PathBuf,
    purpose: AttemptPurpose,
    state: Mutex<PoolState>,
    changed: Condvar,
}

#[derive(Debug)]
struct PoolState {
    handler: Arc<Handler>,
    /// Counts changes of the settings.
    generation: u64,
    idle: Vec<WorkerProcess>,
    /// Number of processes, including those that are ending.
    live: usize,
    /// Processes that are ending, by number.
    ending: HashMap<u64, CancelToken>,
    /// Deaths since the last answer.
    deaths: u32,
    not_before: Option<Instant>,
    is_closed: bool,
    has_idle_watch: bool,
}

impl WorkerPool {
    pub(crate) fn new(handler: Arc<Handler>, purpose: AttemptPurpose, results: PathBuf) -> Arc<Self> {
        let state = PoolState {
            handler,
            generation: 0,
            idle: Vec::new(),
            live: 0,
            ending: HashMap::new(),
            deaths: 0,
            not_before: None,
            is_closed: false,
            has_idle_watch: false,
        };
        Arc::new(Self { results, purpose, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Returns an idle process, or starts one as soon as there is room.
    pub(super) fn take(self: &Arc<Self>, cancel: &CancelToken) -> Result<WorkerProcess, AttemptExit> {
        let mut state = self.lock();
        let (handler, generation) = loop {
            if let Some(reason) = cancel.reason() {
                return Err(reason.exit());
            }
            if let Some(worker) = state.idle.pop() {
                return Ok(worker);
            }
            let delay = state.not_before.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
            if state.live < state.handler.concurrency && delay.is_zero() {
                state.live += 1;
                break (state.handler.clone(), state.generation);
            }
            let step = if delay.is_zero() { WAIT_STEP } else { delay.min(WAIT_STEP) };
            state = locks::wait_timeout(&self.changed, state, step);
        };
        drop(state);
        self.start(&handler, generation).inspect_err(|_| self.remove(false))
    }

    fn start(self: &Arc<Self>, handler: &Handler, generation: u64) -> Result<WorkerProcess, AttemptExit> {
        let mark = self.results.join(format!("worker-{}", NUMBERS.fetch_add(1, Ordering::Relaxed)));
        let environment = environment::worker_environment(handler, self.purpose, &mark, &|name| std::env::var_os(name));
        let before = pid_record::ticks();
        let process = spawn(handler, &environment, Stdin::beginning(line::GREETING))?;
        let record = WorkerRecord::new(&self.results, process.pid, before);
        self.start_idle_watch();
        Ok(WorkerProcess::new(process, record, handler.respond.is_some(), generation))
    }

    /// Takes back a process that has answered.
    pub(super) fn give_back(self: &Arc<Self>, worker: WorkerProcess) {
        let mut state = self.lock();
        (state.deaths, state.not_before) = (0, None);
        let is_worn = match state.handler.mode {
            Mode::Worker { max_jobs: Some(most) } => worker.answered >= most,
            _ => false,
        };
        let is_surplus = state.live > state.handler.concurrency || worker.generation != state.generation;
        if is_worn || is_surplus || state.is_closed || worker.has_unread_output() {
            drop(state);
            return self.dismiss(worker);
        }
        state.idle.push(worker);
        drop(state);
        self.changed.notify_one();
    }

    /// Ends a process on its own thread: end of file, SIGTERM, SIGKILL. It counts as live until it is gone.
    pub(super) fn dismiss(self: &Arc<Self>, mut worker: WorkerProcess) {
        worker.close_stdin();
        let Ok(cancel) = CancelToken::new() else {
            // Nobody could hurry it without a token. It ends by itself or not at all.
            log::warn!("a worker process is dismissed but not waited for: no file descriptor is left");
            return self.remove(false);
        };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.lock().ending.insert(number, cancel.clone());
        let pool = self.clone();
        let wait = move || {
            drop(worker.end(KILL_GRACE, &cancel));
            pool.lock().ending.remove(&number);
            pool.remove(false);
        };
        if let Err(error) = std::thread::Builder::new().name("worker-end".into()).spawn(wait) {
            log::warn!("a worker process is dismissed but not waited for: {error}");
            self.lock().ending.remove(&number);
            self.remove(false);
        }
    }

    /// Removes a process that is gone. `has_died`: while it had a job.
    pub(super) fn remove(&self, has_died: bool) {
        let mut state = self.lock();
        state.live = state.live.saturating_sub(1);
        if has_died {
            let delay = FIRST_RESTART_DELAY.saturating_mul(2_u32.saturating_pow(state.deaths)).min(MAX_RESTART_DELAY);
            state.deaths = state.deaths.saturating_add(1);
            state.not_before = Instant::now().checked_add(delay);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Applies the settings to new processes, and dismisses idle ones that have others.
    pub(crate) fn reload(self: &Arc<Self>, handler: &Arc<Handler>) {
        let mut state = self.lock();
        let is_same = *state.handler == **handler;
        state.handler = handler.clone();
        if is_same {
            return;
        }
        state.generation += 1;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.into_iter().for_each(|worker| self.dismiss(worker));
    }

    /// Dismisses idle processes now, and busy ones after their job.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        self.changed.notify_all();
        idle.into_iter().for_each(|worker| self.dismiss(worker));
    }

    /// Waits until all processes are gone, after [`WorkerPool::close`]: SIGTERM at `term_at`, SIGKILL at `kill_at`.
    pub(crate) fn join(&self, term_at: Instant, kill_at: Instant) {
        let deadline = kill_at.max(Instant::now()) + JOIN_PATIENCE;
        let mut state = self.lock();
        while state.live > 0 && Instant::now() < deadline {
            let now = Instant::now();
            for cancel in state.ending.values() {
                match now {
                    now if now >= kill_at => cancel.kill(),
                    now if now >= term_at => cancel.stop(StopReason::Shutdown),
                    _ => {}
                }
            }
            state = locks::wait_timeout(&self.changed, state, WAIT_STEP);
        }
        if state.live > 0 {
            log::error!("{} worker processes of handler `{}` do not end", state.live, state.handler.name);
        }
    }

    /// Starts the thread that watches idle processes, once.
    fn start_idle_watch(self: &Arc<Self>) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.has_idle_watch, true) {
            return;
        }
        let pool = self.clone();
        if let Err(error) = std::thread::Builder::new().name("worker-idle".into()).spawn(move || pool.watch_idle()) {
            log::warn!("idle worker processes are not watched: {error}");
            state.has_idle_watch = false;
        }
    }

    fn watch_idle(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.is_closed {
            state = locks::wait_timeout(&self.changed, state, IDLE_CHECK);
            let mut broken = Vec::new();
            let mut at = 0;
            while at < state.idle.len() {
                match state.idle[at].check_idle() {
                    Some(reason) => broken.push((state.idle.remove(at), reason)),
                    None => at += 1,
                }
            }
            if broken.is_empty() {
                continue;
            }
            let name = state.handler.name.clone();
            drop(state);
            for (worker, reason) in broken {
                log::warn!("worker process of handler `{name}` replaced: {reason}");
                self.dismiss(worker);
            }
            state = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        locks::lock(&self.state)
    }
}
