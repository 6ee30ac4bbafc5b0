//! Waiting for a condition, with a deadline: the only place where a test sleeps.

use std::time::{Duration, Instant};

/// Only catches a hang; far longer than anything takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until there is a result.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, ask)
}

/// Polls with another deadline.
pub fn until_within<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < deadline, "waited {deadline:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[should_panic(expected = "waited 10ms for a miracle")]
fn waiting_ends_at_the_deadline() {
    until_within(Duration::from_millis(10), "a miracle", || None::<()>);
}
