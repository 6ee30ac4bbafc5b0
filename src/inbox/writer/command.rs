//! Commands to the writer, and how they are collected into a batch. Every command is answered exactly once.

use std::fmt;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rusqlite::Connection;

use crate::config::Durability;
use crate::inbox::enrollment::{Enrollment, EnrollmentResult, Enrollments};
use crate::inbox::insert::{Delivery, Inserted};
use crate::inbox::rejections::HourlyTotals;
use crate::inbox::replies::ReplyWaiters;
use crate::inbox::types::{ClaimResult, CompleteAndClaim, InboxError, NotStored};

#[derive(Debug)]
pub(in crate::inbox) enum Command {
    Accept(Delivery),
    Enroll(Enrollment),
    CompleteAndClaim(Box<CompleteAndClaim>, Sender<Result<ClaimResult, InboxError>>),
    Change(Box<dyn QueuedChange>),
    SetDurability(Durability),
    /// The buffer contains rejections: write them soon.
    WriteRejections,
}

/// A command that is written but not committed.
pub(super) enum Written {
    Accepted(Inserted),
    Enrolled(EnrollmentResult),
    /// Not stored: too many jobs are pending, or the request has gone.
    TooMany,
    Claimed(ClaimResult),
    Changed,
}

impl Written {
    /// Number of events stored or recognised.
    pub(super) fn events(&self) -> u32 {
        if let Self::Accepted(inserted) = self { inserted.receipt.events() } else { 0 }
    }
}

impl Command {
    /// Whether its commit must be synced before it is answered.
    pub(super) fn needs_sync(&self) -> bool {
        match self {
            Self::CompleteAndClaim(request, _) => request.needs_sync(),
            Self::WriteRejections => false,
            Self::Accept(_) | Self::Enroll(_) | Self::Change(_) | Self::SetDurability(_) => true,
        }
    }

    /// Approximate size of what it adds to the transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Accept(delivery) => delivery.insertion.bytes(),
            Self::Enroll(_)
            | Self::CompleteAndClaim(..)
            | Self::Change(_)
            | Self::SetDurability(_)
            | Self::WriteRejections => 0,
        }
    }

    /// Answers that nothing was written.
    pub(super) fn fail(self, why: &NotStored, waiters: &ReplyWaiters, enrollments: &Enrollments) {
        match self {
            Self::Accept(delivery) => delivery.answer(Err(why.clone()), waiters),
            Self::Enroll(enrollment) => enrollment.answer(Err(why.clone()), enrollments),
            Self::CompleteAndClaim(_, answer) => send(&answer, Err(why.into())),
            Self::Change(change) => change.finish(Err(why.into())),
            Self::SetDurability(_) | Self::WriteRejections => {}
        }
    }
}

/// A change of the database that the writer makes in its transaction. If that fails because of another command, the
/// change is made again.
pub(in crate::inbox) trait QueuedChange: Send {
    fn run(&mut self, connection: &Connection, totals: &mut HourlyTotals) -> rusqlite::Result<()>;
    /// Called once, after the commit or its failure.
    fn finish(self: Box<Self>, committed: Result<(), InboxError>);
}

impl fmt::Debug for dyn QueuedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueuedChange")
    }
}

struct ClosureChange<T, F> {
    change: F,
    result: Option<T>,
    answer: Sender<Result<T, InboxError>>,
}

impl<T, F> QueuedChange for ClosureChange<T, F>
where
    T: Send,
    F: FnMut(&Connection, &mut HourlyTotals) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection, totals: &mut HourlyTotals) -> rusqlite::Result<()> {
        self.result = Some((self.change)(connection, totals)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), InboxError>) {
        let Self { result, answer, .. } = *self;
        let not_written = || InboxError::Final("the change was not written".into());
        send(&answer, committed.and_then(|()| result.ok_or_else(not_written)));
    }
}

/// Has the writer make a change, and waits for the commit.
pub(in crate::inbox) fn run_change<T: Send + 'static>(
    commands: &Sender<Command>,
    change: impl FnMut(&Connection, &mut HourlyTotals) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, InboxError> {
    let closed = || InboxError::Final("the inbox is closed".into());
    let (answer, answered) = crossbeam_channel::bounded(1);
    let change = Box::new(ClosureChange { change, result: None, answer });
    commands.send(Command::Change(change)).map_err(|_| closed())?;
    answered.recv().map_err(|_| closed())?
}

/// Collects the commands that may join a batch.
pub(super) struct Batching<'a> {
    pub(super) queue: &'a Receiver<Command>,
    /// Number of commands in the last batch.
    pub(super) expected: usize,
    /// How long to wait for as many.
    pub(super) timeout: Duration,
    pub(super) deadline: Option<Instant>,
}

impl Batching<'_> {
    /// Returns a queued command. If the last batch was larger than this one, waits a moment for one.
    pub(super) fn next(&mut self, written: usize) -> Option<Command> {
        let queued = self.queue.try_recv().ok();
        if queued.is_some() || written >= self.expected {
            return queued;
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.timeout);
        self.queue.recv_deadline(deadline).ok()
    }
}

pub(super) fn send<T>(answer: &Sender<Result<T, InboxError>>, result: Result<T, InboxError>) {
    if answer.send(result).is_err() {
        log::debug!("a command was answered after its sender had gone");
    }
}
