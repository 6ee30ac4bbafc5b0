//! Pausing and resuming by a person: rows of `handlers`, written to the file whether or not it is served.
//!
//! Who serves it reads them again when another process has changed the file. What a person has paused stays so until a
//! person resumes it; a handler that hookbox has paused as broken is not believed well, but tried at once.

use rusqlite::{Connection, OptionalExtension, Result};

use super::turn::{HandlerState, handler_state};
use crate::support::time::Millis;

/// What became of one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// How it stands now; `None` where the inbox knows nothing of it beyond the configuration.
    pub state: Option<HandlerState>,
    /// Whether that is other than before.
    pub has_changed: bool,
}

/// Pauses a handler. One that is paused already keeps its time, and its reason unless there is a new one.
pub(super) fn pause(connection: &Connection, name: &str, reason: Option<&str>, now: Millis) -> Result<Paused> {
    let changed = connection.execute(
        "INSERT INTO handlers (name, paused, paused_by, reason, paused_at) VALUES (?1, 1, 'operator', ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET
           paused_at = CASE WHEN paused_by IS 'operator' THEN paused_at ELSE excluded.paused_at END,
           paused = 1, paused_by = 'operator', reason = excluded.reason, probes = 0, probe_at = NULL
         WHERE paused_by IS NOT 'operator' OR (excluded.reason IS NOT NULL AND reason IS NOT excluded.reason)",
        (name, reason, now.0),
    )?;
    let state = handler_state(connection, name).optional()?;
    Ok(Paused { state, has_changed: changed > 0 })
}

/// Resumes a handler; a broken one stays paused by hookbox, and its next probe is due.
pub(super) fn resume(connection: &Connection, name: &str, now: Millis) -> Result<Paused> {
    let resumed = connection.execute(
        "UPDATE handlers SET paused = 0, paused_by = NULL, reason = NULL, paused_at = NULL, probes = 0, probe_at = NULL
         WHERE name = ?1 AND paused_by = 'operator'",
        [name],
    )?;
    let probed = connection.execute(
        "UPDATE handlers SET probe_at = ?2 WHERE name = ?1 AND paused_by = 'hookbox' AND probe_at > ?2",
        (name, now.0),
    )?;
    let state = handler_state(connection, name).optional()?;
    Ok(Paused { state, has_changed: resumed + probed > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::file::SCHEMA;

    fn inbox() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn pausing_twice_keeps_the_time_and_takes_a_new_reason() {
        let inbox = inbox();
        let first = pause(&inbox, "deploy", Some("freeze"), Millis(1)).unwrap();
        assert!(first.has_changed);
        assert!(!pause(&inbox, "deploy", None, Millis(2)).unwrap().has_changed);
        assert!(!pause(&inbox, "deploy", Some("freeze"), Millis(2)).unwrap().has_changed);
        let other = pause(&inbox, "deploy", Some("move"), Millis(3)).unwrap();
        let state = other.state.unwrap();
        assert_eq!(
            (state.reason.as_deref(), state.paused_at, other.has_changed),
            (Some("move"), Some(Millis(1)), true)
        );
    }

    #[test]
    fn resuming_ends_a_persons_pause_and_has_a_broken_handler_probed() {
        let inbox = inbox();
        assert_eq!(resume(&inbox, "deploy", Millis(1)).unwrap(), Paused { state: None, has_changed: false });
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
