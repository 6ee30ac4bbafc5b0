//! An inbox that this process serves: the instance lock, the writer thread and the readers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rusqlite::Connection;

use super::enrollment::Enrollments;
use super::insert::{Accepted, Delivery, Insertion};
use super::reader::ReadPool;
use super::rejections::HourlyTotals;
use super::types::{ClaimResult, CompleteAndClaim, InboxError, JobRef, NotStored};
use super::writer::Writer;
use super::writer::command::{Command, run_change};
use super::writer::shared::Shared;
use super::writer::wal::Wal;
use super::{complete, file, schema, writer};
use crate::config;
use crate::model::refusal::RefusedDelivery;
use crate::routing::RoutedDelivery;
use crate::support::control::ControlHandle;
use crate::support::locks;
use crate::support::secret::DigestKey;
use crate::support::time::Millis;

/// Commands that may be queued for the writer. Further deliveries get 503.
const QUEUE: usize = 4096;

#[derive(Debug)]
pub struct Inbox {
    pub(super) commands: Sender<Command>,
    wakeups: Receiver<()>,
    pub(super) shared: Arc<Shared>,
    pub(super) readers: ReadPool,
    writer: JoinHandle<()>,
    lost: Vec<JobRef>,
    _lock: file::InstanceLock,
}

