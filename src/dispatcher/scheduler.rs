//! The scheduler: collects endings, decides what they mean, and asks the inbox for the next jobs, in turns.
//!
//! A turn is one commit: everything that has ended since the last one is written, and every free place is filled.
//! While it commits, further endings gather. What cannot be written now is kept and tried again: no ending is lost.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use crate::config;
use crate::inbox::{Claimed, Finished, Inbox, JobRef};
use crate::runner::{self, CancelToken, StopReason};
use crate::support::control::ControlHandle;
use crate::support::time::Millis;

use super::Settings;
use super::clock_step::Clocks;
use super::decision;
use super::executor::{Task, Workers};
use super::results::{Done, Endings};
use super::slots::Lanes;

/// Between two tries of a turn that the inbox could not carry out.
pub(super) const RETRY_TURN: Duration = Duration::from_millis(200);
/// Endings of threads that have gone on by themselves gather for so long: a commit costs nearly the same for all of them.
const GATHER: Duration = Duration::from_millis(4);
/// The longest sleep: a guard against a wake that is never sent, and against a wall clock that jumps.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What the scheduler is told from outside.
#[derive(Debug)]
pub(super) enum Order {
    Reload(Box<Settings>),
    Stop,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) claimed: Claimed,
    pub(super) handler: Arc<config::Handler>,
    pub(super) cancel: CancelToken,
    /// Claimed ahead, and not begun as far as is known.
    pub(super) is_waiting: bool,
}

#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) settings: Settings,
    pub(super) inbox: Arc<Inbox>,
    pub(super) caller: ControlHandle,
    pub(super) lanes: Lanes,
    pub(super) running: HashMap<i64, Running>,
    pub(super) workers: Workers,
    pub(super) endings: Endings,
    /// Endings and pauses that are not written yet.
    pub(super) finished: Vec<Finished>,
    /// Likewise: claims that came to nothing.
    pub(super) unbegun: Vec<JobRef>,
    pub(super) changed: HashSet<Arc<str>>,
    /// Whether there may be something to claim.
    pub(super) may_claim: bool,
    pub(super) next_due_at: Option<Millis>,
    pub(super) last_turn: Instant,
    /// Whether a thread or a new job waits for the next turn.
    pub(super) is_awaited: bool,
    pub(super) clocks: Clocks,
    /// By how much the wall clock has jumped, in milliseconds, which the inbox does not know yet.
    pub(super) clock_jump: i64,
    /// The inbox takes nothing more until hookbox has been started again.
    pub(super) is_inbox_lost: bool,
}

impl Scheduler {
    pub(super) fn new(settings: Settings, inbox: Arc<Inbox>, caller: ControlHandle) -> std::io::Result<Self> {
        let lost: Vec<_> = inbox.lost().iter().map(|job| (job.id, job.attempt)).collect();
        let ended = runner::kill_orphans(&settings.results, &lost);
        if ended > 0 {
            log::warn!("{ended} processes of lost attempts were still running and have been ended");
        }
        make_folder(&settings.results)?;
        let states = inbox.handler_states().map_err(std::io::Error::other)?;
        rekey(&inbox);
        let (workers, endings) = Workers::new(inbox.clone(), settings.results.clone());
        let mut lanes = Lanes::default();
        lanes.reload(&settings.handlers, &states, Millis::now());
        Ok(Self {
            settings,
            inbox,
            caller,
            lanes,
            running: HashMap::new(),
            workers,
            endings,
            finished: Vec::new(),
            unbegun: Vec::new(),
            changed: HashSet::new(),
            may_claim: true,
            next_due_at: None,
            last_turn: Instant::now(),
            is_awaited: true,
            clocks: Clocks::now(),
            clock_jump: 0,
            is_inbox_lost: false,
        })
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let wakes = self.inbox.wakes();
        loop {
            let now = (Millis::now(), Instant::now());
            let sleep = match self.gathers() {
                Some(left) => {
                    self.endings.gather();
                    left
                }
                None if self.turn_if_needed(now) => RETRY_TURN,
                None => self.sleep(now),
            };
            select! {
                recv(self.endings.bell()) -> _ => {}
                recv(wakes) -> _ => (self.may_claim, self.is_awaited) = (true, true),
                recv(orders) -> order => match order {
                    Ok(Order::Reload(settings)) => self.reload(*settings),
                    Ok(Order::Stop) | Err(_) => break,
                },
                default(sleep) => self.may_claim = true,
            }
            self.end_all();
        }
        self.stop();
    }

    pub(super) fn start(&mut self, claimed: Claimed) {
        let Some(lane) = self.lanes.named(&claimed.handler) else {
            log::error!("a job was claimed for `{}`, which is not configured", claimed.handler);
            return;
        };
        let handler = lane.handler.clone();
        let cancel = match CancelToken::new() {
            Ok(cancel) => cancel,
            Err(error) => return self.could_not_start(&claimed, &handler, &error),
        };
        let private_headers = self.settings.private_headers.get(&claimed.source).cloned().unwrap_or_default();
        let ahead = self.workers.ahead(&handler.name);
        let (handed, cancelled) = (handler.clone(), cancel.clone());
        let task = Task {
            claimed: claimed.clone(),
            handler: handed,
            private_headers,
            cancel: cancelled,
            ahead,
            low: 0,
            note: None,
        };
        self.place(task, Running { claimed, handler, cancel, is_waiting: false });
    }

