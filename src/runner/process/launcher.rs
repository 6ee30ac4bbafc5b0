//! hookbox as the first program of a handler's process: takes on limits and a user, then becomes the handler.
//!
//! A plan comes in as arguments, written by `command.rs`; the handler's program goes out, in the same process, or on
//! descriptor 3 why not. For what posix_spawn(3) cannot do, and only where the configuration asks for it: starting a
//! program twice costs about a millisecond. It starts nothing itself.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, chdir, getrlimit, setrlimit, umask};
use serde::{Deserialize, Serialize};

use crate::config::{ProcessSettings, ResourceLimits};

/// The first argument that makes hookbox a launcher.
const WORD: &str = "--launch-handler";

/// Where it says why it could not become the handler; closed by becoming it.
pub(in crate::runner) const STATUS: i32 = 3;

/// What is to be taken on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Plan {
    umask: Option<u32>,
    memory: Option<u64>,
    cpu_time: Option<u64>,
    open_files: Option<u64>,
    /// User, group, all groups.
    identity: Option<(u32, u32, Vec<u32>)>,
}

/// StopReason a launcher did not become its handler.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runner) struct Trouble {
    /// What it was at: `program` for the last step, the only one in which the handler's own file can be wrong.
    pub(in crate::runner) step: String,
    pub(in crate::runner) errno: Option<i32>,
}

/// The arguments of a launcher: its own, then where to run, what, and the handler's own from its name on.
pub(in crate::runner) fn arguments(
    containment: &ProcessSettings,
    cwd: &Path,
    file: &Path,
) -> io::Result<Vec<OsString>> {
    let ResourceLimits { memory, cpu_time, open_files } = containment.limits;
    let identity = containment.run_as.as_ref().map(|own| (own.uid, own.gid, own.groups.clone()));
    let plan = Plan { umask: containment.umask, memory, cpu_time, open_files, identity };
    let plan = serde_json::to_string(&plan)?;
    Ok(vec!["hookbox".into(), WORD.into(), plan.into(), cwd.into(), file.into()])
}

/// Does a launcher's work if hookbox was started as one, and then does not come back unless it failed.
#[must_use]
pub fn launch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let mut status = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{STATUS}")).ok()?;
    let trouble = match nix::unistd::close(STATUS) {
        Ok(()) => become_handler(arguments),
        Err(error) => Trouble { step: "its descriptors".to_owned(), errno: Some(error as i32) },
    };
    let told = serde_json::to_vec(&trouble).map(|told| status.write_all(&told));
    Some(if matches!(told, Ok(Ok(()))) { ExitCode::from(126) } else { ExitCode::from(127) })
}

fn become_handler(mut arguments: impl Iterator<Item = OsString>) -> Trouble {
    let plan = arguments.next().and_then(|plan| serde_json::from_str(plan.to_str()?).ok());
    let (Some(plan), Some(cwd), Some(file), Some(name)) = (plan, arguments.next(), arguments.next(), arguments.next())
    else {
        return Trouble { step: "its plan".to_owned(), errno: None };
    };
    if let Err((step, error)) = take_on(&plan, Path::new(&cwd)) {
        return Trouble { step: step.to_owned(), errno: error.raw_os_error() };
    }
    // std puts the disposition of SIGPIPE and the mask of signals back to what they were.
    let error = Command::new(file).arg0(name).args(arguments).exec();
    Trouble { step: "program".to_owned(), errno: error.raw_os_error() }
}

type Step<T> = Result<T, (&'static str, io::Error)>;

/// The user last: whoever is no longer root can raise no limit; and the folder by the user's own right.
fn take_on(plan: &Plan, cwd: &Path) -> Step<()> {
    if let Some(mask) = plan.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    let limits = [
        ("limits.memory", Resource::Data, plan.memory, 0),
        // A program that handles SIGXCPU has one second more.
        ("limits.cpu_time", Resource::Cpu, plan.cpu_time, 1),
        ("limits.open_files", Resource::Nofile, plan.open_files, 0),
    ];
    for (step, resource, value, more) in limits {
        if let Some(value) = value {
            limit(resource, value, more).map_err(|error| (step, error))?;
        }
    }
    if let Some((uid, gid, groups)) = &plan.identity {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|error| ("group", error.into()))?;
        setgid(Gid::from_raw(*gid)).map_err(|error| ("group", error.into()))?;
        setuid(Uid::from_raw(*uid)).map_err(|error| ("user", error.into()))?;
    }
    chdir(cwd).map_err(|error| ("cwd", error.into()))
}

/// What is above the system's own limit is cut to it, unless it may be raised.
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

/// For the system: a program, an argument or a variable.
pub(in crate::runner) fn c_string(text: impl Into<OsString>) -> io::Result<CString> {
    use std::os::unix::ffi::OsStringExt;
    CString::new(text.into().into_vec()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "nul byte found"))
}
