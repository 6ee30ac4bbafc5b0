//! Acknowledgement latency while jobs run, and job throughput while events arrive.

use std::process::Stdio;
use std::time::Duration;

use crate::SECRET;
use crate::drain::{Drain, succeeded};
use crate::load::{self, Load};

/// Finished attempts are counted per interval of this many milliseconds.
const STEP: i64 = 100;

pub(crate) struct Arrival {
    pub(crate) acknowledged_per_second: f64,
    pub(crate) p99_ms: f64,
    pub(crate) run_per_second: f64,
    /// Fewest finished attempts in an interval while events arrived.
    pub(crate) fewest: i64,
}

/// Starts with `backlog` pending jobs, so that executors are always busy.
pub(crate) fn measure(backlog: &Drain<'_>, (arriving, connections): (usize, usize)) -> Arrival {
    let mut serving = backlog.serve(Stdio::piped());
    let [address] = load::lines_after(serving.child.stderr.take().expect("stderr"), ["hooks on http://"]);
    let inbox = serving.inbox();
    while succeeded(&inbox) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (span, most) = (Duration::from_secs(600), arriving as u64);
    let load = Load { address, connections, span, bytes: 300, secret: SECRET, first: 0, most, pace: f64::INFINITY };
    let began = now_ms();
    let outcome = load.run();
    let ended = now_ms();
    assert!(outcome.count() >= most, "{} of {most} were acknowledged", outcome.count());
    let mut endings = inbox
        .prepare("SELECT count(*) FROM attempts WHERE status = 'succeeded' AND finished_at >= ?1 AND finished_at < ?2")
        .expect("a query");
    let mut count = |from, to| endings.query_row([from, to], |row| row.get::<_, i64>(0)).expect("the ledger reads");
    let steps = (0..(ended - began) / STEP).map(|step| began + step * STEP);
    let fewest = steps.map(|from| count(from, from + STEP)).min().unwrap_or(0);
    let run = count(began, ended);
    drop(endings);
    serving.stop();
    Arrival {
        acknowledged_per_second: outcome.per_second(),
        p99_ms: outcome.ms(0.99),
        run_per_second: run as f64 * 1000.0 / (ended - began).max(1) as f64,
        fewest,
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    i64::try_from(since.as_millis()).expect("a time")
}
