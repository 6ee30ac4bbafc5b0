//! Starts processes; no other file does. A handler's settings, its environment and the body come in, a running
//! [`Process`] with its three pipes goes out, or why there is none.
//!
//! Promises: the handler leads a session and process group of its own, gets default signals and no descriptor but the
//! pipes; the pipes never block hookbox; every pipe is made before the process, so nothing can fail once it runs. HandlerResources
//! to what posix_spawn(3) can do: no copy of hookbox's memory is made. What it cannot do is `launcher.rs`'s.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use super::cwd::{Stood, stand_on};
use super::launcher::{self, c_string};
use super::process_tree::Tree;
use super::{inherited_fds, program, reaper};
use crate::config::{self, ResourceLimits};
use crate::retry::AttemptExit;
use crate::runner::environment::Environment;

/// `POSIX_SPAWN_SETSID` of glibc (2.26) and musl (1.1.17); nix does not name it.
const SETSID: i32 = 0x80;

/// A handler's process as it runs.
#[derive(Debug)]
pub(in crate::runner) struct Process<'a> {
    /// Not reaped yet; `watch` does it.
    pub(in crate::runner) pid: Pid,
    /// It and all that it starts.
    pub(in crate::runner) tree: Tree,
    /// Readable once the process has ended; `None` where the system has none to give.
    pub(in crate::runner) pidfd: Option<OwnedFd>,
    pub(in crate::runner) input: Input<'a>,
    pub(in crate::runner) stdout: OwnedFd,
    pub(in crate::runner) stderr: OwnedFd,
}

/// Starts the handler's command with what it is to read.
pub(in crate::runner) fn spawn<'a>(
    handler: &config::Handler,
    environment: &Environment,
    mut input: Input<'a>,
) -> Result<Process<'a>, AttemptExit> {
    let value = |wanted| environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_os_str());
    let name = handler.command.first().map_or("", String::as_str);
    let file = program::find(name, value("PATH").unwrap_or(OsStr::new("")), &handler.cwd)?;
    let refused = |error: io::Error| program::explain(&error, &file, &handler.cwd);
    let starved = |error: Errno| AttemptExit::Starved(format!("no pipe: {}", io::Error::from(error)));

    let (stdin, write_end) = pipe(End::Write).map_err(starved)?;
    let (stdout, child_stdout) = pipe(End::Read).map_err(starved)?;
    let (stderr, child_stderr) = pipe(End::Read).map_err(starved)?;
    input.pipe = Some(write_end);
    // What the pipe can hold is there before the process is: most bodies need no further attention.
    input.feed();

    let start = Start { streams: [stdin, child_stdout, child_stderr], environment: c_environment(environment) };
    let containment = &handler.process;
    let direct = || start.run(&file, handler.command.iter());
    let needs_launcher = containment.run_as.is_some() || containment.limits != ResourceLimits::default();
    let stood = if needs_launcher { Stood::NotPossible } else { stand_on(&handler.cwd, containment.umask, direct) };
    let pid = match stood {
        Stood::Done(started) => started.map_err(refused)?,
        Stood::NoEntry(error) => return Err(refused(error.into())),
        Stood::NotPossible => start.by_launcher(handler, &file)?,
    };
    if containment.limits.open_files.is_none() {
        inherited_fds::give_descriptor_limit(pid);
    }
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let tree = Tree::led_by(pid, value("HOOKBOX_RESULT"));
    Ok(Process { pid, tree, pidfd, input, stdout, stderr })
}

/// What every way to start needs.
struct Start {
    /// The handler's ends of its stdin, stdout and stderr.
    streams: [OwnedFd; 3],
    environment: io::Result<Vec<CString>>,
}

impl Start {
    /// Starts the file with these arguments, in the folder of this thread.
    fn run(&self, file: &Path, arguments: impl Iterator<Item = impl AsRef<OsStr>>) -> io::Result<Pid> {
        let arguments: Vec<CString> = arguments.map(|text| c_string(text.as_ref())).collect::<io::Result<_>>()?;
        self.posix_spawn(&c_string(file)?, &arguments, None)
    }

