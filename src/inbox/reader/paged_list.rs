//! Lists of any length, newest first: rows are read in batches until a page is full or its deadline has passed.
//!
//! A filter may match one row in a million, and an index for every filter would slow down each delivery. So a page also
//! says how far the search has come and where the next page starts. Each batch is one short statement. For states that
//! few jobs are in, the search starts from the indexes of those jobs.

use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, Result, Row, params_from_iter};

use super::events::STATE;
use super::rows::{Event, Job};
use super::sql::{PENDING_INDEXES, WhereClause, text};
use super::sql::{lower_bound, upper_bound};
use crate::model::event::{EventState, JobState};
use crate::model::filter::{EventFilter, JobFilter, Page};

/// Longer bodies are not searched for a text, in bytes.
pub const MAX_SEARCHED_BODY: i64 = 256 * 1024;
/// Rows in the first batch. Each further batch is twice as long, up to a maximum.
const FIRST_BATCH: u32 = 256;
const MAX_BATCH: u32 = 4096;
/// Maximum when the state of each event is computed from its jobs.
const MAX_BATCH_BY_STATE: u32 = 1024;
/// Maximum when bodies are searched.
const MAX_BATCH_OF_BODIES: u32 = 64;
/// If fewer jobs are pending, a list of pending events starts from them.
const FEW_PENDING: u32 = 2000;
/// The same for the jobs of one handler. Reading this many index entries takes about 50 ms.
const FEW_PENDING_OF_HANDLER: u32 = 200_000;

#[derive(Debug)]
pub struct PagedList<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// [`Page::before`] of the next page; `None` on the last one.
    pub next: Option<i64>,
    /// Whether the deadline passed before the page was full.
    pub is_cut_short: bool,
    /// Rows that were searched.
    pub looked_at: u64,
}

pub(super) fn events(connection: &Connection, filter: &EventFilter, page: Page) -> Result<PagedList<Event>> {
    let mut conditions = WhereClause::default();
    conditions.arrival(&filter.arrival);
    if !filter.states.is_empty() {
        let states: Vec<_> = filter.states.iter().map(|state| format!("'{state}'")).collect();
        conditions.and(&format!("{} IN ({})", *STATE, states.join(", ")), []);
    }
    if let Some(body_text) = &filter.body_text {
        let contains = "EXISTS (SELECT 1 FROM payloads p WHERE p.event_seq = e.seq AND instr(p.body, ?) > 0)";
        let condition = format!("e.body_bytes <= {MAX_SEARCHED_BODY} AND {contains}");
        conditions.and(&condition, [Value::Blob(body_text.clone().into())]);
    }
    let candidates = match filter.states[..] {
        [EventState::Dead] => jobs_in("DISTINCT event_seq", JobState::Dead, None),
        [EventState::Running] => jobs_in("DISTINCT event_seq", JobState::Running, None),
        [EventState::Pending] if are_few_pending(connection, None)? => pending_jobs("event_seq", "UNION", None),
        _ => "SELECT seq AS key FROM events".to_owned(),
    };
    let search = Search {
        candidates,
        handler: None,
        select: format!(
            "SELECT {}, {} AS state FROM batch CROSS JOIN events e ON e.seq = batch.key",
            Event::COLUMNS,
            *STATE
        ),
        key: "e.seq",
        conditions,
        max_batch: match filter.body_text {
            Some(_) => MAX_BATCH_OF_BODIES,
            None if filter.states.is_empty() => MAX_BATCH,
            None => MAX_BATCH_BY_STATE,
        },
        lowest: filter.arrival.since.map(|since| lower_bound(connection, since)).transpose()?,
    };
    let end = filter.arrival.until.map(|until| upper_bound(connection, until)).transpose()?;
    let before = page.before.into_iter().chain(end).min();
    search.run(connection, Page { before, ..page }, Event::read, |event| event.seq)
}

