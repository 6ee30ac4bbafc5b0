//! Worker threads: each takes a claimed job, reads its payload, runs the handler, and hands back what came of it.
//!
//! Threads are started when there is work for them, up to the limit, and then stay. One that has ended a job well goes on
//! with what is claimed ahead for the same handler, without a word to the scheduler in between. A panic in one is an
//! attempt that hookbox could not start, and is told so.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::config;
use crate::inbox::{Claimed, Inbox, JobRef};
use crate::retry::AttemptExit;
use crate::runner::{self, Ahead, AttemptInput, AttemptOutput, AttemptPurpose, CancelToken, HandlerResources, Note};

use super::decision;
use super::results::{self, Done, Endings, Teller};

/// A claimed job on its way to a thread.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) claimed: Claimed,
    pub(super) handler: Arc<config::Handler>,
    pub(super) private_headers: Arc<[String]>,
    pub(super) cancel: CancelToken,
    /// What is claimed ahead for the same handler.
    pub(super) ahead: Receiver<Task>,
    /// When fewer than these are left of that, more is to be claimed.
    pub(super) low: usize,
    /// Where it is claimed ahead itself.
    pub(super) note: Option<Note>,
}

#[derive(Debug)]
pub(super) struct Workers {
    inbox: Arc<Inbox>,
    results: PathBuf,
    kept: Arc<HandlerResources>,
    tasks: Sender<Task>,
    queue: Receiver<Task>,
    teller: Teller,
    threads: Vec<JoinHandle<()>>,
    /// Per handler, what is claimed ahead.
    ahead: HashMap<Arc<str>, (Sender<Task>, Receiver<Task>)>,
    /// Claimed ahead, and not noted yet.
    unnoted: Vec<Task>,
    /// `None` where it cannot be had: what is claimed ahead counts as begun then.
    notes: Option<Arc<Ahead>>,
}

impl Workers {
    /// The threads-to-be, and where their endings arrive.
    pub(super) fn new(inbox: Arc<Inbox>, results: PathBuf) -> (Self, Endings) {
        let (tasks, queue) = crossbeam_channel::unbounded();
        let (teller, endings) = results::endings();
        let kept = Arc::new(HandlerResources::new(results.clone(), AttemptPurpose::Job));
        let (threads, ahead, unnoted) = (Vec::new(), HashMap::default(), Vec::new());
        let notes = Ahead::create(&results);
        let notes = notes.inspect_err(|error| log::debug!("what is claimed ahead cannot be noted: {error}")).ok();
        (Self { inbox, results, kept, tasks, queue, teller, threads, ahead, unnoted, notes }, endings)
    }

    /// Gives a task to a thread; `busy` counts those that have one.
    pub(super) fn run(&mut self, task: Task, busy: usize) {
        if busy >= self.threads.len() {
            self.start_thread();
        }
        if self.threads.is_empty() {
            let ended = decision::never_started("hookbox could not start a worker thread".into());
            let done = Done { job: task.claimed.job, ended, took: Duration::ZERO, next: None, is_awaited: true };
            if !self.teller.tell(done) {
                log::error!("nobody takes endings any more");
            }
        } else if self.tasks.send(task).is_err() {
            log::error!("no worker thread takes tasks any more");
        }
    }

    /// What is claimed ahead for a handler.
    pub(super) fn ahead(&mut self, handler: &Arc<str>) -> Receiver<Task> {
        self.ahead.entry(handler.clone()).or_insert_with(crossbeam_channel::unbounded).1.clone()
    }

    /// Keeps a task until a thread of its handler is free; threads see it after [`Workers::offer_ahead`].
    pub(super) fn keep_ahead(&mut self, task: Task) {
        self.unnoted.push(task);
    }