    /// Starts hookbox itself, which takes on what the handler is held to and becomes it.
    fn by_launcher(&self, handler: &config::Handler, file: &Path) -> Result<Pid, AttemptExit> {
        let refused = |error: io::Error| program::explain(&error, file, &handler.cwd);
        let (status, child_status) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| refused(error.into()))?;
        let own = launcher::arguments(&handler.process, &handler.cwd, file).map_err(refused)?;
        let arguments = own.into_iter().chain(handler.command.iter().map(Into::into)).map(c_string);
        let arguments: Vec<CString> = arguments.collect::<io::Result<_>>().map_err(refused)?;
        let pid = self.posix_spawn(c"/proc/self/exe", &arguments, Some(&child_status)).map_err(refused)?;
        drop(child_status);
        let mut told = Vec::new();
        let read = io::Read::read_to_end(&mut std::fs::File::from(status), &mut told);
        if told.is_empty() && read.is_ok() {
            return Ok(pid);
        }
        if let Err(error) = reaper::reaped(pid, || waitpid(Some(pid), WaitOptions::empty())) {
            log::debug!("the exit status of a launcher is lost: {error}");
        }
        let Ok(trouble) = serde_json::from_slice::<launcher::Trouble>(&told) else {
            return Err(AttemptExit::Starved("hookbox could not launch it".to_owned()));
        };
        let error = trouble.errno.map_or_else(|| io::Error::other("unknown"), io::Error::from_raw_os_error);
        Err(match trouble.step.as_str() {
            "program" => program::explain(&error, file, &handler.cwd),
            "cwd" => {
                AttemptExit::NotExecutable(format!("the folder it is to run in, `{}`: {error}", handler.cwd.display()))
            }
            step => AttemptExit::NotExecutable(format!("`{step}` cannot be put on it: {error}")),
        })
    }

    fn posix_spawn(&self, file: &CStr, arguments: &[CString], status: Option<&OwnedFd>) -> io::Result<Pid> {
        let environment = self.environment.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let mut actions = PosixSpawnFileActions::init()?;
        for (stream, number) in self.streams.iter().zip(0..) {
            actions.add_dup2(stream.as_raw_fd(), number)?;
        }
        let kept = status.map_or(0, |_| launcher::STATUS);
        for number in inherited_fds::descriptors().iter().filter(|number| **number != kept) {
            actions.add_close(*number)?;
        }
        if let Some(status) = status {
            actions.add_dup2(status.as_raw_fd(), launcher::STATUS)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        let signals = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_flags(PosixSpawnFlags::from_bits_retain(SETSID) | signals)?;
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        reaper::started(|| {
            let pid = posix_spawn(file, &actions, &attributes, arguments, environment)?;
            Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::other("a process without a number"))
        })
    }
}

fn c_environment(environment: &Environment) -> io::Result<Vec<CString>> {
    let variable = |(name, value): &(String, OsString)| {
        let mut variable = OsString::with_capacity(name.len() + 1 + value.len());
        variable.push(name);
        variable.push("=");
        variable.push(value);
        c_string(variable)
    };
    environment.iter().map(variable).collect()
}

/// The end of a pipe that hookbox keeps, and that must not block.
#[derive(Clone, Copy)]
enum End {
    Read,
    Write,
}

/// A pipe's read end and write end.
fn pipe(ours: End) -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
    let kept = match ours {
        End::Read => &read_end,
        End::Write => &write_end,
    };
    ioctl_fionbio(kept, true)?;
    Ok((read_end, write_end))
}

/// What is on its way into stdin.
#[derive(Debug)]
pub(in crate::runner) struct Input<'a> {
    pipe: Option<OwnedFd>,
    left: &'a [u8],
    stays_open: bool,
}

impl<'a> Input<'a> {
    /// All there is to read: stdin ends behind it.
    pub(in crate::runner) fn whole(body: &'a [u8]) -> Self {
        Self { pipe: None, left: body, stays_open: false }
    }

    /// The beginning of what there is to read; [`Input::take_pipe`] is for the rest.
    pub(in crate::runner) fn beginning(left: &'a [u8]) -> Self {
        Self { pipe: None, left, stays_open: true }
    }

    /// The write end, which is no longer this one's to close.
    pub(in crate::runner) fn take_pipe(&mut self) -> Option<OwnedFd> {
        self.pipe.take()
    }

    /// The write end, until everything is written or nobody reads any more.
    pub(in crate::runner) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Writes as much as the pipe takes now. A handler need not read it: that is no error.
    pub(in crate::runner) fn feed(&mut self) {
        while let Some(pipe) = &self.pipe {
            match rustix::io::write(pipe, self.left) {
                Ok(written) => self.left = &self.left[written..],
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => self.left = &[],
            }
            if self.left.is_empty() && self.stays_open {
                return;
            }
            if self.left.is_empty() {
                self.pipe = None;
            }
        }
    }
}

/// Starts a command that is told something on stdin; whatever it prints is dropped.
pub(in crate::runner) fn start(command: &[String], cwd: &Path, environment: &Environment) -> io::Result<Child> {
    let (name, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(cwd).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut started = None;
    reaper::started(|| Ok(Pid::from_child(started.insert(command.spawn()?))))?;
    started.ok_or_else(|| io::Error::other("a process without a number"))
}
