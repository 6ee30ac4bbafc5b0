//! Plans and applies bulk updates. A plan changes nothing: it also serves `--dry-run` and the confirmation page.
//!
//! A plan is applied in steps, each in its own transaction. Every job is checked again then, since the dispatcher works on
//! the same rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, Result, params, params_from_iter};

use super::bulk_request::{AddedJob, BulkAction, BulkPlan, BulkRequest, BulkResult, MissingJobs, SkipReason};
use crate::inbox::reader::{WhereClause, one_of, text};
use crate::inbox::schema::UNDECIDED;
use crate::model::filter::JobFilter;
use crate::support::time::Millis;

/// Jobs changed in one transaction.
const STEP: usize = 250;

/// An attempt of a skipped job must finish before the job may run again.
const UNLESS_RUNNABLE: &str = "WHEN NOT EXISTS (SELECT 1 FROM payloads p WHERE p.event_seq = j.event_seq) THEN 'pruned'
     WHEN EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.finished_at IS NULL) THEN 'ending'";
const START_AGAIN: &str =
    "state = 'pending', run_at = ?1, failures = 0, deferrals = 0, lost = 0, reason = NULL, finished_at = NULL";

/// A part of a plan that is changed in one transaction.
#[derive(Debug, Clone)]
pub struct BulkStep {
    jobs: Range<usize>,
    events: Range<usize>,
}

/// Finds the jobs of a request, until the deadline.
pub(in crate::inbox) fn plan_bulk_update(
    connection: &Connection,
    request: &BulkRequest,
    now: Millis,
    deadline: Option<Instant>,
) -> Result<BulkPlan> {
    let (change, revives) = (request.change, request.revives);
    let mut conditions = WhereClause::default();
    conditions.job(&request.filter);
    if change == BulkAction::Retry {
        conditions.values.insert(0, Value::Integer(now.0));
    }
    let sql = format!(
        "SELECT j.id, {} FROM jobs j CROSS JOIN events e ON e.seq = j.event_seq {}",
        skip_reason(change, revives),
        conditions.sql()
    );
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
            Some(word) => *plan.left.entry(SkipReason::parse(word)).or_default() += 1,
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            plan.is_complete = false;
            break;
        }
    }
    // Sorted here: with ORDER BY, SQLite would read all jobs to find a few.
    plan.jobs.sort_unstable();
    Ok(plan)
}

/// Adds to a plan the events that match the filter and have no job for the handler.
pub(in crate::inbox) fn plan_missing_jobs(
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
            plan.events.push(AddedJob { event_seq: row.get(0)?, order_key });
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
    pub fn steps(&self, size: usize) -> impl Iterator<Item = BulkStep> + use<> {
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
            assignments(self.change),
            skip_reason(self.change, self.revives)
        ))?;
        for id in jobs {
            result.changed += update.execute(params![now.0, id])?;
        }
        let mut insert = transaction.prepare_cached(
            "INSERT INTO jobs (event_seq, handler, run_at, created_at, order_key, blocked)
             SELECT event_seq, ?2, ?1, ?1, ?4, CASE WHEN ?4 IS NULL THEN 0 ELSE 2 END FROM payloads WHERE event_seq = ?3
             ON CONFLICT DO NOTHING",
        )?;
        for AddedJob { event_seq, order_key } in events {
            result.made += insert.execute(params![now.0, self.handler, event_seq, order_key])?;
        }
        result.overtaken = jobs.len() + events.len() - result.changed - result.made;
        Ok(result)
    }
}

/// An expression over `jobs j`: NULL if the job is to be changed, else the [`SkipReason`]. For a retry, `?1` is the time.
fn skip_reason(change: BulkAction, revives: bool) -> String {
    match change {
        BulkAction::Retry => format!(
            "CASE WHEN j.state IN ('succeeded', 'running'{}) THEN j.state
             WHEN j.state = 'pending' AND j.run_at <= ?1 AND j.failures + j.deferrals + j.lost = 0
             THEN CASE j.blocked WHEN 1 THEN 'blocked' ELSE 'due' END
             {UNLESS_RUNNABLE} END",
            if revives { "" } else { ", 'skipped'" }
        ),
        BulkAction::Replay => format!("CASE WHEN j.state <> 'succeeded' THEN j.state {UNLESS_RUNNABLE} END"),
        BulkAction::Skip => "CASE WHEN j.state IN ('succeeded', 'skipped') THEN j.state END".to_owned(),
    }
}

/// The assignments of an UPDATE; `?1` is the time.
fn assignments(change: BulkAction) -> String {
    match change {
        BulkAction::Retry => format!("{START_AGAIN}, {UNDECIDED}"),
        BulkAction::Replay => format!("{START_AGAIN}, replays = replays + 1, {UNDECIDED}"),
        BulkAction::Skip => format!("state = 'skipped', reason = 'by operator', finished_at = ?1, {UNDECIDED}"),
    }
}