    fn could_not_start(&mut self, claimed: &Claimed, handler: &config::Handler, error: &std::io::Error) {
        let ended = decision::never_started(format!("hookbox has no file descriptor left: {error}"));
        let finished = decision::finished(claimed, handler, ended);
        self.keep(&handler.name, finished);
    }

    pub(super) fn end_all(&mut self) {
        for done in self.endings.take() {
            self.end(done);
        }
    }

    /// Decides what an ending means; the next turn writes it.
    fn end(&mut self, done: Done) {
        let Some(running) = self.running.remove(&done.job.id) else {
            log::error!("job {}: an attempt ended that was not under way", done.job.id);
            return;
        };
        self.may_claim = true;
        let name = &running.handler.name;
        if let Some(lane) = self.lanes.named(name) {
            match running.is_waiting {
                true => lane.waiting = lane.waiting.saturating_sub(1),
                false => {
                    lane.running = lane.running.saturating_sub(1);
                    lane.took(done.took);
                }
            }
            if lane.health.ended(done.job.id, &done.ended.exit, done.ended.finished_at) {
                decision::log_pause(&lane.health.state(&running.handler.name));
                self.changed.insert(name.clone());
            }
        }
        self.give_back_what_is_paused(done.ended.finished_at);
        match done.next {
            Some(next) => self.begun(next),
            None => self.fill(),
        }
        self.is_awaited |= done.is_awaited;
        let finished = decision::finished(&running.claimed, &running.handler, done.ended);
        self.keep(&running.handler.name, finished);
    }

    /// Until it is written.
    fn keep(&mut self, handler: &Arc<str>, finished: Finished) {
        let took = finished.finished_at.since(finished.started_at);
        self.inbox.metrics().attempt(handler, finished.ending, took);
        self.finished.push(finished);
    }

    pub(super) fn revoke(&mut self, job: JobRef) {
        if let Some(running) = self.running.get(&job.id).filter(|running| running.claimed.job == job) {
            log::info!("job {} attempt {}: a person has skipped it, so it is ended", job.id, job.attempt);
            running.cancel.stop(StopReason::Skipped);
        }
    }

    pub(super) fn read_pauses(&mut self) {
        match self.inbox.handler_states() {
            Ok(states) => {
                for lane in self.lanes.iter_mut() {
                    if lane.health.told(states.iter().find(|state| state.name == lane.handler.name)) {
                        decision::log_hand(&lane.health.state(&lane.handler.name));
                    }
                }
                self.give_back_what_is_paused(Millis::now());
                self.may_claim = true;
            }
            Err(error) => log::warn!("pauses could not be read: {error}"),
        }
    }

    fn reload(&mut self, settings: Settings) {
        let states = self.inbox.handler_states().unwrap_or_else(|error| {
            log::warn!("pauses could not be read: {error}");
            Vec::new()
        });
        rekey(&self.inbox);
        self.lanes.reload(&settings.handlers, &states, Millis::now());
        let is_gone = |name: &str| settings.handlers.iter().all(|handler| *handler.name != *name);
        self.give_back(&is_gone);
        for lane in self.lanes.iter_mut() {
            let ours = self.running.values().filter(|running| running.handler.name == lane.handler.name);
            lane.waiting = ours.clone().filter(|running| running.is_waiting).count();
            lane.running = ours.count() - lane.waiting;
        }
        self.workers.kept().reload(&settings.handlers);
        self.settings = settings;
        self.may_claim = true;
    }

    /// How long endings that nobody waits for may still gather.
    fn gathers(&self) -> Option<Duration> {
        let may_wait = !self.is_awaited && !self.finished.is_empty();
        may_wait.then(|| GATHER.saturating_sub(self.last_turn.elapsed())).filter(|left| !left.is_zero())
    }

    /// Until something is due. `now` is when the last turn was offered: what was due then needs another cause to be
    /// looked at again.
    fn sleep(&self, (now, instant): (Millis, Instant)) -> Duration {
        if !self.is_inbox_lost && (self.may_claim || self.has_news()) {
            return Duration::ZERO;
        }
        let next = [self.next_due_at, self.lanes.next_probe_after(now)].into_iter().flatten().min();
        let next = next.map_or(LONGEST_SLEEP, |at| at.since(Millis::now()));
        let paced = self.lanes.next_start_after(instant).unwrap_or(LONGEST_SLEEP);
        next.min(paced).clamp(Duration::from_millis(1), LONGEST_SLEEP)
    }
}

/// Before anything is claimed by new rules.
fn rekey(inbox: &Inbox) {
    if let Err(error) = inbox.rekey() {
        log::warn!(
            "jobs that wait could not be put in the order of the configuration; the next reload tries again: {error}"
        );
    }
}

/// An empty folder of our own: what lies in it was left by a hookbox that was killed.
fn make_folder(results: &Path) -> std::io::Result<()> {
    let made = runner::remove_result_files(results).and_then(|()| fs::DirBuilder::new().mode(0o700).create(results));
    let explained = |error: std::io::Error| {
        let hint = "hint: handlers leave their result files there; hookbox makes and removes it";
        std::io::Error::new(error.kind(), format!("{}: {error}\n{hint}", results.display()))
    };
    made.map_err(explained)
}
