//! The dashboard and the API over an inbox of a million events: the time of each page at rest and while 5,000 events per
//! second arrive, and how much a reading operator slows down acknowledgements. The last figure is a ratio; the others
//! depend on the machine.
//!
//! `cargo bench --bench pages [-- --events 1000000 --seconds 20 --per-second 5000 --connections 16]`

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot measure exits")]

mod filled;
#[path = "../acknowledge/load.rs"]
mod load;
mod reader;

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use load::{Load, Outcome};
use reader::{Reader, Times};

const SECRET: &str = "a secret of the benchmark";
/// Pause of a fast reader between a page and the next click.
const CLICK: Duration = Duration::from_millis(200);
/// Rounds of all pages at rest.
const ROUNDS: usize = 10;

struct Wanted {
    events: u64,
    span: Duration,
    per_second: f64,
    connections: usize,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut wanted = Wanted { events: 1_000_000, span: Duration::from_secs(20), per_second: 5000.0, connections: 16 };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse::<u64>().ok()).expect("a number");
        match argument.as_str() {
            "--events" => wanted.events = number(),
            "--seconds" => wanted.span = Duration::from_secs(number()),
            "--per-second" => wanted.per_second = number() as f64,
            "--connections" => wanted.connections = usize::try_from(number()).expect("a number"),
            _ => {}
        }
    }
    let folder = tempfile::Builder::new()
        .prefix("hookbox-bench-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("a folder on the disk that is measured");
    filled::fill(&folder.path().join("hookbox.db"), wanted.events);
    let hookbox = Hookbox::start(folder.path());
    let mut reader = Reader::new(&hookbox.admin, wanted.events);

    let mut at_rest = Times::default();
    for _ in 0..ROUNDS {
        reader.read_all(&mut at_rest, Duration::ZERO, &|| true);
    }
    at_rest.print(&format!("{} events, at rest", wanted.events));

    let (arrived, meanwhile) = beside(&mut reader, Duration::ZERO, || hookbox.load(&wanted, wanted.per_second));
    meanwhile.print(&format!("while {:.0}/s arrive (p99 {:.1} ms)", arrived.per_second(), arrived.ms(0.99)));

    // Before and after: whatever else the machine does meets both.
    let alone = hookbox.load(&wanted, f64::INFINITY);
    let (read, _) = beside(&mut reader, CLICK, || hookbox.load(&wanted, f64::INFINITY));
    let again = hookbox.load(&wanted, f64::INFINITY);
    let unread = (alone.per_second() + again.per_second()) / 2.0;
    println!("acknowledged       {unread:>9.0}/s   p99 {:>6.2} ms  nobody reads", alone.ms(0.99).max(again.ms(0.99)));
    println!("acknowledged       {:>9.0}/s   p99 {:>6.2} ms  a person reads", read.per_second(), read.ms(0.99));
    println!("read / unread      {:>9.2}     aim 0.9", read.per_second() / unread);
    stop(hookbox.child);
}

/// Reads one page after the other while the load runs.
fn beside(reader: &mut Reader, pause: Duration, load: impl FnOnce() -> Outcome + Send) -> (Outcome, Times) {
    let is_over = AtomicBool::new(false);
    let mut times = Times::default();
    let outcome = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let outcome = load();
            is_over.store(true, Ordering::Relaxed);
            outcome
        });
        while !is_over.load(Ordering::Relaxed) {
            reader.read_all(&mut times, pause, &|| !is_over.load(Ordering::Relaxed));
        }
        load.join().expect("the load ends")
    });
    (outcome, times)
}

struct Hookbox {
    sent: AtomicU64,
    child: Child,
    hooks: String,
    admin: String,
}

impl Hookbox {
    fn start(folder: &std::path::Path) -> Self {
        let file = folder.join("hookbox.toml");
        std::fs::write(&file, filled::CONFIG.replace("SECRET", SECRET)).expect("the configuration is written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookbox"))
            .args(["serve", "--config"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("hookbox starts");
        let [hooks, admin] =
            load::lines_after(child.stderr.take().expect("stderr"), ["hooks on http://", "admin on http://"]);
        Self { child, hooks, admin, sent: AtomicU64::new(0) }
    }

    fn load(&self, wanted: &Wanted, pace: f64) -> Outcome {
        let (address, connections, span) = (self.hooks.clone(), wanted.connections, wanted.span);
        let first = self.sent.load(Ordering::Relaxed);
        let outcome =
            Load { address, connections, span, bytes: 300, secret: SECRET, first, most: u64::MAX, pace }.run();
        self.sent.store(first + outcome.count() + connections as u64, Ordering::Relaxed);
        outcome
    }
}

fn stop(mut child: Child) {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to stop");
    child.wait().expect("it stops");
}
