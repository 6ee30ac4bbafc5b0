//! Detects steps of the wall clock, by comparison with the boot-time clock, which also runs during suspend.
//!
//! A clock that is slewed is followed. A step of at least [`MIN_STEP`] is reported once.

use rustix::time::{ClockId, clock_gettime};

use crate::support::time::Millis;

/// Milliseconds.
const MIN_STEP: i64 = 2_000;

/// Both clocks at the same moment, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    wall: i64,
    boot: i64,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        Self { wall: Millis::now().0, boot: boot.tv_sec * 1_000 + boot.tv_nsec / 1_000_000 }
    }

    /// Advances to `now`. Returns the step of the wall clock since, negative if it was set back.
    pub(super) fn advance(&mut self, now: Self) -> Option<i64> {
        let step = (now.wall - self.wall) - (now.boot - self.boot);
        *self = now;
        (step.abs() >= MIN_STEP).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_is_reported_once_and_drift_never() {
        let mut clocks = Clocks { wall: 1_000_000, boot: 50 };
        let mut advance = |wall, boot| clocks.advance(Clocks { wall, boot });
        assert_eq!(advance(1_060_000, 60_050), None, "a minute later");
        assert_eq!(advance(1_121_000, 120_050), None, "a second of drift");
        assert_eq!(advance(1_122_000, 121_050), None);
        assert_eq!(advance(1_122_000 - 86_400_000, 121_050), Some(-86_400_000));
        assert_eq!(advance(1_123_000 - 86_400_000, 122_050), None);
        assert_eq!(advance(1_123_100, 122_150), Some(86_400_000));
    }

    #[test]
    fn real_clocks_show_no_step() {
        let mut clocks = Clocks::now();
        assert_eq!(clocks.advance(Clocks::now()), None);
    }
}
