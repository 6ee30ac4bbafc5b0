//! What is kept of an output stream: its first 4 KiB and its last 12 KiB, exactly, and how much there was.
//!
//! Bytes come in as they are read, [`Captured`] goes out. Memory is bounded by [`KEPT`], whatever is written.

use super::CapturedOutput;

/// Bytes kept from the start of a stream.
pub const OUTPUT_HEAD_BYTES: usize = 4 * 1024;

/// Bytes kept from its end.
pub const TAIL: usize = 12 * 1024;

/// A stream up to this length is kept whole.
pub const OUTPUT_KEPT_BYTES: usize = OUTPUT_HEAD_BYTES + TAIL;

/// A stream that is being read.
#[derive(Debug, Default)]
pub(super) struct Capture {
    kept: Vec<u8>,
    /// Where in the tail the oldest byte is, once `kept` is full and the tail goes round.
    oldest: usize,
    total: u64,
}

impl Capture {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (fitting, rest) = bytes.split_at(bytes.len().min(OUTPUT_KEPT_BYTES - self.kept.len()));
        self.kept.extend_from_slice(fitting);
        // All but the last TAIL bytes would be overwritten at once.
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        let tail = self.kept.get_mut(OUTPUT_HEAD_BYTES..).unwrap_or_default();
        let (to_end, from_start) = rest.split_at(rest.len().min(TAIL - self.oldest));
        if !rest.is_empty() {
            tail[self.oldest..self.oldest + to_end.len()].copy_from_slice(to_end);
            tail[..from_start.len()].copy_from_slice(from_start);
            self.oldest = (self.oldest + rest.len()) % TAIL;
        }
    }

    /// As if it had all been pushed.
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
        [&written[..OUTPUT_HEAD_BYTES], &written[written.len() - TAIL..]].concat()
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
            OUTPUT_KEPT_BYTES + TAIL,
            100_000,
            1 << 20,
        ] {
            for step in [7, 1000, OUTPUT_HEAD_BYTES, TAIL - 1, TAIL, TAIL + 1, OUTPUT_KEPT_BYTES, 65536, 1 << 20] {
                let written = pattern(length);
                let mut capture = Capture::default();
                written.chunks(step).for_each(|chunk| capture.push(chunk));
                let captured = capture.finish();
                assert_eq!(captured.total, length as u64);
                assert!(captured.kept == expected(&written), "{length} bytes in steps of {step}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_absorbed_is_as_if_it_had_been_pushed(lengths in proptest::collection::vec(0_usize..40_000, 2)) {
            let written = pattern(lengths.iter().sum());
            let (first, second) = written.split_at(lengths[0]);
            let [mut whole, mut later] = [Capture::default(), Capture::default()];
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
            let (mut capture, mut left) = (Capture::default(), &written[..]);
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
