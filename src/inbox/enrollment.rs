//! Enrollment: a provider's handshake may set the source's secret, but only while an operator has opened enrollment and
//! no secret is set. Otherwise anyone could set one.
//!
//! The writer decides in one transaction. The rows are mirrored in memory, because every delivery is checked against
//! them; they are read again when another process has changed the file.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rusqlite::{Connection, Result};
use tokio::sync::oneshot;

use super::types::NotStored;
use crate::support::locks;
use crate::support::secret::Secret;
use crate::support::time::Millis;

/// How long enrollment stays open.
pub const ENROLLMENT_WINDOW: Duration = Duration::from_secs(600);

/// The secrets and open enrollments of all sources, as in the file.
#[derive(Debug, Default)]
pub(super) struct Enrollments(RwLock<Arc<HashMap<String, EnrollmentState>>>);

/// The enrollment of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrollmentState {
    /// A handshake has set this secret, at this time.
    Enrolled(Secret, Millis),
    /// Handshakes are accepted until then.
    Open(Millis),
}

/// The answer to a handshake that sends a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrollmentResult {
    /// The secret is stored and synced, now or before.
    Enrolled,
    /// The source has another secret.
    OtherSecret,
    /// Enrollment was not opened, or has expired.
    Closed,
}

/// A secret on its way to the writer.
#[derive(Debug)]
pub(super) struct Enrollment {
    pub(super) source: Arc<str>,
    pub(super) secret: Secret,
    pub(super) now: Millis,
    pub(super) answer: oneshot::Sender<std::result::Result<EnrollmentResult, NotStored>>,
}

impl Enrollments {
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        Ok(Self(RwLock::new(Arc::new(states(connection)?))))
    }

    pub(super) fn reload(&self, connection: &Connection) -> Result<()> {
        let states = Arc::new(states(connection)?);
        *locks::write(&self.0) = states;
        Ok(())
    }

    pub(super) fn secret(&self, source: &str) -> Option<Secret> {
        match self.state(source)? {
            EnrollmentState::Enrolled(secret, _) => Some(secret),
            EnrollmentState::Open(_) => None,
        }
    }

    /// Answers without the writer where possible, so that unauthenticated requests cannot keep it busy.
    pub(super) fn precheck(&self, source: &str, secret: &Secret, now: Millis) -> Option<EnrollmentResult> {
        decide(self.state(source).as_ref(), secret, now)
    }

    fn state(&self, source: &str) -> Option<EnrollmentState> {
        locks::read(&self.0).get(source).cloned()
    }
}

/// Returns `None` if the secret may be enrolled.
fn decide(state: Option<&EnrollmentState>, secret: &Secret, now: Millis) -> Option<EnrollmentResult> {
    use subtle::ConstantTimeEq as _;
    match state {
        Some(EnrollmentState::Enrolled(known, _)) => {
            let is_same: bool = known.reveal().as_bytes().ct_eq(secret.reveal().as_bytes()).into();
            Some(if is_same { EnrollmentResult::Enrolled } else { EnrollmentResult::OtherSecret })
        }
        Some(EnrollmentState::Open(until)) if now < *until => None,
        Some(EnrollmentState::Open(_)) | None => Some(EnrollmentResult::Closed),
    }
}

impl Enrollment {
    /// Decides and writes within the caller's transaction.
    pub(super) fn store(&self, connection: &Connection) -> Result<EnrollmentResult> {
        let Self { source, secret, now, .. } = self;
        if let Some(result) = decide(state(connection, source)?.as_ref(), secret, *now) {
            return Ok(result);
        }
        connection.execute(
            "INSERT INTO enrolled_secrets (source, secret, enrolled_at) VALUES (?1, ?2, ?3)",
            (source, secret.reveal(), now.0),
        )?;
        connection.execute("DELETE FROM enrollments WHERE source = ?1", [source])?;
        Ok(EnrollmentResult::Enrolled)
    }

    /// After the commit: an enrolled secret is in effect from now on.
    pub(super) fn answer(self, result: std::result::Result<EnrollmentResult, NotStored>, enrollments: &Enrollments) {
        let Self { source, secret, now, answer } = self;
        if result == Ok(EnrollmentResult::Enrolled) {
            let mut states = locks::write(&enrollments.0);
            Arc::make_mut(&mut states).insert(source.to_string(), EnrollmentState::Enrolled(secret, now));
        }
        if answer.send(result).is_err() {
            log::debug!("{source}: the handshake's request has gone");
        }
    }
}

