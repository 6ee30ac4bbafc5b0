//! Changes that the operator makes: to an inbox that this process serves, where the writer thread makes them between
//! deliveries, and to the file from another process.

use std::sync::Arc;

use rusqlite::{Connection, Result};

use super::bulk_request::{BulkPlan, BulkResult};
use super::bulk_update::run_steps;
use super::inbox_file::{InboxFile, InboxFileError};
use crate::config::ReplayGuard;
use crate::inbox::handlers::{self, PauseResult};
use crate::inbox::insert::Insertion;
use crate::inbox::rejections::HourlyTotals;
use crate::inbox::{Inbox, InboxError, Receipt, enrollment};
use crate::routing::RoutedDelivery;
use crate::support::time::Millis;

type ServedResult<T> = std::result::Result<T, InboxError>;
type FileResult<T> = std::result::Result<T, InboxFileError>;

impl Inbox {
    /// Makes the changes of a plan in steps, so that no acknowledgement waits for a large one. `proceed` is called after
    /// each step with the total so far, and returns whether to continue. If a step fails, the steps before it are kept.
    pub fn bulk_update(
        &self,
        plan: &Arc<BulkPlan>,
        now: Millis,
        proceed: impl FnMut(BulkResult) -> bool,
    ) -> ServedResult<BulkResult> {
        run_steps(plan, proceed, |step| {
            let plan = plan.clone();
            self.write(move |connection, _| plan.apply(connection, &step, now))
        })
    }

    pub fn pause(&self, handler: &str, reason: Option<&str>, now: Millis) -> ServedResult<PauseResult> {
        let (handler, reason) = (handler.to_owned(), reason.map(str::to_owned));
        self.write(move |connection, _| handlers::pause(connection, &handler, reason.as_deref(), now))
    }

    /// Resumes a handler. One that is paused as broken is probed immediately.
    pub fn resume(&self, handler: &str, now: Millis) -> ServedResult<PauseResult> {
        let handler = handler.to_owned();
        self.write(move |connection, _| handlers::resume(connection, &handler, now))
    }

    /// Stores the events of a refused delivery that has been verified since. `None` if that was done before, or the
    /// refusal is no longer stored.
    pub fn accept_refusal(&self, refusal: i64, routed: RoutedDelivery) -> ServedResult<Option<Receipt>> {
        let insertion = self.insertion(routed);
        self.write(move |connection, totals| accept_refusal(connection, totals, refusal, &insertion))
    }
}

/// The same changes from another process. A running `serve` notices them within a second.
impl InboxFile {
    pub fn bulk_update(
        &mut self,
        plan: &BulkPlan,
        now: Millis,
        proceed: impl FnMut(BulkResult) -> bool,
    ) -> FileResult<BulkResult> {
        run_steps(plan, proceed, |step| self.write(|connection| plan.apply(connection, &step, now)))
    }

    pub fn pause(&mut self, handler: &str, reason: Option<&str>, now: Millis) -> FileResult<PauseResult> {
        self.write(|connection| handlers::pause(connection, handler, reason, now))
    }

    pub fn resume(&mut self, handler: &str, now: Millis) -> FileResult<PauseResult> {
        self.write(|connection| handlers::resume(connection, handler, now))
    }

    /// Lets the next handshake of a source set its secret, until a time. False if a secret is known.
    pub fn open_enrollment(&mut self, source: &str, until: Millis, forget: bool) -> FileResult<bool> {
        self.write(|connection| enrollment::open(connection, source, until, forget))
    }

    pub fn accept_refusal(
        &mut self,
        refusal: i64,
        routed: RoutedDelivery,
        replay_guard: ReplayGuard,
    ) -> FileResult<Option<Receipt>> {
        let insertion = Insertion { routed, dedups_bodies: replay_guard == ReplayGuard::IdAndBody };
        self.write(|connection| {
            let mut totals = HourlyTotals::default();
            let receipt = accept_refusal(connection, &mut totals, refusal, &insertion)?;
            totals.write(connection).map(|()| receipt)
        })
    }
}

fn accept_refusal(
    connection: &Connection,
    totals: &mut HourlyTotals,
    refusal: i64,
    insertion: &Insertion,
) -> Result<Option<Receipt>> {
    let mark = "UPDATE refusals SET taken_at = ?2 WHERE id = ?1 AND taken_at IS NULL";
    if connection.execute(mark, (refusal, Millis::now().0))? == 0 {
        return Ok(None);
    }
    Ok(Some(insertion.write(connection, totals)?.receipt))
}
