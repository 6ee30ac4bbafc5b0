//! Supervises a process until it ends: feeds stdin, collects the output, and stops it after the time limit or on request.
//!
//! One poll over all descriptors, and nothing else blocks. The process is always reaped. Once it has ended, nobody waits
//! for children that still hold its output open. After a stop, everything that it started is gone as well.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, waitid, waitpid};

use super::reaper;
use super::spawn::Process;
use crate::retry::AttemptExit;
use crate::runner::attempt::KILL_GRACE;
use crate::runner::cancel::{CancelToken, StopReason};
use crate::runner::output::{CapturedOutput, OutputStream, Passthrough, READ_BYTES};

/// For a process without pidfd, and for a tree whose leader has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// From SIGKILL to giving up on processes that it did not reach.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// What to do with the output, besides capturing it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutputOptions {
    /// Keep all of stdout, for the response to the provider.
    pub(crate) collects_stdout: bool,
    /// Copy it to the stdout and stderr of hookbox.
    pub(crate) is_shown: bool,
}

#[derive(Debug)]
pub(crate) struct ProcessResult {
    pub(crate) exit: AttemptExit,
    pub(crate) note: Option<String>,
    pub(crate) stdout: CapturedOutput,
    pub(crate) stderr: CapturedOutput,
    /// All of stdout if requested, cut one byte beyond the longest response.
    pub(crate) whole_stdout: Option<Vec<u8>>,
}

/// Supervises a process until it has ended or has been stopped.
pub(crate) fn supervise(
    process: Process<'_>,
    limit: Duration,
    cancel: &CancelToken,
    options: OutputOptions,
) -> ProcessResult {
    let deadline = Instant::now().checked_add(limit);
    let mut supervisor = Supervisor::new(process, cancel, options);
    let mut stop: Option<Termination> = None;
    loop {
        supervisor.wait(supervisor.poll_timeout(deadline, stop.as_ref()));
        let now = Instant::now();
        if stop.is_none() {
            if supervisor.has_ended {
                return supervisor.finish(None);
            }
            stop = supervisor.terminate_if_due(now, deadline);
        }
        if let Some(stop) = &mut stop {
            supervisor.kill_if_due(stop, now);
            if supervisor.is_over(stop, now) {
                break;
            }
        }
    }
    supervisor.finish(stop)
}

/// SIGTERM has been sent.
#[derive(Debug)]
struct Termination {
    exit: AttemptExit,
    /// When SIGKILL is due; `None` waits for [`CancelToken::kill`].
    kill_at: Option<Instant>,
    killed_at: Option<Instant>,
    /// Why a process could not be signalled.
    refused: Option<Errno>,
}

struct Supervisor<'a> {
    process: Process<'a>,
    cancel: &'a CancelToken,
    stdout: OutputStream,
    stderr: OutputStream,
    buffer: Vec<u8>,
    /// The process has ended and is not reaped yet. Its children may live on.
    has_ended: bool,
}

impl<'a> Supervisor<'a> {
    fn new(process: Process<'a>, cancel: &'a CancelToken, options: OutputOptions) -> Self {
        let (mut stdout, mut stderr) = (OutputStream::default(), OutputStream::default());
        stdout.whole = options.collects_stdout.then(Vec::new);
        if options.is_shown {
            stdout.shown = Some(Passthrough::Stdout);
            stderr.shown = Some(Passthrough::Stderr);
        }
        Self { process, cancel, stdout, stderr, buffer: Vec::with_capacity(READ_BYTES), has_ended: false }
    }

