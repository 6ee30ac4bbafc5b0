//! Lists of an inbox of any size: newest first, a stretch at a time, until a page is full or its time is over.
//!
//! A filter may pass one row in a million, and an index for each would make every delivery pay for the looking. So a
//! list says how far it has looked and where to go on. Each stretch is one short statement; states that few jobs are
//! in are looked up by way of those jobs.

use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, Result, params_from_iter};

use super::events::STATE;
use super::rows::{Event, Job};
use super::seq_at_time;
use super::where_clause::{WhereClause, text};
use crate::model::event::{EventState, JobState};
use crate::model::filter::{EventFilter, JobFilter, Page};

/// Bodies up to this long are searched; no page waits for longer ones.
pub const SEARCHED_BODY: i64 = 256 * 1024;
/// Rows in the first stretch; each next one is twice as long, up to [`LONGEST`].
const FIRST: u32 = 256;
/// Rows in the longest stretch.
const LONGEST: u32 = 4096;
/// Likewise where each row's jobs are asked for its state.
const LONGEST_BY_STATE: u32 = 1024;
/// Bodies in one stretch of a search.
const BODIES: u32 = 64;
/// Pending jobs up to which they lead to their events.
const FEW: u32 = 2000;
/// Likewise those of the one handler that is asked for: its part of the indices is read in some 50 ms.
const FEW_OF_HANDLER: u32 = 200_000;

/// A page of a list.
#[derive(Debug)]
pub struct PagedList<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Where the next page begins ([`Page::before`]); `None` when there is nothing older.
    pub next: Option<i64>,
    /// Whether the time was over before the page was full.
    pub is_cut_short: bool,
    /// How many rows were looked at.
    pub looked_at: u64,
}

/// Events that pass a filter and, where one is given, hold a text in their bodies: byte for byte.
pub(super) fn events(connection: &Connection, filter: &EventFilter, page: Page) -> Result<PagedList<Event>> {
    let mut conditions = WhereClause::default();
    conditions.arrival(&filter.arrival);
    if !filter.states.is_empty() {
        let states: Vec<_> = filter.states.iter().map(|state| format!("'{state}'")).collect();
        conditions.and(&format!("{STATE} IN ({})", states.join(", ")), []);
    }
    if let Some(body_text) = &filter.body_text {
        let held = "EXISTS (SELECT 1 FROM payloads p WHERE p.event_seq = e.seq AND instr(p.body, ?) > 0)";
        conditions.and(&format!("e.body_bytes <= {SEARCHED_BODY} AND {held}"), [Value::Blob(body_text.clone().into())]);
    }
    let candidates = match filter.states[..] {
        [EventState::Dead] => of_few("DISTINCT event_seq", JobState::Dead, None),
        [EventState::Running] => of_few("DISTINCT event_seq", JobState::Running, None),
        [EventState::Pending] if are_few_pending(connection, None)? => of_pending("event_seq", "UNION", None),
        _ => "SELECT seq AS at FROM events".to_owned(),
    };
    let list = List {
        candidates,
        handler: None,
        sql: format!(
            "SELECT {}, {STATE} AS state FROM stretch CROSS JOIN events e ON e.seq = stretch.at",
            Event::COLUMNS
        ),
        key: "e.seq",
        conditions,
        longest: match filter.body_text {
            Some(_) => BODIES,
            None if filter.states.is_empty() => LONGEST,
            None => LONGEST_BY_STATE,
        },
        from: filter.arrival.since.map(|since| seq_at_time::first_since(connection, since)).transpose()?,
    };
    let end = filter.arrival.until.map(|until| seq_at_time::end_of(connection, until)).transpose()?;
    list.walk(connection, Page { before: earlier(page.before, end), ..page }, Event::read, |event| event.seq)
}

/// Jobs that pass a filter.
pub(super) fn jobs(connection: &Connection, filter: &JobFilter, page: Page) -> Result<PagedList<Job>> {
    let mut conditions = WhereClause::default();
    conditions.job(filter);
    let handler = filter.handler.as_deref();
    let candidates = match filter.states[..] {
        _ if filter.events.as_ref().is_some_and(|events| events.len() == 1) => {
            let seq = filter.events.iter().flatten().next().copied().unwrap_or_default();
            format!("SELECT id AS at FROM jobs WHERE event_seq = {seq}")
        }
        _ if filter.jobs.is_some() => {
            let ids: Vec<_> = filter.jobs.iter().flatten().map(ToString::to_string).collect();
            format!("SELECT id AS at FROM jobs WHERE id IN ({})", ids.join(", "))
        }
        [state @ (JobState::Dead | JobState::Running)] => of_few("id", state, handler),
        [JobState::Pending] if are_few_pending(connection, handler)? => of_pending("id", "UNION ALL", handler),
        _ => "SELECT id AS at FROM jobs".to_owned(),
    };
    let list = List {
        handler: handler.filter(|_| candidates.contains(OF_HANDLER)),
        candidates,
        sql: format!(
            "SELECT {} FROM stretch CROSS JOIN jobs j ON j.id = stretch.at CROSS JOIN events e ON e.seq = j.event_seq",
            Job::COLUMNS
        ),
        key: "j.id",
        conditions,
        longest: LONGEST,
        from: None,
    };
    list.walk(connection, page, Job::read, |job| job.id)
}

