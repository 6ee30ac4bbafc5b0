//! The copies of one worker: started when they are needed, kept, looked after while idle, replaced when they are worn.
//!
//! Whoever has a job takes a copy and gives it back. Promises: never more copies than `concurrency`, those on their way
//! out included; what an idle copy writes is read; one that died is not handed out; after a reload with other settings
//! only fresh copies get jobs; and none is left after the end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::super::cancel::{CancelToken, StopReason};
use super::super::process::pid_record::{self, OnRecord};
use super::super::process::spawn::{self, Input};
use super::super::{AttemptPurpose, KILL_GRACE, environment};
use super::line;
use super::process::Copied;
use crate::config::{self, Mode};
use crate::retry::AttemptExit;
use crate::support::locks;

/// Between two looks at idle copies.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long whoever waits for a place does so before he looks whether he still should.
const WAIT_STEP: Duration = Duration::from_millis(50);
/// After the first death; each further one in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Beyond the graces of a copy that ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers for copies, of whichever worker.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The copies of one worker.
#[derive(Debug)]
pub(in crate::runner) struct Pool {
    results: PathBuf,
    purpose: AttemptPurpose,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    handler: Arc<config::Handler>,
    /// Counts changes of the settings.
    generation: u64,
    idle: Vec<Copied>,
    /// Copies that run, those on their way out included.
    live: usize,
    /// On their way out.
    leaving: HashMap<u64, CancelToken>,
    /// Deaths since the last answer.
    deaths: u32,
    not_before: Option<Instant>,
    is_closed: bool,
    has_keeper: bool,
}