pub(super) fn jobs(connection: &Connection, filter: &JobFilter, page: Page) -> Result<PagedList<Job>> {
    let mut conditions = WhereClause::default();
    conditions.job(filter);
    let handler = filter.handler.as_deref();
    let candidates = match (&filter.jobs, filter.events.as_deref(), &filter.states[..]) {
        (_, Some([seq]), _) => format!("SELECT id AS key FROM jobs WHERE event_seq = {seq}"),
        (Some(ids), ..) => {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            format!("SELECT id AS key FROM jobs WHERE id IN ({})", ids.join(", "))
        }
        (.., [state @ (JobState::Dead | JobState::Running)]) => jobs_in("id", *state, handler),
        (.., [JobState::Pending]) if are_few_pending(connection, handler)? => pending_jobs("id", "UNION ALL", handler),
        _ => "SELECT id AS key FROM jobs".to_owned(),
    };
    let search = Search {
        handler: handler.filter(|_| candidates.contains(OF_HANDLER)),
        candidates,
        select: format!(
            "SELECT {} FROM batch CROSS JOIN jobs j ON j.id = batch.key CROSS JOIN events e ON e.seq = j.event_seq",
            Job::COLUMNS
        ),
        key: "j.id",
        conditions,
        max_batch: MAX_BATCH,
        lowest: None,
    };
    search.run(connection, page, Job::read, |job| job.id)
}

struct Search<'a> {
    /// A query for `key`, the keys of all rows that can match.
    candidates: String,
    /// The handler whose jobs the candidates are, if they contain [`OF_HANDLER`].
    handler: Option<&'a str>,
    /// Reads the rows of a `batch`; the conditions follow.
    select: String,
    key: &'static str,
    conditions: WhereClause,
    max_batch: u32,
    /// No row below this key can match.
    lowest: Option<i64>,
}

impl Search<'_> {
    fn run<T>(
        &self,
        connection: &Connection,
        page: Page,
        read: fn(&Row<'_>) -> Result<T>,
        key_of: fn(&T) -> i64,
    ) -> Result<PagedList<T>> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut list = PagedList { rows: Vec::new(), next: None, is_cut_short: false, looked_at: 0 };
        let (mut before, mut size) = (page.before.unwrap_or(i64::MAX), FIRST_BATCH.min(self.max_batch));
        loop {
            let (first, count) = self.batch(connection, before, size)?;
            let Some(first) = first else { return Ok(list) };
            // One row more than the limit shows that there is a next page.
            let missing = limit - list.rows.len() + 1;
            list.rows.extend(self.matches(connection, first..before, missing, read)?);
            list.looked_at += u64::from(count);
            if list.rows.len() > limit {
                list.rows.truncate(limit);
                list.next = list.rows.last().map(key_of);
                return Ok(list);
            }
            if count < size || self.lowest.is_some_and(|lowest| first <= lowest) {
                return Ok(list);
            }
            if page.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                (list.next, list.is_cut_short) = (Some(first), true);
                return Ok(list);
            }
            before = first;
            size = (size * 2).min(self.max_batch);
        }
    }

    /// The lowest key of the batch below `before`, and how many rows the batch has.
    fn batch(&self, connection: &Connection, before: i64, size: u32) -> Result<(Option<i64>, u32)> {
        let sql = format!(
            "SELECT min(key), count(*) FROM (SELECT key FROM ({}) WHERE key < ? ORDER BY key DESC LIMIT {size})",
            self.candidates
        );
        let values = self.handler.map(text).into_iter().chain([Value::Integer(before)]);
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn matches<T>(
        &self,
        connection: &Connection,
        keys: std::ops::Range<i64>,
        limit: usize,
        read: fn(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let sql = format!(
            "WITH batch AS MATERIALIZED (SELECT key FROM ({}) WHERE key >= ? AND key < ? ORDER BY key DESC) {} {} \
             ORDER BY {} DESC LIMIT {limit}",
            self.candidates,
            self.select,
            self.conditions.sql(),
            self.key
        );
        let bounds = [keys.start, keys.end].map(Value::Integer);
        let handler = self.handler.map(text);
        let values = handler.iter().chain(&bounds).chain(&self.conditions.values);
        connection.prepare(&sql)?.query_map(params_from_iter(values), read)?.collect()
    }
}

/// Jobs in a state that has its own index. SQLite would prefer to read all jobs in order.
fn jobs_in(column: &str, state: JobState, handler: Option<&str>) -> String {
    format!("SELECT {column} AS key FROM jobs INDEXED BY jobs_{state} WHERE state = '{state}'{}", of_handler(handler))
}

/// Restricts candidates to the handler in the first bound value.
const OF_HANDLER: &str = " AND handler = ?1";

fn of_handler(handler: Option<&str>) -> &'static str {
    if handler.is_some() { OF_HANDLER } else { "" }
}

