//! An inbox with pending jobs, drained by hookbox: how many attempts a second, by the ledger's own times.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// What is drained, and by which handler.
pub(crate) struct Drain<'a> {
    pub(crate) events: usize,
    pub(crate) workers: usize,
    /// Lines of its section, without `concurrency`.
    pub(crate) handler: &'a str,
}

impl Drain<'_> {
    /// Attempts a second, from the start of the first to the end of the last.
    pub(crate) fn measure(&self) -> f64 {
        let folder = tempfile::Builder::new()
            .prefix("hookbox-bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder on the disk that is measured");
        let file = folder.path().join("hookbox.toml");
        std::fs::write(
            &file,
            format!(
                "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[dispatch]\nworkers = {0}\n\
                 [sources.github]\nprovider = \"github\"\nsecret = \"a secret\"\n\
                 [handlers.run]\n{1}\nconcurrency = {0}\n",
                self.workers, self.handler
            ),
        )
        .expect("the configuration is written");
        let inbox = folder.path().join("hookbox.db");
        self.fill(&inbox);
        let mut hookbox = Command::new(env!("CARGO_BIN_EXE_hookbox"))
            .args(["serve", "--config"])
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("hookbox starts");
        let rate = self.wait(&inbox);
        let pid = rustix::process::Pid::from_child(&hookbox);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to stop");
        hookbox.wait().expect("it stops");
        rate
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

    fn wait(&self, path: &Path) -> f64 {
        let inbox = Connection::open(path).expect("the inbox");
        inbox.busy_timeout(Duration::from_secs(10)).expect("patience");
        let began = Instant::now();
        loop {
            let (done, first, last): (usize, i64, i64) = inbox
                .query_row(
                    "SELECT count(*), coalesce(min(started_at), 0), coalesce(max(finished_at), 0) FROM attempts \
                     WHERE ending = 'succeeded'",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .expect("the ledger reads");
            if done >= self.events {
                return self.events as f64 * 1000.0 / (last - first) as f64;
            }
            assert!(began.elapsed() < Duration::from_secs(600), "{done} of {} after ten minutes", self.events);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

const EVENT: &str = "INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256) \
                     VALUES ('github', 'bench-' || ?, 'push', 0, 2, zeroblob(32))";
