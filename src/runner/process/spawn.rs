//! Starts processes. No other file does.
//!
//! A handler leads its own session and process group, has default signals and no descriptors but its three pipes. The
//! pipes never block hookbox, and all of them exist before the process, so nothing can fail once it runs. posix_spawn(3)
//! makes no copy of hookbox's memory; what it cannot do is left to the [`launcher`].

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

use super::cwd::{InCwd, in_cwd};
use super::inherited_fds::{inherited_fds, restore_descriptor_limit};
use super::launcher::{self, LaunchError, c_string};
use super::process_tree::ProcessTree;
use super::{program, reaper};
use crate::config::{Handler, ResourceLimits};
use crate::retry::AttemptExit;
use crate::runner::environment::Environment;

/// `POSIX_SPAWN_SETSID` of glibc (2.26) and musl (1.1.17). The nix crate does not name it.
const SETSID: i32 = 0x80;

/// A running handler.
#[derive(Debug)]
pub(crate) struct Process<'a> {
    /// Reaped by `supervise`.
    pub(crate) pid: Pid,
    pub(crate) tree: ProcessTree,
    /// Readable once the process has ended; `None` if the system has no pidfds.
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) stdin: Stdin<'a>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Starts the command of a handler.
pub(crate) fn spawn<'a>(
    handler: &Handler,
    environment: &Environment,
    mut stdin: Stdin<'a>,
) -> Result<Process<'a>, AttemptExit> {
    let value = |wanted| environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_os_str());
    let name = handler.command.first().map_or("", String::as_str);
    let file = program::find(name, value("PATH").unwrap_or(OsStr::new("")), &handler.cwd)?;
    let refused = |error: io::Error| program::explain(&error, &file, &handler.cwd);
    let starved = |error: Errno| AttemptExit::Starved(format!("no pipe: {}", io::Error::from(error)));

    let (child_stdin, write_end) = pipe(PipeEnd::Write).map_err(starved)?;
    let (stdout, child_stdout) = pipe(PipeEnd::Read).map_err(starved)?;
    let (stderr, child_stderr) = pipe(PipeEnd::Read).map_err(starved)?;
    stdin.pipe = Some(write_end);
    // Most bodies fit into the pipe, so they need no further attention.
    stdin.feed();

    let request =
        SpawnRequest { streams: [child_stdin, child_stdout, child_stderr], environment: c_environment(environment) };
    let settings = &handler.process;
    let direct = || request.spawn_direct(&file, handler.command.iter());
    let needs_launcher = settings.run_as.is_some() || settings.limits != ResourceLimits::default();
    let started = if needs_launcher { InCwd::Unsupported } else { in_cwd(&handler.cwd, settings.umask, direct) };
    let pid = match started {
        InCwd::Done(started) => started.map_err(refused)?,
        InCwd::NoEntry(error) => return Err(refused(error.into())),
        InCwd::Unsupported => request.spawn_launcher(handler, &file)?,
    };
    if settings.limits.open_files.is_none() {
        restore_descriptor_limit(pid);
    }
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let tree = ProcessTree::led_by(pid, value("HOOKBOX_RESULT"));
    Ok(Process { pid, tree, pidfd, stdin, stdout, stderr })
}

