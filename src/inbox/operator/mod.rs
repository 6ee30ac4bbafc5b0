//! What the operator does with the inbox: bulk updates, pauses, backups, pruning; and access to the file offline.

mod backup;
mod bulk_request;
mod bulk_update;
mod changes;
mod inbox_file;
mod retention;

#[cfg(test)]
mod tests;

pub use super::file::free_disk;
pub use super::writer::retention::Pruned;
pub use backup::{BackupError, BackupFile};
pub use bulk_request::{BulkAction, BulkPlan, BulkRequest, BulkResult, MissingJobs, SkipReason};
pub(super) use bulk_update::{plan_bulk_update, plan_missing_jobs};
pub use inbox_file::{InboxFile, InboxFileError, served_by};
pub use retention::DiskUsage;
