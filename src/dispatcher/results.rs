//! Endings on their way from the threads to the scheduler, which is not woken for each.
//!
//! While it lets endings gather, a thread that has gone on by itself only leaves its own; whoever waits for the next
//! turn rings. Promises: what was left is taken with the next ring or after the gathering, whichever comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::inbox::JobRef;
use crate::runner::AttemptOutput;

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: JobRef,
    pub(super) ended: AttemptOutput,
    /// How long its thread was busy with it.
    pub(super) took: Duration,
    /// The job that its thread has gone on with.
    pub(super) next: Option<i64>,
    /// Whether its thread, or another before long, waits for the next turn.
    pub(super) is_awaited: bool,
}

/// What the threads have of it.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    done: Sender<Done>,
    bell: Sender<()>,
    gathers: Arc<AtomicBool>,
}

/// What the scheduler has of it.
#[derive(Debug)]
pub(super) struct Endings {
    done: Receiver<Done>,
    bell: Receiver<()>,
    gathers: Arc<AtomicBool>,
}

/// Both ends.
pub(super) fn endings() -> (Teller, Endings) {
    let (done, taken) = crossbeam_channel::unbounded();
    let (bell, rings) = crossbeam_channel::bounded(1);
    let gathers = Arc::new(AtomicBool::new(false));
    (Teller { done, bell, gathers: gathers.clone() }, Endings { done: taken, bell: rings, gathers })
}

impl Teller {
    /// Whether anybody still takes endings.
    pub(super) fn tell(&self, done: Done) -> bool {
        let is_awaited = done.is_awaited;
        // Left before it is looked whether to ring: either the scheduler sees it, or it is rung for.
        self.done.send(done).is_ok()
            && (!is_awaited && self.gathers.load(Ordering::SeqCst)
                || !matches!(self.bell.try_send(()), Err(TrySendError::Disconnected(()))))
    }
}

impl Endings {
    /// Rings when there is something to take.
    pub(super) fn bell(&self) -> &Receiver<()> {
        &self.bell
    }

    /// From here until the next [`Endings::take`] only those ring who wait.
    pub(super) fn gather(&self) {
        self.gathers.store(true, Ordering::SeqCst);
    }

    /// All that have come, each thread's in its order.
    pub(super) fn take(&self) -> Vec<Done> {
        self.gathers.store(false, Ordering::SeqCst);
        self.done.try_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::AttemptExit;

    fn done(id: i64, is_awaited: bool) -> Done {
        let job = JobRef { id, attempt: 1 };
        Done {
            job,
            ended: AttemptOutput::without_output(AttemptExit::Stopped),
            took: Duration::ZERO,
            next: None,
            is_awaited,
        }
    }

    #[test]
    fn while_endings_gather_only_those_who_wait_ring() {
        let (teller, endings) = endings();
        let taken = || endings.take().iter().map(|done| done.job.id).collect::<Vec<_>>();
        assert!(teller.tell(done(1, false)) && teller.tell(done(2, false)));
        assert!(endings.bell().try_recv().is_ok());
        assert_eq!(taken(), [1, 2]);
        endings.gather();
        assert!(teller.tell(done(3, false)));
        assert!(endings.bell().try_recv().is_err());
        assert!(teller.tell(done(4, true)));
        assert!(endings.bell().try_recv().is_ok());
        assert_eq!(taken(), [3, 4]);
        assert!(teller.tell(done(5, false)));
        assert!(endings.bell().try_recv().is_ok(), "no longer gathering");
        drop(endings);
        assert!(!teller.tell(done(6, false)));
    }

    #[test]
    fn nothing_is_left_lying_however_gathering_ends() {
        const EACH: i64 = 20_000;
        let (teller, endings) = endings();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let teller = teller.clone();
                scope.spawn(move || (0..EACH).for_each(|id| assert!(teller.tell(done(thread * EACH + id, false)))));
            }
            let (mut taken, mut gathers) = (0, false);
            while taken < 2 * EACH {
                gathers = !gathers;
                if gathers {
                    endings.gather();
                    std::thread::yield_now();
                } else {
                    endings.bell().recv_timeout(Duration::from_secs(10)).expect("a ring for what was left");
                }
                taken += i64::try_from(endings.take().len()).unwrap();
            }
        });
    }
}
