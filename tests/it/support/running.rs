//! A running hookbox: deliver to it, read its inbox, release its handlers, stop, kill and restart it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::delivery::Delivery;
use super::hookbox::{Hookbox, install};
use super::inbox::{Attempt, Inbox, Job, Refusal};
use super::script::Script;
use super::wait::{until, until_within};
use super::wire::{Reply, Wire};

/// The source and id of a stored event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    pub source: String,
    pub id: String,
}

/// The result of a process that has exited.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// One hookbox with its folder. When dropped, it is killed and its log is checked for unannounced warnings.
pub struct Running {
    setup: Hookbox,
    wrapper: Vec<String>,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    hooks: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    /// Its inbox file.
    pub inbox: Inbox,
}

impl Running {
    pub(super) fn prepare(setup: Hookbox) -> Self {
        setup.write();
        let inbox = Inbox { file: setup.folder.path().join("hookbox.db") };
        let (wrapper, log, readers) = (Vec::new(), Arc::default(), Vec::new());
        Self { setup, wrapper, child: None, log, readers, hooks: None, admin: None, inbox }
    }

    /// Prefixes the command of later starts, such as strace's, which must exec it.
    pub fn under(&mut self, wrapper: &[String]) {
        self.wrapper = wrapper.to_vec();
    }

    /// Restarts it after `stop` or `kill`.
    pub fn start_again(&mut self) {
        if let Err(status) = self.try_to_start() {
            panic!("hookbox exited with {status} before it was ready");
        }
    }

    /// Restarts it; returns the exit status if it exits before it is ready.
    pub fn try_to_start(&mut self) -> Result<(), ExitStatus> {
        assert!(self.child.is_none(), "hookbox is still running");
        let before = self.log().len();
        let mut command = self.setup.command_under(&self.wrapper);
        command.arg("serve").args(&self.setup.options);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hookbox starts");
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        self.readers = vec![self.collect(out), self.collect(err)];
        self.child = Some(child);
        let ended = until("hookbox to be ready", || {
            let is_ready = self.log()[before..].iter().any(|line| line.contains("ready"));
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            (is_ready || ended.is_some()).then_some(ended)
        });
        if let Some(status) = ended {
            self.child = None;
            self.readers.drain(..).for_each(|reader| reader.join().unwrap());
            return Err(status);
        }
        let lines = self.log()[before..].to_vec();
        self.hooks = address(&lines, "hooks on http://").or_else(|| address(&lines, "hooks on https://"));
        self.admin = address(&lines, "admin on http://");
        Ok(())
    }

