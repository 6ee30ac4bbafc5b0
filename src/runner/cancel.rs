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

use crate::retry::Exit;

const SHUTDOWN: u8 = 1;
const SKIPPED: u8 = 2;
const KILL: u8 = 4;

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// hookbox shuts down: TERM now, KILL when [`Cancel::kill`] is called.
    Shutdown,
    /// A person skipped the job: TERM now, KILL after [`crate::runner::KILL_GRACE`].
    Skipped,
}

impl Why {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Shutdown => Exit::Stopped,
            Self::Skipped => Exit::Skipped,
        }
    }
}

/// A handle on one attempt.
#[derive(Debug, Clone)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    flags: AtomicU8,
    wake: OwnedFd,
}

impl Cancel {
    /// A handle for an attempt that is about to run.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { shared: Arc::new(Shared { flags: AtomicU8::new(0), wake }) })
    }

    /// Asks the attempt to end. A skip outweighs a shutdown, since it is final.
    pub fn stop(&self, why: Why) {
        self.raise(match why {
            Why::Shutdown => SHUTDOWN,
            Why::Skipped => SKIPPED,
        });
    }

    /// Ends it now: KILL to the process group. Without a stop before, it counts as a shutdown.
    pub fn kill(&self) {
        self.raise(KILL);
    }

    pub(super) fn why(&self) -> Option<Why> {
        match self.shared.flags.load(Ordering::Acquire) {
            0 => None,
            flags if flags & SKIPPED != 0 => Some(Why::Skipped),
            _ => Some(Why::Shutdown),
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
        let cancel = Cancel::new().unwrap();
        assert_eq!((cancel.why(), cancel.must_kill()), (None, false));
        cancel.stop(Why::Shutdown);
        assert_eq!(cancel.why(), Some(Why::Shutdown));
        let other = cancel.clone();
        other.stop(Why::Skipped);
        cancel.stop(Why::Shutdown);
        cancel.acknowledge();
        assert_eq!((cancel.why(), cancel.must_kill()), (Some(Why::Skipped), false));
    }

    #[test]
    fn a_kill_without_a_stop_is_a_shutdown() {
        let cancel = Cancel::new().unwrap();
        cancel.kill();
        assert_eq!((cancel.why(), cancel.must_kill()), (Some(Why::Shutdown), true));
    }
}
