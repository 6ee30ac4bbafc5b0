//! Durable acknowledgements per second, compared with two upper bounds in the same run: bare SQLite writing the same rows
//! in the same batches, and an endpoint that verifies and stores nothing. Ratios matter; absolute figures depend on the
//! machine.
//!
//! `cargo bench --bench acknowledge [-- --seconds 5 --connections 64 --bytes 2000]`

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot measure exits")]

mod ceiling;
mod endpoint;
mod load;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use load::Load;

const SECRET: &str = "a secret of the benchmark";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut seconds, mut connections, mut bytes) = (5, 64, 2000);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--endpoint" => return endpoint::serve(),
            "--seconds" => seconds = arguments.next().and_then(|n| n.parse().ok()).expect("--seconds N"),
            "--connections" => connections = arguments.next().and_then(|n| n.parse().ok()).expect("--connections N"),
            "--bytes" => bytes = arguments.next().and_then(|n| n.parse().ok()).expect("--bytes N"),
            _ => {}
        }
    }
    let span = Duration::from_secs(seconds);
    let folder = tempfile::Builder::new().prefix("hookbox-bench-").tempdir_in(bench_folder()).expect("a folder");

    let (endpoint, address) = start_endpoint();
    let bare =
        Load { address, connections, span, bytes, secret: SECRET, first: 0, most: u64::MAX, pace: f64::INFINITY }.run();
    stop(endpoint);
    println!(
        "verify only        {:>9.0}/s   p50 {:>6.2} ms  p99 {:>6.2} ms",
        bare.per_second(),
        bare.ms(0.5),
        bare.ms(0.99)
    );

    let ceiling = ceiling::measure(&folder.path().join("ceiling.db"), (connections, bytes), span);
    println!("bare SQLite        {ceiling:>9.0}/s   transactions of {connections}, synchronous=FULL");

    let hookbox = start_hookbox(folder.path());
    let idle = memory_kib(hookbox.child.id());
    let stored = Load {
        address: hookbox.address.clone(),
        connections,
        span,
        bytes,
        secret: SECRET,
        first: 0,
        most: u64::MAX,
        pace: f64::INFINITY,
    }
    .run();
    let loaded = memory_kib(hookbox.child.id());
    println!(
        "hookbox            {:>9.0}/s   p50 {:>6.2} ms  p99 {:>6.2} ms",
        stored.per_second(),
        stored.ms(0.5),
        stored.ms(0.99)
    );
    println!("hookbox / SQLite   {:>9.2}     aim 0.75", stored.per_second() / ceiling);
    println!("hookbox / verify   {:>9.2}     aim 0.5", stored.per_second() / bare.per_second());
    println!("memory idle        {:>9.1} MiB aim 12", idle as f64 / 1024.0);
    println!("memory after load  {:>9.1} MiB", loaded as f64 / 1024.0);
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_hookbox")).expect("the binary").len();
    println!("binary             {:>9.1} MiB", binary as f64 / 1024.0 / 1024.0);
    stop(hookbox.child);
    let rows: u64 = rusqlite::Connection::open(folder.path().join("hookbox.db"))
        .and_then(|inbox| inbox.query_row("SELECT count(*) FROM events", [], |row| row.get(0)))
        .expect("the inbox reads");
    assert!(rows >= stored.count(), "{rows} rows for {} acknowledgements", stored.count());
}

struct Hookbox {
    child: Child,
    address: String,
}

fn start_hookbox(folder: &std::path::Path) -> Hookbox {
    let file = folder.join("hookbox.toml");
    // One handler that takes another source, so that each event costs its row, its payload and one pending job.
    std::fs::write(
        &file,
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[inbox]\nmax_pending = 100000000\n\
             [sources.github]\nprovider = \"github\"\nsecret = \"{SECRET}\"\n\
             [handlers.later]\ncommand = [\"true\"]\nconcurrency = 1\n"
        ),
    )
    .expect("the configuration is written");
    // The handler is paused, so that only the way in is measured.
    let inbox = rusqlite::Connection::open(folder.join("hookbox.db")).expect("an inbox");
    inbox
        .execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; {}; INSERT INTO handlers (name, paused, paused_by) VALUES ('later', 1, 'operator')",
            include_str!("../../schema.sql")
        ))
        .expect("a paused handler");
    drop(inbox);
    let mut child = Command::new(env!("CARGO_BIN_EXE_hookbox"))
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .expect("hookbox starts");
    let [address] = load::lines_after(child.stderr.take().expect("stderr"), ["hooks on http://"]);
    Hookbox { child, address }
}

fn start_endpoint() -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg("--endpoint")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the endpoint starts");
    let [address] = load::lines_after(child.stdout.take().expect("stdout"), ["http://"]);
    (child, address)
}

fn stop(mut child: Child) {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to stop");
    child.wait().expect("it stops");
}

fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

/// A folder on a disk, not in a memory file system.
fn bench_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}
