//! The output streams of a process: read without blocking, kept within limits.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ioctl_fionread};

use crate::model::response::MAX_RESPONSE_BYTES;

/// Bytes kept from the start of a stream.
pub const OUTPUT_HEAD_BYTES: usize = 4 * 1024;
/// Bytes kept from its end.
pub(super) const OUTPUT_TAIL_BYTES: usize = 12 * 1024;
/// A stream up to this length is kept whole.
pub const OUTPUT_KEPT_BYTES: usize = OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES;

/// Bytes requested by one read: the capacity of a pipe.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// Reads in a row from one stream before the time limit is checked again.
const READS: usize = 16;

/// What is kept of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapturedOutput {
    /// The whole stream, or its first 4 KiB followed by its last 12 KiB.
    pub kept: Vec<u8>,
    /// Length of the whole stream in bytes.
    pub total: u64,
}

/// Collects a [`CapturedOutput`] in bounded memory.
#[derive(Debug, Default)]
pub(super) struct OutputCapture {
    kept: Vec<u8>,
    /// Index of the oldest byte in the tail, which is a ring once `kept` is full.
    oldest: usize,
    total: u64,
}

impl OutputCapture {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (fitting, rest) = bytes.split_at(bytes.len().min(OUTPUT_KEPT_BYTES - self.kept.len()));
        self.kept.extend_from_slice(fitting);
        // Earlier bytes would be overwritten immediately.
        let rest = &rest[rest.len().saturating_sub(OUTPUT_TAIL_BYTES)..];
        let tail = self.kept.get_mut(OUTPUT_HEAD_BYTES..).unwrap_or_default();
        let (to_end, from_start) = rest.split_at(rest.len().min(OUTPUT_TAIL_BYTES - self.oldest));
        if !rest.is_empty() {
            tail[self.oldest..self.oldest + to_end.len()].copy_from_slice(to_end);
            tail[..from_start.len()].copy_from_slice(from_start);
            self.oldest = (self.oldest + rest.len()) % OUTPUT_TAIL_BYTES;
        }
    }

    /// Appends a captured stream.
    pub(super) fn absorb(&mut self, later: &CapturedOutput) {
        self.push(&later.kept);
        self.total += later.total - later.kept.len() as u64;
    }

    pub(super) fn finish(mut self) -> CapturedOutput {
        if let Some(tail) = self.kept.get_mut(OUTPUT_HEAD_BYTES..) {
            tail.rotate_left(self.oldest);
        }
        CapturedOutput { kept: self.kept, total: self.total }
    }
}

/// An output stream of hookbox itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Passthrough {
    Stdout,
    Stderr,
}

/// A pipe from the process.
#[derive(Debug, Default)]
pub(super) struct OutputStream {
    pub(super) capture: OutputCapture,
    /// The whole stream, if it is the response to the provider; cut one byte beyond the limit.
    pub(super) whole: Option<Vec<u8>>,
    /// Where the stream also goes, while that can be written.
    pub(super) shown: Option<Passthrough>,
    is_closed: bool,
}

impl Passthrough {
    fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(bytes),
        }
    }
}

impl OutputStream {
    pub(super) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Reads what is available, up to a limit: the process may write without end.
    pub(super) fn read(&mut self, pipe: &OwnedFd, buffer: &mut Vec<u8>) {
        for _ in 0..READS {
            if self.read_once(pipe, buffer) < READ_BYTES {
                return;
            }
        }
    }

    /// Reads what the pipe contains now: a child that the process left behind may write without end.
    pub(super) fn drain(&mut self, pipe: &OwnedFd, buffer: &mut Vec<u8>) {
        let mut left = ioctl_fionread(pipe).unwrap_or(0);
        while left > 0 && self.is_open() {
            match self.read_once(pipe, buffer) {
                0 => return,
                read => left = left.saturating_sub(read as u64),
            }
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

    fn take(&mut self, bytes: &[u8]) {
        self.capture.push(bytes);
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(&bytes[..bytes.len().min(MAX_RESPONSE_BYTES + 1 - whole.len())]);
        }
        if let Some(shown) = self.shown
            && shown.write(bytes).is_err()
        {
            // The reader has gone. The handler continues.
            self.shown = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i % 251) as u8).collect()
    }

    fn expected(written: &[u8]) -> Vec<u8> {
        if written.len() <= OUTPUT_KEPT_BYTES {
            return written.to_vec();
        }
        [&written[..OUTPUT_HEAD_BYTES], &written[written.len() - OUTPUT_TAIL_BYTES..]].concat()
    }

    #[test]
    fn head_and_tail_are_exact_for_every_length_and_step() {
        for length in [
            0,
            1,
            OUTPUT_HEAD_BYTES - 1,
            OUTPUT_HEAD_BYTES,
            OUTPUT_HEAD_BYTES + 1,
            OUTPUT_KEPT_BYTES - 1,
            OUTPUT_KEPT_BYTES,
            OUTPUT_KEPT_BYTES + 1,
            OUTPUT_KEPT_BYTES + OUTPUT_TAIL_BYTES,
            100_000,
            1 << 20,
        ] {
            for step in [
                7,
                1000,
                OUTPUT_HEAD_BYTES,
                OUTPUT_TAIL_BYTES - 1,
                OUTPUT_TAIL_BYTES,
                OUTPUT_TAIL_BYTES + 1,
                OUTPUT_KEPT_BYTES,
                65536,
                1 << 20,
            ] {
                let written = pattern(length);
                let mut capture = OutputCapture::default();
                written.chunks(step).for_each(|chunk| capture.push(chunk));
                let captured = capture.finish();
                assert_eq!(captured.total, length as u64);
                assert!(captured.kept == expected(&written), "{length} bytes in steps of {step}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn absorbed_output_equals_pushed_output(lengths in proptest::collection::vec(0_usize..40_000, 2)) {
            let written = pattern(lengths.iter().sum());
            let (first, second) = written.split_at(lengths[0]);
            let [mut whole, mut later] = [OutputCapture::default(), OutputCapture::default()];
            whole.push(first);
            later.push(second);
            whole.absorb(&later.finish());
            let captured = whole.finish();
            proptest::prop_assert_eq!(captured.total, written.len() as u64);
            proptest::prop_assert!(captured.kept == expected(&written));
        }

        #[test]
        fn head_and_tail_are_exact_for_any_steps(steps in proptest::collection::vec(0_usize..20_000, 0..12)) {
            let written = pattern(steps.iter().sum());
            let (mut capture, mut left) = (OutputCapture::default(), &written[..]);
            for step in steps {
                let (chunk, after) = left.split_at(step);
                capture.push(chunk);
                left = after;
            }
            let captured = capture.finish();
            proptest::prop_assert_eq!(captured.total, written.len() as u64);
            proptest::prop_assert!(captured.kept == expected(&written));
        }
    }
}
