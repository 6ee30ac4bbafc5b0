//! Stops a running attempt from another thread.
//!
//! The executor polls the token's descriptor together with the pipes of the process. Flags are only ever set, so no stop
//! is lost, whether it comes before, during or after the run.

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

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// SIGTERM now, SIGKILL when [`CancelToken::kill`] is called.
    Shutdown,
    /// The operator skipped the job: SIGTERM now, SIGKILL after [`crate::runner::KILL_GRACE`].
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

/// A handle on one attempt. Clones refer to the same attempt.
#[derive(Debug, Clone)]
pub struct CancelToken {
    shared: Arc<CancelState>,
}

#[derive(Debug)]
struct CancelState {
    flags: AtomicU8,
    wake: OwnedFd,
}

impl CancelToken {
    /// Fails if no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { shared: Arc::new(CancelState { flags: AtomicU8::new(0), wake }) })
    }

    /// Asks the attempt to end. A skip outweighs a shutdown, because it is final.
    pub fn stop(&self, reason: StopReason) {
        self.raise(match reason {
            StopReason::Shutdown => SHUTDOWN,
            StopReason::Skipped => SKIPPED,
        });
    }

    /// Sends SIGKILL to the process group. Without a stop before, it counts as a shutdown.
    pub fn kill(&self) {
        self.raise(KILL);
    }

    pub(super) fn reason(&self) -> Option<StopReason> {
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

    /// Clears the descriptor. Read the flags afterwards.
    pub(super) fn acknowledge(&self) {
        while rustix::io::read(&self.shared.wake, &mut [0; 8]) == Err(Errno::INTR) {}
    }

    fn raise(&self, flag: u8) {
        self.shared.flags.fetch_or(flag, Ordering::AcqRel);
        // The only other error is EAGAIN: the counter is full, so the descriptor is readable already.
        while rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_outweighs_shutdown() {
        let cancel = CancelToken::new().unwrap();
        assert_eq!((cancel.reason(), cancel.must_kill()), (None, false));
        cancel.stop(StopReason::Shutdown);
        assert_eq!(cancel.reason(), Some(StopReason::Shutdown));
        let other = cancel.clone();
        other.stop(StopReason::Skipped);
        cancel.stop(StopReason::Shutdown);
        cancel.acknowledge();
        assert_eq!((cancel.reason(), cancel.must_kill()), (Some(StopReason::Skipped), false));
    }

    #[test]
    fn kill_without_stop_is_a_shutdown() {
        let cancel = CancelToken::new().unwrap();
        cancel.kill();
        assert_eq!((cancel.reason(), cancel.must_kill()), (Some(StopReason::Shutdown), true));
    }
}
