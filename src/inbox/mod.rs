//! The inbox: events stored once, the jobs made of them, and the ledger of attempts. All SQL is in here.
//!
//! [`Inbox`] is what `serve` holds: [`Inbox::accept`] takes what verification has let through and answers when it is
//! synced; [`Inbox::turn`] writes what has ended and claims what is due. Both go to one writer thread, which commits
//! whatever waits in one transaction (`writer`). Reads go through a [`reader::Reader`] on connections of
//! their own. [`operator`] opens the same file from another process, whether or not it is served.

pub mod operator;
pub mod reader;

mod accept;
mod answers;
mod ballast;
mod bodies;
mod claim;
mod command;
mod failure;
mod file;
mod finish;
mod jump;
mod lesson;
mod meta;
mod pause;
mod prune;
mod recover;
mod rekey;
mod ring;
mod sequence;
mod shared;
mod sync;
mod tally;
#[cfg(test)]
mod tests;
mod turn;
mod upkeep;
mod urgent;
mod verdict;
mod wal;
mod watch;
mod writer;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::config;
use crate::model::refusal::RefusedDelivery;
use crate::routing::Routes;
use crate::support::control::ControlHandle;
use crate::support::locks;
use crate::support::secret::DigestKey;
use crate::support::time::Millis;
use crate::verify::VerifiedDelivery;

pub use accept::{Accepted, Receipt};
pub use answers::{Awaited, Spoken};
pub use failure::{InboxError, NotStored};
pub use file::{OpenError, lock_path, upgrade_with};
pub use lesson::{Learned, Standing, WINDOW};
pub use pause::Paused;
pub use turn::{Claimed, Finished, HandlerState, JobRef, Turn, Turned, Wanted};

use accept::{Delivery, Routed};
use command::Command;
use lesson::Lessons;
use shared::Shared;
use wal::Wal;
use writer::Writer;

/// Deliveries and turns that may wait for the writer; more are answered with 503.
const QUEUE: usize = 4096;

/// An inbox that is being served: the lock, the writer thread and the readers.
#[derive(Debug)]
pub struct Inbox {
    commands: Sender<Command>,
    wakes: Receiver<()>,
    shared: Arc<Shared>,
    readers: reader::ReadPool,
    writer: JoinHandle<()>,
    lost: Vec<JobRef>,
    _lock: file::InstanceLock,
}

