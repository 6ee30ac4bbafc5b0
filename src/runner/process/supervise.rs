//! Watches a running process to its end: feeds stdin, keeps the output, and stops it at the time limit or when told.
//!
//! One poll over all of it, nothing ever blocks but that. Promises: the process is always reaped; after its end
//! nothing is waited for, whoever else holds its output open; after a stop, all that it started is gone too.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, waitid, waitpid};

use super::reaper;
use super::spawn::Process;
use super::stream::{READ_BYTES, Stream};
use crate::retry::AttemptExit;
use crate::runner::cancel::{CancelToken, StopReason};
use crate::runner::{CapturedOutput, KILL_GRACE};

/// Between two looks where nothing wakes us: at a process without pidfd, at a tree whose leader has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// From KILL to giving up on what it did not reach.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// What is wanted of its output beside what the ledger keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::runner) struct Listening {
    /// All of stdout, for an answer to the provider.
    pub(in crate::runner) whole: bool,
    /// That it passes through to our own.
    pub(in crate::runner) is_shown: bool,
}

/// What came of a process.
#[derive(Debug)]
pub(in crate::runner) struct Watched {
    pub(in crate::runner) exit: AttemptExit,
    pub(in crate::runner) note: Option<String>,
    pub(in crate::runner) stdout: CapturedOutput,
    pub(in crate::runner) stderr: CapturedOutput,
    /// All of stdout, or so much that it is too long for an answer, where that was wanted.
    pub(in crate::runner) whole: Option<Vec<u8>>,
}

/// Watches a process for at most the limit, and then until it has been stopped.
pub(in crate::runner) fn watch(
    process: Process<'_>,
    limit: Duration,
    cancel: &CancelToken,
    listening: Listening,
) -> Watched {
    let deadline = Instant::now().checked_add(limit);
    let mut watch = Watch::new(process, cancel);
    watch.stdout.whole = listening.whole.then(Vec::new);
    if listening.is_shown {
        watch.stdout.shown = Some(Box::new(std::io::stdout()));
        watch.stderr.shown = Some(Box::new(std::io::stderr()));
    }
    let mut stop: Option<Stop> = None;
    loop {
        watch.wait(watch.patience(deadline, stop.as_ref()));
        let now = Instant::now();
        if stop.is_none() {
            if watch.has_ended {
                return watch.finish(None);
            }
            stop = watch.reason_to_stop(now, deadline);
        }
        if let Some(stop) = &mut stop {
            watch.press(stop, now);
            if watch.is_over(stop, now) {
                break;
            }
        }
    }
    watch.finish(stop)
}

/// hookbox ends the process: TERM has been sent.
#[derive(Debug)]
struct Stop {
    exit: AttemptExit,
    /// When KILL is due; `None` waits to be told.
    kill_at: Option<Instant>,
    killed_at: Option<Instant>,
    refused: Option<Errno>,
}

struct Watch<'a> {
    process: Process<'a>,
    cancel: &'a CancelToken,
    stdout: Stream,
    stderr: Stream,
    buffer: Vec<u8>,
    /// The process itself has ended and is not reaped yet; what it started may live on.
    has_ended: bool,
}

impl<'a> Watch<'a> {
    fn new(process: Process<'a>, cancel: &'a CancelToken) -> Self {
        let buffer = Vec::with_capacity(READ_BYTES);
        Self { process, cancel, stdout: Stream::default(), stderr: Stream::default(), buffer, has_ended: false }
    }

