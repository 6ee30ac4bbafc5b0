//! Reading the inbox, from the process that serves it or from another one. [`Reader`] is the interface.

mod alert_snapshot;
mod connection;
mod events;
mod handler_stats;
mod interface;
mod paged_list;
mod rows;
mod served;
mod source_stats;
mod sql;
mod tail;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use alert_snapshot::HourlyCount;
pub use alert_snapshot::{AlertSnapshot, DeadJob};
pub use connection::ReadError;
pub(super) use connection::ReadPool;
pub use events::{LookupResult, RefusalSummary, StoredRefusal, UnknownPath};
pub use handler_stats::{COUNT_LIMIT, HandlerOverview, HandlerStats};
pub use interface::Reader;
pub use paged_list::{MAX_SEARCHED_BODY, PagedList};
pub use rows::{Attempt, Event, EventDetail, Job, JobDetail};
pub use source_stats::{HOURS_PER_DAY, HourCounts, SourceDay, SourceStats};
pub(super) use sql::{WhereClause, one_of, text};
pub use tail::TailLine;
