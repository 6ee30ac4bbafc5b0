//! Whether the wall clock has jumped: it is compared with a clock that cannot, and that goes on while the machine sleeps.
//!
//! Pure but for [`Clocks::now`]. A clock that is steered slowly is followed; a step of more than [`LEAST`] is a jump, told
//! once with its length.

use rustix::time::{ClockId, clock_gettime};

use crate::support::time::Millis;

/// The shortest jump, in milliseconds.
const LEAST: i64 = 2_000;

/// Both clocks at one moment, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    wall: i64,
    steady: i64,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let steady = clock_gettime(ClockId::Boottime);
        Self { wall: Millis::now().0, steady: steady.tv_sec * 1_000 + steady.tv_nsec / 1_000_000 }
    }

    /// Moves on to a later moment. By how much the wall clock has jumped in between: forward, or backward (negative).
    pub(super) fn reach(&mut self, now: Self) -> Option<i64> {
        let jump = (now.wall - self.wall) - (now.steady - self.steady);
        *self = now;
        (jump.abs() >= LEAST).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_once_and_drift_never() {
        let mut clocks = Clocks { wall: 1_000_000, steady: 50 };
        let mut reach = |wall, steady| clocks.reach(Clocks { wall, steady });
        assert_eq!(reach(1_060_000, 60_050), None, "a minute later");
        assert_eq!(reach(1_121_000, 120_050), None, "a second of drift");
        assert_eq!(reach(1_122_000, 121_050), None);
        assert_eq!(reach(1_122_000 - 86_400_000, 121_050), Some(-86_400_000));
        assert_eq!(reach(1_123_000 - 86_400_000, 122_050), None);
        assert_eq!(reach(1_123_100, 122_150), Some(86_400_000));
    }

    #[test]
    fn the_real_clocks_stand_still_to_each_other() {
        let mut clocks = Clocks::now();
        assert_eq!(clocks.reach(Clocks::now()), None);
    }
}
