//! An output stream of a process, as it is read: what is kept of it, and where it passes through to.
//!
//! Reading never blocks, and has an end even where more is written all the time. Memory is bounded, whatever comes.

use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ioctl_fionread};

use crate::model::response::MAX_RESPONSE_BYTES;
use crate::runner::output::Capture;

/// Bytes asked for in one read: what a pipe holds.
pub(in crate::runner) const READ_BYTES: usize = 64 * 1024;

/// Reads in a row from one stream before the clock is looked at again.
const READS: usize = 16;

/// An output stream as it is read.
#[derive(Default)]
pub(in crate::runner) struct Stream {
    /// What the ledger keeps.
    pub(in crate::runner) capture: Capture,
    /// All of it, up to what is too long for an answer.
    pub(in crate::runner) whole: Option<Vec<u8>>,
    /// Where it passes through to.
    pub(in crate::runner) shown: Option<Box<dyn Write>>,
    is_closed: bool,
}

impl Stream {
    pub(in crate::runner) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Reads what is there, with an end even where more is written all the time.
    pub(in crate::runner) fn read(&mut self, pipe: &OwnedFd, buffer: &mut Vec<u8>) {
        for _ in 0..READS {
            if self.read_once(pipe, buffer) < READ_BYTES {
                return;
            }
        }
    }

    /// Reads what was there at the process's end: a child that it left behind may go on writing for ever.
    pub(in crate::runner) fn drain(&mut self, pipe: &OwnedFd, buffer: &mut Vec<u8>) {
        let mut left = ioctl_fionread(pipe).unwrap_or(0);
        while left > 0 && self.is_open() {
            match self.read_once(pipe, buffer) {
                0 => return,
                read => left = left.saturating_sub(read as u64),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.capture.push(bytes);
        if let Some(whole) = &mut self.whole {
            // One byte more than may be, so that it shows.
            whole.extend_from_slice(&bytes[..bytes.len().min(MAX_RESPONSE_BYTES + 1 - whole.len())]);
        }
        if let Some(shown) = &mut self.shown
            && shown.write_all(bytes).and_then(|()| shown.flush()).is_err()
        {
            // Whoever read it has gone; the handler need not.
            self.shown = None;
        }
    }

    fn read_once(&mut self, pipe: &OwnedFd, buffer: &mut Vec<u8>) -> usize {
        buffer.clear();
        match rustix::io::read(pipe, spare_capacity(buffer)) {
            Ok(0) => self.is_closed = true,
            Ok(_) => self.take(buffer),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.is_closed = true,
        }
        buffer.len()
    }
}
