//! Recomputes ordering keys after the handler's `order_by` or `coalesce` has changed.
//!
//! The rule that a handler's keys were computed with is stored in `meta`, so that a start without a change reads no
//! jobs. Pending, running and dead jobs get new keys, oldest first, in steps of one transaction each.

use std::sync::Arc;

use rusqlite::{Connection, Result};

use crate::inbox::schema::{OPEN, meta, set_meta};
use crate::routing::Routes;

/// Jobs in one step.
const STEP: usize = 500;

/// The next jobs of one handler.
#[derive(Debug, Clone)]
pub(in crate::inbox) struct RecomputeStep {
    routes: Arc<Routes>,
    handler: Arc<str>,
    /// The handler's rule as text; `None` if its jobs have no ordering key.
    rule: Option<String>,
    /// Jobs up to this id are done.
    after: i64,
}

impl RecomputeStep {
    /// Returns the first step for each handler.
    pub(in crate::inbox) fn all(routes: &Arc<Routes>) -> Vec<Self> {
        let first = |(handler, rule)| Self { routes: routes.clone(), handler, rule, after: 0 };
        routes.rules().map(first).collect()
    }

    /// Takes the step within the caller's transaction. Returns the next one, unless all jobs are done.
    pub(in crate::inbox) fn run(&self, connection: &Connection) -> Result<Option<Self>> {
        let name = format!("rule:{}", self.handler);
        if meta::<String>(connection, &name)? == self.rule {
            return Ok(None);
        }
        let Some(rule) = &self.rule else {
            let sql = format!(
                "UPDATE jobs SET order_key = NULL, blocked = 0 WHERE handler = ?1 AND order_key IS NOT NULL AND {OPEN}"
            );
            connection.execute(&sql, [&self.handler])?;
            connection.execute("DELETE FROM meta WHERE name = ?1", [&name])?;
            return Ok(None);
        };
        if let Some(last) = self.update_jobs(connection)? {
            return Ok(Some(Self { after: last, ..self.clone() }));
        }
        set_meta(connection, &name, rule)?;
        Ok(None)
    }

    /// Returns the id of the last job updated; `None` if there was none.
    fn update_jobs(&self, connection: &Connection) -> Result<Option<i64>> {
        let mut last = None;
        let mut update = connection.prepare_cached(
            "UPDATE jobs SET order_key = ?2, blocked = CASE WHEN ?2 IS NULL THEN 0 ELSE 2 END WHERE id = ?1",
        )?;
        let mut select = connection.prepare_cached(
            "SELECT j.id, p.headers, p.body FROM jobs j JOIN payloads p ON p.event_seq = j.event_seq
             WHERE j.id > ?2 AND +j.handler = ?1 AND +j.state IN ('pending', 'running', 'dead') ORDER BY j.id LIMIT ?3",
        )?;
        let mut rows = select.query((self.handler.as_ref(), self.after, STEP))?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let (headers, body) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_blob()?);
            update.execute((id, self.routes.key_for(&self.handler, headers, body)))?;
            last = Some(id);
        }
        Ok(last)
    }
}
