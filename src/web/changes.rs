//! Changes of many jobs, made beside the request that asked for them: what is under way, how far it is, how it ended.
//!
//! A plan comes in; a thread carries it out, each step in a transaction of its own, and tells how far it is. What is
//! told lives in memory: after a stop the jobs that were changed stay changed, and the same change asked for again does
//! the rest. Few run at once, the last ones are told of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::inbox::operator::{BulkAction, BulkPlan, BulkResult, SkipReason};
use crate::inbox::{Inbox, InboxError};
use crate::support::locks;
use crate::support::time::Millis;

/// Up to so many jobs are changed while their request waits.
pub(super) const AT_ONCE: usize = 500;
/// Changes under way at once.
pub(super) const MOST: usize = 4;
/// Changes that are told of.
const TOLD: usize = 100;
/// 2026: there was no hookbox before, so that no change began then, in unix milliseconds.
const EARLIEST: i64 = 1_767_225_600_000;

/// How a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Running,
    Done,
    /// Ended before it was through: what was changed stays changed.
    Stopped,
    /// Likewise, by an error.
    Failed,
}

/// How far a change is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Progress {
    /// When it began, in unix milliseconds; no two begin at once.
    pub(super) id: i64,
    #[serde(serialize_with = "verb")]
    pub(super) change: BulkAction,
    pub(super) state: State,
    /// It runs, and a person wants it to end.
    #[serde(skip)]
    pub(super) is_stopping: bool,
    /// Jobs that it is about, and those that it has come to.
    pub(super) total: usize,
    pub(super) done: usize,
    /// Of these: changed; made for a handler that had none.
    pub(super) changed: usize,
    pub(super) made: usize,
    /// Jobs left as they are, by the reason.
    pub(super) left: BTreeMap<&'static str, usize>,
    pub(super) started_at: Millis,
    pub(super) finished_at: Option<Millis>,
    /// Why it ended before it was through.
    pub(super) reason: Option<String>,
}

/// What came of asking for a change.
pub(super) enum Begun {
    /// It was small, and is made.
    Made(BulkResult),
    /// It is under way.
    UnderWay(Progress),
    /// So many are that it was not begun.
    TooMany,
}

/// Every change since the start, up to [`TOLD`].
#[derive(Debug)]
pub(super) struct Changes {
    list: Mutex<VecDeque<Arc<One>>>,
    since: Millis,
}

impl Default for Changes {
    fn default() -> Self {
        Self { list: Mutex::default(), since: Millis::now() }
    }
}

#[derive(Debug)]
struct One {
    progress: Mutex<Progress>,
    is_unwanted: AtomicBool,
}

impl Changes {
    /// Makes a small change, or has a thread make a larger one.
    ///
    /// # Errors
    /// When the inbox cannot be changed; what was changed by then stays so.
    pub(super) fn begin(&self, inbox: &Arc<Inbox>, plan: BulkPlan, now: Millis) -> Result<Begun, InboxError> {
        let plan = Arc::new(plan);
        if plan.len() <= AT_ONCE {
            return inbox.bulk_update(&plan, now, |_| true).map(Begun::Made);
        }
        let Some(one) = self.note(&plan, now) else { return Ok(Begun::TooMany) };
        let (inbox, noted) = (inbox.clone(), one.clone());
        let work = move || noted.carry_out(&inbox, &plan, now);
        if let Err(error) = std::thread::Builder::new().name("change".into()).spawn(work) {
            one.end(State::Failed, Some(format!("no thread could be started: {error}")));
        }
        Ok(Begun::UnderWay(one.now()))
    }

    /// The newest first.
    pub(super) fn all(&self) -> Vec<Progress> {
        self.list().iter().rev().map(|one| one.now()).collect()
    }

    pub(super) fn find(&self, id: i64) -> Option<Progress> {
        self.all().into_iter().find(|progress| progress.id == id)
    }

    /// Whether one that is not found may have been there: before this start, or before the last ones that are told of.
    pub(super) fn may_have_been(&self, id: i64) -> bool {
        let list = self.list();
        let oldest = list.front().filter(|_| list.len() >= TOLD).map_or(self.since.0, |one| one.now().id);
        (EARLIEST..oldest).contains(&id)
    }