impl Pool {
    pub(in crate::runner) fn new(
        handler: Arc<config::Handler>,
        purpose: AttemptPurpose,
        results: PathBuf,
    ) -> Arc<Self> {
        let state = State {
            handler,
            generation: 0,
            idle: Vec::new(),
            live: 0,
            leaving: HashMap::new(),
            deaths: 0,
            not_before: None,
            is_closed: false,
            has_keeper: false,
        };
        Arc::new(Self { results, purpose, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// An idle copy, or a fresh one once there is a place for it.
    pub(super) fn take(self: &Arc<Self>, cancel: &CancelToken) -> Result<Copied, AttemptExit> {
        let mut state = self.lock();
        let (handler, generation) = loop {
            if let Some(why) = cancel.why() {
                return Err(why.exit());
            }
            if let Some(copy) = state.idle.pop() {
                return Ok(copy);
            }
            let pause = state.not_before.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
            if state.live < state.handler.concurrency && pause.is_zero() {
                state.live += 1;
                break (state.handler.clone(), state.generation);
            }
            let step = if pause.is_zero() { WAIT_STEP } else { pause.min(WAIT_STEP) };
            state = locks::wait_timeout(&self.changed, state, step);
        };
        drop(state);
        self.start(&handler, generation).inspect_err(|_| self.left(false))
    }

    fn start(self: &Arc<Self>, handler: &config::Handler, generation: u64) -> Result<Copied, AttemptExit> {
        let mark = self.results.join(format!("worker-{}", NUMBERS.fetch_add(1, Ordering::Relaxed)));
        let environment = environment::of_worker(handler, self.purpose, &mark, &|name| std::env::var_os(name));
        let before = pid_record::ticks();
        let process = spawn::spawn(handler, &environment, Input::beginning(line::GREETING))?;
        let on_record = OnRecord::new(&self.results, process.pid, before);
        self.keep();
        Ok(Copied::new(process, on_record, handler.respond.is_some(), generation))
    }

    /// Takes a copy back that has answered.
    pub(super) fn give(self: &Arc<Self>, copy: Copied) {
        let mut state = self.lock();
        (state.deaths, state.not_before) = (0, None);
        let is_worn = match state.handler.mode {
            Mode::Worker { max_jobs: Some(most) } => copy.answered >= most,
            _ => false,
        };
        let is_surplus = state.live > state.handler.concurrency || copy.generation != state.generation;
        if is_worn || is_surplus || state.is_closed || copy.is_out_of_step() {
            drop(state);
            return self.dismiss(copy);
        }
        state.idle.push(copy);
        drop(state);
        self.changed.notify_one();
    }

    /// Lets a copy go: end of file, then TERM, then KILL, while its place stays taken.
    pub(super) fn dismiss(self: &Arc<Self>, mut copy: Copied) {
        copy.dismiss();
        let Ok(cancel) = CancelToken::new() else {
            // Without it nobody could hurry; its own limits end it all the same.
            log::warn!("a worker is let go without a way to hurry it: no file descriptor is left");
            return self.left(false);
        };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.lock().leaving.insert(number, cancel.clone());
        let pool = self.clone();
        let wait = move || {
            drop(copy.end(KILL_GRACE, &cancel));
            pool.lock().leaving.remove(&number);
            pool.left(false);
        };
        if let Err(error) = std::thread::Builder::new().name("worker-end".into()).spawn(wait) {
            log::warn!("a worker was let go and nobody waits for its end: {error}");
            self.lock().leaving.remove(&number);
            self.left(false);
        }
    }

    /// A copy is gone; whether it died while it had a job.
    pub(super) fn left(&self, has_died: bool) {
        let mut state = self.lock();
        state.live = state.live.saturating_sub(1);
        if has_died {
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(state.deaths)).min(LONGEST_PAUSE);
            state.deaths = state.deaths.saturating_add(1);
            state.not_before = Instant::now().checked_add(pause);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// From now on copies have these settings; idle ones that have others go.
    pub(in crate::runner) fn reload(self: &Arc<Self>, handler: &Arc<config::Handler>) {
        let mut state = self.lock();
        let is_same = *state.handler == **handler;
        state.handler = handler.clone();
        if is_same {
            return;
        }
        state.generation += 1;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.into_iter().for_each(|copy| self.dismiss(copy));
    }

    /// Nobody is kept from now on.
    pub(in crate::runner) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        self.changed.notify_all();
        idle.into_iter().for_each(|copy| self.dismiss(copy));
    }

    /// After [`Pool::close`]: until all are gone, or it has taken too long. TERM at the one time at the latest, KILL at
    /// the other.
    pub(in crate::runner) fn join(&self, asked_at: Instant, killed_at: Instant) {
        let deadline = killed_at.max(Instant::now()) + PATIENCE;
        let mut state = self.lock();
        while state.live > 0 && Instant::now() < deadline {
            let now = Instant::now();
            for cancel in state.leaving.values() {
                match now {
                    now if now >= killed_at => cancel.kill(),
                    now if now >= asked_at => cancel.stop(StopReason::Shutdown),
                    _ => {}
                }
            }
            state = locks::wait_timeout(&self.changed, state, WAIT_STEP);
        }
        if state.live > 0 {
            log::error!("{} copies of worker `{}` do not end", state.live, state.handler.name);
        }
    }

    /// Looks after idle copies from now on.
    fn keep(self: &Arc<Self>) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.has_keeper, true) {
            return;
        }
        let pool = self.clone();
        if let Err(error) = std::thread::Builder::new().name("worker-idle".into()).spawn(move || pool.look_after()) {
            log::warn!("nobody looks after idle workers: {error}");
            state.has_keeper = false;
        }
    }

    fn look_after(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.is_closed {
            state = locks::wait_timeout(&self.changed, state, LOOK_EVERY);
            let mut lost = Vec::new();
            let mut at = 0;
            while at < state.idle.len() {
                match state.idle[at].look() {
                    Some(why) => lost.push((state.idle.remove(at), why)),
                    None => at += 1,
                }
            }
            if lost.is_empty() {
                continue;
            }
            let name = state.handler.name.clone();
            drop(state);
            for (copy, why) in lost {
                log::warn!("a worker of handler `{name}` is let go: {why}");
                self.dismiss(copy);
            }
            state = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locks::lock(&self.state)
    }
}