impl Inbox {
    /// Locks and opens the inbox, creates or upgrades it, recovers from a crash and starts the writer. While holding the
    /// lock it asks `not_started` for the attempts that a killed hookbox had claimed and not started.
    ///
    /// # Errors
    /// [`OpenError`](file::OpenError). The file was not changed.
    pub fn open(
        settings: &config::InboxConfig,
        control: ControlHandle,
        not_started: &dyn Fn() -> Vec<JobRef>,
    ) -> Result<Self, file::OpenError> {
        let lock = file::lock(&settings.path)?;
        let wal = Wal::new(&settings.path);
        let connection = file::retry_while_busy(|| file::open(&settings.path, settings.durability))?;
        let failed = |error| file::explain(&settings.path, error);
        let not_started: HashSet<_> = not_started().into_iter().collect();
        let recover = || complete::recover(&connection, Millis::now(), &not_started).map_err(failed);
        let lost = file::retry_while_busy(recover)?;
        writer::clock_step::correct_at_start(&connection, Millis::now()).map_err(failed)?;
        let token_key = schema::make_token_key(&connection).map_err(failed)?;
        if !not_started.is_empty() {
            log::info!(
                "{} claimed jobs had not started when hookbox was killed; they are pending again",
                not_started.len()
            );
        }
        if !lost.is_empty() {
            log::warn!("{} attempts were running when hookbox was killed; their jobs will run again", lost.len());
        }
        let enrollments = Enrollments::read(&connection).map_err(failed)?;
        let shared = Arc::new(Shared::new(settings, token_key, enrollments));
        let (commands, queue) = crossbeam_channel::bounded(QUEUE);
        let (wakeup, wakeups) = crossbeam_channel::bounded(1);
        let writer = Writer::new(connection, wal, shared.clone(), wakeup, control).map_err(failed)?;
        let writer = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run(&queue))
            .map_err(|error| file::OpenError::Access { path: settings.path.clone(), error })?;
        let readers = ReadPool::new(&settings.path);
        Ok(Self { commands, wakeups, shared, readers, writer, lost, _lock: lock })
    }

    /// Stores a delivery with its jobs. Returns after the commit is synced.
    ///
    /// # Errors
    /// [`NotStored`]: the delivery must not be acknowledged.
    pub async fn accept(&self, routed: RoutedDelivery) -> Result<Accepted, NotStored> {
        self.check_open()?;
        let (answer, answered) = tokio::sync::oneshot::channel();
        let delivery = Delivery { insertion: self.insertion(routed), answer };
        self.commands.try_send(Command::Accept(delivery)).map_err(|error| match error {
            TrySendError::Full(_) => NotStored::QueueFull,
            TrySendError::Disconnected(_) => NotStored::Closing,
        })?;
        answered.await.unwrap_or(Err(NotStored::Closing))
    }

    pub(super) fn insertion(&self, routed: RoutedDelivery) -> Insertion {
        let dedups_bodies = locks::read(&self.shared.body_dedup).contains(routed.delivery().source());
        Insertion { routed, dedups_bodies }
    }

    /// Whether hookbox is stopping.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed)
    }

    /// The backlog is not checked here: duplicates are acknowledged even while too many jobs are pending.
    fn check_open(&self) -> Result<(), NotStored> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if self.is_closing() {
            Err(NotStored::Closing)
        } else if is_set(&self.shared.failed) {
            Err(NotStored::Failing("a sync has failed".into()))
        } else if is_set(&self.shared.disk_low) {
            Err(NotStored::DiskLow)
        } else {
            Ok(())
        }
    }

    /// Whether a new event would be stored now.
    ///
    /// # Errors
    /// Why it would not.
    pub fn is_ready(&self) -> Result<(), NotStored> {
        self.check_open()?;
        if self.shared.backlog.load(Ordering::Relaxed) { Err(NotStored::Backlog) } else { Ok(()) }
    }

    /// Counts a rejected delivery. Unless its source has reached the limit, also stores what `describe` returns, within
    /// a few milliseconds.
    pub fn record_rejection(&self, source: &Arc<str>, describe: impl FnOnce(&DigestKey) -> RefusedDelivery) {
        if self.shared.rejections.count(source, Instant::now()) {
            self.store_rejection(|| describe(&self.shared.token_key));
        }
    }

    /// Stores a request to a path without a source, unless there were too many of them.
    pub fn record_unknown_path(&self, describe: impl FnOnce() -> RefusedDelivery) {
        if self.shared.rejections.admits_unknown(Instant::now()) {
            self.store_rejection(describe);
        }
    }

    fn store_rejection(&self, describe: impl FnOnce() -> RefusedDelivery) {
        if self.is_disk_low() {
            return;
        }
        self.shared.rejections.push(describe());
        let is_announced = self.shared.rejections_announced.swap(true, Ordering::AcqRel);
        if !is_announced && self.commands.try_send(Command::WriteRejections).is_err() {
            self.shared.rejections_announced.store(false, Ordering::Release);
        }
    }

    /// Writes attempt results and claims due jobs in one commit.
    ///
    /// # Errors
    /// [`InboxError::Passing`]: nothing was written, and the same request may be repeated.
    pub fn complete_and_claim(&self, request: CompleteAndClaim) -> Result<ClaimResult, InboxError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let closed = || InboxError::Final("the inbox is closed".into());
        self.commands.send(Command::CompleteAndClaim(Box::new(request), answer)).map_err(|_| closed())?;
        answered.recv().map_err(|_| closed())?
    }

    /// Like [`Inbox::complete_and_claim`], with a timeout. For requests that claim nothing: they may be repeated even if
    /// the first is written late, because a result is written only once.
    ///
    /// # Errors
    /// [`InboxError::Passing`] also after the timeout.
    pub fn complete_within(&self, request: CompleteAndClaim, timeout: Duration) -> Result<ClaimResult, InboxError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let late = || InboxError::Passing("the inbox is slow".into());
        let command = Command::CompleteAndClaim(Box::new(request), answer);
        self.commands.send_timeout(command, timeout).map_err(|_| late())?;
        answered.recv_timeout(timeout).map_err(|_| late())?
    }

    /// Attempts that were running when the previous hookbox was killed. Their processes may still be running.
    #[must_use]
    pub fn lost_attempts(&self) -> &[JobRef] {
        &self.lost
    }

    /// Receives a message when there may be new jobs, or another process has changed something.
    #[must_use]
    pub fn wakeups(&self) -> Receiver<()> {
        self.wakeups.clone()
    }

    /// Whether jobs or handlers were changed other than by the dispatcher since the last exchange, which reports it too.
    #[must_use]
    pub fn changed_externally(&self) -> bool {
        self.shared.changed_externally.load(Ordering::Relaxed)
    }

    /// Whether a provider is waiting for a reply of this handler.
    #[must_use]
    pub fn has_reply_waiters(&self, handler: &str) -> bool {
        !self.shared.reply_waiters.events_awaiting(handler).is_empty()
    }

    /// Stops waiting for replies of this handler, which does not run now. The providers get the plain response.
    pub fn release_reply_waiters(&self, handler: &str) {
        self.shared.reply_waiters.release(handler);
    }

    /// Has the writer make a change, and waits for the commit.
    pub(super) fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&Connection, &mut HourlyTotals) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, InboxError> {
        run_change(&self.commands, change)
    }

    /// Rejects deliveries from now on. Attempt results are still written; requests wait only a moment for a reply.
    pub fn stop_accepting(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.reply_waiters.close();
    }

    /// Writes what is queued, checkpoints and closes, once no other thread uses the inbox.
    pub fn close(self: Arc<Self>) {
        self.stop_accepting();
        let Some(Self { commands, readers, writer, .. }) = unwrap(self) else {
            return log::warn!("the inbox is still in use and will be closed when the process exits");
        };
        // The writer's connection is closed last, so that SQLite deletes the write-ahead log.
        drop(readers);
        drop(commands);
        if writer.join().is_err() {
            log::error!("the writer thread panicked");
        }
    }
}

/// Waits up to a second for other threads to drop the inbox.
fn unwrap(mut inbox: Arc<Inbox>) -> Option<Inbox> {
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        inbox = match Arc::try_unwrap(inbox) {
            Ok(inbox) => return Some(inbox),
            Err(shared) => shared,
        };
        std::thread::park_timeout(Duration::from_millis(5));
    }
    None
}