    fn poll_timeout(&self, deadline: Option<Instant>, stop: Option<&Termination>) -> Option<Duration> {
        let due_at = stop.map_or(deadline, |stop| stop.kill_at);
        let due = due_at.map(|at| at.saturating_duration_since(Instant::now()));
        let is_killed = stop.is_some_and(|stop| stop.killed_at.is_some());
        match due {
            _ if is_killed => Some(POLL_INTERVAL),
            due if self.has_ended || self.process.pidfd.is_none() => {
                Some(due.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL))
            }
            due => due,
        }
    }

    /// Waits for a descriptor, then reads, writes and checks for the end of the process.
    fn wait(&mut self, timeout: Option<Duration>) {
        let [cancelled, ended, writable, stdout, stderr] = self.poll(timeout);
        if cancelled {
            self.cancel.acknowledge();
        }
        if writable {
            self.process.stdin.feed();
        }
        if stdout {
            self.stdout.read(&self.process.stdout, &mut self.buffer);
        }
        if stderr {
            self.stderr.read(&self.process.stderr, &mut self.buffer);
        }
        if (ended || self.process.pidfd.is_none()) && !self.has_ended {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let id = WaitId::Pid(self.process.pid);
            self.has_ended = !matches!(waitid(id, options), Ok(None) | Err(Errno::INTR));
        }
    }

    /// Returns which are ready: cancel token, end of process, stdin, stdout, stderr.
    fn poll(&self, timeout: Option<Duration>) -> [bool; 5] {
        let wake = self.cancel.descriptor();
        let idle = PollFd::from_borrowed_fd(wake, PollFlags::empty());
        let wait_for = |descriptor, flags| poll_fd(descriptor, flags).unwrap_or_else(|| idle.clone());
        let mut descriptors = [
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
            wait_for(self.process.pidfd.as_ref().filter(|_| !self.has_ended), PollFlags::IN),
            wait_for(self.process.stdin.pipe(), PollFlags::OUT),
            wait_for(self.stdout.is_open().then_some(&self.process.stdout), PollFlags::IN),
            wait_for(self.stderr.is_open().then_some(&self.process.stderr), PollFlags::IN),
        ];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => descriptors.map(|descriptor| !descriptor.revents().is_empty()),
            Err(Errno::INTR) => [false; 5],
            Err(_) => {
                std::thread::sleep(POLL_INTERVAL);
                [true; 5]
            }
        }
    }

    /// Sends SIGTERM if the attempt is cancelled or has reached its time limit.
    fn terminate_if_due(&self, now: Instant, deadline: Option<Instant>) -> Option<Termination> {
        let (exit, kill_at) = match self.cancel.reason() {
            Some(reason @ StopReason::Shutdown) => (reason.exit(), None),
            Some(reason @ StopReason::Skipped) => (reason.exit(), Some(now + KILL_GRACE)),
            None if deadline.is_some_and(|deadline| now >= deadline) => (AttemptExit::TimedOut, Some(now + KILL_GRACE)),
            None => return None,
        };
        let refused = self.process.tree.signal(Signal::TERM).err();
        Some(Termination { exit, kill_at, killed_at: None, refused })
    }

    fn kill_if_due(&self, stop: &mut Termination, now: Instant) {
        if stop.exit == AttemptExit::Stopped && self.cancel.reason() == Some(StopReason::Skipped) {
            (stop.exit, stop.kill_at) = (AttemptExit::Skipped, Some(now + KILL_GRACE));
        }
        let is_due = stop.kill_at.is_some_and(|at| now >= at) || self.cancel.must_kill();
        // Repeatedly: a process that forks during one scan is found by the next.
        if is_due {
            stop.refused = self.process.tree.signal(Signal::KILL).err();
            stop.killed_at.get_or_insert(now);
        }
    }

    /// Whether the process and its tree are gone, or no longer worth waiting for.
    fn is_over(&self, stop: &Termination, now: Instant) -> bool {
        let has_given_up = stop.killed_at.is_some_and(|at| now >= at + KILL_PATIENCE);
        if self.has_ended {
            has_given_up || !self.process.tree.has_others()
        } else {
            // An unkillable process keeps its executor, so that the job never runs twice at the same time. It does not
            // keep hookbox from shutting down.
            has_given_up && self.cancel.must_kill()
        }
    }

    /// Drains the pipes and reaps the process.
    fn finish(mut self, stop: Option<Termination>) -> ProcessResult {
        self.stdout.drain(&self.process.stdout, &mut self.buffer);
        self.stderr.drain(&self.process.stderr, &mut self.buffer);
        let pid = self.process.pid;
        let reap = || reaper::reap_own(pid, || waitpid(Some(pid), WaitOptions::empty()));
        let status = if self.has_ended { reap() } else { Ok(None) };
        let (exit, note) = match (stop, status) {
            (Some(stop), _) => {
                let note = stop.note();
                (stop.exit, note)
            }
            (None, Ok(status)) => (status.map_or(AttemptExit::Stopped, |(_, status)| exit_of(status)), None),
            (None, Err(error)) => {
                let reason = format!("its exit status is lost: {error}; hint: start hookbox without SIGCHLD ignored");
                (AttemptExit::NotExecutable(reason), None)
            }
        };
        let (stdout, stderr) = (self.stdout.capture.finish(), self.stderr.capture.finish());
        ProcessResult { exit, note, stdout, stderr, whole_stdout: self.stdout.whole }
    }
}

impl Termination {
    fn note(&self) -> Option<String> {
        match (self.refused, self.killed_at) {
            (Some(refused), _) => Some(format!("hookbox could not kill it: {refused}")),
            (None, Some(_)) => Some("it, or a process that it started, ignored SIGTERM and was killed".to_owned()),
            (None, None) => None,
        }
    }
}

pub(crate) fn poll_fd(descriptor: Option<&OwnedFd>, flags: PollFlags) -> Option<PollFd<'_>> {
    descriptor.map(|descriptor| PollFd::new(descriptor, flags))
}

fn exit_of(status: WaitStatus) -> AttemptExit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => AttemptExit::Exited(code),
        (None, Some(signal)) => AttemptExit::Signaled(signal),
        (None, None) => AttemptExit::Exited(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::process::spawn::{Stdin, spawn};
    use crate::runner::tests::attempt;

    fn run_without_pidfd(script: &str, body: &[u8], limit: Duration) -> ProcessResult {
        let tried = attempt(&["/bin/sh", "-c", script]);
        let mut process = spawn(&tried.handler, &Vec::new(), Stdin::whole(body)).unwrap();
        process.pidfd = None;
        supervise(process, limit, &CancelToken::new().unwrap(), OutputOptions::default())
    }

    #[test]
    fn end_of_process_is_noticed_without_a_pidfd() {
        let ended = run_without_pidfd("/bin/cat; exec >&- 2>&-; exit 3", b"seen", Duration::from_secs(60));
        assert_eq!((ended.exit, ended.stdout.kept), (AttemptExit::Exited(3), b"seen".to_vec()));
        let stopped = run_without_pidfd("while :; do /bin/sleep 0.01; done", b"", Duration::from_millis(100));
        assert_eq!((stopped.exit, stopped.note), (AttemptExit::TimedOut, None));
    }
}
