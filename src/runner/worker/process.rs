//! One running copy of a worker, and the conversation with it: a line in, a line out.
//!
//! Promises: hookbox never blocks on any of its pipes but in one poll; no more than the longest answer it may give and the
//! usual part of stderr are kept; and it is known whether a copy that ended had taken its job, since what it
//! has not read is still in the pipe.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};

use super::super::cancel::CancelToken;
use super::super::output::Capture;
use super::super::process::pid_record::OnRecord;
use super::super::process::spawn::Process;
use super::super::process::supervise::{Listening, Watched, watch};

/// Longest answer, its newline included.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Of a handler that responds: the longest body takes six times its bytes where each is escaped.
const MAX_RESPONDING_BYTES: usize = 512 * 1024;
/// Bytes asked for in one read.
const READ_BYTES: usize = 16 * 1024;
/// Reads in a row from one stream before the clock is looked at again.
const READS: usize = 64;
/// Between two looks at a copy without pidfd.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A copy that runs.
#[derive(Debug)]
pub(super) struct Copied {
    process: Process<'static>,
    on_record: Option<OnRecord>,
    stdin: Option<OwnedFd>,
    /// What it has said on stdout since it got its job.
    heard: Vec<u8>,
    stderr: Capture,
    has_stderr: bool,
    buffer: Vec<u8>,
    /// Bytes of its longest answer.
    longest: usize,
    /// Jobs it has answered.
    pub(super) answered: u64,
    /// Of which settings it is.
    pub(super) generation: u64,
}

/// What came of a job that was written to a copy.
#[derive(Debug)]
pub(super) enum Heard {
    /// The line that answers it, without its newline.
    Line(Vec<u8>),
    /// It has ended, or cannot go on, and the job has not reached it: why.
    NotTaken(String),
    /// It has ended, or closed stdin or stdout, after it had taken the job.
    AttemptOutput,
    /// It says what is no answer: why.
    Wrong(String),
    TimedOut,
    Cancelled,
}

/// What is ready.
struct Ready {
    told: bool,
    stdout: bool,
    stderr: bool,
    ended: bool,
    writable: bool,
}

impl Copied {
    pub(super) fn new(
        mut process: Process<'static>,
        on_record: Option<OnRecord>,
        responds: bool,
        generation: u64,
    ) -> Self {
        let stdin = process.input.take_pipe();
        let (heard, buffer) = (Vec::new(), Vec::with_capacity(READ_BYTES));
        let stderr = Capture::default();
        let longest = if responds { MAX_RESPONDING_BYTES } else { MAX_ANSWER_BYTES };
        Self { process, on_record, stdin, heard, stderr, has_stderr: true, buffer, longest, answered: 0, generation }
    }

    /// Gives it a job and waits for its answer.
    pub(super) fn ask(&mut self, line: &[u8], deadline: Option<Instant>, cancel: &CancelToken) -> Heard {
        if self.answered > 0 {
            self.stderr = Capture::default();
            if let Some(why) = self.look() {
                return Heard::NotTaken(why);
            }
        }
        self.heard.clear();
        let mut left = line;
        let mut is_broken = !self.feed(&mut left);
        loop {
            if cancel.why().is_some() {
                return Heard::Cancelled;
            }
            let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if patience == Some(Duration::ZERO) {
                return Heard::TimedOut;
            }
            let ready = self.poll(patience, Some(cancel), !left.is_empty() && !is_broken);
            if ready.told {
                cancel.acknowledge();
            }
            let has_closed = ready.stdout && !self.listen();
            if ready.stderr {
                self.drain_stderr();
            }
            if let Some(heard) = self.whole_line() {
                return heard;
            }
            if ready.writable {
                is_broken = !self.feed(&mut left);
            }
            if has_closed || ready.ended || is_broken {
                return self.last_words(line.len() - left.len());
            }
        }
    }

    /// What was left in its pipes at its end.
    fn last_words(&mut self, written: usize) -> Heard {
        self.listen();
        self.drain_stderr();
        if let Some(heard) = self.whole_line() {
            return heard;
        }
        let unread = self.stdin.as_ref().map_or(Ok(0), ioctl_fionread).unwrap_or(0);
        if self.heard.is_empty() && unread >= written as u64 {
            return Heard::NotTaken("it ended before it took the job".to_owned());
        }
        Heard::AttemptOutput
    }

