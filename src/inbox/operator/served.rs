//! The operator's changes to an inbox that this process serves: the writer thread makes them between deliveries.

use std::sync::Arc;

use super::accept_refusal::accept_refusal;
use super::bulk_request::{BulkPlan, BulkResult};
use super::bulk_update::run_steps;
use crate::inbox::handlers::{self, PauseResult};
use crate::inbox::{Inbox, InboxError, Receipt};
use crate::routing::RoutedDelivery;
use crate::support::time::Millis;

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
    pub fn pause(&self, handler: &str, reason: Option<&str>, now: Millis) -> Result<PauseResult, InboxError> {
        let (handler, reason) = (handler.to_owned(), reason.map(str::to_owned));
        self.write(move |connection, _| handlers::pause(connection, &handler, reason.as_deref(), now))
    }

    /// Resumes a handler; one that is paused as broken is probed immediately.
    ///
    /// # Errors
    /// It could not be written.
    pub fn resume(&self, handler: &str, now: Millis) -> Result<PauseResult, InboxError> {
        let handler = handler.to_owned();
        self.write(move |connection, _| handlers::resume(connection, &handler, now))
    }

    /// Stores the events of a refused delivery that has been verified since. `None` if that was done before, or the
    /// refusal is no longer stored.
    ///
    /// # Errors
    /// Nothing was stored.
    pub fn accept_refusal(&self, refusal: i64, routed: RoutedDelivery) -> Result<Option<Receipt>, InboxError> {
        let insertion = self.insertion(routed);
        self.write(move |connection, totals| accept_refusal(connection, totals, refusal, &insertion))
    }
}
