//! Control of the running process: messages to stop or reload, and its state for systemd (sd_notify(3)).
//!
//! The signal thread and modules that can no longer work send messages; `server` receives them. Without systemd's
//! variables the notifications do nothing.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use sd_notify::NotifyState;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlMessage {
    /// Shut down with exit status 0.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Shut down with exit status 1, for this reason.
    Failed(String),
}

impl ControlMessage {
    /// The reason of [`ControlMessage::Failed`].
    #[must_use]
    pub fn failure(self) -> Option<String> {
        match self {
            Self::Failed(reason) => Some(reason),
            Self::Stop | Self::Reload => None,
        }
    }
}

/// The sending end; cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlHandle(Sender<ControlMessage>);

impl ControlHandle {
    #[must_use]
    pub fn new() -> (Self, Receiver<ControlMessage>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (Self(sender), receiver)
    }

    /// Without a receiver hookbox is shutting down already.
    pub fn send(&self, message: ControlMessage) {
        if self.0.send(message).is_err() {
            log::debug!("control message dropped: already shutting down");
        }
    }
}

/// Tells systemd that deliveries are accepted, at the start or after a reload.
pub fn notify_ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("accepting deliveries")]);
}

/// Tells systemd that a reload begins. [`notify_ready`] ends it.
pub fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now, NotifyState::Status("reloading the configuration")]),
        Err(error) => log::debug!("systemd not notified of the reload: {error}"),
    }
}

pub fn notify_stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("finishing accepted deliveries")]);
}

/// Resets systemd's watchdog.
pub fn notify_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often to call [`notify_alive`]: twice per watchdog period. `None` without a watchdog.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|period| period / 2)
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("systemd not notified: {error}");
    }
}