    /// While it has no job: takes what it writes to stderr, and says what is wrong with it.
    pub(super) fn look(&mut self) -> Option<String> {
        let ready = self.poll(Some(Duration::ZERO), None, false);
        if ready.stderr {
            self.drain_stderr();
            self.stderr = Capture::default();
        }
        match (ready.ended, ready.stdout) {
            (true, _) => Some("it ended while it had nothing to do".to_owned()),
            (_, true) => Some("it wrote to stdout, or closed it, without having been asked".to_owned()),
            _ => None,
        }
    }

    /// Ends it: end of file on stdin, TERM after the limit, KILL after the usual grace. Blocks until it is gone.
    pub(super) fn end(mut self, limit: Duration, cancel: &CancelToken) -> Watched {
        self.stdin = None;
        let mut stdout = Capture::default();
        stdout.push(&self.heard);
        let mut watched = watch(self.process, limit, cancel, Listening::default());
        drop(self.on_record);
        stdout.absorb(&watched.stdout);
        self.stderr.absorb(&watched.stderr);
        watched.stdout = stdout.finish();
        watched.stderr = self.stderr.finish();
        watched
    }

    /// End of file on stdin: it should end soon.
    pub(super) fn dismiss(&mut self) {
        self.stdin = None;
    }

    /// What it has written to stderr since it got its job.
    pub(super) fn take_stderr(&mut self) -> Capture {
        std::mem::take(&mut self.stderr)
    }

    fn poll(&self, patience: Option<Duration>, cancel: Option<&CancelToken>, wants_to_write: bool) -> Ready {
        let idle = PollFd::new(&self.process.stdout, PollFlags::empty());
        // stdout comes before stderr: whoever writes a log line and then the answer has both seen.
        let mut descriptors = [
            cancel.map_or_else(|| idle.clone(), |told| PollFd::from_borrowed_fd(told.descriptor(), PollFlags::IN)),
            PollFd::new(&self.process.stdout, PollFlags::IN),
            polled(self.process.pidfd.as_ref(), PollFlags::IN).unwrap_or_else(|| idle.clone()),
            polled(self.stdin.as_ref().filter(|_| wants_to_write), PollFlags::OUT).unwrap_or_else(|| idle.clone()),
            polled(self.has_stderr.then_some(&self.process.stderr), PollFlags::IN).unwrap_or(idle),
        ];
        let patience = match patience {
            _ if self.process.pidfd.is_some() => patience,
            patience => Some(patience.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)),
        };
        let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
        if poll(&mut descriptors, timeout.as_ref()).is_err() {
            return Ready { told: false, stdout: false, stderr: false, ended: false, writable: false };
        }
        let is_ready = |at: usize, flags| descriptors[at].revents().intersects(flags);
        let any = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ready {
            told: cancel.is_some() && is_ready(0, any),
            stdout: is_ready(1, any),
            ended: self.process.pidfd.is_some() && is_ready(2, any),
            writable: wants_to_write && is_ready(3, PollFlags::OUT | PollFlags::ERR),
            stderr: self.has_stderr && is_ready(4, any),
        }
    }

    /// Writes what the pipe takes now. Whether anybody may still read it.
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

    /// Takes what it has said, up to the longest answer. Whether more may come.
    fn listen(&mut self) -> bool {
        while self.heard.len() <= self.longest {
            match read(&self.process.stdout, &mut self.buffer) {
                Ok(0) => return false,
                Ok(read) => self.heard.extend_from_slice(&self.buffer[..read]),
                Err(_) => return true,
            }
            if self.buffer.len() < READ_BYTES {
                return true;
            }
        }
        true
    }

    fn whole_line(&mut self) -> Option<Heard> {
        match memchr::memchr(b'\n', &self.heard) {
            Some(end) if end < self.longest => {
                let rest = self.heard.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.heard, rest);
                line.truncate(end);
                Some(Heard::Line(line))
            }
            None if self.heard.len() <= self.longest => None,
            _ => Some(Heard::Wrong(format!("its answer is longer than {} bytes", self.longest))),
        }
    }

    /// Whether it has said more than it was asked.
    pub(super) fn is_out_of_step(&self) -> bool {
        !self.heard.is_empty()
    }

    fn drain_stderr(&mut self) {
        for _ in 0..READS {
            match read(&self.process.stderr, &mut self.buffer) {
                // Closed, it would keep every poll awake.
                Ok(0) => return self.has_stderr = false,
                Err(_) => return,
                Ok(_) => self.stderr.push(&self.buffer),
            }
            if self.buffer.len() < READ_BYTES {
                return;
            }
        }
    }
}

fn polled(descriptor: Option<&OwnedFd>, flags: PollFlags) -> Option<PollFd<'_>> {
    descriptor.map(|descriptor| PollFd::new(descriptor, flags))
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
