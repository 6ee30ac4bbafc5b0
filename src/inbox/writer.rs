//! The one thread that writes: takes whatever waits, writes it in one transaction, commits, then answers everyone.
//!
//! While one commit syncs, the next batch gathers. Whoever comes alone is written at once; only a batch that is smaller
//! than the last one waits for the others, for a small share of what a commit takes here, since each commit costs the
//! same however many it answers. A batch that fails for one command's sake is taken apart. A failed sync is never tried
//! again: what it left on the disk is unknown, so hookbox ends (for want of space it only refuses).

mod idle;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::Connection;

use super::accept::Delivery;
use super::command::{Command, Gathering, Written, refuse_all, reply};
use super::sync::Syncing;
use super::tally::Counts;
use super::turn::Turned;
use super::upkeep::Upkeep;
use super::wal::Wal;
use super::watch::Watch;
use super::{NotStored, Shared, verdict};
use crate::support::control::{ControlHandle, ControlMessage};
use crate::support::time::Millis;

/// Commands in one transaction.
const MAX_BATCH: usize = 512;
/// Bytes of bodies in one transaction, beyond which it takes no further command.
const MAX_BATCH_BYTES: usize = 16 << 20;
/// How often other processes' changes, free disk and unwritten counts are looked after.
const TICK: Duration = Duration::from_millis(500);
/// How long a write waits for another process once hookbox is stopping.
const BUSY_TIMEOUT_AT_THE_END: Duration = Duration::from_millis(500);
/// The longest commit that is taken as a measure, so that nobody waits for more than an eighth of it.
const LONGEST_COMMIT: Duration = Duration::from_millis(16);

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    watch: Watch,
    upkeep: Upkeep,
    syncing: Syncing,
    wal: Wal,
    caller: ControlHandle,
    next_tick: Instant,
    /// Commands in the last commit, and how long it took.
    last_batch: usize,
    last_commit: Duration,
    /// Why the last batch was not stored, if it was not.
    last_refusal: Option<NotStored>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        mut wal: Wal,
        shared: Arc<Shared>,
        wake: Sender<()>,
        caller: ControlHandle,
    ) -> rusqlite::Result<Self> {
        wal.take_over(&connection)?;
        match wal.settle(&connection) {
            Err(error) if matches!(verdict::judge(&error, &shared), NotStored::DiskLow | NotStored::Busy) => {
                log::warn!("what the last hookbox left in the write-ahead log cannot be folded in yet: {error}");
            }
            settled => settled?,
        }
        let watch = Watch::new(&connection, shared.clone(), wake)?;
        let syncing = Syncing::new(shared.with_settings(|settings| settings.durability));
        Ok(Self {
            connection,
            shared,
            watch,
            upkeep: Upkeep::new(),
            syncing,
            wal,
            caller,
            next_tick: Instant::now(),
            last_batch: 0,
            last_commit: Duration::ZERO,
            last_refusal: None,
        })
    }

    /// Until every sender is gone.
    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        loop {
            match queue.recv_deadline(self.next_at()) {
                // Alone, since others would have it synced.
                Ok(first) if !first.is_relied_on() => {
                    self.write(Some(first), &mut |_| None);
                    self.fold(Wal::committed);
                }
                Ok(first) => {
                    let mut gathering =
                        Gathering { queue, expected: self.last_batch, patience: self.last_commit / 8, until: None };
                    self.write(Some(first), &mut |written| gathering.next(written));
                    self.fold(Wal::committed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= self.next_tick {
                self.tick();
            }
            if self.syncing.due_at().is_some_and(|at| Instant::now() >= at) {
                self.write(None, &mut |_| None);
            }
            self.keep_up(!queue.is_empty());
        }
        self.finish();
    }

    fn next_at(&self) -> Instant {
        let next = self.next_tick.min(self.upkeep.next_at());
        self.syncing.due_at().map_or(next, |at| at.min(next))
    }

    /// Writes the first command and those that `next` gives meanwhile, and tells each what became of it.
    fn write(&mut self, first: Option<Command>, next: &mut dyn FnMut(usize) -> Option<Command>) {
        let mut batch = Vec::new();
        if self.shared.failed.load(Ordering::Relaxed) {
            batch.extend(first);
            return refuse_all(batch, &NotStored::Failing("a sync has failed".into()));
        }
        if first.as_ref().is_some_and(Command::is_relied_on)
            && let Err(error) = self.wal.settle(&self.connection)
        {
            batch.extend(first);
            return self.refuse(batch, &error);
        }
        match self.transact(first, next, &mut batch) {
            Ok(written) => self.answer_all(batch, written),
            Err(error) if batch.len() > 1 && verdict::concerns_one_command(&error) => {
                log::warn!("a batch of {} was taken apart: {error}", batch.len());
                for command in batch {
                    self.write(Some(command), &mut |_| None);
                }
            }
            Err(error) => self.refuse(batch, &error),
        }
    }

    /// One transaction: what arrives while others are written still joins. Refusals ride along.
    fn transact(
        &mut self,
        first: Option<Command>,
        next: &mut dyn FnMut(usize) -> Option<Command>,
        batch: &mut Vec<Command>,
    ) -> rusqlite::Result<Vec<Written>> {
        let refused = self.shared.ring.take();
        let mut counts = Counts::default();
        counts.refusals(&refused.counted, Millis::now());
        let is_relied_on = first.as_ref().is_none_or(Command::is_relied_on);
        batch.extend(first);
        let begun = self.syncing.prepare(&self.connection, is_relied_on).and_then(|()| self.begin());
        if begun.is_err() {
            // The others that wait would have to wait as long again, one by one.
            batch.extend(std::iter::from_fn(|| next(usize::MAX)).take(MAX_BATCH));
        }
        let result = begun.and_then(|()| {
            let (mut written, mut bytes) = (Vec::new(), 0);
            while let Some(command) = batch.get_mut(written.len()) {
                bytes += command.bytes();
                written.push(self.carry_out(command, &mut counts)?);
                if written.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
                    batch.extend(next(written.len()));
                }
            }
            refused.write(&self.connection)?;
            counts.write(&self.connection)?;
            if batch.is_empty() {
                self.syncing.touch(&self.connection, Millis::now().0)?;
            }
            let began = Instant::now();
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            let took = began.elapsed();
            self.syncing.committed(&self.connection, began);
            self.shared.metrics.committed(took, written.iter().map(Written::events).sum());
            if is_relied_on {
                (self.last_batch, self.last_commit) = (written.len(), took.min(LONGEST_COMMIT));
            }
            Ok(written)
        });
        if result.is_err() {
            self.shared.ring.give_back(refused);
            self.roll_back();
        }
        result
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            log::error!("a transaction could not be rolled back: {error}");
        }
    }

    fn carry_out(&self, command: &mut Command, counts: &mut Counts) -> rusqlite::Result<Written> {
        match command {
            Command::Accept(delivery) if delivery.is_abandoned() => Ok(Written::TooMany),
            Command::Accept(delivery) if self.is_too_many(delivery)? => Ok(Written::TooMany),
            Command::Accept(delivery) => delivery.routed.store(&self.connection, counts).map(Written::Accepted),
            Command::Learn(lesson) => lesson.keep(&self.connection).map(Written::Learned),
            Command::Turn(turn, _) => {
                let was_changed_outside = self.shared.changed_outside.load(Ordering::Relaxed);
                let turned = turn.carry_out(&self.connection, &self.shared.board, turn.now(), was_changed_outside);
                turned.map(Written::Turned)
            }
            Command::Operator(write) => write.run(&self.connection, counts).map(|()| Written::Operator),
            Command::Durability(_) => Ok(Written::Turned(Turned::default())),
        }
    }

    fn is_too_many(&self, delivery: &Delivery) -> rusqlite::Result<bool> {
        Ok(self.shared.backlog.load(Ordering::Relaxed) && !delivery.routed.is_known(&self.connection)?)
    }

    /// After the commit: everyone learns what became of his command, and the dispatcher that there is work.
    fn answer_all(&mut self, batch: Vec<Command>, written: Vec<Written>) {
        self.last_refusal = None;
        let (mut new_jobs, mut more_pending) = (0, 0);
        for (command, written) in batch.into_iter().zip(written) {
            match (command, written) {
                (Command::Accept(delivery), Written::Accepted(stored)) => {
                    if stored.receipt.is_accepted() {
                        new_jobs += i64::try_from(delivery.routed.jobs()).unwrap_or(0);
                    }
                    delivery.answer(Ok(stored.accepted(&self.shared.board)));
                }
                (Command::Accept(delivery), Written::TooMany) => delivery.answer(Err(NotStored::Backlog)),
                (Command::Turn(turn, answer), Written::Turned(turned)) => {
                    more_pending += turn.change_in_pending(&turned);
                    self.shared.board.settle(&turn.finished, &turned.stale);
                    if turned.was_changed_outside {
                        self.shared.changed_outside.store(false, Ordering::Relaxed);
                    }
                    reply(&answer, Ok(turned));
                }
                (Command::Learn(lesson), Written::Learned(learned)) => lesson.answer(learned, &self.shared.lessons),
                (Command::Durability(durability), _) => self.syncing.set_durability(durability),
                (Command::Operator(write), Written::Operator) => {
                    self.watch.changed_by_operator();
                    write.finish(Ok(()));
                }
                (Command::Accept(_) | Command::Learn(_) | Command::Turn(..) | Command::Operator(_), _) => {
                    log::error!("a command was answered as another")
                }
            }
        }
        self.watch.committed(new_jobs + more_pending);
        if new_jobs > 0 {
            self.watch.wake();
        }
    }

    fn refuse(&mut self, batch: Vec<Command>, error: &rusqlite::Error) {
        let why = self.judge(error);
        let is_known = self.shared.failed.load(Ordering::Relaxed) || self.last_refusal.as_ref() == Some(&why);
        let level = if is_known { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "a batch of {} was not stored: {why} ({error})", batch.len());
        self.last_refusal = Some(why.clone());
        refuse_all(batch, &why);
    }

    /// What an error means; hookbox ends where nothing may be tried again.
    fn judge(&mut self, error: &rusqlite::Error) -> NotStored {
        let why = verdict::judge(error, &self.shared);
        match &why {
            NotStored::Failing(_) if verdict::is_io_error(error) => {
                log::error!("the inbox could not be written and synced, hookbox ends: {error}");
                self.shared.failed.store(true, Ordering::Relaxed);
                self.caller.send(ControlMessage::Failed(format!("the inbox could not be written and synced: {error}")));
            }
            NotStored::DiskLow => {
                self.watch.disk_is_full();
                if verdict::is_io_error(error) {
                    self.wal.doubt();
                }
            }
            _ => {}
        }
        why
    }
}
