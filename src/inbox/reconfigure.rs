//! Applies a new configuration and enrolled secrets to a served inbox.

use std::sync::Arc;

use super::enrollment::{Enrollment, EnrollmentResult};
use super::ordering::RecomputeStep;
use super::served::Inbox;
use super::types::{InboxError, NotStored};
use super::writer::command::Command;
use super::{file, insert};
use crate::config;
use crate::routing::Routes;
use crate::support::locks;
use crate::support::secret::Secret;
use crate::support::time::Millis;

impl Inbox {
    /// Recomputes the ordering keys of jobs whose handler has another rule than before. Nothing may be claimed meanwhile.
    ///
    /// # Errors
    /// [`InboxError::Passing`]: the next call does the rest.
    pub fn recompute_ordering_keys(&self, routes: &Arc<Routes>) -> Result<(), InboxError> {
        for first in RecomputeStep::all(routes) {
            let mut step = Some(first);
            while let Some(this) = step {
                step = self.write(move |connection, _| this.run(connection))?;
            }
        }
        Ok(())
    }

    /// Sets the sources with `replay_guard = "id+body"`. Bodies that they have stored before are added first.
    ///
    /// # Errors
    /// The stored bodies could not be read. Nothing changes then.
    pub fn set_body_dedup(&self, sources: &[Arc<str>]) -> Result<(), InboxError> {
        let before = locks::read(&self.shared.body_dedup).clone();
        let set = |sources| *locks::write(&self.shared.body_dedup) = sources;
        // First, so that bodies that arrive meanwhile are added too.
        set(sources.into());
        let (path, durability) = self.shared.with_settings(|settings| (settings.path.clone(), settings.durability));
        for source in sources.iter().filter(|source| !before.contains(source)) {
            let added = file::open(&path, durability).map_err(|error| error.to_string()).and_then(|mut connection| {
                insert::add_stored_bodies(&mut connection, source).map_err(|error| error.to_string())
            });
            if let Err(why) = added {
                set(before);
                return Err(InboxError::Passing(format!("{source}: replay_guard: {why}")));
            }
        }
        Ok(())
    }

    /// Applies new limits. The path cannot change.
    ///
    /// # Errors
    /// The writer has stopped.
    pub fn set_limits(&self, settings: &config::InboxConfig) -> Result<(), InboxError> {
        *locks::write(&self.shared.settings) = settings.clone();
        let closed = |_| InboxError::Final("the inbox is closed".into());
        self.commands.send(Command::SetDurability(settings.durability)).map_err(closed)
    }

    /// Returns the secret enrolled by a provider's handshake.
    #[must_use]
    pub fn enrolled_secret(&self, source: &str) -> Option<Secret> {
        self.shared.enrollments.secret(source)
    }

    /// Enrolls the secret of a handshake, if an operator has opened enrollment and the source has no secret.
    ///
    /// # Errors
    /// [`NotStored`]: the handshake must not be confirmed.
    pub async fn enroll(&self, source: Arc<str>, secret: Secret, now: Millis) -> Result<EnrollmentResult, NotStored> {
        if let Some(result) = self.shared.enrollments.precheck(&source, &secret, now) {
            return Ok(result);
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        let enrollment = Enrollment { source, secret, now, answer };
        self.commands.try_send(Command::Enroll(enrollment)).map_err(|_| NotStored::QueueFull)?;
        answered.await.unwrap_or(Err(NotStored::Closing))
    }
}
