//! The scheduler thread: takes results, decides what they mean, and exchanges them with the inbox for the next jobs.
//!
//! An exchange is one commit: it writes all results since the last one and fills every free slot. Results that arrive
//! meanwhile form the next batch. What could not be written is kept and tried again, so no result is lost.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::clock_step::Clocks;
use super::executor::Executors;
use super::journal::Journal;
use super::queue::RunningJob;
use super::results::{self, AttemptReport, ResultReceiver};
use super::slots::Slots;
use crate::config::{DispatchConfig, Handler};
use crate::inbox::{AttemptResult, Inbox, JobRef};
use crate::routing::Routes;
use crate::runner::{self, StopReason};
use crate::support::control::ControlHandle;
use crate::support::time::Millis;

/// Between two tries of an exchange that failed.
pub(super) const RETRY_EXCHANGE: Duration = Duration::from_millis(200);
/// How long results are batched while no executor waits: a commit costs nearly the same for all of them.
const BATCH: Duration = Duration::from_millis(4);
/// The longest sleep, in case a wake-up is lost or the wall clock is stepped.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// What the dispatcher needs of the configuration.
#[derive(Debug, Clone)]
pub struct DispatcherSettings {
    pub dispatch: DispatchConfig,
    pub handlers: Vec<Arc<Handler>>,
    /// The rules that the ordering keys of stored jobs must follow.
    pub routes: Arc<Routes>,
    /// Lower-case names of headers that handlers must not see, by source.
    pub private_headers: HashMap<String, Arc<[String]>>,
    /// The folder for result files. The dispatcher creates and removes it.
    pub results: PathBuf,
}

#[derive(Debug)]
pub(super) enum SchedulerCommand {
    Reload(Box<DispatcherSettings>),
    Stop,
}

#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) settings: DispatcherSettings,
    pub(super) inbox: Arc<Inbox>,
    pub(super) control: ControlHandle,
    pub(super) slots: Slots,
    /// Claimed jobs without a result, by id.
    pub(super) running: HashMap<i64, Arc<RunningJob>>,
    pub(super) executors: Executors,
    pub(super) reports: ResultReceiver,
    /// `None` if it could not be created. Then every claimed attempt counts as started.
    pub(super) journal: Option<Arc<Journal>>,
    /// For the next exchange.
    pub(super) results: Vec<AttemptResult>,
    /// For the next exchange: claims to undo.
    pub(super) not_started: Vec<JobRef>,
    /// For the next exchange: handlers whose pause has changed.
    pub(super) changed: HashSet<Arc<str>>,
    /// For the next exchange: milliseconds by which the wall clock was stepped.
    pub(super) clock_step: i64,
    /// Whether there may be something to claim.
    pub(super) may_claim: bool,
    pub(super) next_due_at: Option<Millis>,
    pub(super) last_exchange: Instant,
    /// Whether an executor or a new job waits for the next exchange.
    pub(super) is_urgent: bool,
    pub(super) clocks: Clocks,
    /// The inbox accepts nothing until hookbox is restarted.
    pub(super) is_inbox_lost: bool,
}

impl Scheduler {
    pub(super) fn new(
        settings: DispatcherSettings,
        inbox: Arc<Inbox>,
        control: ControlHandle,
    ) -> std::io::Result<Self> {
        let lost: Vec<_> = inbox.lost_attempts().iter().map(|job| (job.id, job.attempt)).collect();
        let killed = runner::kill_orphans(&settings.results, &lost);
        if killed > 0 {
            log::warn!("killed {killed} processes left behind by lost attempts");
        }
        create_folder(&settings.results)?;
        let states = inbox.handler_states().map_err(std::io::Error::other)?;
        recompute_ordering_keys(&inbox, &settings.routes);
        let (executors, reports) = Executors::new(inbox.clone(), settings.results.clone());
        let journal = Journal::create(&settings.results);
        let mut slots = Slots::default();
        slots.reload(&settings.handlers, &states, Millis::now());
        Ok(Self {
            settings,
            inbox,
            control,
            slots,
            running: HashMap::new(),
            executors,
            reports,
            journal: journal.inspect_err(|error| log::debug!("claims are not recorded: {error}")).ok(),
            results: Vec::new(),
            not_started: Vec::new(),
            changed: HashSet::new(),
            clock_step: 0,
            may_claim: true,
            next_due_at: None,
            last_exchange: Instant::now(),
            is_urgent: true,
            clocks: Clocks::now(),
            is_inbox_lost: false,
        })
    }

    pub(super) fn run(mut self, commands: &Receiver<SchedulerCommand>) {
        let wakeups = self.inbox.wakeups();
        loop {
            let (now, instant) = (Millis::now(), Instant::now());
            let sleep = match self.batch_time_left() {
                Some(left) => {
                    self.reports.start_batch();
                    left
                }
                None if self.exchange_if_needed(now, instant) => RETRY_EXCHANGE,
                None => self.sleep(now, instant),
            };
            select! {
                recv(self.reports.notify()) -> _ => {}
                recv(wakeups) -> _ => (self.may_claim, self.is_urgent) = (true, true),
                recv(commands) -> command => match command {
                    Ok(SchedulerCommand::Reload(settings)) => self.reload(*settings),
                    Ok(SchedulerCommand::Stop) | Err(_) => break,
                },
                default(sleep) => self.may_claim = true,
            }
            self.take_reports();
        }
        self.stop();
    }

