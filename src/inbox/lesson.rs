//! Secrets that a provider's handshake teaches: believed only in the window that a person opened, and only while none
//! is known, or anyone could set one.
//!
//! Window and secret are decided on in one transaction of the writer. What is in the file is mirrored in memory, since
//! deliveries are checked against it; a change by another process is read again.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use super::command::Command;
use super::{Inbox, NotStored};
use crate::support::locks;
use crate::support::secret::Secret;
use crate::support::time::Millis;

/// How long a handshake is believed once a person has asked for it.
pub const WINDOW: Duration = Duration::from_secs(600);

/// What the file says of taught secrets.
#[derive(Debug, Default)]
pub(super) struct Lessons(RwLock<Arc<HashMap<String, Standing>>>);

/// How a source stands with its provider's handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This secret was learned then.
    Known(Secret, Millis),
    /// The next handshake is believed before then.
    Open(Millis),
}

/// What became of a handshake that teaches a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// It is kept, synced, and used from now on; or was kept before.
    Kept,
    /// Another secret is known.
    Known,
    /// Nobody opened the window, or it has closed.
    NotOpen,
}

/// A taught secret on its way to the writer, with the one who waits for it.
#[derive(Debug)]
pub(super) struct Lesson {
    pub(super) source: Arc<str>,
    pub(super) secret: Secret,
    pub(super) now: Millis,
    pub(super) answer: oneshot::Sender<Result<Learned, NotStored>>,
}

impl Inbox {
    /// The secret that the provider's handshake has taught.
    #[must_use]
    pub fn learned(&self, source: &str) -> Option<Secret> {
        match self.shared.lessons.of(source)? {
            Standing::Known(secret, _) => Some(secret),
            Standing::Open(_) => None,
        }
    }

    /// Keeps what a handshake says is the source's secret, if a person has asked for that and none is known.
    ///
    /// # Errors
    /// [`NotStored`]: it is not known to be kept.
    pub async fn learn(&self, source: Arc<str>, secret: Secret, now: Millis) -> Result<Learned, NotStored> {
        if let Some(foreseen) = self.shared.lessons.foresee(&source, &secret, now) {
            return Ok(foreseen);
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        let lesson = Lesson { source, secret, now, answer };
        self.commands.try_send(Command::Learn(lesson)).map_err(|_| NotStored::QueueFull)?;
        answered.await.unwrap_or(Err(NotStored::Closing))
    }
}

impl Lessons {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let lessons = Self::default();
        lessons.read_again(connection)?;
        Ok(lessons)
    }

    pub(super) fn read_again(&self, connection: &Connection) -> rusqlite::Result<()> {
        let found = Arc::new(standings(connection)?);
        *locks::write(&self.0) = found;
        Ok(())
    }

    fn note(&self, source: &str, standing: Standing) {
        let mut lessons = locks::write(&self.0);
        Arc::make_mut(&mut lessons).insert(source.to_owned(), standing);
    }

    pub(super) fn of(&self, source: &str) -> Option<Standing> {
        locks::read(&self.0).get(source).cloned()
    }

    /// What can be told without the writer, so that strangers cannot keep it busy.
    pub(super) fn foresee(&self, source: &str, secret: &Secret, now: Millis) -> Option<Learned> {
        match self.of(source) {
            Some(Standing::Known(known, _)) if is_same(&known, secret) => Some(Learned::Kept),
            Some(Standing::Known(..)) => Some(Learned::Known),
            Some(Standing::Open(until)) if now < until => None,
            Some(Standing::Open(_)) | None => Some(Learned::NotOpen),
        }
    }
}

impl Lesson {
    /// Within the writer's transaction.
    pub(super) fn keep(&self, connection: &Connection) -> rusqlite::Result<Learned> {
        let Self { source, secret, now, .. } = self;
        match standing(connection, source)? {
            Some(Standing::Open(until)) if *now < until => {}
            Some(Standing::Known(known, _)) if is_same(&known, secret) => return Ok(Learned::Kept),
            Some(Standing::Known(..)) => return Ok(Learned::Known),
            _ => return Ok(Learned::NotOpen),
        }
        connection.execute(
            "INSERT INTO enrolled_secrets (source, secret, enrolled_at) VALUES (?1, ?2, ?3)",
            (source, secret.reveal(), now.0),
        )?;
        connection.execute("DELETE FROM enrollments WHERE source = ?1", [source])?;
        Ok(Learned::Kept)
    }

    /// After the commit: a secret that was kept is used from now on.
    pub(super) fn answer(self, learned: Learned, lessons: &Lessons) {
        let Self { source, secret, now, answer } = self;
        if learned == Learned::Kept {
            lessons.note(&source, Standing::Known(secret, now));
        }
        reply(answer, Ok(learned));
    }

