//! What a handler's processes may do and use: `user`, `group`, `umask` and `limits`.
//!
//! A section goes in, a [`Containment`] comes out if the user is known, the folder can be entered by it, and hookbox
//! has the right to become it. Nothing is changed here: `handler/` puts it on each process before its program begins.

use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::item::Item;
use super::keys;
use super::problem::Problem;
use super::section::Section;

const LEAST_MEMORY: u64 = 1 << 20;
const MOST_MEMORY: u64 = 1 << 50;
const SECOND: Duration = Duration::from_secs(1);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the processes of a handler are held to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Whom they run as; `None` is hookbox's own user.
    pub run_as: Option<RunAs>,
    /// Bits that new files do not get; `None` is as hookbox was started.
    pub umask: Option<u32>,
    /// What each of them may use.
    pub limits: ResourceLimits,
}

/// A user as the system knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// Its name, where `user` is configured and the system has one.
    pub name: Option<String>,
    /// Its home, likewise.
    pub home: Option<PathBuf>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// All groups, the first included.
    pub groups: Vec<u32>,
}

/// ResourceLimits of one process; `None` is as hookbox was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Bytes of memory that it may write to (`RLIMIT_DATA`).
    pub memory: Option<u64>,
    /// Seconds of processor time (`RLIMIT_CPU`).
    pub cpu_time: Option<u64>,
    /// File descriptors (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
}

/// `cwd` is where the handler will run.
pub(super) fn read(section: &Section<'_>, cwd: &Path) -> ProcessSettings {
    let limits = section.section("limits", &keys::LIMITS);
    let whole_seconds = |span: Duration| span.as_secs() + u64::from(span.subsec_nanos() > 0);
    ProcessSettings {
        run_as: identity(section, cwd),
        umask: section.take("umask", umask),
        limits: ResourceLimits {
            memory: limits.size("memory", LEAST_MEMORY..=MOST_MEMORY),
            cpu_time: limits.duration("cpu_time", SECOND..=MONTH).map(whole_seconds),
            open_files: limits.whole("open_files", 8..=1 << 20).map(i64::unsigned_abs),
        },
    }
}

fn umask(item: &Item<'_>) -> Result<u32, Problem> {
    let text = item.text()?;
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| item.problem(format!("{text:?} is not a mask in octal")).hint("e.g. umask = \"027\""))
}

fn identity(section: &Section<'_>, cwd: &Path) -> Option<RunAs> {
    let user = section.take("user", user);
    let group = section.take("group", group);
    let key = if section.has("user") { "user" } else { "group" };
    if user.is_none() && group.is_none() {
        return None;
    }
    if !Uid::effective().is_root() {
        let problem = section.problem(key, format!("only root can run a handler as another {key}"));
        section.problems().add(problem.hint(format!("start hookbox as root, or leave `{key}` out")));
        return None;
    }
    let own_group = user.as_ref().map_or(Gid::effective(), |user| user.gid);
    let gid = group.unwrap_or(own_group);
    let member_of = |user: &User| getgrouplist(&CString::new(user.name.as_bytes()).unwrap_or_default(), gid);
    let groups = match user.as_ref().map(member_of) {
        Some(Ok(groups)) => groups,
        Some(Err(error)) => {
            section.problems().add(section.problem("user", format!("its groups cannot be told: {error}")));
            return None;
        }
        None => vec![gid],
    };
    let identity = RunAs {
        name: user.as_ref().map(|user| user.name.clone()).filter(|name| !name.is_empty()),
        home: user.as_ref().map(|user| user.dir.clone()).filter(|home| !home.as_os_str().is_empty()),
        uid: user.as_ref().map_or(Uid::effective(), |user| user.uid).as_raw(),
        gid: gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    };
    if let Some(folder) = identity.locked_out_of(cwd) {
        let problem = section.problem(key, format!("it may not enter {}, where the handler runs", folder.display()));
        section.problems().add(problem.hint("give it the right to, or set `cwd` to a folder of its own"));
    }
    Some(identity)
}

/// Users that only have a number need no entry in the system's list.
fn user(item: &Item<'_>) -> Result<User, Problem> {
    let (found, written) = match item.value.as_integer() {
        Some(_) => {
            let uid = Uid::from_raw(id(item)?);
            let nobody_in_particular = || User {
                name: String::new(),
                passwd: CString::default(),
                uid,
                gid: Gid::from_raw(uid.as_raw()),
                gecos: CString::default(),
                dir: PathBuf::new(),
                shell: PathBuf::new(),
            };
            (User::from_uid(uid).map(|found| Some(found.unwrap_or_else(nobody_in_particular))), uid.to_string())
        }
        None => {
            let name = item.value.as_str().ok_or_else(|| item.unexpected("a name or a number"))?;
            (User::from_name(name), name.to_owned())
        }
    };
    known(item, found, &format!("user `{written}`"))
}

fn group(item: &Item<'_>) -> Result<Gid, Problem> {
    if item.value.as_integer().is_some() {
        return Ok(Gid::from_raw(id(item)?));
    }
    let name = item.value.as_str().ok_or_else(|| item.unexpected("a name or a number"))?;
    known(item, Group::from_name(name), &format!("group `{name}`")).map(|group| group.gid)
}

fn id(item: &Item<'_>) -> Result<u32, Problem> {
    let number = item.whole(&(0..=i64::from(u32::MAX) - 1))?;
    u32::try_from(number).map_err(|_| item.unexpected("a number"))
}

fn known<T>(item: &Item<'_>, found: nix::Result<Option<T>>, what: &str) -> Result<T, Problem> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(item.problem(format!("{what} is not known to this system"))),
        Err(error) => Err(item.problem(format!("{what} cannot be looked up: {error}"))),
    }
}

impl fmt::Display for ProcessSettings {
    /// As `check` tells it; empty where nothing is configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResourceLimits { memory, cpu_time, open_files } = self.limits;
        let told = [
            self.run_as.as_ref().map(|identity| format!("as {identity}")),
            self.umask.map(|mask| format!("umask {mask:03o}")),
            memory.map(|bytes| format!("memory {}", ByteSize(bytes))),
            cpu_time.map(|seconds| format!("cpu time {}", humantime::format_duration(Duration::from_secs(seconds)))),
            open_files.map(|count| format!("{count} open files")),
        ];
        f.write_str(&told.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {}, gid {})", self.uid, self.gid),
            None => write!(f, "uid {}, gid {}", self.uid, self.gid),
        }
    }
}

impl RunAs {
    /// The first folder on the way to `path` that it may not enter; access lists are not looked at.
    #[must_use]
    pub fn locked_out_of(&self, path: &Path) -> Option<PathBuf> {
        use std::os::unix::fs::MetadataExt;
        let mut folders: Vec<_> = path.ancestors().collect();
        folders.reverse();
        let is_closed = |folder: &&&Path| {
            let Ok(found) = folder.metadata() else { return false };
            let bit = match () {
                () if self.uid == 0 => return false,
                () if found.uid() == self.uid => 0o100,
                () if self.groups.contains(&found.gid()) => 0o010,
                () => 0o001,
            };
            found.is_dir() && found.mode() & bit == 0
        };
        folders.iter().find(is_closed).map(|folder| folder.to_path_buf())
    }
}
