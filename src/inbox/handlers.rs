//! Pause states of handlers, set by operators and by the dispatcher.
//!
//! `serve` reads them again when another process has changed the file. A handler paused by an operator stays paused
//! until an operator resumes it. Resuming a handler that hookbox paused as broken makes its next probe due.

use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::types::HandlerState;
use crate::support::time::Millis;

const SELECT: &str = "SELECT name, paused_by, reason, paused_at, probes, probe_at FROM handlers";

/// The result of pausing or resuming a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseResult {
    /// `None` if the handler was never paused.
    pub state: Option<HandlerState>,
    pub has_changed: bool,
}

/// Pauses a handler. If it is already paused, its time stays, and so does its reason unless there is a new one.
pub(super) fn pause(connection: &Connection, name: &str, reason: Option<&str>, now: Millis) -> Result<PauseResult> {
    let changed = connection.execute(
        "INSERT INTO handlers (name, paused, paused_by, reason, paused_at) VALUES (?1, 1, 'operator', ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET
           paused_at = CASE WHEN paused_by IS 'operator' THEN paused_at ELSE excluded.paused_at END,
           paused = 1, paused_by = 'operator', reason = excluded.reason, probes = 0, probe_at = NULL
         WHERE paused_by IS NOT 'operator' OR (excluded.reason IS NOT NULL AND reason IS NOT excluded.reason)",
        (name, reason, now.0),
    )?;
    let state = state(connection, name)?;
    Ok(PauseResult { state, has_changed: changed > 0 })
}

/// Resumes a handler. A broken one stays paused by hookbox, and its next probe is due now.
pub(super) fn resume(connection: &Connection, name: &str, now: Millis) -> Result<PauseResult> {
    let resumed = connection.execute(
        "UPDATE handlers SET paused = 0, paused_by = NULL, reason = NULL, paused_at = NULL, probes = 0, probe_at = NULL
         WHERE name = ?1 AND paused_by = 'operator'",
        [name],
    )?;
    let probed = connection.execute(
        "UPDATE handlers SET probe_at = ?2 WHERE name = ?1 AND paused_by = 'hookbox' AND probe_at > ?2",
        (name, now.0),
    )?;
    let state = state(connection, name)?;
    Ok(PauseResult { state, has_changed: resumed + probed > 0 })
}

/// Writes a state decided by the dispatcher, unless an operator has paused the handler.
pub(super) fn write_state(connection: &Connection, state: &HandlerState) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO handlers (name, paused, paused_by, reason, paused_at, probes, probe_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, paused_by = excluded.paused_by,
               reason = excluded.reason, paused_at = excluded.paused_at, probes = excluded.probes,
               probe_at = excluded.probe_at
             WHERE handlers.paused_by IS NOT 'operator'",
        )?
        .execute((
            state.name.as_ref(),
            state.paused_by.is_some(),
            &state.paused_by,
            &state.reason,
            state.paused_at.map(|at| at.0),
            state.probes,
            state.probe_at.map(|at| at.0),
        ))
        .map(drop)
}

pub(super) fn states(connection: &Connection) -> Result<Vec<HandlerState>> {
    connection.prepare_cached(SELECT)?.query_map([], read)?.collect()
}

fn state(connection: &Connection, name: &str) -> Result<Option<HandlerState>> {
    connection.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?.query_row([name], read).optional()
}

fn read(row: &Row<'_>) -> Result<HandlerState> {
    Ok(HandlerState {
        name: row.get::<_, String>(0)?.into(),
        paused_by: row.get(1)?,
        reason: row.get(2)?,
        paused_at: row.get::<_, Option<i64>>(3)?.map(Millis),
        probes: row.get(4)?,
        probe_at: row.get::<_, Option<i64>>(5)?.map(Millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::database;

    #[test]
    fn second_pause_keeps_the_time_and_takes_a_new_reason() {
        let inbox = database();
        assert!(pause(&inbox, "deploy", Some("freeze"), Millis(1)).unwrap().has_changed);
        assert!(!pause(&inbox, "deploy", None, Millis(2)).unwrap().has_changed);
        assert!(!pause(&inbox, "deploy", Some("freeze"), Millis(2)).unwrap().has_changed);
        let changed = pause(&inbox, "deploy", Some("move"), Millis(3)).unwrap();
        let state = changed.state.unwrap();
        let expected = (Some("move"), Some(Millis(1)), true);
        assert_eq!((state.reason.as_deref(), state.paused_at, changed.has_changed), expected);
    }

    #[test]
    fn resume_ends_an_operators_pause_and_probes_a_broken_handler() {
        let inbox = database();
        assert_eq!(resume(&inbox, "deploy", Millis(1)).unwrap(), PauseResult { state: None, has_changed: false });
        pause(&inbox, "deploy", None, Millis(1)).unwrap();
        let resumed = resume(&inbox, "deploy", Millis(2)).unwrap();
        assert!(resumed.has_changed && resumed.state.unwrap().paused_by.is_none());
        assert!(!resume(&inbox, "deploy", Millis(3)).unwrap().has_changed);
        let broken = "UPDATE handlers SET paused = 1, paused_by = 'hookbox', reason = 'gone', probe_at = 99";
        inbox.execute(broken, []).unwrap();
        let probed = resume(&inbox, "deploy", Millis(4)).unwrap();
        let state = probed.state.unwrap();
        assert_eq!((state.paused_by.as_deref(), state.probe_at), (Some("hookbox"), Some(Millis(4))));
        assert!(probed.has_changed);
        pause(&inbox, "deploy", None, Millis(5)).unwrap();
        assert!(resume(&inbox, "deploy", Millis(6)).unwrap().state.unwrap().paused_by.is_none());
    }
}
