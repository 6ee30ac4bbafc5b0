//! Reading an inbox that this process serves, and the state that is kept in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::connection::ReadError;
use super::interface::Reader;
use crate::inbox::Inbox;
use crate::inbox::file::{free_disk, with_suffix};
use crate::inbox::types::{HandlerState, InboxError, Payload};
use crate::inbox::writer::shared::JobCounts;
use crate::metrics::{GaugeValues, HandlerGauges, Metrics};
use crate::support::locks;
use crate::support::time::Millis;

/// Counting the jobs for the metrics may take one second in so many.
const COUNTING_SHARE: u32 = 20;

impl Inbox {
    /// Takes a connection from the pool; it is returned when the reader is dropped.
    ///
    /// # Errors
    /// All connections stay in use for 5 s, or none can be opened.
    pub fn reader(&self) -> Result<Reader<'_>, ReadError> {
        Reader::pooled(&self.readers)
    }

    /// Headers, content type and body of an event; `None` if they are no longer stored.
    ///
    /// # Errors
    /// [`InboxError::Passing`]: try again later.
    pub fn payload(&self, event_seq: i64) -> Result<Option<Payload>, InboxError> {
        Ok(self.reader()?.payload(event_seq)?)
    }

    /// Pauses and probes of all handlers that were ever paused.
    ///
    /// # Errors
    /// [`InboxError::Passing`]: try again later.
    pub fn handler_states(&self) -> Result<Vec<HandlerState>, InboxError> {
        Ok(self.reader()?.handler_states()?)
    }

    /// Whether deliveries are refused because the disk is low on space.
    #[must_use]
    pub fn is_disk_low(&self) -> bool {
        self.shared.disk_low.load(Ordering::Relaxed)
    }

    /// Rises with every commit: immediately with those of this process, within a second with others.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// The gauges for [`Metrics::text`]. Values that cannot be read are left out.
    #[must_use]
    pub fn gauges(&self, handlers: &[Arc<str>]) -> GaugeValues {
        let length = |path: &Path| std::fs::metadata(path).map(|file| file.len()).unwrap_or_default();
        let path = self.shared.with_settings(|settings| settings.path.clone());
        GaugeValues {
            handlers: self.handler_gauges(handlers),
            queue: self.commands.len(),
            disk_free: free_disk(&path),
            wal: length(&with_suffix(&path, "-wal")),
            database: length(&path),
            is_ready: self.is_ready().is_ok(),
        }
    }

    fn handler_gauges(&self, names: &[Arc<str>]) -> Vec<HandlerGauges> {
        let mut cache = locks::lock(&self.shared.job_counts);
        let began = Instant::now();
        if let Some(last) = cache.as_ref().filter(|last| began < last.recount_at) {
            return last.handlers.clone();
        }
        match self.reader().and_then(|reader| reader.handler_gauges(names, Millis::now())) {
            Ok(handlers) => {
                let recount_at = Instant::now() + began.elapsed() * COUNTING_SHARE;
                cache.insert(JobCounts { handlers, recount_at }).handlers.clone()
            }
            Err(error) => {
                log::debug!("jobs could not be counted: {error}");
                Vec::new()
            }
        }
    }
}

impl From<ReadError> for InboxError {
    fn from(error: ReadError) -> Self {
        Self::Passing(error.message)
    }
}
