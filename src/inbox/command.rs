//! What the writer is asked to do, how commands gather into a batch, and how a batch is turned away.
//!
//! Every command that is taken from the queue is answered exactly once, whatever happens to its batch.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::accept::{Delivery, Stored};
use super::lesson::{Learned, Lesson};
use super::operator::OperatorWrite;
use super::turn::{Turn, Turned};
use super::{InboxError, NotStored};
use crate::config::Durability;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Accept(Delivery),
    Learn(Lesson),
    Turn(Box<Turn>, Sender<Result<Turned, InboxError>>),
    Operator(Box<dyn OperatorWrite>),
    Durability(Durability),
}

/// A command that is written and waits for the commit.
pub(super) enum Written {
    Accepted(Stored),
    Learned(Learned),
    /// Not stored: it is new, with too many jobs pending; or nobody waits for it any more.
    TooMany,
    Turned(Turned),
    Operator,
}

impl Written {
    /// How many it has stored or found.
    pub(super) fn events(&self) -> u32 {
        if let Self::Accepted(stored) = self { stored.receipt.events() } else { 0 }
    }
}

impl Command {
    /// Whether somebody is told something that must then be on the disk.
    pub(super) fn is_relied_on(&self) -> bool {
        match self {
            Self::Turn(turn, _) => turn.is_relied_on(),
            Self::Accept(_) | Self::Learn(_) | Self::Operator(_) | Self::Durability(_) => true,
        }
    }

    /// Roughly what it adds to the transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Accept(delivery) => delivery.routed.bytes(),
            Self::Learn(_) | Self::Turn(..) | Self::Operator(_) | Self::Durability(_) => 0,
        }
    }
}

/// What may still join a batch.
pub(super) struct Gathering<'a> {
    pub(super) queue: &'a Receiver<Command>,
    /// Commands in the last batch.
    pub(super) expected: usize,
    /// How long to wait for as many.
    pub(super) patience: Duration,
    pub(super) until: Option<Instant>,
}

impl Gathering<'_> {
    /// What waits; or, when the last batch was larger, what comes within a moment.
    pub(super) fn next(&mut self, written: usize) -> Option<Command> {
        let waiting = self.queue.try_recv().ok();
        if waiting.is_some() || written >= self.expected {
            return waiting;
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.patience);
        self.queue.recv_deadline(until).ok()
    }
}

pub(super) fn refuse_all(batch: Vec<Command>, why: &NotStored) {
    for command in batch {
        match command {
            Command::Accept(delivery) => delivery.answer(Err(why.clone())),
            Command::Learn(lesson) => lesson.refuse(why.clone()),
            Command::Turn(_, answer) => reply(&answer, Err(InboxError::of(why))),
            Command::Operator(write) => write.finish(Err(InboxError::of(why))),
            Command::Durability(_) => {}
        }
    }
}

pub(super) fn reply<T>(answer: &Sender<Result<T, InboxError>>, result: Result<T, InboxError>) {
    if answer.send(result).is_err() {
        log::debug!("nobody waits for a turn any more");
    }
}
