//! What the metrics tell of the inbox when somebody asks: jobs by handler and state, ages, sizes.
//!
//! Jobs are counted through the indices over open and dead ones, never by reading those that are done. A million pending
//! jobs take a moment to count, so that they are counted again only after twenty times as long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

use super::watch::free_disk;
use super::{Inbox, reader};
use crate::metrics::{COUNTED_STATES, GaugeValues, HandlerGauges, Metrics};
use crate::model::event::JobState;
use crate::support::locks;
use crate::support::time::Millis;

/// Counting may take this share of the time: one in so many.
const SHARE: u32 = 20;

/// The last count.
#[derive(Debug)]
pub(super) struct Counted {
    handlers: Vec<HandlerGauges>,
    again_at: Instant,
}

impl Inbox {
    /// Where everything that happens is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// How things stand, for [`Metrics::text`]. What cannot be read now is left out.
    #[must_use]
    pub fn gauges(&self) -> GaugeValues {
        let length = |path: &Path| std::fs::metadata(path).map(|file| file.len()).unwrap_or_default();
        let path = self.shared.with_settings(|settings| settings.path.clone());
        GaugeValues {
            handlers: self.counted(),
            queue: self.commands.len(),
            disk_free: free_disk(&path),
            wal: length(&beside(&path, "-wal")),
            database: length(&path),
            is_ready: self.is_ready().is_ok(),
        }
    }

    fn counted(&self) -> Vec<HandlerGauges> {
        let mut counted = locks::lock(&self.shared.counted);
        let began = Instant::now();
        if let Some(last) = counted.as_ref().filter(|last| began < last.again_at) {
            return last.handlers.clone();
        }
        let names = self.routes().handlers();
        match self.reader().and_then(|reader| reader.run(|connection| count(connection, &names, Millis::now()))) {
            Ok(handlers) => {
                let again_at = Instant::now() + began.elapsed() * SHARE;
                counted.insert(Counted { handlers, again_at }).handlers.clone()
            }
            Err(error) => {
                log::debug!("jobs could not be counted: {error}");
                Vec::new()
            }
        }
    }
}

fn count(connection: &Connection, names: &[Arc<str>], now: Millis) -> Result<Vec<HandlerGauges>> {
    let mut handlers: BTreeMap<Arc<str>, HandlerGauges> =
        names.iter().map(|name| (name.clone(), handler(name.clone()))).collect();
    for (place, state) in COUNTED_STATES.into_iter().enumerate() {
        for condition in conditions(state) {
            let sql = format!("SELECT handler, count(*) FROM jobs WHERE {condition} GROUP BY handler");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let name: Arc<str> = row.get::<_, String>(0)?.into();
                let entry = handlers.entry(name.clone()).or_insert_with(|| handler(name));
                entry.jobs[place] += row.get::<_, u64>(1)?;
            }
        }
    }
    for state in super::turn::handler_states(connection)? {
        let entry = handlers.entry(state.name.clone()).or_insert_with(|| handler(state.name.clone()));
        entry.is_paused = state.paused_by.is_some();
    }
    for entry in handlers.values_mut().filter(|entry| entry.jobs[0] > 0) {
        let oldest = reader::pending_times(connection, &entry.name)?.0;
        entry.oldest_pending = oldest.map(|oldest| now.since(oldest));
    }
    Ok(handlers.into_values().collect())
}

/// SQLite's own file next to the inbox.
fn beside(inbox: &Path, suffix: &str) -> PathBuf {
    let mut name = inbox.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Written as the indices over these jobs have them.
fn conditions(state: JobState) -> &'static [&'static str] {
    match state {
        JobState::Pending => &[
            "state = 'pending' AND lost = 0 AND blocked = 0",
            "state = 'pending' AND lost > 0 AND blocked = 0",
            "blocked > 0",
        ],
        JobState::Running => &["state = 'running'"],
        JobState::Dead => &["state = 'dead'"],
        JobState::Succeeded | JobState::Skipped => &[],
    }
}

fn handler(name: Arc<str>) -> HandlerGauges {
    HandlerGauges { name, jobs: [0; COUNTED_STATES.len()], oldest_pending: Option::<Duration>::None, is_paused: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_reads_no_job_that_is_done() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        for condition in COUNTED_STATES.into_iter().flat_map(conditions) {
            let sql =
                format!("EXPLAIN QUERY PLAN SELECT handler, count(*) FROM jobs WHERE {condition} GROUP BY handler");
            let plan: String = connection.query_row(&sql, [], |row| row.get("detail")).unwrap();
            assert!(plan.contains("INDEX jobs_"), "{condition}: {plan}");
        }
    }

    #[test]
    fn jobs_are_counted_by_handler_and_state() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        let jobs = [
            ("a", "pending", 0, 0),
            ("a", "pending", 1, 0),
            ("a", "pending", 0, 1),
            ("a", "running", 0, 0),
            ("b", "dead", 0, 0),
            ("b", "dead", 0, 0),
            ("b", "succeeded", 0, 0),
        ];
        for (seq, (handler, state, lost, held)) in jobs.into_iter().enumerate() {
            let done = matches!(state, "dead" | "succeeded").then_some(1);
            connection.execute("INSERT INTO events VALUES (?1, 's', ?1, 't', 0, 1, 0, zeroblob(32))", [seq]).unwrap();
            connection
                .execute(
                    "INSERT INTO jobs (event_seq, handler, state, run_at, lost, blocked, created_at, finished_at)
                     VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)",
                    (seq, handler, state, lost, held, 1000 * seq, done),
                )
                .unwrap();
        }
        connection.execute("INSERT INTO handlers (name, paused, paused_by) VALUES ('p', 1, 'operator')", []).unwrap();
        let counted = count(&connection, &["c".into(), "a".into()], Millis(5000)).unwrap();
        let shown: Vec<_> = counted
            .iter()
            .map(|handler| (&*handler.name, handler.jobs, handler.oldest_pending, handler.is_paused))
            .collect();
        let oldest = Some(Duration::from_secs(5));
        assert_eq!(
            shown,
            [
                ("a", [3, 1, 0], oldest, false),
                ("b", [0, 0, 2], None, false),
                ("c", [0, 0, 0], None, false),
                ("p", [0, 0, 0], None, true)
            ]
        );
    }
}
