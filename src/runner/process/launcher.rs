//! The launcher: hookbox started as a handler's first program. It sets limits, user and directory, then executes the
//! handler in the same process.
//!
//! Used only if the configuration needs what posix_spawn(3) cannot do, since the extra exec costs about a millisecond.
//! If it fails, it writes a [`LaunchError`] to descriptor 3.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, chdir, getrlimit, setrlimit, umask};
use serde::{Deserialize, Serialize};

use crate::config::ProcessSettings;

/// The first argument that turns hookbox into a launcher.
const FLAG: &str = "--launch-handler";

/// The descriptor that carries a [`LaunchError`]. A successful exec closes it.
pub(crate) const STATUS_FD: i32 = 3;

/// Why the launcher could not become the handler.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchError {
    /// The failed step. Only `program`, the exec itself, concerns the file of the handler.
    pub(crate) step: String,
    pub(crate) errno: Option<i32>,
}

/// The arguments of a launcher: flag, settings, directory, file, then the argv of the handler.
pub(crate) fn arguments(settings: &ProcessSettings, cwd: &Path, file: &Path) -> io::Result<Vec<OsString>> {
    let settings = serde_json::to_string(settings)?;
    Ok(vec!["hookbox".into(), FLAG.into(), settings.into(), cwd.into(), file.into()])
}

/// Becomes the handler if hookbox was started as a launcher. Returns an exit code if that failed, `None` in an ordinary
/// start.
pub fn launch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != FLAG {
        return None;
    }
    let mut status = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{STATUS_FD}")).ok()?;
    let error_report = match nix::unistd::close(STATUS_FD) {
        Ok(()) => become_handler(arguments),
        Err(error) => LaunchError { step: "its descriptors".to_owned(), errno: Some(error as i32) },
    };
    let written = serde_json::to_vec(&error_report).map(|report| status.write_all(&report));
    Some(if matches!(written, Ok(Ok(()))) { ExitCode::from(126) } else { ExitCode::from(127) })
}

fn become_handler(mut arguments: impl Iterator<Item = OsString>) -> LaunchError {
    let settings = arguments.next().and_then(|settings| serde_json::from_str(settings.to_str()?).ok());
    let (Some(settings), Some(cwd), Some(file), Some(name)) =
        (settings, arguments.next(), arguments.next(), arguments.next())
    else {
        return LaunchError { step: "its settings".to_owned(), errno: None };
    };
    if let Err((step, error)) = apply(&settings, Path::new(&cwd)) {
        return LaunchError { step: step.to_owned(), errno: error.raw_os_error() };
    }
    // std restores the disposition of SIGPIPE and the signal mask.
    let error = Command::new(file).arg0(name).args(arguments).exec();
    LaunchError { step: "program".to_owned(), errno: error.raw_os_error() }
}

/// Sets the user after the limits, which only root may raise, and enters the directory with the rights of that user.
fn apply(settings: &ProcessSettings, cwd: &Path) -> Result<(), (&'static str, io::Error)> {
    let ProcessSettings { run_as, limits, .. } = settings;
    if let Some(mask) = settings.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    let limits = [
        ("limits.memory", Resource::Data, limits.memory, 0),
        // A program that handles SIGXCPU has one second more.
        ("limits.cpu_time", Resource::Cpu, limits.cpu_time, 1),
        ("limits.open_files", Resource::Nofile, limits.open_files, 0),
    ];
    for (step, resource, value, more) in limits {
        if let Some(value) = value {
            limit(resource, value, more).map_err(|error| (step, error))?;
        }
    }
    if let Some(user) = run_as {
        let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|error| ("group", error.into()))?;
        setgid(Gid::from_raw(user.gid)).map_err(|error| ("group", error.into()))?;
        setuid(Uid::from_raw(user.uid)).map_err(|error| ("user", error.into()))?;
    }
    chdir(cwd).map_err(|error| ("cwd", error.into()))
}

/// Cuts the value to the hard limit, unless hookbox may raise that.
fn limit(resource: Resource, value: u64, more: u64) -> io::Result<()> {
    let most = value.saturating_add(more);
    let wanted = Rlimit { current: Some(value), maximum: Some(most) };
    let before = getrlimit(resource);
    match setrlimit(resource, wanted) {
        Err(_) if before.maximum.is_some_and(|maximum| maximum < most) => {
            let current = before.maximum.map(|maximum| maximum.min(value));
            Ok(setrlimit(resource, Rlimit { current, maximum: before.maximum })?)
        }
        set => Ok(set?),
    }
}

pub(crate) fn c_string(text: impl Into<OsString>) -> io::Result<CString> {
    use std::os::unix::ffi::OsStringExt;
    CString::new(text.into().into_vec()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "nul byte found"))
}
