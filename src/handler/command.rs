//! Starts processes; no other file does. A handler's settings, its environment and the body come in, a running
//! [`Process`] with its three pipes goes out, or why there is none.
//!
//! Promises: the handler leads a process group of its own and inherits no descriptor but the pipes; the pipes never
//! block hookbox; every pipe is made before the process, so nothing can fail once it runs. Kept to what
//! posix_spawn(3) can do: no copy of hookbox's memory is made.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::environment::Environment;
use super::group::Group;
use super::program;
use crate::config;
use crate::outcome::Exit;

/// A handler's process as it runs.
#[derive(Debug)]
pub(super) struct Process<'a> {
    pub(super) child: Child,
    pub(super) group: Group,
    /// Readable once the process has ended; `None` where the system has none to give.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) input: Input<'a>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts the handler's command on a body.
pub(super) fn spawn<'a>(
    handler: &config::Handler,
    environment: &Environment,
    body: &'a [u8],
) -> Result<Process<'a>, Exit> {
    let (name, arguments) = handler.command.split_first().map_or(("", &[][..]), |(name, rest)| (name, rest));
    let search = environment.iter().find(|(name, _)| name == "PATH").map_or(OsStr::new(""), |(_, path)| path);
    let file = program::find(name, search, &handler.cwd)?;
    let starved = |error: Errno| Exit::Starved(format!("no pipe: {}", io::Error::from(error)));

    let (stdin, write_end) = pipe(End::Write).map_err(starved)?;
    let (stdout, child_stdout) = pipe(End::Read).map_err(starved)?;
    let (stderr, child_stderr) = pipe(End::Read).map_err(starved)?;
    let mut input = Input { pipe: Some(write_end), left: body };
    // What the pipe can hold is there before the process is: most bodies need no further attention.
    input.feed();

    // The path is resolved and absolute: std leaves posix_spawn(3) where it would have to search a PATH it set itself.
    let mut command = Command::new(&file);
    command.arg0(name).args(arguments).env_clear().current_dir(&handler.cwd).process_group(0);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(stdin).stdout(child_stdout).stderr(child_stderr);
    let child = command.spawn().map_err(|error| program::explain(&error, &file, &handler.cwd))?;

    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    Ok(Process { child, group: Group::led_by(pid), pidfd, input, stdout, stderr })
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

/// The body on its way into stdin.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pipe: Option<OwnedFd>,
    left: &'a [u8],
}

impl Input<'_> {
    /// The write end, until everything is written or nobody reads any more.
    pub(super) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Writes as much as the pipe takes now. A handler need not read it: that is no error.
    pub(super) fn feed(&mut self) {
        while let Some(pipe) = &self.pipe {
            match rustix::io::write(pipe, self.left) {
                Ok(written) => self.left = &self.left[written..],
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => self.left = &[],
            }
            if self.left.is_empty() {
                self.pipe = None;
            }
        }
    }
}