    /// Ends one after its present step; `None` where nobody knows it.
    pub(super) fn stop(&self, id: i64) -> Option<Progress> {
        let one = self.list().iter().find(|one| one.now().id == id).cloned()?;
        one.is_unwanted.store(true, Ordering::Relaxed);
        Some(one.now())
    }

    fn note(&self, plan: &BulkPlan, now: Millis) -> Option<Arc<One>> {
        let mut list = self.list();
        if list.iter().filter(|one| one.now().state == State::Running).count() >= MOST {
            return None;
        }
        let newest = list.back().map_or(0, |one| one.now().id);
        let progress = Progress {
            id: now.0.max(newest + 1),
            change: plan.change(),
            state: State::Running,
            is_stopping: false,
            total: plan.len(),
            done: 0,
            changed: 0,
            made: 0,
            left: words(&plan.left),
            started_at: now,
            finished_at: None,
            reason: None,
        };
        let one = Arc::new(One { progress: Mutex::new(progress), is_unwanted: AtomicBool::new(false) });
        if list.len() >= TOLD
            && let Some(place) = list.iter().position(|one| one.now().state != State::Running)
        {
            list.remove(place);
        }
        list.push_back(one.clone());
        Some(one)
    }

    fn list(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<One>>> {
        locks::lock(&self.list)
    }
}

impl One {
    fn now(&self) -> Progress {
        let mut progress = locks::lock(&self.progress).clone();
        progress.is_stopping = progress.state == State::Running && self.is_unwanted.load(Ordering::Relaxed);
        progress
    }

    fn carry_out(&self, inbox: &Inbox, plan: &Arc<BulkPlan>, now: Millis) {
        let result = inbox.bulk_update(plan, now, |tally| {
            self.reach(tally);
            !inbox.is_closing() && !self.is_unwanted.load(Ordering::Relaxed)
        });
        let Progress { change, total, done, .. } = self.now();
        let verb = change.as_str();
        match result {
            Ok(_) if done == total => {
                log::info!("{verb} of {total} jobs: done");
                self.end(State::Done, None);
            }
            Ok(_) if inbox.is_closing() => {
                log::warn!(
                    "{verb} of {total} jobs ended with hookbox after {done}: the same again does the rest{}",
                    hint(change, now)
                );
                self.end(State::Stopped, Some("hookbox is stopping".to_owned()));
            }
            Ok(_) => {
                log::info!("{verb} of {total} jobs was stopped by a person after {done}");
                self.end(State::Stopped, Some("a person stopped it".to_owned()));
            }
            Err(error) => {
                log::warn!("{verb} of {total} jobs ended after {done}: {error}{}", hint(change, now));
                self.end(State::Failed, Some(error.to_string()));
            }
        }
    }

    fn reach(&self, tally: BulkResult) {
        let mut progress = locks::lock(&self.progress);
        (progress.done, progress.changed, progress.made) = (tally.looked_at(), tally.changed, tally.made);
        if tally.overtaken > 0 {
            progress.left.insert(SkipReason::Overtaken.as_str(), tally.overtaken);
        }
    }

    fn end(&self, state: State, reason: Option<String>) {
        let mut progress = locks::lock(&self.progress);
        (progress.state, progress.reason, progress.finished_at) = (state, reason, Some(Millis::now()));
    }
}

/// Reasons as they are written.
pub(super) fn words(left: &BTreeMap<SkipReason, usize>) -> BTreeMap<&'static str, usize> {
    left.iter().map(|(why, jobs)| (why.as_str(), *jobs)).collect()
}

/// What was replayed and has succeeded again would be taken for what is still to be replayed.
fn hint(change: BulkAction, began: Millis) -> String {
    match change {
        BulkAction::Replay => format!(" with `--finished-before {}`", began.to_rfc3339()),
        BulkAction::Retry | BulkAction::Skip => String::new(),
    }
}

fn verb<S: serde::Serializer>(change: &BulkAction, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(change.as_str())
}
