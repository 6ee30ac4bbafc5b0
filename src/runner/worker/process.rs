//! One worker process and the conversation with it: a line in, a line out.
//!
//! hookbox blocks in a single poll only, and keeps no more than the longest allowed answer and a capture of stderr. If
//! the process ends, the unread bytes in its stdin pipe tell whether it had taken the job.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};

use crate::runner::cancel::CancelToken;
use crate::runner::output::{OutputCapture, OutputStream, READ_BYTES};
use crate::runner::process::pid_record::WorkerRecord;
use crate::runner::process::spawn::Process;
use crate::runner::process::supervise::{OutputOptions, ProcessResult, poll_fd, supervise};

/// Longest answer, with its newline.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The same for a handler that responds: escapes make the longest body six times as long.
const MAX_RESPONDING_BYTES: usize = 512 * 1024;
/// For a process without pidfd.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct WorkerProcess {
    process: Process<'static>,
    record: Option<WorkerRecord>,
    stdin: Option<OwnedFd>,
    /// What it wrote to stdout since it got its job.
    received: Vec<u8>,
    stderr: OutputStream,
    buffer: Vec<u8>,
    /// Longest answer in bytes.
    max_answer: usize,
    /// Number of jobs that it has answered.
    pub(super) answered: u64,
    /// Generation of the settings with which it was started.
    pub(super) generation: u64,
}

/// What happened to a job that was written to a worker process.
#[derive(Debug)]
pub(super) enum WorkerAnswer {
    /// The answer without its newline.
    Line(Vec<u8>),
    /// The process ended or cannot continue, and has not read the job: the reason.
    NotTaken(String),
    /// The process ended, or closed stdin or stdout, after it had read the job.
    Ended,
    /// The output is not an answer: the reason.
    Invalid(String),
    TimedOut,
    Cancelled,
}

/// Which descriptors are ready.
#[derive(Default)]
struct Ready {
    cancelled: bool,
    stdout: bool,
    stderr: bool,
    ended: bool,
    writable: bool,
}

impl WorkerProcess {
    pub(super) fn new(
        mut process: Process<'static>,
        record: Option<WorkerRecord>,
        responds: bool,
        generation: u64,
    ) -> Self {
        Self {
            stdin: process.stdin.take_pipe(),
            process,
            record,
            received: Vec::new(),
            stderr: OutputStream::default(),
            buffer: Vec::with_capacity(READ_BYTES),
            max_answer: if responds { MAX_RESPONDING_BYTES } else { MAX_ANSWER_BYTES },
            answered: 0,
            generation,
        }
    }

    /// Writes a job and waits for the answer.
    pub(super) fn ask(&mut self, line: &[u8], deadline: Option<Instant>, cancel: &CancelToken) -> WorkerAnswer {
        if self.answered > 0 {
            self.stderr.capture = OutputCapture::default();
            if let Some(reason) = self.check_idle() {
                return WorkerAnswer::NotTaken(reason);
            }
        }
        self.received.clear();
        let mut left = line;
        let mut is_broken = !self.feed(&mut left);
        loop {
            if cancel.reason().is_some() {
                return WorkerAnswer::Cancelled;
            }
            let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if timeout == Some(Duration::ZERO) {
                return WorkerAnswer::TimedOut;
            }
            let ready = self.poll(timeout, Some(cancel), !left.is_empty() && !is_broken);
            if ready.cancelled {
                cancel.acknowledge();
            }
            let has_closed = ready.stdout && !self.receive();
            if ready.stderr {
                self.read_stderr();
            }
            if let Some(answer) = self.take_line() {
                return answer;
            }
            if ready.writable {
                is_broken = !self.feed(&mut left);
            }
            if has_closed || ready.ended || is_broken {
                return self.last_answer(line.len() - left.len());
            }
        }
    }

    /// Reads what is left in the pipes of a process that has ended.
    fn last_answer(&mut self, written: usize) -> WorkerAnswer {
        self.receive();
        self.read_stderr();
        if let Some(answer) = self.take_line() {
            return answer;
        }
        let unread = self.stdin.as_ref().map_or(Ok(0), ioctl_fionread).unwrap_or(0);
        if self.received.is_empty() && unread >= written as u64 {
            return WorkerAnswer::NotTaken("it ended before it took the job".to_owned());
        }
        WorkerAnswer::Ended
    }

