//! The operator's changes to an inbox that this process serves: the writer thread makes them between deliveries.

use std::fmt;
use std::sync::Arc;

use crossbeam_channel::Sender;
use rusqlite::Connection;

use super::accept_refusal::accept_refusal;
use super::bulk_request::{BulkPlan, BulkResult};
use super::bulk_update::run_steps;
use crate::inbox::accept::Routed;
use crate::inbox::command::Command;
use crate::inbox::pause::{self, Paused};
use crate::inbox::tally::Counts;
use crate::inbox::{Inbox, InboxError, Receipt};
use crate::support::time::Millis;
use crate::verify::VerifiedDelivery;

/// A change that the writer makes in its transaction. If the transaction fails for another command's sake, it runs again.
pub(in crate::inbox) trait OperatorWrite: Send {
    fn run(&mut self, connection: &Connection, counts: &mut Counts) -> rusqlite::Result<()>;
    /// Called once, after the commit or when there is none.
    fn finish(self: Box<Self>, committed: Result<(), InboxError>);
}

impl fmt::Debug for dyn OperatorWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorWrite")
    }
}

struct Write<T, F> {
    change: F,
    result: Option<T>,
    reply: Sender<Result<T, InboxError>>,
}

impl<T, F> OperatorWrite for Write<T, F>
where
    T: Send,
    F: FnMut(&Connection, &mut Counts) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection, counts: &mut Counts) -> rusqlite::Result<()> {
        self.result = Some((self.change)(connection, counts)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), InboxError>) {
        let Self { result, reply, .. } = *self;
        let unwritten = || InboxError::Final("the change was not written".into());
        let result = committed.and_then(|()| result.ok_or_else(unwritten));
        if reply.send(result).is_err() {
            log::debug!("the requester of a change is gone");
        }
    }
}

impl Inbox {
    /// Makes the changes of a plan in steps, so that no acknowledgement waits for a large one. `proceed` is called after
    /// each step with the total so far, and returns whether to go on.
    ///
    /// # Errors
    /// A step could not be written. The steps before it stay.
    pub fn bulk_update(
        &self,
        plan: &Arc<BulkPlan>,
        now: Millis,
        proceed: impl FnMut(BulkResult) -> bool,
    ) -> Result<BulkResult, InboxError> {
        run_steps(plan, proceed, |step| {
            let plan = plan.clone();
            self.write(move |connection, _| plan.apply(connection, &step, now))
        })
    }

    /// Pauses a handler.
    ///
    /// # Errors
    /// It could not be written.
    pub fn pause(&self, handler: &str, reason: Option<&str>, now: Millis) -> Result<Paused, InboxError> {
        let (handler, reason) = (handler.to_owned(), reason.map(str::to_owned));
        self.write(move |connection, _| pause::pause(connection, &handler, reason.as_deref(), now))
    }

    /// Resumes a handler; one that is paused as broken is probed immediately.
    ///
    /// # Errors
    /// It could not be written.
    pub fn resume(&self, handler: &str, now: Millis) -> Result<Paused, InboxError> {
        let handler = handler.to_owned();
        self.write(move |connection, _| pause::resume(connection, &handler, now))
    }

    /// Stores the events of a refused delivery that has been verified since. `None` if that was done before, or the
    /// refusal is no longer stored.
    ///
    /// # Errors
    /// Nothing was stored.
    pub fn accept_refusal(&self, refusal: i64, verified: VerifiedDelivery) -> Result<Option<Receipt>, InboxError> {
        let guards_bodies = self.guarded().contains(verified.source());
        let routed = Routed::new(verified, &self.routes(), guards_bodies);
        self.write(move |connection, counts| accept_refusal(connection, counts, refusal, &routed))
    }

    /// Has the writer make a change, and waits for the commit.
    pub(in crate::inbox) fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&Connection, &mut Counts) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, InboxError> {
        let closed = || InboxError::Final("the inbox is closed".into());
        let (reply, replied) = crossbeam_channel::bounded(1);
        let write = Box::new(Write { change, result: None, reply });
        self.commands.send(Command::Operator(write)).map_err(|_| closed())?;
        replied.recv().map_err(|_| closed())?
    }
}