impl Inbox {
    /// Locks and opens the inbox, makes or upgrades it, settles what a crash left behind, and starts the writer.
    /// `never_begun` is asked under the lock which attempts (job, number) of a killed hookbox had certainly not begun.
    ///
    /// # Errors
    /// [`OpenError`]; the file is untouched then.
    pub fn open(
        settings: &config::InboxConfig,
        routes: Routes,
        caller: ControlHandle,
        never_begun: &dyn Fn() -> Vec<(i64, u32)>,
    ) -> Result<Self, OpenError> {
        let lock = file::lock(&settings.path)?;
        let wal = Wal::beside(&settings.path);
        let connection = file::patiently(|| file::open(&settings.path, settings.durability))?;
        let failed = |error| file::explain(&settings.path, error);
        let unbegun: HashSet<_> = never_begun().into_iter().map(|(id, attempt)| JobRef { id, attempt }).collect();
        let lost = file::patiently(|| recover::settle(&connection, Millis::now(), &unbegun).map_err(failed))?;
        jump::settle(&connection, Millis::now()).map_err(failed)?;
        let token_key = meta::make_token_key(&connection).map_err(failed)?;
        if !unbegun.is_empty() {
            log::info!(
                "{} jobs were claimed and not begun when hookbox last ended; they wait as before",
                unbegun.len()
            );
        }
        if !lost.is_empty() {
            log::warn!("{} attempts were under way when hookbox last ended; their jobs will run again", lost.len());
        }
        let lessons = Lessons::read(&connection).map_err(failed)?;
        let shared = Arc::new(Shared::new(settings, routes, token_key, lessons));
        let (commands, queue) = crossbeam_channel::bounded(QUEUE);
        let (wake, wakes) = crossbeam_channel::bounded(1);
        let writer = Writer::new(connection, wal, shared.clone(), wake, caller).map_err(failed)?;
        let writer = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run(&queue))
            .map_err(|error| OpenError::Access { path: settings.path.clone(), error })?;
        let readers = reader::ReadPool::new(&settings.path);
        Ok(Self { commands, wakes, shared, readers, writer, lost, _lock: lock })
    }

    /// Stores a verified delivery with its jobs, and answers when the commit is synced.
    ///
    /// # Errors
    /// [`NotStored`]: nothing was acknowledged.
    pub async fn accept(&self, verified: VerifiedDelivery) -> Result<Accepted, NotStored> {
        self.is_open()?;
        let (answer, answered) = tokio::sync::oneshot::channel();
        let guards_bodies = self.guarded().contains(verified.source());
        let delivery = Delivery { routed: Routed::new(verified, &self.routes(), guards_bodies), answer };
        self.commands.try_send(Command::Accept(delivery)).map_err(|refused| match refused {
            TrySendError::Full(_) => NotStored::QueueFull,
            TrySendError::Disconnected(_) => NotStored::Closing,
        })?;
        answered.await.unwrap_or(Err(NotStored::Closing))
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed)
    }

    /// With too many jobs pending it is open all the same: duplicates still get their 200.
    fn is_open(&self) -> Result<(), NotStored> {
        let holds = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if self.is_closing() {
            Err(NotStored::Closing)
        } else if holds(&self.shared.failed) {
            Err(NotStored::Failing("a sync has failed".into()))
        } else if holds(&self.shared.disk_low) {
            Err(NotStored::DiskLow)
        } else {
            Ok(())
        }
    }

    /// Whether a new event would be stored now.
    ///
    /// # Errors
    /// Why not.
    pub fn is_ready(&self) -> Result<(), NotStored> {
        self.is_open()?;
        if self.shared.backlog.load(Ordering::Relaxed) { Err(NotStored::Backlog) } else { Ok(()) }
    }

    /// Counts a delivery that was turned away, and keeps what `describe` tells of it, unless its source has had its
    /// share of this second. Written with the next commit.
    pub fn note_refusal(&self, source: &Arc<str>, describe: impl FnOnce(&DigestKey) -> RefusedDelivery) {
        let is_wanted = self.shared.ring.count(source, Instant::now());
        if is_wanted && !self.shared.disk_low.load(Ordering::Relaxed) {
            self.shared.ring.push(describe(&self.shared.token_key));
        }
    }

    /// Writes what has ended and claims what is due, in one commit.
    ///
    /// # Errors
    /// [`InboxError::Passing`]: nothing was written, the same turn may be tried again.
    pub fn turn(&self, turn: Turn) -> Result<Turned, InboxError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let gone = || InboxError::Final("the inbox is closed".into());
        self.commands.send(Command::Turn(Box::new(turn), answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }

    /// The same for a turn that claims nothing, waiting at most so long. Written late it does no harm: an ending is
    /// written once.
    ///
    /// # Errors
    /// [`InboxError::Passing`] also when the time is over.
    pub fn turn_within(&self, turn: Turn, patience: Duration) -> Result<Turned, InboxError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let late = |_| InboxError::Passing("the inbox is slow".into());
        self.commands
            .send_timeout(Command::Turn(Box::new(turn), answer), patience)
            .map_err(|error| late(error.to_string()))?;
        answered.recv_timeout(patience).map_err(|error| late(error.to_string()))?
    }

    /// Attempts that were under way when the last hookbox ended; something of them may still run.
    #[must_use]
    pub fn lost(&self) -> &[JobRef] {
        &self.lost
    }

    /// Signals that there may be something to do: new jobs, or a change by another process.
    #[must_use]
    pub fn wakes(&self) -> Receiver<()> {
        self.wakes.clone()
    }

    /// Whether another process has changed something since the last turn; a turn tells what it means.
    #[must_use]
    pub fn was_changed_outside(&self) -> bool {
        self.shared.changed_outside.load(Ordering::Relaxed)
    }

    /// From now on events are routed by these.
    pub fn set_routes(&self, routes: Routes) {
        *locks::write(&self.shared.routes) = Arc::new(routes);
    }

    /// From now on these limits hold. The path stays.
    ///
    /// # Errors
    /// When the writer is gone.
    pub fn set_limits(&self, settings: &config::InboxConfig) -> Result<(), InboxError> {
        *locks::write(&self.shared.settings) = settings.clone();
        let gone = |_| InboxError::Final("the inbox is closed".into());
        self.commands.send(Command::Durability(settings.durability)).map_err(gone)
    }

    /// Takes in no more deliveries; turns go on, and requests that wait for an answer wait for a moment only.
    pub fn stop_accepting(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.board.hurry();
    }

    /// Writes what still waits, checkpoints and closes, once nobody else uses the inbox any more.
    pub fn close(self: Arc<Self>) {
        self.stop_accepting();
        let Some(Self { commands, readers, writer, .. }) = alone(self) else {
            return log::warn!("the inbox is still in use; it is closed with the process");
        };
        // The writer is the last to close, so that SQLite folds the WAL in and removes it.
        drop(readers);
        drop(commands);
        if writer.join().is_err() {
            log::error!("the writer ended in a panic");
        }
    }

    fn routes(&self) -> Arc<Routes> {
        locks::read(&self.shared.routes).clone()
    }
}

/// The inbox itself, when the threads that have just ended let go of it within a moment.
fn alone(mut inbox: Arc<Inbox>) -> Option<Inbox> {
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        inbox = match Arc::try_unwrap(inbox) {
            Ok(inbox) => return Some(inbox),
            Err(shared) => shared,
        };
        std::thread::park_timeout(Duration::from_millis(5));
    }
    None
}