    /// Discards the stderr of a process without a job. Returns why it must not get another one.
    pub(super) fn check_idle(&mut self) -> Option<String> {
        let ready = self.poll(Some(Duration::ZERO), None, false);
        if ready.stderr {
            self.read_stderr();
            self.stderr.capture = OutputCapture::default();
        }
        match (ready.ended, ready.stdout) {
            (true, _) => Some("it ended while it was idle".to_owned()),
            (_, true) => Some("it wrote to stdout, or closed it, while it was idle".to_owned()),
            _ => None,
        }
    }

    /// Closes stdin, sends SIGTERM after the limit and SIGKILL after the usual grace. Blocks until the process is gone.
    pub(super) fn end(mut self, limit: Duration, cancel: &CancelToken) -> ProcessResult {
        self.stdin = None;
        let mut stdout = OutputCapture::default();
        stdout.push(&self.received);
        let mut result = supervise(self.process, limit, cancel, OutputOptions::default());
        drop(self.record);
        stdout.absorb(&result.stdout);
        self.stderr.capture.absorb(&result.stderr);
        result.stdout = stdout.finish();
        result.stderr = self.stderr.capture.finish();
        result
    }

    /// Tells the process to end.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it wrote to stderr since it got its job.
    pub(super) fn take_stderr(&mut self) -> OutputCapture {
        std::mem::take(&mut self.stderr.capture)
    }

    fn poll(&self, timeout: Option<Duration>, cancel: Option<&CancelToken>, is_writing: bool) -> Ready {
        let idle = PollFd::new(&self.process.stdout, PollFlags::empty());
        let wait_for = |descriptor, flags| poll_fd(descriptor, flags).unwrap_or_else(|| idle.clone());
        // stdout before stderr: a log line that was written before the answer is then read with it.
        let mut descriptors = [
            cancel.map_or_else(|| idle.clone(), |cancel| PollFd::from_borrowed_fd(cancel.descriptor(), PollFlags::IN)),
            PollFd::new(&self.process.stdout, PollFlags::IN),
            wait_for(self.process.pidfd.as_ref(), PollFlags::IN),
            wait_for(self.stdin.as_ref().filter(|_| is_writing), PollFlags::OUT),
            wait_for(self.stderr.is_open().then_some(&self.process.stderr), PollFlags::IN),
        ];
        let timeout = match timeout {
            _ if self.process.pidfd.is_some() => timeout,
            timeout => Some(timeout.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL)),
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        if poll(&mut descriptors, timeout.as_ref()).is_err() {
            return Ready::default();
        }
        let is_ready = |at: usize, flags| descriptors[at].revents().intersects(flags);
        let any = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ready {
            cancelled: cancel.is_some() && is_ready(0, any),
            stdout: is_ready(1, any),
            ended: self.process.pidfd.is_some() && is_ready(2, any),
            writable: is_writing && is_ready(3, PollFlags::OUT | PollFlags::ERR),
            stderr: self.stderr.is_open() && is_ready(4, any),
        }
    }

    /// Writes what the pipe takes now. Returns whether the process may still read.
    fn feed(&self, left: &mut &[u8]) -> bool {
        let Some(stdin) = &self.stdin else { return false };
        while !left.is_empty() {
            match rustix::io::write(stdin, left) {
                Ok(written) => *left = &left[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads stdout up to the longest answer. Returns whether stdout is still open.
    fn receive(&mut self) -> bool {
        while self.received.len() <= self.max_answer {
            match read(&self.process.stdout, &mut self.buffer) {
                Ok(0) => return false,
                Ok(read) => self.received.extend_from_slice(&self.buffer[..read]),
                Err(_) => return true,
            }
            if self.buffer.len() < READ_BYTES {
                return true;
            }
        }
        true
    }

    fn take_line(&mut self) -> Option<WorkerAnswer> {
        match memchr::memchr(b'\n', &self.received) {
            Some(end) if end < self.max_answer => {
                let rest = self.received.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.truncate(end);
                Some(WorkerAnswer::Line(line))
            }
            None if self.received.len() <= self.max_answer => None,
            _ => Some(WorkerAnswer::Invalid(format!("its answer is longer than {} bytes", self.max_answer))),
        }
    }

    /// Whether it wrote more than its answer.
    pub(super) fn has_unread_output(&self) -> bool {
        !self.received.is_empty()
    }

    fn read_stderr(&mut self) {
        self.stderr.read(&self.process.stderr, &mut self.buffer);
    }
}

fn read(pipe: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    loop {
        match rustix::io::read(pipe, spare_capacity(buffer)) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
