//! Attempts per second of each mode, compared in the same run: commands with a bare loop that starts the same program on as
//! many threads, a worker with a process per job, and acknowledgements while jobs run. Ratios matter; absolute figures
//! depend on the machine.
//!
//! `cargo bench --bench dispatch [-- --events 5000 --workers 16 --connections 16 --only worker]`

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot measure exits")]

mod arrival;
mod drain;
mod handlers;
#[path = "../acknowledge/load.rs"]
mod load;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use drain::Drain;

const SECRET: &str = "a secret of the benchmark";
/// A small program that exists everywhere.
const PROGRAM: &str = "/bin/true";
/// Worker processes.
const COPIES: usize = 4;

struct Wanted {
    events: usize,
    workers: usize,
    connections: usize,
    only: Option<String>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut wanted = Wanted { events: 5000, workers: 16, connections: 16, only: None };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        match argument.as_str() {
            "--work" => return handlers::work(),
            "--endpoint" => return handlers::serve(),
            "--events" => wanted.events = number(),
            "--workers" => wanted.workers = number(),
            "--connections" => wanted.connections = number(),
            "--only" => wanted.only = arguments.next(),
            _ => {}
        }
    }
    for row in ["command", "python", "worker", "http", "arrival"] {
        match row {
            _ if wanted.only.as_ref().is_some_and(|only| only != row) => {}
            "command" => command(&wanted),
            "python" => python(&wanted),
            "worker" => worker(&wanted),
            "http" => http(&wanted),
            _ => arrive(&wanted),
        }
    }
}

/// Runs both in alternating order, so that other load on the machine affects both.
fn command(&Wanted { events, workers, .. }: &Wanted) {
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let bare = bare_loop(events, workers);
        let handler = format!("command = [\"{PROGRAM}\"]");
        let drained = Drain { events, workers, copies: workers, handler: &handler }.measure();
        println!("bare spawn loop    {bare:>9.0}/s   {PROGRAM}, {workers} threads");
        println!("command mode       {drained:>9.0}/s   ledger included");
        ratios.push(drained / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("command / bare     {:>9.2}     aim 0.85", ratios[1]);
}

fn python(&Wanted { events, workers, .. }: &Wanted) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a script");
        path.display().to_string()
    };
    let (once, kept) = (write("once.py", handlers::PYTHON), write("kept.py", handlers::PYTHON_WORKER));
    let python = interpreter();
    let handler = format!("command = [\"{python}\", \"{once}\"]");
    let started = Drain { events: events.div_ceil(10), workers, copies: COPIES, handler: &handler }.measure();
    let handler = format!("mode = \"worker\"\ncommand = [\"{python}\", \"{kept}\"]");
    let kept = Drain { events: events * 4, workers, copies: COPIES, handler: &handler }.measure();
    println!("Python, command    {started:>9.0}/s   {COPIES} at once");
    println!("Python, worker     {kept:>9.0}/s   {COPIES} copies");
    println!("worker / command   {:>9.1}     aim 10", kept / started);
}

fn worker(&Wanted { events, workers, .. }: &Wanted) {
    let handler = compiled_worker();
    let rate = Drain { events: events * 4, workers, copies: COPIES, handler: &handler }.measure();
    println!("compiled worker    {rate:>9.0}/s   {COPIES} copies; aim 20000");
}

fn http(&Wanted { events, workers, .. }: &Wanted) {
    let (endpoint, url) = handlers::start_endpoint();
    let handler = format!("mode = \"http\"\nurl = \"{url}\"");
    let rate = Drain { events: events * 4, workers, copies: workers, handler: &handler }.measure();
    drain::stop(endpoint);
    println!("http               {rate:>9.0}/s   {workers} workers, a local endpoint; aim 5000");
}

fn arrive(&Wanted { events, workers, connections, .. }: &Wanted) {
    let arriving = events * 4;
    let command = format!("command = [\"{PROGRAM}\"]");
    for (name, handler, backlog) in [("worker", compiled_worker(), events * 20), ("command", command, events * 4)] {
        let backlog = Drain { events: backlog, workers, copies: COPIES, handler: &handler };
        let seen = arrival::measure(&backlog, (arriving, connections));
        println!("{arriving} arrive, {connections} at once, while a {name} runs:");
        println!("  acknowledged     {:>9.0}/s   p99 {:>6.2} ms, aim 20", seen.acknowledged_per_second, seen.p99_ms);
        println!("  meanwhile run    {:>9.0}/s   {} in the slowest 100 ms, aim 1", seen.run_per_second, seen.fewest);
    }
}

/// The Python executable, since `python3` may be a wrapper script.
fn interpreter() -> String {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(asked.expect("python3 starts").stdout).expect("a path").trim().to_owned()
}

/// The path of this benchmark.
fn compiled_worker() -> String {
    let program = std::env::current_exe().expect("this program");
    format!("mode = \"worker\"\ncommand = [\"{}\", \"--work\"]", program.display())
}

/// Starts the program and waits for it, and does nothing else.
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