    /// How long nothing needs to happen by itself.
    fn patience(&self, deadline: Option<Instant>, stop: Option<&Stop>) -> Option<Duration> {
        let due_at = stop.map_or(deadline, |stop| stop.kill_at);
        let due = due_at.map(|at| at.saturating_duration_since(Instant::now()));
        let is_killed = stop.is_some_and(|stop| stop.killed_at.is_some());
        match due {
            _ if is_killed => Some(LOOK_EVERY),
            due if self.has_ended || self.process.pidfd.is_none() => Some(due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)),
            due => due,
        }
    }

    /// Waits until something can be done, and does what does not need a decision.
    fn wait(&mut self, patience: Option<Duration>) {
        let [told, ended, writable, stdout, stderr] = self.poll(patience);
        if told {
            self.cancel.acknowledge();
        }
        if writable {
            self.process.input.feed();
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

    /// Ready for something: the cancel, the process's end, stdin, stdout, stderr.
    fn poll(&self, patience: Option<Duration>) -> [bool; 5] {
        let wake = self.cancel.descriptor();
        let idle = PollFd::from_borrowed_fd(wake, PollFlags::empty());
        let wait_for = |descriptor, flags| polled(descriptor, flags).unwrap_or_else(|| idle.clone());
        let mut descriptors = [
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
            wait_for(self.process.pidfd.as_ref().filter(|_| !self.has_ended), PollFlags::IN),
            wait_for(self.process.input.pipe(), PollFlags::OUT),
            wait_for(self.stdout.is_open().then_some(&self.process.stdout), PollFlags::IN),
            wait_for(self.stderr.is_open().then_some(&self.process.stderr), PollFlags::IN),
        ];
        let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => descriptors.map(|descriptor| !descriptor.revents().is_empty()),
            Err(Errno::INTR) => [false; 5],
            Err(_) => {
                std::thread::sleep(LOOK_EVERY);
                [true; 5]
            }
        }
    }

    /// Whether it is to be stopped now; if so, TERM goes out.
    fn reason_to_stop(&self, now: Instant, deadline: Option<Instant>) -> Option<Stop> {
        let (exit, kill_at) = match self.cancel.why() {
            Some(why @ StopReason::Shutdown) => (why.exit(), None),
            Some(why @ StopReason::Skipped) => (why.exit(), Some(now + KILL_GRACE)),
            None if deadline.is_some_and(|deadline| now >= deadline) => (AttemptExit::TimedOut, Some(now + KILL_GRACE)),
            None => return None,
        };
        let refused = self.process.tree.signal(Signal::TERM).err();
        Some(Stop { exit, kill_at, killed_at: None, refused })
    }

    /// KILL, once it is due.
    fn press(&self, stop: &mut Stop, now: Instant) {
        if stop.exit == AttemptExit::Stopped && self.cancel.why() == Some(StopReason::Skipped) {
            (stop.exit, stop.kill_at) = (AttemptExit::Skipped, Some(now + KILL_GRACE));
        }
        let is_due = stop.kill_at.is_some_and(|at| now >= at) || self.cancel.must_kill();
        // Again and again: what forks while it is looked for is found by the next look.
        if is_due {
            stop.refused = self.process.tree.signal(Signal::KILL).err();
            stop.killed_at.get_or_insert(now);
        }
    }

    /// Whether the stopped process and its tree are gone, or no longer worth waiting for.
    fn is_over(&self, stop: &Stop, now: Instant) -> bool {
        let in_vain = stop.killed_at.is_some_and(|at| now >= at + KILL_PATIENCE);
        if self.has_ended {
            in_vain || !self.process.tree.has_others()
        } else {
            // One that cannot be killed keeps its worker, so that it never runs twice; but not hookbox from ending.
            in_vain && self.cancel.must_kill()
        }
    }

    /// Takes what is left in the pipes, and reaps.
    fn finish(mut self, stop: Option<Stop>) -> Watched {
        self.stdout.drain(&self.process.stdout, &mut self.buffer);
        self.stderr.drain(&self.process.stderr, &mut self.buffer);
        let pid = self.process.pid;
        let reap = || reaper::reaped(pid, || waitpid(Some(pid), WaitOptions::empty()));
        let status = if self.has_ended { reap() } else { Ok(None) };
        let (exit, note) = match (stop, status) {
            (Some(stop), _) => {
                let note = stop.note();
                (stop.exit, note)
            }
            (None, Ok(status)) => (status.map_or(AttemptExit::Stopped, |(_, status)| exit_of(status)), None),
            (None, Err(error)) => {
                let why = format!("its exit status is lost: {error}; hint: start hookbox without SIGCHLD ignored");
                (AttemptExit::NotExecutable(why), None)
            }
        };
        let (stdout, stderr) = (self.stdout.capture.finish(), self.stderr.capture.finish());
        Watched { exit, note, stdout, stderr, whole: self.stdout.whole }
    }
}

impl Stop {
    fn note(&self) -> Option<String> {
        match (self.refused, self.killed_at) {
            (Some(refused), _) => Some(format!("hookbox could not end it: {refused}")),
            (None, Some(_)) => Some("it, or what it started, did not end on TERM and was killed".to_owned()),
            (None, None) => None,
        }
    }
}

fn polled(descriptor: Option<&OwnedFd>, flags: PollFlags) -> Option<PollFd<'_>> {
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
    use crate::runner::process::spawn::{Input, spawn};
    use crate::runner::tests::attempt;

    /// As on a system that has no pidfd to give.
    fn watched(script: &str, body: &[u8], limit: Duration) -> Watched {
        let tried = attempt(&["/bin/sh", "-c", script]);
        let mut process = spawn(&tried.handler, &Vec::new(), Input::whole(body)).unwrap();
        process.pidfd = None;
        watch(process, limit, &CancelToken::new().unwrap(), Listening::default())
    }

    #[test]
    fn without_a_pidfd_the_end_is_noticed_all_the_same() {
        let ended = watched("/bin/cat; exec >&- 2>&-; exit 3", b"seen", Duration::from_secs(60));
        assert_eq!((ended.exit, ended.stdout.kept), (AttemptExit::Exited(3), b"seen".to_vec()));
        let stopped = watched("while :; do /bin/sleep 0.01; done", b"", Duration::from_millis(100));
        assert_eq!((stopped.exit, stopped.note), (AttemptExit::TimedOut, None));
    }
}
