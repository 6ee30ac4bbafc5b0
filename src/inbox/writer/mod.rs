//! The writer thread: takes queued commands, writes them in one transaction, commits, then answers each.
//!
//! While a commit syncs, the next batch queues up. A lone command is written immediately. Only if the last batch was
//! larger does the writer wait for more, for an eighth of a commit's duration, since a commit costs the same however many
//! commands it carries. If one command fails its batch, the others are written one by one. A failed sync is never
//! repeated, because what is on the disk is unknown then: hookbox exits, or, if the disk is full, rejects deliveries.

mod answer;
pub(super) mod clock_step;
pub(super) mod command;
pub(super) mod disk_reserve;
mod exchange;
mod idle;
pub(super) mod retention;
pub(super) mod shared;
mod sync;
pub(super) mod wal;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::{Connection, Error, ErrorCode, Result};

use self::command::{Batching, Command, Written};
use self::retention::upkeep::Upkeep;
use self::shared::Shared;
use self::sync::SyncPolicy;
use self::wal::Wal;
use self::watch::Watch;
use super::insert::Delivery;
use super::rejections::HourlyTotals;
use super::types::NotStored;
use crate::support::control::ControlHandle;
use crate::support::time::Millis;

/// Commands in one transaction.
const MAX_BATCH: usize = 512;
/// A transaction with more bytes than this takes no further command.
const MAX_BATCH_BYTES: usize = 16 << 20;
/// Interval of the checks for changes by other processes, free disk space and unwritten rejections.
const TICK: Duration = Duration::from_millis(500);
/// How long rejections are collected before they are written.
const REJECTIONS_WITHIN: Duration = Duration::from_millis(20);
/// How long a write waits for another process once hookbox is stopping.
const STOP_BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// Upper limit for the measured commit duration: no command waits for more than an eighth of it.
const MAX_MEASURED_COMMIT: Duration = Duration::from_millis(16);

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    watch: Watch,
    upkeep: Upkeep,
    sync: SyncPolicy,
    wal: Wal,
    control: ControlHandle,
    next_tick: Instant,
    /// When to write the buffered rejections.
    rejections_at: Option<Instant>,
    /// Number of commands in the last synced commit, and how long it took.
    last_batch: usize,
    last_commit: Duration,
    /// Why the last batch was not stored, if it was not.
    last_failure: Option<NotStored>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        mut wal: Wal,
        shared: Arc<Shared>,
        wakeup: Sender<()>,
        control: ControlHandle,
    ) -> Result<Self> {
        wal.disable_autocheckpoint(&connection)?;
        match wal.recover(&connection) {
            Err(error) if matches!(shared.classify(&error), NotStored::DiskLow | NotStored::Busy) => {
                log::warn!("the previous hookbox's write-ahead log cannot be checkpointed yet: {error}");
            }
            recovered => recovered?,
        }
        let watch = Watch::new(&connection, shared.clone(), wakeup)?;
        let sync = SyncPolicy::new(shared.with_settings(|settings| settings.durability));
        Ok(Self {
            connection,
            shared,
            watch,
            upkeep: Upkeep::new(),
            sync,
            wal,
            control,
            next_tick: Instant::now(),
            rejections_at: None,
            last_batch: 0,
            last_commit: Duration::ZERO,
            last_failure: None,
        })
    }

    /// Runs until every sender of commands is gone.
    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        loop {
            match queue.recv_deadline(self.next_at()) {
                Ok(Command::WriteRejections) => self.schedule_rejections(),
                // Not batched with others, since they could require a sync.
                Ok(first) if !first.needs_sync() => {
                    self.write(Some(first), &mut |_| None);
                    self.checkpoint(Wal::after_commit);
                }
                Ok(first) => {
                    let (expected, timeout) = (self.last_batch, self.last_commit / 8);
                    let mut batching = Batching { queue, expected, timeout, deadline: None };
                    self.write(Some(first), &mut |written| batching.next(written));
                    self.checkpoint(Wal::after_commit);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write_due_rejections();
            if Instant::now() >= self.next_tick {
                self.tick();
            }
            if self.sync.due_at().is_some_and(|at| Instant::now() >= at) {
                self.write(None, &mut |_| None);
            }
            self.run_upkeep(!queue.is_empty());
        }
        self.close();
    }

    fn next_at(&self) -> Instant {
        let next = self.next_tick.min(self.upkeep.next_at());
        [self.sync.due_at(), self.rejections_at].into_iter().flatten().fold(next, Instant::min)
    }

    /// Writes the first command and those that `next` returns meanwhile, and answers them.
    fn write(&mut self, first: Option<Command>, next: &mut dyn FnMut(usize) -> Option<Command>) {
        let mut batch = Vec::new();
        if self.shared.failed.load(Ordering::Relaxed) {
            batch.extend(first);
            return self.answer_failed(batch, &NotStored::Failing("a sync has failed".into()));
        }
        if first.as_ref().is_some_and(Command::needs_sync)
            && let Err(error) = self.wal.recover(&self.connection)
        {
            batch.extend(first);
            return self.fail(batch, &error);
        }
        match self.transact(first, next, &mut batch) {
            Ok(written) => self.answer(batch, written),
            Err(error) if batch.len() > 1 && is_about_one_command(&error) => {
                log::warn!("a batch of {} is written one by one: {error}", batch.len());
                for command in batch {
                    self.write(Some(command), &mut |_| None);
                }
            }
            Err(error) => self.fail(batch, &error),
        }
    }

    /// One transaction. Commands that arrive while others are written join it. Rejections are written with it.
    fn transact(
        &mut self,
        first: Option<Command>,
        next: &mut dyn FnMut(usize) -> Option<Command>,
        batch: &mut Vec<Command>,
    ) -> Result<Vec<Written>> {
        let rejections = self.shared.rejections.take();
        let mut totals = HourlyTotals::default();
        totals.add_rejections(&rejections, Millis::now());
        let needs_sync = first.as_ref().is_none_or(Command::needs_sync);
        batch.extend(first);
        let begun = self.sync.before_transaction(&self.connection, needs_sync).and_then(|()| self.begin());
        if begun.is_err() {
            // Else each of the queued commands would wait for the lock as long again.
            batch.extend(std::iter::from_fn(|| next(usize::MAX)).take(MAX_BATCH));
        }
        let result = begun.and_then(|()| {
            let (mut written, mut bytes) = (Vec::new(), 0);
            while let Some(command) = batch.get_mut(written.len()) {
                bytes += command.bytes();
                written.push(self.carry_out(command, &mut totals)?);
                if written.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
                    batch.extend(next(written.len()));
                }
            }
            rejections.write(&self.connection)?;
            totals.write(&self.connection)?;
            if batch.is_empty() {
                self.sync.write_if_unsynced(&self.connection, Millis::now().0)?;
            }
            let began = Instant::now();
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            let took = began.elapsed();
            self.sync.after_commit(&self.connection, began);
            self.shared.metrics.committed(took, written.iter().map(Written::events).sum());
            if needs_sync {
                (self.last_batch, self.last_commit) = (written.len(), took.min(MAX_MEASURED_COMMIT));
            }
            Ok(written)
        });
        if result.is_err() {
            self.shared.rejections.restore(rejections);
            self.roll_back();
        }
        result
    }

    fn begin(&self) -> Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            log::error!("a transaction could not be rolled back: {error}");
        }
    }

    fn carry_out(&mut self, command: &mut Command, totals: &mut HourlyTotals) -> Result<Written> {
        match command {
            Command::Accept(delivery) if delivery.is_abandoned() || self.is_over_backlog(delivery)? => {
                Ok(Written::TooMany)
            }
            Command::Accept(delivery) => delivery.insertion.write(&self.connection, totals).map(Written::Accepted),
            Command::Enroll(enrollment) => enrollment.store(&self.connection).map(Written::Enrolled),
            Command::CompleteAndClaim(request, _) => {
                let changed_externally = self.shared.changed_externally.load(Ordering::Relaxed);
                let waiters = &self.shared.reply_waiters;
                request.carry_out(&self.connection, waiters, request.now(), changed_externally).map(Written::Claimed)
            }
            Command::Change(change) => change.run(&self.connection, totals).map(|()| Written::Changed),
            Command::WriteRejections => {
                self.schedule_rejections();
                Ok(Written::Changed)
            }
            Command::SetDurability(_) => Ok(Written::Changed),
        }
    }

    fn is_over_backlog(&self, delivery: &Delivery) -> Result<bool> {
        Ok(self.shared.backlog.load(Ordering::Relaxed) && !delivery.insertion.is_duplicate(&self.connection)?)
    }
}

/// Whether the command would fail alone too, and the others of its batch would not.
fn is_about_one_command(error: &Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
    )
}