/// What is to be walked.
struct List<'a> {
    /// A query with one column, `at`: the keys of all rows that can be in the list.
    candidates: String,
    /// Whose jobs the candidates are, where they say [`OF_HANDLER`].
    handler: Option<&'a str>,
    /// The rows of a `stretch`, up to its conditions.
    sql: String,
    key: &'static str,
    conditions: WhereClause,
    longest: u32,
    /// Nothing older than this key can pass.
    from: Option<i64>,
}

impl List<'_> {
    fn walk<T>(
        &self,
        connection: &Connection,
        page: Page,
        read: fn(&rusqlite::Row<'_>) -> Result<T>,
        key_of: fn(&T) -> i64,
    ) -> Result<PagedList<T>> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut walk = PagedList { rows: Vec::new(), next: page.before, is_cut_short: false, looked_at: 0 };
        let (mut before, mut size) = (page.before.unwrap_or(i64::MAX), FIRST.min(self.longest));
        loop {
            let (lowest, count) = self.stretch(connection, before, size)?;
            let Some(lowest) = lowest else {
                walk.next = None;
                return Ok(walk);
            };
            // One more than fits tells whether there is a next page.
            self.rows(connection, (lowest, before), limit - walk.rows.len() + 1, read, &mut walk.rows)?;
            walk.looked_at += u64::from(count);
            if walk.rows.len() > limit {
                walk.rows.truncate(limit);
                walk.next = walk.rows.last().map(key_of);
                return Ok(walk);
            }
            if count < size || self.from.is_some_and(|from| lowest <= from) {
                walk.next = None;
                return Ok(walk);
            }
            (before, walk.next) = (lowest, Some(lowest));
            if page.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                walk.is_cut_short = true;
                return Ok(walk);
            }
            size = (size * 2).min(self.longest);
        }
    }

    /// The lowest key of the stretch below `before`, and how many rows it has.
    fn stretch(&self, connection: &Connection, before: i64, size: u32) -> Result<(Option<i64>, u32)> {
        let sql = format!("SELECT min(at), count(*) FROM ({})", self.stretch_sql(size));
        let values = self.handler.map(text).into_iter().chain([Value::Integer(before)]);
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn stretch_sql(&self, size: u32) -> String {
        format!("SELECT at FROM ({}) WHERE at < ? ORDER BY at DESC LIMIT {size}", self.candidates)
    }

    fn rows<T>(
        &self,
        connection: &Connection,
        (lowest, before): (i64, i64),
        limit: usize,
        read: fn(&rusqlite::Row<'_>) -> Result<T>,
        into: &mut Vec<T>,
    ) -> Result<()> {
        let sql = format!(
            "WITH stretch AS MATERIALIZED (SELECT at FROM ({}) WHERE at >= ? AND at < ? ORDER BY at DESC) {} {} \
             ORDER BY {} DESC LIMIT {limit}",
            self.candidates,
            self.sql,
            self.conditions.sql(),
            self.key
        );
        let bounds = [lowest, before].map(Value::Integer);
        let handler = self.handler.map(text);
        let values = handler.iter().chain(&bounds).chain(&self.conditions.values);
        let mut statement = connection.prepare(&sql)?;
        for row in statement.query_map(params_from_iter(values), read)? {
            into.push(row?);
        }
        Ok(())
    }
}

/// Of jobs in a state that has an index of its own. SkipReason to itself, SQLite would rather walk all jobs in order.
fn of_few(column: &str, state: JobState, handler: Option<&str>) -> String {
    format!("SELECT {column} AS at FROM jobs INDEXED BY jobs_{state} WHERE state = '{state}'{}", narrowed(handler))
}

/// Their handler is the first value that is bound.
const OF_HANDLER: &str = " AND handler = ?1";

fn narrowed(handler: Option<&str>) -> &'static str {
    if handler.is_some() { OF_HANDLER } else { "" }
}

