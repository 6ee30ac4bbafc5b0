//! What the inbox could not do: a delivery that was not stored, a write or read that did not happen.
//!
//! Each says whether it may be tried again. Nothing of a database's error reaches a provider.

/// Why a genuine delivery was not stored. The caller may come again; whether it was stored after all is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// Too many deliveries wait for the writer.
    #[error("the queue to the inbox is full")]
    QueueFull,
    /// `inbox.max_pending` jobs are pending.
    #[error("too many jobs are pending (inbox.max_pending)")]
    Backlog,
    /// Less than `inbox.min_free_disk` is free, or the disk is full.
    #[error("the disk is low on space (inbox.min_free_disk)")]
    DiskLow,
    /// Another process holds the database.
    #[error("another process holds the inbox's lock")]
    Busy,
    /// The database does not take it.
    #[error("the inbox is failing: {0}")]
    Failing(String),
    /// hookbox is ending.
    #[error("shutting down")]
    Closing,
}

/// A write or read that did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InboxError {
    /// It may be tried again: another process holds the lock, or the disk is full.
    #[error("{0}")]
    Passing(String),
    /// It may not.
    #[error("{0}")]
    Final(String),
}

impl InboxError {
    pub(super) fn of(why: &NotStored) -> Self {
        match why {
            NotStored::QueueFull | NotStored::Backlog | NotStored::DiskLow | NotStored::Busy => {
                Self::Passing(why.to_string())
            }
            NotStored::Failing(_) | NotStored::Closing => Self::Final(why.to_string()),
        }
    }
}
