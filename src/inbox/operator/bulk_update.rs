//! What a person changes: retry, replay, skip.
//!
//! [`plan`] reads which jobs a wish is about and says of every other one why it is left; nothing has changed by
//! then, so a plan is also the answer to `--dry-run` and to a confirmation. [`apply`] carries out one chunk in the
//! transaction it is given and judges each job again, since the dispatcher works on the same rows.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, Result, params, params_from_iter};

use super::bulk_sql::{becomes, left_because};
use crate::inbox::reader::{WhereClause, one_of, text};
use crate::model::filter::JobFilter;
use crate::support::time::Millis;

/// Jobs changed in one transaction.
const STEP: usize = 250;

/// What is to become of the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// Dead, skipped and waiting jobs run now; failures start again at 0, attempt numbers go on.
    Retry,
    /// Succeeded jobs run once more.
    Replay,
    /// Pending, running and dead jobs will not run. A running attempt is ended by `serve`.
    Skip,
}

/// Why a job is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// It has succeeded.
    Succeeded,
    /// It is dead.
    Dead,
    /// It is pending.
    Pending,
    /// It is pending, due, and has no failures to forget.
    Due,
    /// Likewise, but another job of its value comes first.
    Blocked,
    /// It is running.
    Running,
    /// It was skipped.
    Skipped,
    /// It was skipped, and its last attempt has not ended yet.
    Ending,
    /// The event's payload is gone.
    Pruned,
    /// Something else happened to it between the plan and the change.
    Overtaken,
}

/// What a person wants.
#[derive(Debug, Clone)]
pub struct BulkRequest {
    /// What is to become of the jobs.
    pub change: BulkAction,
    /// Which jobs.
    pub filter: JobFilter,
    /// Whether retry takes jobs that were skipped: only where a person pointed at them.
    pub revives: bool,
}

/// Which events get a job for a handler that has none for them yet.
pub struct MissingJobs<'a> {
    /// The handler.
    pub handler: &'a str,
    /// Whether `takes` or `key` looks at the body or the headers.
    pub reads_payload: bool,
    /// Whether the handler takes an event of this source, type and body (empty unless `reads_payload`).
    pub takes: &'a dyn Fn(&str, &str, &[u8]) -> bool,
    /// The event's value, by which jobs of the handler belong together, from its headers and body.
    pub key: &'a dyn Fn(&str, &[u8]) -> Option<String>,
}

impl fmt::Debug for MissingJobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Missing").field("handler", &self.handler).finish_non_exhaustive()
    }
}

/// What a change would do.
#[derive(Debug, Clone)]
pub struct BulkPlan {
    change: BulkAction,
    revives: bool,
    handler: String,
    /// Jobs to change.
    pub jobs: Vec<i64>,
    /// Events to make a job for.
    pub events: Vec<NewJob>,
    /// How many jobs are left, and why.
    pub left: BTreeMap<SkipReason, usize>,
    /// False if the search for jobs reached its deadline.
    pub is_complete: bool,
}

/// A job to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its event.
    pub event_seq: i64,
    /// By which it belongs together with others.
    pub order_key: Option<String>,
}

/// A part of a plan that is changed in one transaction.
#[derive(Debug, Clone)]
pub(in crate::inbox) struct BulkStep {
    jobs: Range<usize>,
    events: Range<usize>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkResult {
    /// Jobs changed.
    pub changed: usize,
    /// Jobs made.
    pub made: usize,
    /// Jobs that something else happened to in the meantime.
    pub overtaken: usize,
}

/// Finds the jobs of a request without changing any, until the deadline.
pub(in crate::inbox) fn plan(
    connection: &Connection,
    wish: &BulkRequest,
    now: Millis,
    deadline: Option<Instant>,
) -> Result<BulkPlan> {
    let mut conditions = WhereClause::default();
    conditions.job(&wish.filter);
    if wish.change == BulkAction::Retry {
        conditions.values.insert(0, Value::Integer(now.0));
    }
    let sql = format!(
        "SELECT j.id, {} FROM jobs j CROSS JOIN events e ON e.seq = j.event_seq {}",
        left_because(wish.change, wish.revives),
        conditions.sql()
    );
    let (change, revives) = (wish.change, wish.revives);
    let mut plan = BulkPlan {
        change,
        revives,
        handler: String::new(),
        jobs: vec![],
        events: vec![],
        left: BTreeMap::new(),
        is_complete: true,
    };
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values))?;
    while let Some(row) = rows.next()? {
        match row.get_ref(1)?.as_str_or_null()? {
            None => plan.jobs.push(row.get(0)?),
            Some(word) => *plan.left.entry(SkipReason::from_word(word)).or_default() += 1,
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            plan.is_complete = false;
            break;
        }
    }
    // Sorted here, since to sort it SQLite would walk all jobs for a few.
    plan.jobs.sort_unstable();
    Ok(plan)
}