/// Starts a notification command and discards its output.
pub(crate) fn spawn_notifier(command: &[String], cwd: &Path, environment: &Environment) -> io::Result<Child> {
    let (name, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(cwd).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut started = None;
    reaper::start_own(|| Ok(Pid::from_child(started.insert(command.spawn()?))))?;
    started.ok_or_else(|| io::Error::other("a process without a pid"))
}

struct SpawnRequest {
    /// The handler's ends of stdin, stdout and stderr.
    streams: [OwnedFd; 3],
    environment: io::Result<Vec<CString>>,
}

impl SpawnRequest {
    /// Starts the file in the directory of this thread.
    fn spawn_direct(&self, file: &Path, argv: impl Iterator<Item = impl AsRef<OsStr>>) -> io::Result<Pid> {
        let argv: Vec<CString> = argv.map(|text| c_string(text.as_ref())).collect::<io::Result<_>>()?;
        self.posix_spawn(&c_string(file)?, &argv, None)
    }

    /// Starts hookbox as a launcher, which becomes the file.
    fn spawn_launcher(&self, handler: &Handler, file: &Path) -> Result<Pid, AttemptExit> {
        let refused = |error: io::Error| program::explain(&error, file, &handler.cwd);
        let (status, child_status) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| refused(error.into()))?;
        let own = launcher::arguments(&handler.process, &handler.cwd, file).map_err(refused)?;
        let argv = own.into_iter().chain(handler.command.iter().map(Into::into)).map(c_string);
        let argv: Vec<CString> = argv.collect::<io::Result<_>>().map_err(refused)?;
        let pid = self.posix_spawn(c"/proc/self/exe", &argv, Some(&child_status)).map_err(refused)?;
        drop(child_status);
        let mut report = Vec::new();
        let read = io::Read::read_to_end(&mut std::fs::File::from(status), &mut report);
        if report.is_empty() && read.is_ok() {
            return Ok(pid);
        }
        if let Err(error) = reaper::reap_own(pid, || waitpid(Some(pid), WaitOptions::empty())) {
            log::debug!("a launcher could not be reaped: {error}");
        }
        let Ok(failure) = serde_json::from_slice::<LaunchError>(&report) else {
            return Err(AttemptExit::Starved("hookbox could not launch it".to_owned()));
        };
        let error = failure.errno.map_or_else(|| io::Error::other("unknown"), io::Error::from_raw_os_error);
        Err(match failure.step.as_str() {
            "program" => program::explain(&error, file, &handler.cwd),
            "cwd" => AttemptExit::NotExecutable(program::cwd_error(&handler.cwd, &error)),
            step => AttemptExit::NotExecutable(format!("`{step}` cannot be applied: {error}")),
        })
    }

    fn posix_spawn(&self, file: &CStr, argv: &[CString], status: Option<&OwnedFd>) -> io::Result<Pid> {
        let environment = self.environment.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let mut actions = PosixSpawnFileActions::init()?;
        for (stream, number) in self.streams.iter().zip(0..) {
            actions.add_dup2(stream.as_raw_fd(), number)?;
        }
        let kept = status.map_or(0, |_| launcher::STATUS_FD);
        for number in inherited_fds().iter().filter(|number| **number != kept) {
            actions.add_close(*number)?;
        }
        if let Some(status) = status {
            actions.add_dup2(status.as_raw_fd(), launcher::STATUS_FD)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        let signals = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_flags(PosixSpawnFlags::from_bits_retain(SETSID) | signals)?;
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        reaper::start_own(|| {
            let pid = posix_spawn(file, &actions, &attributes, argv, environment)?;
            Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::other("a process without a pid"))
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

/// The end of a pipe that hookbox keeps. It does not block.
#[derive(Clone, Copy)]
enum PipeEnd {
    Read,
    Write,
}

/// Returns the read end and the write end.
fn pipe(ours: PipeEnd) -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
    let kept = match ours {
        PipeEnd::Read => &read_end,
        PipeEnd::Write => &write_end,
    };
    ioctl_fionbio(kept, true)?;
    Ok((read_end, write_end))
}

/// What hookbox writes to the stdin of a process.
#[derive(Debug)]
pub(crate) struct Stdin<'a> {
    pipe: Option<OwnedFd>,
    left: &'a [u8],
    stays_open: bool,
}

impl<'a> Stdin<'a> {
    /// The whole input: stdin is closed after it.
    pub(crate) fn whole(body: &'a [u8]) -> Self {
        Self { pipe: None, left: body, stays_open: false }
    }

    /// The first input: stdin stays open, for the owner of [`Stdin::take_pipe`].
    pub(crate) fn beginning(left: &'a [u8]) -> Self {
        Self { pipe: None, left, stays_open: true }
    }

    /// The write end, which the caller closes.
    pub(crate) fn take_pipe(&mut self) -> Option<OwnedFd> {
        self.pipe.take()
    }

    /// The write end, until everything is written or the process has closed its stdin.
    pub(crate) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Writes as much as the pipe takes now. A handler need not read its stdin.
    pub(crate) fn feed(&mut self) {
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
