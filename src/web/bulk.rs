//! Bulk changes (retry, replay, skip of many jobs) that run in the background after their request was answered.
//!
//! Each runs on its own thread, in small transactions, and reports its progress in memory. After a restart the progress is
//! lost but the changed jobs stay changed, and the same request changes the rest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Serialize, Serializer};

use crate::inbox::operator::{BulkAction, BulkPlan, BulkResult, SkipReason};
use crate::inbox::{Inbox, InboxError};
use crate::support::locks;
use crate::support::time::Millis;

/// Up to this many jobs are changed before the request is answered.
const MAX_INLINE: usize = 500;
/// Bulk changes that run at the same time.
pub(super) const MAX_RUNNING: usize = 4;
/// Bulk changes whose progress is kept, running or not.
const MAX_KEPT: usize = 100;
/// 2026-01-01: no change has an older id, which is its start time.
const EARLIEST_ID: i64 = 1_767_225_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BulkState {
    Running,
    Done,
    /// Stopped early. Changed jobs stay changed.
    Stopped,
    /// Stopped by an error. Changed jobs stay changed.
    Failed,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct BulkProgress {
    /// When it started, in unix milliseconds. Unique.
    pub(super) id: i64,
    #[serde(serialize_with = "action")]
    pub(super) change: BulkAction,
    pub(super) state: BulkState,
    /// It is running, and a stop was requested.
    #[serde(skip)]
    pub(super) is_stopping: bool,
    /// Jobs of the change, and how many of them are processed.
    pub(super) total: usize,
    pub(super) done: usize,
    /// Processed jobs that were changed, and those that were created.
    pub(super) changed: usize,
    pub(super) made: usize,
    /// Jobs that are left unchanged, by reason.
    pub(super) left: BTreeMap<&'static str, usize>,
    pub(super) started_at: Millis,
    pub(super) finished_at: Option<Millis>,
    /// Why it stopped or failed.
    pub(super) reason: Option<String>,
}

pub(super) enum BulkStart {
    Finished(BulkResult),
    Running(BulkProgress),
    /// Not started: [`MAX_RUNNING`] changes are running.
    TooMany,
}

/// The last bulk changes, oldest first.
#[derive(Debug)]
pub(super) struct BulkChanges {
    tasks: Mutex<VecDeque<Arc<BulkTask>>>,
    since: Millis,
}

#[derive(Debug)]
struct BulkTask {
    progress: Mutex<BulkProgress>,
    stop_requested: AtomicBool,
}

impl Default for BulkChanges {
    fn default() -> Self {
        Self { tasks: Mutex::default(), since: Millis::now() }
    }
}

impl BulkChanges {
    /// Carries out a small plan, or starts a thread for a larger one. After an error, changed jobs stay changed.
    pub(super) fn start(&self, inbox: &Arc<Inbox>, plan: BulkPlan, now: Millis) -> Result<BulkStart, InboxError> {
        let plan = Arc::new(plan);
        if plan.len() <= MAX_INLINE {
            return inbox.bulk_update(&plan, now, |_| true).map(BulkStart::Finished);
        }
        let Some(task) = self.add(&plan, now) else { return Ok(BulkStart::TooMany) };
        let (inbox, running) = (inbox.clone(), task.clone());
        let run = move || running.run(&inbox, &plan, now);
        if let Err(error) = std::thread::Builder::new().name("bulk-change".into()).spawn(run) {
            task.finish(BulkState::Failed, Some(format!("thread could not be started: {error}")));
        }
        Ok(BulkStart::Running(task.progress()))
    }

    /// Newest first.
    pub(super) fn list(&self) -> Vec<BulkProgress> {
        self.lock().iter().rev().map(|task| task.progress()).collect()
    }

    pub(super) fn find(&self, id: i64) -> Option<BulkProgress> {
        self.list().into_iter().find(|progress| progress.id == id)
    }

    /// Whether an unknown id may belong to a change before the last restart, or before the oldest that is kept.
    pub(super) fn is_forgotten(&self, id: i64) -> bool {
        let tasks = self.lock();
        let oldest = tasks.front().filter(|_| tasks.len() >= MAX_KEPT).map_or(self.since.0, |task| task.progress().id);
        (EARLIEST_ID..oldest).contains(&id)
    }

    /// Stops a change after its current transaction.
    pub(super) fn stop(&self, id: i64) -> Option<BulkProgress> {
        let task = self.lock().iter().find(|task| task.progress().id == id).cloned()?;
        task.stop_requested.store(true, Ordering::Relaxed);
        Some(task.progress())
    }

    fn add(&self, plan: &BulkPlan, now: Millis) -> Option<Arc<BulkTask>> {
        let mut tasks = self.lock();
        if tasks.iter().filter(|task| task.is_running()).count() >= MAX_RUNNING {
            return None;
        }
        let newest = tasks.back().map_or(0, |task| task.progress().id);
        let progress = BulkProgress {
            id: now.0.max(newest + 1),
            change: plan.change(),
            state: BulkState::Running,
            is_stopping: false,
            total: plan.len(),
            done: 0,
            changed: 0,
            made: 0,
            left: reason_names(&plan.left),
            started_at: now,
            finished_at: None,
            reason: None,
        };
        let task = Arc::new(BulkTask { progress: Mutex::new(progress), stop_requested: AtomicBool::new(false) });
        if tasks.len() >= MAX_KEPT
            && let Some(oldest) = tasks.iter().position(|task| !task.is_running())
        {
            tasks.remove(oldest);
        }
        tasks.push_back(task.clone());
        Some(task)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<BulkTask>>> {
        locks::lock(&self.tasks)
    }
}

impl BulkTask {
    fn progress(&self) -> BulkProgress {
        let mut progress = locks::lock(&self.progress).clone();
        progress.is_stopping = progress.state == BulkState::Running && self.stop_requested.load(Ordering::Relaxed);
        progress
    }

    fn is_running(&self) -> bool {
        locks::lock(&self.progress).state == BulkState::Running
    }

    fn run(&self, inbox: &Inbox, plan: &Arc<BulkPlan>, now: Millis) {
        let result = inbox.bulk_update(plan, now, |result| {
            self.update(result);
            !inbox.is_closing() && !self.stop_requested.load(Ordering::Relaxed)
        });
        let BulkProgress { change, total, done, .. } = self.progress();
        let verb = change.as_str();
        match result {
            Ok(_) if done == total => {
                log::info!("bulk {verb} finished: {total} jobs");
                self.finish(BulkState::Done, None);
            }
            Ok(_) if inbox.is_closing() => {
                let hint = resume_hint(change, now);
                log::warn!("bulk {verb} interrupted by shutdown: {done} of {total} jobs done{hint}");
                self.finish(BulkState::Stopped, Some("hookbox was stopped".to_owned()));
            }
            Ok(_) => {
                log::info!("bulk {verb} stopped by operator: {done} of {total} jobs done");
                self.finish(BulkState::Stopped, Some("stopped by an operator".to_owned()));
            }
            Err(error) => {
                let hint = resume_hint(change, now);
                log::warn!("bulk {verb} failed: {done} of {total} jobs done: {error}{hint}");
                self.finish(BulkState::Failed, Some(error.to_string()));
            }
        }
    }

    fn update(&self, result: BulkResult) {
        let mut progress = locks::lock(&self.progress);
        (progress.done, progress.changed, progress.made) = (result.looked_at(), result.changed, result.made);
        if result.overtaken > 0 {
            progress.left.insert(SkipReason::Overtaken.as_str(), result.overtaken);
        }
    }

    fn finish(&self, state: BulkState, reason: Option<String>) {
        let mut progress = locks::lock(&self.progress);
        (progress.state, progress.reason, progress.finished_at) = (state, reason, Some(Millis::now()));
    }
}

/// The counts with each reason's name, as the API returns it.
pub(super) fn reason_names(left: &BTreeMap<SkipReason, usize>) -> BTreeMap<&'static str, usize> {
    left.iter().map(|(reason, jobs)| (reason.as_str(), *jobs)).collect()
}

/// How to change the rest. A replay must exclude the jobs that it has already replayed.
fn resume_hint(change: BulkAction, started: Millis) -> String {
    match change {
        BulkAction::Replay => {
            format!("; to replay the rest, repeat it with `--finished-before {}`", started.to_rfc3339())
        }
        BulkAction::Retry | BulkAction::Skip => "; repeat it to change the rest".to_owned(),
    }
}

fn action<S: Serializer>(change: &BulkAction, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(change.as_str())
}