    pub(super) fn take_reports(&mut self) {
        for report in self.reports.take() {
            self.take_report(report);
        }
    }

    fn take_report(&mut self, report: AttemptReport) {
        let AttemptReport { job, output, took, returned, is_urgent } = report;
        if let Some(permit) = &returned {
            self.slots.return_permit(permit);
        }
        let Some(running) = self.running.remove(&job.id) else {
            log::error!("job {}: an attempt ended that was not running", job.id);
            return;
        };
        (self.may_claim, self.is_urgent) = (true, self.is_urgent | is_urgent);
        if let Some(slots) = self.slots.handler_mut(&running.handler.name) {
            slots.record_duration(took);
            if slots.breaker.record(job.id, &output.exit, output.finished_at) {
                slots.breaker.log_change(&running.handler.name);
                self.changed.insert(running.handler.name.clone());
            }
        }
        self.undo_paused_claims(output.finished_at);
        if returned.is_some() {
            self.start_queued();
        }
        let result = results::decide(&running.claimed, &running.handler, output);
        self.record(&running.handler.name, result);
    }

    /// Keeps a result for the next exchange.
    pub(super) fn record(&mut self, handler: &Arc<str>, result: AttemptResult) {
        let took = result.finished_at.since(result.started_at);
        self.inbox.metrics().attempt(handler, result.status, took);
        self.results.push(result);
    }

    /// Stops an attempt whose job the operator has skipped.
    pub(super) fn revoke(&mut self, job: JobRef) {
        if let Some(running) = self.running.get(&job.id).filter(|running| running.claimed.job == job) {
            log::info!("job {} attempt {} stopped: skipped by the operator", job.id, job.attempt);
            running.cancel.stop(StopReason::Skipped);
        }
    }

    /// Applies what the operator has paused and resumed.
    pub(super) fn read_pauses(&mut self) {
        match self.inbox.handler_states() {
            Ok(states) => {
                for slots in self.slots.iter_mut() {
                    let name = &slots.handler.name;
                    if slots.breaker.apply_operator(states.iter().find(|state| state.name == *name)) {
                        slots.breaker.log_operator(name);
                    }
                }
                self.undo_paused_claims(Millis::now());
                self.may_claim = true;
            }
            Err(error) => log::warn!("pauses could not be read: {error}"),
        }
    }

    fn reload(&mut self, settings: DispatcherSettings) {
        let states = self.inbox.handler_states().unwrap_or_else(|error| {
            log::warn!("pauses could not be read: {error}");
            Vec::new()
        });
        recompute_ordering_keys(&self.inbox, &settings.routes);
        self.undo_claims(|name| settings.handlers.iter().all(|handler| *handler.name != *name));
        self.slots.reload(&settings.handlers, &states, Millis::now());
        self.executors.resources().reload(&settings.handlers);
        self.settings = settings;
        self.may_claim = true;
    }

    /// How long results may still be batched, if no executor waits for the next exchange.
    fn batch_time_left(&self) -> Option<Duration> {
        let may_wait = !self.is_urgent && !self.results.is_empty();
        may_wait.then(|| BATCH.saturating_sub(self.last_exchange.elapsed())).filter(|left| !left.is_zero())
    }

    /// Until something is due. `now` and `instant`: when the last exchange was tried. What was due then needs another
    /// cause to be tried again.
    fn sleep(&self, now: Millis, instant: Instant) -> Duration {
        if !self.is_inbox_lost && (self.may_claim || self.has_news()) {
            return Duration::ZERO;
        }
        let next = [self.next_due_at, self.slots.next_probe_after(now)].into_iter().flatten().min();
        let next = next.map_or(MAX_SLEEP, |at| at.since(Millis::now()));
        let limited = self.slots.next_start_after(instant).unwrap_or(MAX_SLEEP);
        next.min(limited).clamp(Duration::from_millis(1), MAX_SLEEP)
    }
}

/// Call it before jobs are claimed under a new configuration.
fn recompute_ordering_keys(inbox: &Inbox, routes: &Arc<Routes>) {
    if let Err(error) = inbox.recompute_ordering_keys(routes) {
        log::warn!("ordering keys of pending jobs could not be updated (the next reload tries again): {error}");
    }
}

/// Creates an empty folder. What it contained was left by a hookbox that was killed.
fn create_folder(results: &Path) -> std::io::Result<()> {
    let created = runner::remove_result_files(results).and_then(|()| fs::DirBuilder::new().mode(0o700).create(results));
    created.map_err(|error| {
        let hint = "hint: hookbox creates and removes this folder, for the result files of handlers";
        std::io::Error::new(error.kind(), format!("{}: {error}\n{hint}", results.display()))
    })
}