/// Each of their indices holds those that the others do not. The last one may hold a few more, and whoever reads them
/// compares the state as well: to do so here would look up each in the table.
const PENDING: [&str; 3] = [
    "jobs INDEXED BY jobs_due WHERE state = 'pending' AND lost = 0 AND blocked = 0",
    "jobs INDEXED BY jobs_suspect WHERE state = 'pending' AND lost > 0 AND blocked = 0",
    "jobs INDEXED BY jobs_blocked WHERE blocked > 0",
];

fn of_pending(column: &str, union: &str, handler: Option<&str>) -> String {
    PENDING.map(|part| format!("SELECT {column} AS at FROM {part}{}", narrowed(handler))).join(&format!(" {union} "))
}

fn are_few_pending(connection: &Connection, handler: Option<&str>) -> Result<bool> {
    let few = if handler.is_some() { FEW_OF_HANDLER } else { FEW };
    let mut statement = connection.prepare_cached(&few_pending_sql(few, handler))?;
    let count: u32 = statement.query_row(params_from_iter(handler), |row| row.get(0))?;
    Ok(count < few)
}

fn few_pending_sql(few: u32, handler: Option<&str>) -> String {
    let parts = PENDING.map(|part| format!("SELECT 1 FROM {part}{}", narrowed(handler))).join(" UNION ALL ");
    format!("SELECT count(*) FROM ({parts} LIMIT {few})")
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    /// A million jobs that are done must not be walked for the few that are not.
    #[test]
    fn open_and_dead_jobs_are_looked_up_by_their_own_indices() {
        let Sample { connection, .. } = &Sample::new();
        let [dead, running] = [JobState::Dead, JobState::Running].map(|state| of_few("id", state, None));
        let [dead_events, running_events] =
            [JobState::Dead, JobState::Running].map(|state| of_few("DISTINCT event_seq", state, None));
        let [pending, pending_events] =
            [("id", "UNION ALL"), ("event_seq", "UNION")].map(|(column, union)| of_pending(column, union, None));
        let dead_of_handler = of_few("id", JobState::Dead, Some("h"));
        for candidates in [dead, running, dead_events, running_events, pending, pending_events, dead_of_handler] {
            for bounds in ["at < 9 ORDER BY at DESC LIMIT 256", "at >= 5 AND at < 9 ORDER BY at DESC"] {
                let sql = format!("SELECT min(at), count(*) FROM (SELECT at FROM ({candidates}) WHERE {bounds})");
                let plan = steps(connection, &sql);
                for step in plan.iter().filter(|step| step.contains(" jobs")) {
                    let own = ["jobs_dead", "jobs_running", "jobs_due", "jobs_suspect", "jobs_blocked"];
                    assert!(own.iter().any(|index| step.contains(index)), "{candidates} {bounds}: {plan:#?}");
                }
            }
        }
        let are_few = steps(connection, &few_pending_sql(FEW, None));
        assert!(
            are_few.iter().filter(|step| step.contains(" jobs")).all(|step| step.contains("INDEX")),
            "{are_few:#?}"
        );
    }

    /// A million pending jobs of others must not be walked for those of one handler.
    #[test]
    fn open_jobs_of_a_handler_are_looked_up_by_its_part_of_their_indices() {
        let Sample { connection, .. } = &Sample::new();
        let pending = of_pending("id", "UNION ALL", Some("h"));
        for sql in [
            format!("SELECT at FROM ({pending}) WHERE at < 9 ORDER BY at DESC LIMIT 256"),
            format!("SELECT at FROM ({pending}) WHERE at >= 5 AND at < 9 ORDER BY at DESC"),
            few_pending_sql(FEW_OF_HANDLER, Some("h")),
            of_few("id", JobState::Running, Some("h")),
        ] {
            let plan = steps(connection, &sql);
            let jobs: Vec<_> = plan.iter().filter(|step| step.contains(" jobs")).collect();
            assert!(!jobs.is_empty() && jobs.iter().all(|step| step.contains("(handler=?")), "{sql}: {plan:#?}");
            let mut held = jobs.iter().filter(|step| step.contains("jobs_blocked"));
            assert!(held.all(|step| step.contains("COVERING")), "{sql}: {plan:#?}");
        }
    }

    fn steps(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let bound = vec![Value::Integer(1); statement.parameter_count()];
        let details = statement.query_map(params_from_iter(bound), |row| row.get("detail")).unwrap();
        details.collect::<Result<_>>().unwrap()
    }
}
