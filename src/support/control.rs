//! How a running hookbox is told to end or to read its configuration again.
//!
//! Signals, and rooms that can no longer do their job, send a [`ControlMessage`]; the one who waits for calls is `app`.
//! The channel is an argument everywhere, so that tests bring their own.

use crossbeam_channel::{Receiver, Sender};

/// What a running hookbox is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlMessage {
    /// End in order, with status 0.
    Stop,
    /// Read the configuration again.
    Reload,
    /// End with status 1: something that hookbox cannot do without has failed.
    Failed(String),
}

impl ControlMessage {
    /// What has failed.
    #[must_use]
    pub fn failure(self) -> Option<String> {
        match self {
            Self::Failed(why) => Some(why),
            Self::Stop | Self::Reload => None,
        }
    }
}

/// The calling end; cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlHandle(Sender<ControlMessage>);

impl ControlHandle {
    /// A calling end, and the end that waits.
    #[must_use]
    pub fn new() -> (Self, Receiver<ControlMessage>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (Self(sender), receiver)
    }

    /// Sends the call. When nobody waits any more, hookbox is ending already.
    pub fn send(&self, message: ControlMessage) {
        if self.0.send(message).is_err() {
            log::debug!("nobody waits for calls any more");
        }
    }
}