fn pending_jobs(column: &str, union: &str, handler: Option<&str>) -> String {
    let part = |(index, condition)| {
        format!("SELECT {column} AS key FROM jobs INDEXED BY {index} WHERE {condition}{}", of_handler(handler))
    };
    PENDING_INDEXES.map(part).join(&format!(" {union} "))
}

fn are_few_pending(connection: &Connection, handler: Option<&str>) -> Result<bool> {
    let few = if handler.is_some() { FEW_PENDING_OF_HANDLER } else { FEW_PENDING };
    let mut statement = connection.prepare_cached(&few_pending_sql(few, handler))?;
    let count: u32 = statement.query_row(params_from_iter(handler), |row| row.get(0))?;
    Ok(count < few)
}

fn few_pending_sql(few: u32, handler: Option<&str>) -> String {
    format!("SELECT count(*) FROM ({} LIMIT {few})", pending_jobs("id", "UNION ALL", handler))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    /// A million finished jobs must not be read to find the few open ones.
    #[test]
    fn open_and_dead_jobs_are_found_through_their_indexes() {
        let Sample { connection, .. } = &Sample::new();
        let [dead, running] = [JobState::Dead, JobState::Running].map(|state| jobs_in("id", state, None));
        let [dead_events, running_events] =
            [JobState::Dead, JobState::Running].map(|state| jobs_in("DISTINCT event_seq", state, None));
        let [pending, pending_events] =
            [("id", "UNION ALL"), ("event_seq", "UNION")].map(|(column, union)| pending_jobs(column, union, None));
        let dead_of_handler = jobs_in("id", JobState::Dead, Some("h"));
        for candidates in [dead, running, dead_events, running_events, pending, pending_events, dead_of_handler] {
            for bounds in ["key < 9 ORDER BY key DESC LIMIT 256", "key >= 5 AND key < 9 ORDER BY key DESC"] {
                let sql = format!("SELECT min(key), count(*) FROM (SELECT key FROM ({candidates}) WHERE {bounds})");
                let plan = steps(connection, &sql);
                for step in plan.iter().filter(|step| step.contains(" jobs")) {
                    let own = ["jobs_dead", "jobs_running", "jobs_due", "jobs_suspect", "jobs_blocked"];
                    assert!(own.iter().any(|index| step.contains(index)), "{candidates} {bounds}: {plan:#?}");
                }
            }
        }
        let are_few = steps(connection, &few_pending_sql(FEW_PENDING, None));
        assert!(
            are_few.iter().filter(|step| step.contains(" jobs")).all(|step| step.contains("INDEX")),
            "{are_few:#?}"
        );
    }

    /// A million pending jobs of other handlers must not be read to find those of one.
    #[test]
    fn open_jobs_of_a_handler_are_found_through_its_index_entries() {
        let Sample { connection, .. } = &Sample::new();
        let pending = pending_jobs("id", "UNION ALL", Some("h"));
        for sql in [
            format!("SELECT key FROM ({pending}) WHERE key < 9 ORDER BY key DESC LIMIT 256"),
            format!("SELECT key FROM ({pending}) WHERE key >= 5 AND key < 9 ORDER BY key DESC"),
            few_pending_sql(FEW_PENDING_OF_HANDLER, Some("h")),
            jobs_in("id", JobState::Running, Some("h")),
        ] {
            let plan = steps(connection, &sql);
            let jobs: Vec<_> = plan.iter().filter(|step| step.contains(" jobs")).collect();
            assert!(!jobs.is_empty() && jobs.iter().all(|step| step.contains("(handler=?")), "{sql}: {plan:#?}");
            let mut blocked = jobs.iter().filter(|step| step.contains("jobs_blocked"));
            assert!(blocked.all(|step| step.contains("COVERING")), "{sql}: {plan:#?}");
        }
    }

    fn steps(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let bound = vec![Value::Integer(1); statement.parameter_count()];
        let details = statement.query_map(params_from_iter(bound), |row| row.get("detail")).unwrap();
        details.collect::<Result<_>>().unwrap()
    }
}