/// Adds to a plan the events among those it is about that have no job for a handler.
pub(in crate::inbox) fn plan_missing(
    connection: &Connection,
    plan: &mut BulkPlan,
    filter: &JobFilter,
    missing: &MissingJobs<'_>,
) -> Result<()> {
    let mut conditions = WhereClause::default();
    conditions.arrival(&filter.arrival);
    if let Some(seqs) = &filter.events {
        conditions.and(&one_of("e.seq", seqs.len()), seqs.iter().copied().map(Value::Integer));
    }
    conditions.and("NOT EXISTS (SELECT 1 FROM jobs WHERE event_seq = e.seq AND handler = ?)", [text(missing.handler)]);
    let sql = format!(
        "SELECT e.seq, e.source, e.type, p.event_seq IS NULL, {} FROM events e
         LEFT JOIN payloads p ON p.event_seq = e.seq {} ORDER BY e.seq",
        if missing.reads_payload { "p.body, p.headers" } else { "NULL, NULL" },
        conditions.sql()
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values))?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(4)?.as_blob_or_null()?.unwrap_or_default();
        if !(missing.takes)(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?, body) {
            continue;
        }
        if row.get(3)? {
            *plan.left.entry(SkipReason::Pruned).or_default() += 1;
        } else {
            let order_key = (missing.key)(row.get_ref(5)?.as_str_or_null()?.unwrap_or("{}"), body);
            plan.events.push(NewJob { event_seq: row.get(0)?, order_key });
        }
    }
    missing.handler.clone_into(&mut plan.handler);
    Ok(())
}

/// Runs the steps of a plan one after the other, for as long as `proceed` returns true after each.
pub(super) fn run_steps<E>(
    plan: &BulkPlan,
    mut proceed: impl FnMut(BulkResult) -> bool,
    mut run: impl FnMut(BulkStep) -> std::result::Result<BulkResult, E>,
) -> std::result::Result<BulkResult, E> {
    let mut total = BulkResult::default();
    for step in plan.steps(STEP) {
        total.add(run(step)?);
        if !proceed(total) {
            break;
        }
    }
    Ok(total)
}

impl BulkPlan {
    /// What is to become of the jobs.
    #[must_use]
    pub fn change(&self) -> BulkAction {
        self.change
    }

    /// How many jobs would be changed or made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len() + self.events.len()
    }

    pub(in crate::inbox) fn steps(&self, size: usize) -> impl Iterator<Item = BulkStep> + use<> {
        let ranges = move |len: usize| (0..len).step_by(size).map(move |start| start..len.min(start + size));
        let jobs = ranges(self.jobs.len()).map(|jobs| BulkStep { jobs, events: 0..0 });
        jobs.chain(ranges(self.events.len()).map(|events| BulkStep { jobs: 0..0, events }))
    }

    /// Makes the changes of one step. Jobs that have changed since the plan was made are left alone.
    pub(in crate::inbox) fn apply(&self, transaction: &Connection, step: &BulkStep, now: Millis) -> Result<BulkResult> {
        let jobs = self.jobs.get(step.jobs.clone()).unwrap_or_default();
        let events = self.events.get(step.events.clone()).unwrap_or_default();
        let mut result = BulkResult::default();
        let mut update = transaction.prepare_cached(&format!(
            "UPDATE jobs AS j SET {} WHERE j.id = ?2 AND {} IS NULL",
            becomes(self.change),
            left_because(self.change, self.revives)
        ))?;
        for id in jobs {
            result.changed += update.execute(params![now.0, id])?;
        }
        let mut insert = transaction.prepare_cached(
            "INSERT INTO jobs (event_seq, handler, run_at, created_at, order_key, blocked)
             SELECT event_seq, ?2, ?1, ?1, ?4, CASE WHEN ?4 IS NULL THEN 0 ELSE 2 END FROM payloads WHERE event_seq = ?3
             ON CONFLICT DO NOTHING",
        )?;
        for NewJob { event_seq, order_key } in events {
            result.made += insert.execute(params![now.0, self.handler, event_seq, order_key])?;
        }
        result.overtaken = jobs.len() + events.len() - result.changed - result.made;
        Ok(result)
    }
}

impl BulkResult {
    /// Jobs that were come to, whatever was done.
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.changed + self.made + self.overtaken
    }

    /// Adds what another chunk did.
    pub fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.made += other.made;
        self.overtaken += other.overtaken;
    }
}

impl SkipReason {
    fn from_word(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "dead" => Self::Dead,
            "pending" => Self::Pending,
            "due" => Self::Due,
            "blocked" => Self::Blocked,
            "running" => Self::Running,
            "skipped" => Self::Skipped,
            "ending" => Self::Ending,
            "pruned" => Self::Pruned,
            _ => Self::Overtaken,
        }
    }
}