    /// Notes what is claimed ahead as not begun, and then lets threads see it.
    pub(super) fn offer_ahead(&mut self) {
        let attempt = |task: &Task| (task.claimed.job.id, task.claimed.job.attempt);
        let attempts: Vec<_> = self.unnoted.iter().map(attempt).collect();
        let mut notes = self.notes.as_ref().map(|ahead| ahead.note(&attempts)).unwrap_or_default().into_iter();
        for task in std::mem::take(&mut self.unnoted) {
            let (tasks, _) = self.ahead.entry(task.handler.name.clone()).or_insert_with(crossbeam_channel::unbounded);
            if tasks.send(Task { note: notes.next(), ..task }).is_err() {
                log::error!("nobody takes what is claimed ahead");
            }
        }
    }

    /// Gives back what is claimed ahead of the handlers that are meant, unless a thread has begun it.
    pub(super) fn give_back(&self, is_meant: &dyn Fn(&str) -> bool) -> Vec<JobRef> {
        let meant = self.ahead.iter().filter(|(name, _)| is_meant(name.as_ref()));
        let given_back = meant.flat_map(|(_, (_, queue))| queue.try_iter());
        // The number of an attempt that never was is given again.
        let forget = |task: Task| {
            task.note.into_iter().for_each(Note::forget);
            task.claimed.job
        };
        given_back.map(forget).collect()
    }

    /// What is kept between attempts.
    pub(super) fn kept(&self) -> &HandlerResources {
        &self.kept
    }

    /// Lets the threads end once they are idle, and waits for them, and for what was kept: that is asked to end at the
    /// one time, and made to at the other.
    pub(super) fn join(self, asked_at: Instant, killed_at: Instant) {
        drop(self.tasks);
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a worker thread ended in a panic");
            }
        }
        self.kept.join(asked_at, killed_at);
    }

    fn start_thread(&mut self) {
        let (inbox, results, kept) = (self.inbox.clone(), self.results.clone(), self.kept.clone());
        let (queue, teller) = (self.queue.clone(), self.teller.clone());
        let work = move || {
            for task in queue {
                let mut next = Some(task);
                while let Some(task) = next {
                    let (job, ahead, began) = (task.claimed.job, task.ahead.clone(), Instant::now());
                    let low = task.low;
                    let ended = catch_unwind(AssertUnwindSafe(|| attempt(&inbox, task, results.clone(), &kept)));
                    let ended = ended.unwrap_or_else(|_| {
                        decision::never_started("hookbox failed to run it; its log says more".into())
                    });
                    // After anything else the scheduler may have something to say about the handler.
                    let is_well = matches!(
                        ended.exit,
                        AttemptExit::Completed | AttemptExit::Exited(0) | AttemptExit::HttpStatus(200..=299)
                    );
                    next = if is_well { ahead.try_recv().ok() } else { None };
                    let taken = next.as_ref().map(|task| task.claimed.job.id);
                    let is_awaited = taken.is_none() || ahead.len() < low;
                    if !teller.tell(Done { job, ended, took: began.elapsed(), next: taken, is_awaited }) {
                        return;
                    }
                }
            }
        };
        match std::thread::Builder::new().name(format!("worker-{}", self.threads.len() + 1)).spawn(work) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => log::error!("a worker thread could not be started: {error}"),
        }
    }
}

fn attempt(inbox: &Inbox, task: Task, results: PathBuf, kept: &HandlerResources) -> AttemptOutput {
    let Task { claimed, handler, private_headers, cancel, note, .. } = task;
    if let Some(Err(error)) = note.map(Note::strike_out) {
        return decision::never_started(format!("it cannot be noted that it begins: {error}"));
    }
    let payload = match inbox.payload(claimed.event_seq) {
        Ok(Some(payload)) => payload,
        Ok(None) => return decision::never_works("its body has been pruned".into()),
        Err(error) => return decision::never_started(format!("the inbox could not be read: {error}")),
    };
    let attempt = AttemptInput {
        handler,
        job_id: claimed.job.id,
        number: claimed.job.attempt,
        replays: claimed.replays,
        source: claimed.source,
        event_id: claimed.event_id,
        event_type: claimed.event_type,
        received_at: claimed.received_at,
        content_type: payload.content_type,
        headers: payload.headers,
        private_headers,
        body: payload.body,
        results,
        purpose: AttemptPurpose::Job,
    };
    runner::run(&attempt, kept, &cancel)
}
