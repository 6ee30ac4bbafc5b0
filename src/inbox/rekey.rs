//! Jobs that were made under another rule get the value that the handler's rule of today gives them.
//!
//! What rule a handler's jobs have is written down (`meta`), so that a start without a change reads nothing. Jobs that are
//! pending, running or dead are gone through in the order of their events; all others keep the value they had. Done in
//! steps, each a transaction of its own; the jobs of a step are judged anew (`sequence`).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::{Inbox, InboxError};
use crate::routing::Routes;

/// Jobs in one step.
const STEP: usize = 500;
const RULE: &str = "rule:";

/// One handler whose jobs may have to change.
#[derive(Debug, Clone)]
pub(super) struct Rekey {
    pub(super) routes: Arc<Routes>,
    pub(super) handler: Arc<str>,
    /// In words; `None` where its jobs do not belong together.
    pub(super) rule: Option<String>,
    /// Jobs up to this one are done.
    pub(super) after: i64,
}

impl Inbox {
    /// An event's value for a handler, by the rules of [`Inbox::set_routes`], from its headers and body.
    #[must_use]
    pub fn key_for(&self, handler: &str, headers: &str, body: &[u8]) -> Option<String> {
        self.routes().key_for(handler, headers, body)
    }

    /// Brings the values of waiting jobs to the rules of [`Inbox::set_routes`]. Nothing should be claimed meanwhile.
    ///
    /// # Errors
    /// [`InboxError::Passing`]: the rest is left for the next time.
    pub fn rekey(&self) -> Result<(), InboxError> {
        let routes = self.routes();
        for (handler, rule) in routes.rules() {
            let mut step = Some(Rekey { routes: routes.clone(), handler, rule, after: 0 });
            while let Some(this) = step.take() {
                step = self.write(move |connection, _| this.step(connection))?;
            }
        }
        Ok(())
    }
}

impl Rekey {
    /// Takes one step within the caller's transaction; the next one, unless all is done.
    pub(super) fn step(&self, connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let name = format!("{RULE}{}", self.handler);
        let known: Option<String> = connection
            .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
            .query_row([&name], |row| row.get(0))
            .optional()?;
        if known == self.rule {
            return Ok(None);
        }
        let Some(rule) = &self.rule else {
            connection.execute(
                "UPDATE jobs SET order_key = NULL, blocked = 0 WHERE handler = ?1 AND order_key IS NOT NULL
                 AND state IN ('pending', 'running')",
                [&self.handler],
            )?;
            connection.execute("DELETE FROM meta WHERE name = ?1", [&name])?;
            return Ok(None);
        };
        if let Some(last) = self.jobs(connection)? {
            return Ok(Some(Self { after: last, ..self.clone() }));
        }
        let set =
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        connection.execute(set, (&name, rule)).map(|_| None)
    }

    /// The last of the jobs that were gone through; `None` when there was none.
    fn jobs(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let mut last = None;
        let mut set = connection.prepare_cached(
            "UPDATE jobs SET order_key = ?2, blocked = CASE WHEN ?2 IS NULL THEN 0 ELSE 2 END WHERE id = ?1",
        )?;
        let mut read = connection.prepare_cached(
            "SELECT j.id, p.headers, p.body FROM jobs j JOIN payloads p ON p.event_seq = j.event_seq
             WHERE j.id > ?2 AND +j.handler = ?1 AND +j.state IN ('pending', 'running', 'dead') ORDER BY j.id LIMIT ?3",
        )?;
        let mut rows = read.query((self.handler.as_ref(), self.after, STEP))?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let headers = row.get_ref(1)?.as_str()?;
            set.execute((id, self.routes.key_for(&self.handler, headers, row.get_ref(2)?.as_blob()?)))?;
            last = Some(id);
        }
        Ok(last)
    }
}
