//! Drains an inbox of pending jobs and computes attempts per second from the `attempts` table.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

/// The jobs to drain and their handler.
pub(crate) struct Drain<'a> {
    pub(crate) events: usize,
    /// `[dispatch] workers`
    pub(crate) workers: usize,
    /// `concurrency` of the handler.
    pub(crate) copies: usize,
    /// Other lines of the handler's section.
    pub(crate) handler: &'a str,
}

/// A hookbox in its own folder.
pub(crate) struct Serving {
    pub(crate) child: Child,
    folder: TempDir,
}

impl Drain<'_> {
    /// Attempts per second, from the first start to the last end.
    pub(crate) fn measure(&self) -> f64 {
        let serving = self.serve(Stdio::null());
        let inbox = serving.inbox();
        let began = Instant::now();
        while succeeded(&inbox) < self.events {
            assert!(began.elapsed() < Duration::from_secs(600), "not drained after ten minutes");
            std::thread::sleep(Duration::from_millis(200));
        }
        let span: i64 = inbox
            .query_row("SELECT max(finished_at) - min(started_at) FROM attempts", [], |row| row.get(0))
            .expect("the ledger reads");
        serving.stop();
        self.events as f64 * 1000.0 / span.max(1) as f64
    }

    /// Starts hookbox on an inbox with this many jobs.
    pub(crate) fn serve(&self, stderr: Stdio) -> Serving {
        let folder = tempfile::Builder::new()
            .prefix("hookbox-bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder on the disk that is measured");
        let file = folder.path().join("hookbox.toml");
        std::fs::write(
            &file,
            format!(
                "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[dispatch]\nworkers = {}\n\
                 [sources.github]\nprovider = \"github\"\nsecret = \"{}\"\n\
                 [handlers.run]\n{}\nconcurrency = {}\n",
                self.workers,
                crate::SECRET,
                self.handler,
                self.copies
            ),
        )
        .expect("the configuration is written");
        self.fill(&folder.path().join("hookbox.db"));
        let child = Command::new(env!("CARGO_BIN_EXE_hookbox"))
            .args(["serve", "--config"])
            .arg(&file)
            .stderr(stderr)
            .spawn()
            .expect("hookbox starts");
        Serving { child, folder }
    }

    fn fill(&self, path: &Path) {
        let mut inbox = Connection::open(path).expect("an inbox");
        let schema = format!("PRAGMA auto_vacuum = INCREMENTAL; {}", include_str!("../../schema.sql"));
        inbox.execute_batch(&schema).expect("the schema");
        let all = inbox.transaction().expect("a transaction");
        for number in 1..=self.events {
            let row = [number];
            all.execute(EVENT, row).expect("an event");
            all.execute("INSERT INTO payloads (event_seq, headers, body) VALUES (?, '{}', x'7b7d')", row)
                .expect("a body");
            all.execute("INSERT INTO jobs (event_seq, handler, run_at, created_at) VALUES (?, 'run', 0, 0)", row)
                .expect("a job");
        }
        all.commit().expect("the commit");
    }
}

impl Serving {
    pub(crate) fn inbox(&self) -> Connection {
        let inbox = Connection::open(self.folder.path().join("hookbox.db")).expect("the inbox");
        inbox.busy_timeout(Duration::from_secs(10)).expect("patience");
        inbox
    }

    pub(crate) fn stop(self) {
        stop(self.child);
    }
}

pub(crate) fn succeeded(inbox: &Connection) -> usize {
    inbox
        .query_row("SELECT count(*) FROM attempts WHERE status = 'succeeded'", [], |row| row.get(0))
        .expect("the ledger reads")
}

pub(crate) fn stop(mut child: Child) {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to stop");
    child.wait().expect("it stops");
}

const EVENT: &str = "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256) \
                     VALUES ('github', 'bench-' || ?, 'push', unixepoch() * 1000, 2, zeroblob(32))";
