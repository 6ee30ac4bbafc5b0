//! A refused delivery that is genuine after all, taken in by a person: the same rows as if it had just come.
//!
//! The file is written directly, whether or not it is served; who serves it sees the new jobs within a second.

use rusqlite::TransactionBehavior;

use super::{InboxFile, InboxFileError};
use crate::config::ReplayGuard;
use crate::inbox::Receipt;
use crate::inbox::accept::Routed;
use crate::inbox::tally::Counts;
use crate::routing::Routes;
use crate::support::time::Millis;
use crate::verify::VerifiedDelivery;

impl InboxFile {
    /// Stores what verification has let through and marks the refusal as taken, in one transaction; answers when it is
    /// synced. `None` when it was taken already, or has left the ring.
    ///
    /// # Errors
    /// What SQLite says; nothing is stored then.
    pub fn take_in(
        &mut self,
        refusal: i64,
        verified: VerifiedDelivery,
        routes: &Routes,
        replay_guard: ReplayGuard,
    ) -> Result<Option<Receipt>, InboxFileError> {
        let path = self.path.clone();
        let failed = |cause| InboxFileError::from_sqlite(&path, cause);
        let routed = Routed::new(verified, routes, replay_guard == ReplayGuard::IdAndBody);
        let connection = self.writer()?;
        let mut store = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mark = "UPDATE refusals SET taken_at = ?2 WHERE id = ?1 AND taken_at IS NULL";
            if transaction.execute(mark, (refusal, Millis::now().0))? == 0 {
                return Ok(None);
            }
            let mut counts = Counts::default();
            let receipt = routed.store(&transaction, &mut counts)?.receipt;
            counts.write(&transaction)?;
            transaction.commit()?;
            Ok(Some(receipt))
        };
        store().map_err(failed)
    }
}
