//! The way to stop a running attempt from another thread.
//!
//! A [`Cancel`] is made for one attempt; clones speak to the same one. [`crate::runner::run`] polls its
//! descriptor beside the process's pipes, and so notices at once. Flags only ever rise, so no stop can be lost,
//! whether it comes before, during or after the run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::retry::AttemptExit;

const SHUTDOWN: u8 = 1;
const SKIPPED: u8 = 2;
const KILL: u8 = 4;

/// StopReason an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// hookbox shuts down: TERM now, KILL when [`Cancel::kill`] is called.
    Shutdown,
    /// A person skipped the job: TERM now, KILL after [`crate::runner::KILL_GRACE`].
    Skipped,
}

impl StopReason {
    pub(super) fn exit(self) -> AttemptExit {
        match self {
            Self::Shutdown => AttemptExit::Stopped,
            Self::Skipped => AttemptExit::Skipped,
        }
    }
}

/// A handle on one attempt.
#[derive(Debug, Clone)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    flags: AtomicU8,
    wake: OwnedFd,
}

impl CancelToken {
    /// A handle for an attempt that is about to run.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { shared: Arc::new(Shared { flags: AtomicU8::new(0), wake }) })
    }

    /// Asks the attempt to end. A skip outweighs a shutdown, since it is final.
    pub fn stop(&self, why: StopReason) {
        self.raise(match why {
            StopReason::Shutdown => SHUTDOWN,
            StopReason::Skipped => SKIPPED,
        });
    }

    /// Ends it now: KILL to the process group. Without a stop before, it counts as a shutdown.
    pub fn kill(&self) {
        self.raise(KILL);
    }

    pub(super) fn why(&self) -> Option<StopReason> {
        match self.shared.flags.load(Ordering::Acquire) {
            0 => None,
            flags if flags & SKIPPED != 0 => Some(StopReason::Skipped),
            _ => Some(StopReason::Shutdown),
        }
    }

    pub(super) fn must_kill(&self) -> bool {
        self.shared.flags.load(Ordering::Acquire) & KILL != 0
    }

    /// Becomes readable with every stop.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    /// Makes the descriptor quiet again; read the flags afterwards.
    pub(super) fn acknowledge(&self) {
        while rustix::io::read(&self.shared.wake, &mut [0; 8]) == Err(Errno::INTR) {}
    }

    fn raise(&self, flag: u8) {
        self.shared.flags.fetch_or(flag, Ordering::AcqRel);
        // The only other error is EAGAIN: its counter is full, so it is readable already.
        while rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_outweighs_a_shutdown_and_nothing_takes_it_back() {
        let cancel = CancelToken::new().unwrap();
        assert_eq!((cancel.why(), cancel.must_kill()), (None, false));
        cancel.stop(StopReason::Shutdown);
        assert_eq!(cancel.why(), Some(StopReason::Shutdown));
        let other = cancel.clone();
        other.stop(StopReason::Skipped);
        cancel.stop(StopReason::Shutdown);
        cancel.acknowledge();
        assert_eq!((cancel.why(), cancel.must_kill()), (Some(StopReason::Skipped), false));
    }

    #[test]
    fn a_kill_without_a_stop_is_a_shutdown() {
        let cancel = CancelToken::new().unwrap();
        cancel.kill();
        assert_eq!((cancel.why(), cancel.must_kill()), (Some(StopReason::Shutdown), true));
    }
}