    fn collect(&self, stream: impl std::io::Read + Send + 'static) -> JoinHandle<()> {
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                log.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        })
    }

    /// Every line that hookbox has logged, over all its starts.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line of the log contains this.
    pub fn wait_for_log(&self, part: &str) -> String {
        until(&format!("{part:?} in the log"), || self.log().into_iter().find(|line| line.contains(part)))
    }

    /// The address for deliveries.
    pub fn hooks(&self) -> SocketAddr {
        self.hooks.expect("the address of the hooks was printed")
    }

    /// The admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the address of the admin server was printed")
    }

    /// Its folder: configuration, inbox, handlers and their records.
    pub fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it is running").id()
    }

    // ---- deliveries and requests ----

    /// Sends a delivery and returns the response.
    pub fn send(&self, delivery: &Delivery) -> Reply {
        self.try_send(delivery).expect("an answer")
    }

    /// Sends a delivery that may get no response.
    pub fn try_send(&self, delivery: &Delivery) -> std::io::Result<Reply> {
        let request = delivery.render();
        Wire::open(self.hooks())?.exchange("POST", &request.path, &request.headers, &request.body)
    }

    /// Sends a delivery that must be acknowledged.
    pub fn deliver(&self, delivery: impl std::borrow::Borrow<Delivery>) -> Event {
        let delivery = delivery.borrow();
        let reply = self.send(delivery);
        assert_eq!(reply.status, 200, "{}: {}", delivery.id, reply.text());
        Event { source: delivery.source.clone(), id: delivery.id.clone() }
    }

    /// Any request without a body, at the hooks' address.
    pub fn request(&self, method: &str, target: &str) -> Reply {
        Wire::open(self.hooks()).unwrap().exchange(method, target, &[], b"").unwrap()
    }

    /// A probe at the admin address.
    pub fn probe(&self, target: &str) -> Reply {
        let mut wire = Wire::open(self.admin()).unwrap();
        wire.write(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin()).as_bytes()).unwrap();
        wire.reply().unwrap()
    }

    // ---- results ----

    /// Waits for this many stored refusals and returns them, oldest first.
    pub fn rows_of_refusals(&self, count: usize) -> Vec<Refusal> {
        until(&format!("{count} refusals"), || Some(self.inbox.refusals()).filter(|rows| rows.len() == count))
    }

    /// Waits until an event has this overall state.
    pub fn wait_for(&self, event: &Event, state: &str) {
        self.wait_long_for(20, event, state);
    }

    /// Waits with a deadline of its own.
    pub fn wait_long_for(&self, seconds: u64, event: &Event, state: &str) {
        let mut last = None;
        until_within(Duration::from_secs(seconds), &format!("{event:?} to be {state}"), || {
            let now = self.inbox.state(&event.source, &event.id);
            if now != last {
                last.clone_from(&now);
            }
            (last.as_deref() == Some(state)).then_some(())
        });
    }

    /// An event's only job.
    pub fn job(&self, event: &Event) -> Job {
        let mut jobs = self.inbox.jobs(&event.source, &event.id);
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    /// An event's job for one handler.
    pub fn job_of(&self, event: &Event, handler: &str) -> Job {
        let jobs = self.inbox.jobs(&event.source, &event.id);
        jobs.iter().find(|job| job.handler == handler).cloned().unwrap_or_else(|| panic!("no such job: {jobs:?}"))
    }

    /// The attempts of an event's only job.
    pub fn ledger(&self, event: &Event) -> Vec<Attempt> {
        self.inbox.attempts(self.job(event).id)
    }

    /// How its attempts ended: `exit 1`, `signal 9`, `timeout`.
    pub fn attempts(&self, event: &Event) -> Vec<String> {
        self.ledger(event).iter().map(Attempt::summary).collect()
    }

    /// Lines `EVENT_ID ATTEMPT`, one per start of a handler.
    pub fn starts(&self, handler: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder().join("ledger").join(handler)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The record that `records()` wrote of an attempt: exact stdin, and the environment as lines.
    pub fn record(&self, handler: &str, event: &Event, attempt: u32) -> (Vec<u8>, Vec<String>) {
        let stem = format!("{handler}.{}.{attempt}", event.id);
        let records = self.folder().join("records");
        let stdin = fs::read(records.join(format!("{stem}.stdin"))).expect("the handler kept its stdin");
        let environment = fs::read_to_string(records.join(format!("{stem}.env"))).unwrap();
        (stdin, environment.lines().map(str::to_owned).collect())
    }

    /// Waits until a handler blocks at its gate, and releases it.
    pub fn open_gate(&self, gate: &str) {
        let file = self.folder().join("gates").join(gate);
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        let mut fifo = until(&format!("a handler at the gate {gate}"), || {
            OpenOptions::new().write(true).custom_flags(nonblocking).open(&file).ok()
        });
        fifo.write_all(b"go\n").unwrap();
    }

    /// Replaces a handler's script.
    pub fn install(&self, handler: &str, script: &Script) {
        install(self.folder(), handler, script);
    }

    // ---- the process ----

    /// Runs another verb on the same configuration, while hookbox serves.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Done {
        self.setup.run(arguments)
    }

    /// Runs another verb under the wrapper of `serve`.
    pub fn run_under<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Done {
        finish(self.setup.command_under(&self.wrapper).args(arguments).stdin(Stdio::null()))
    }

    /// hookbox with this configuration, as a command.
    pub fn command(&self) -> Command {
        self.setup.command()
    }

    /// Runs another verb, which must exit with 0; returns its output.
    pub fn ok<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, arguments: &[S]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.status, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// Runs another verb with `--json` and parses its output.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let printed = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
    }

    /// Changes the configuration file.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let file = self.folder().join("hookbox.toml");
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.id()), signal).unwrap();
    }

    /// Whether it has exited.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().expect("it was started").try_wait().unwrap().is_some()
    }

    /// Waits until it exits.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it is running");
        let status = until("hookbox to end", || child.try_wait().unwrap());
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status
    }

    /// Sends SIGTERM, as systemd and containers do.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// `kill -9`. Its handlers may survive.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it is running");
        child.kill().unwrap();
        child.wait().unwrap();
        // A surviving handler may hold the pipes open, so the reader threads are not joined.
        self.readers.clear();
    }

    /// Kills processes that handlers left behind.
    pub fn kill_handlers(&self) {
        let Ok(here) = self.folder().canonicalize() else { return };
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let is_ours = self.child.as_ref().map(Child::id) != Some(id) && id != std::process::id();
            if is_ours && fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == here) {
                kill_process(pid(id), Signal::KILL).ok();
            }
        }
    }

    fn assert_quiet(&self) {
        let loud: Vec<String> = self.log().into_iter().filter(|line| is_loud(line)).collect();
        let (expected, allowed) = (&self.setup.expected, &self.setup.allowed);
        let is_new = |line: &&String| !expected.iter().chain(allowed).any(|part| line.contains(part));
        let unexpected: Vec<&String> = loud.iter().filter(is_new).collect();
        assert!(unexpected.is_empty(), "warnings that no test expected: {unexpected:#?}");
        for part in expected {
            assert!(loud.iter().any(|line| line.contains(part)), "no warning with {part:?} among {loud:#?}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        self.kill_handlers();
        if std::thread::panicking() {
            eprintln!("---- hookbox in {} wrote:\n{}\n----", self.folder().display(), self.log().join("\n"));
        } else {
            self.assert_quiet();
        }
    }
}

/// Does this when it goes, also when a test fails.
pub struct AtEnd<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs a command to its end, which must come within a minute.
pub fn finish(command: &mut Command) -> Done {
    let output = raw_output(command);
    Done {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Likewise, with the exact bytes that it wrote.
pub fn raw_output(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let group = pid(child.id());
    let (ended, told) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let too_long = told.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout);
        too_long.then(|| kill_process_group(group, Signal::KILL))
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    assert!(watchdog.join().unwrap().is_none(), "{command:?} did not end: {output:?}");
    output
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

fn address(lines: &[String], before: &str) -> Option<SocketAddr> {
    let (_, rest) = lines.iter().find_map(|line| line.split_once(before))?;
    rest.split(|letter: char| !matches!(letter, '0'..='9' | '.' | ':')).next()?.parse().ok()
}

/// Whether a line of the log is a warning or an error.
fn is_loud(line: &str) -> bool {
    ["WARN", "ERROR", "panicked at", "\"level\":\"warn\"", "\"level\":\"error\""].iter().any(|word| line.contains(word))
}

#[test]
fn a_warning_in_the_log_is_noticed() {
    assert!(is_loud("[2026-01-31T12:00:00Z WARN  hookbox::receiver] too much"));
    assert!(is_loud("thread 'writer' panicked at src/inbox/writer.rs:1:1"));
    assert!(!is_loud("[2026-01-31T12:00:00Z INFO  hookbox::receiver] all is well"));
}
