//! Attempts per second of each mode, beside what bounds them, in one run: command mode beside a bare loop that starts
//! the same program on the same number of threads. Prints ratios; absolute figures are this machine's.
//!
//! `cargo bench --bench dispatch [-- --events 5000 --workers 16]`

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot measure ends")]

mod drain;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use drain::Drain;

/// A small program that is everywhere.
const PROGRAM: &str = "/bin/true";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut events, mut workers) = (5000, 16);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        match argument.as_str() {
            "--events" => events = number(),
            "--workers" => workers = number(),
            _ => {}
        }
    }
    // Each before and after the other: whatever else the machine does meets both.
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let bare = bare_loop(events, workers);
        let drained = Drain { events, workers, handler: &format!("command = [\"{PROGRAM}\"]") }.measure();
        println!("bare spawn loop    {bare:>9.0}/s   {PROGRAM}, {workers} threads");
        println!("command mode       {drained:>9.0}/s   ledger included");
        println!("command / bare     {:>9.2}     aim 0.85", drained / bare);
        ratios.push(drained / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median             {:>9.2}", ratios[1]);
}

/// The program started and waited for, with nothing else done.
fn bare_loop(times: usize, threads: usize) -> f64 {
    let left = AtomicUsize::new(times);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while take() {
                    let mut command = Command::new(PROGRAM);
                    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
                    assert!(status.expect("it starts").success());
                }
            });
        }
    });
    times as f64 / began.elapsed().as_secs_f64()
}