fn states(connection: &Connection) -> Result<HashMap<String, EnrollmentState>> {
    let mut open = connection.prepare("SELECT source, open_until FROM enrollments")?;
    let open = open.query_map([], |row| Ok((row.get(0)?, EnrollmentState::Open(Millis(row.get(1)?)))))?;
    let mut states: HashMap<_, _> = open.collect::<Result<_>>()?;
    let mut enrolled = connection.prepare("SELECT source, secret, enrolled_at FROM enrolled_secrets")?;
    let enrolled = enrolled.query_map([], |row| {
        Ok((row.get(0)?, EnrollmentState::Enrolled(Secret::new(row.get::<_, String>(1)?), Millis(row.get(2)?))))
    })?;
    for row in enrolled {
        let (source, state) = row?;
        states.insert(source, state);
    }
    Ok(states)
}

pub(super) fn state(connection: &Connection, source: &str) -> Result<Option<EnrollmentState>> {
    Ok(states(connection)?.remove(source))
}

/// Opens enrollment, within the caller's transaction. Returns `false` if the source has a secret, unless `forget` deletes
/// that first.
pub(super) fn open(connection: &Connection, source: &str, until: Millis, forget: bool) -> Result<bool> {
    if forget {
        connection.execute("DELETE FROM enrolled_secrets WHERE source = ?1", [source])?;
    }
    if connection.prepare("SELECT 1 FROM enrolled_secrets WHERE source = ?1")?.exists([source])? {
        return Ok(false);
    }
    let set = "INSERT INTO enrollments (source, open_until) VALUES (?1, ?2)
               ON CONFLICT (source) DO UPDATE SET open_until = excluded.open_until";
    connection.execute(set, (source, until.0))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::database;

    fn enrollment(secret: &str, now: i64) -> Enrollment {
        let (answer, _) = oneshot::channel();
        Enrollment { source: "asana".into(), secret: Secret::new(secret), now: Millis(now), answer }
    }

    #[test]
    fn secret_is_enrolled_once_and_only_while_open() {
        use EnrollmentResult::{Closed, Enrolled, OtherSecret};
        let inbox = database();
        let enrollments = Enrollments::read(&inbox).unwrap();
        let enroll = |inbox: &Connection, secret: &str, now| {
            let before = enrollments.precheck("asana", &Secret::new(secret), Millis(now));
            (before, enrollment(secret, now).store(inbox).unwrap())
        };
        assert_eq!(enroll(&inbox, "a", 5), (Some(Closed), Closed));
        assert!(open(&inbox, "asana", Millis(10), false).unwrap());
        enrollments.reload(&inbox).unwrap();
        assert_eq!(enroll(&inbox, "a", 10), (Some(Closed), Closed));
        assert_eq!(enroll(&inbox, "a", 9), (None, Enrolled));
        enrollments.reload(&inbox).unwrap();
        assert_eq!(enroll(&inbox, "a", 99), (Some(Enrolled), Enrolled));
        assert_eq!(enroll(&inbox, "b", 9), (Some(OtherSecret), OtherSecret));
        assert_eq!(enrollments.secret("asana"), Some(Secret::new("a")));
        assert_eq!(enrollments.secret("notion"), None);
    }

    #[test]
    fn enrolled_secret_is_deleted_only_on_request() {
        let inbox = database();
        open(&inbox, "asana", Millis(10), false).unwrap();
        assert_eq!(enrollment("a", 1).store(&inbox).unwrap(), EnrollmentResult::Enrolled);
        assert!(!open(&inbox, "asana", Millis(20), false).unwrap());
        let enrolled = EnrollmentState::Enrolled(Secret::new("a"), Millis(1));
        assert_eq!(state(&inbox, "asana").unwrap(), Some(enrolled));
        assert!(open(&inbox, "asana", Millis(20), true).unwrap());
        assert_eq!(state(&inbox, "asana").unwrap(), Some(EnrollmentState::Open(Millis(20))));
        assert_eq!(enrollment("b", 11).store(&inbox).unwrap(), EnrollmentResult::Enrolled);
    }
}
