//! Reading the inbox, from the process that serves it or from another one. [`Reader`] is the interface.

mod alert_snapshot;
mod connection;
mod events;
mod handler_stats;
mod index_search;
mod interface;
mod paged_list;
mod refusals;
mod rows;
mod served;
mod source_stats;
mod tail;
mod where_clause;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use alert_snapshot::HourlyCount;
pub use alert_snapshot::{AlertSnapshot, DeadJob};
pub use connection::ReadError;
pub(super) use connection::ReadPool;
pub use events::LookupResult;
pub use handler_stats::{COUNT_LIMIT, HandlerOverview, HandlerStats};
pub use interface::Reader;
pub use paged_list::{MAX_SEARCHED_BODY, PagedList};
pub use refusals::{RefusalSummary, StoredRefusal};
pub use rows::{Attempt, Event, EventDetail, Job, JobDetail};
pub use source_stats::{HOURS_PER_DAY, HourCounts, SourceDay, SourceStats};
pub use tail::TailLine;
pub(super) use where_clause::{WhereClause, one_of, text};