    pub(super) fn refuse(self, why: NotStored) {
        reply(self.answer, Err(why));
    }
}

fn reply(answer: oneshot::Sender<Result<Learned, NotStored>>, learned: Result<Learned, NotStored>) {
    if answer.send(learned).is_err() {
        log::debug!("nobody waits for a handshake's answer any more");
    }
}

fn is_same(known: &Secret, told: &Secret) -> bool {
    use subtle::ConstantTimeEq as _;
    known.reveal().as_bytes().ct_eq(told.reveal().as_bytes()).into()
}

fn standings(connection: &Connection) -> rusqlite::Result<HashMap<String, Standing>> {
    let mut open = connection.prepare("SELECT source, open_until FROM enrollments")?;
    let open = open.query_map([], |row| Ok((row.get(0)?, Standing::Open(Millis(row.get(1)?)))))?;
    let mut all: HashMap<_, _> = open.collect::<rusqlite::Result<_>>()?;
    let mut known = connection.prepare("SELECT source, secret, enrolled_at FROM enrolled_secrets")?;
    let known = known.query_map([], |row| {
        Ok((row.get(0)?, Standing::Known(Secret::new(row.get::<_, String>(1)?), Millis(row.get(2)?))))
    })?;
    for row in known {
        let (source, standing) = row?;
        all.insert(source, standing);
    }
    Ok(all)
}

/// How a source stands, for people.
///
/// # Errors
/// What SQLite says.
pub fn standing(connection: &Connection, source: &str) -> rusqlite::Result<Option<Standing>> {
    Ok(standings(connection)?.remove(source))
}

/// Opens the window of a source, by a person; a known secret is forgotten only where that is asked for.
///
/// # Errors
/// What SQLite says.
pub(super) fn open(connection: &Connection, source: &str, until: Millis, forget: bool) -> rusqlite::Result<bool> {
    if forget {
        connection.execute("DELETE FROM enrolled_secrets WHERE source = ?1", [source])?;
    }
    let is_known = "SELECT 1 FROM enrolled_secrets WHERE source = ?1";
    if connection.query_row(is_known, [source], |_| Ok(())).optional()?.is_some() {
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
    use crate::inbox::file::SCHEMA;

    fn lesson(secret: &str, now: i64) -> Lesson {
        let (answer, _) = oneshot::channel();
        Lesson { source: "asana".into(), secret: Secret::new(secret), now: Millis(now), answer }
    }

    fn inbox() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn a_secret_is_kept_once_and_only_within_the_window() {
        let inbox = inbox();
        let lessons = Lessons::read(&inbox).unwrap();
        assert_eq!(lesson("a", 5).keep(&inbox).unwrap(), Learned::NotOpen);
        assert_eq!(lessons.foresee("asana", &Secret::new("a"), Millis(5)), Some(Learned::NotOpen));
        assert!(open(&inbox, "asana", Millis(10), false).unwrap());
        lessons.read_again(&inbox).unwrap();
        let told = |secret: &str, now| {
            let foreseen = lessons.foresee("asana", &Secret::new(secret), Millis(now));
            (foreseen, lesson(secret, now).keep(&inbox).unwrap())
        };
        assert_eq!(told("a", 10), (Some(Learned::NotOpen), Learned::NotOpen));
        assert_eq!(told("a", 9), (None, Learned::Kept));
        lessons.read_again(&inbox).unwrap();
        assert_eq!(told("a", 99), (Some(Learned::Kept), Learned::Kept));
        assert_eq!(told("b", 9), (Some(Learned::Known), Learned::Known));
        assert_eq!(lessons.of("asana"), Some(Standing::Known(Secret::new("a"), Millis(9))));
        assert_eq!(lessons.of("notion"), None);
    }

    #[test]
    fn what_is_known_is_forgotten_only_on_demand() {
        let inbox = inbox();
        open(&inbox, "asana", Millis(10), false).unwrap();
        assert_eq!(lesson("a", 1).keep(&inbox).unwrap(), Learned::Kept);
        assert!(!open(&inbox, "asana", Millis(20), false).unwrap());
        assert_eq!(standing(&inbox, "asana").unwrap(), Some(Standing::Known(Secret::new("a"), Millis(1))));
        assert!(open(&inbox, "asana", Millis(20), true).unwrap());
        assert_eq!(standing(&inbox, "asana").unwrap(), Some(Standing::Open(Millis(20))));
        assert_eq!(lesson("b", 11).keep(&inbox).unwrap(), Learned::Kept);
    }
}
