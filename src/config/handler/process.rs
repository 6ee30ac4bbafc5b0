//! `user`, `group`, `umask` and `limits` of a handler's processes.
//!
//! Only read here; the runner applies them to each process before its program starts. Serialized for its launcher.

use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use serde::{Deserialize, Serialize};

use crate::config::problem::Problem;
use crate::config::reader::{TomlTable, TomlValue};

const MAX_CPU_TIME: Duration = Duration::from_hours(30 * 24);

/// How a handler's processes are started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// `None` is hookbox's own user.
    pub run_as: Option<RunAs>,
    /// `None` is hookbox's own umask.
    pub umask: Option<u32>,
    /// Of each process.
    pub limits: ResourceLimits,
}

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// Set if `user` is configured and the system has a name for it.
    #[serde(skip)]
    pub name: Option<String>,
    /// Home folder, if `user` is configured and has one.
    #[serde(skip)]
    pub home: Option<PathBuf>,
    pub uid: u32,
    pub gid: u32,
    /// All groups, including `gid`.
    pub groups: Vec<u32>,
}

/// Limits of one process; `None` inherits hookbox's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Bytes of writable memory (`RLIMIT_DATA`).
    pub memory: Option<u64>,
    /// Seconds (`RLIMIT_CPU`).
    pub cpu_time: Option<u64>,
    /// File descriptors (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
}

/// Reads the settings of a handler that runs in `cwd`.
pub(super) fn read_process(table: &TomlTable<'_>, cwd: &Path) -> ProcessSettings {
    let limits = table.table("limits");
    let whole_seconds = |time: Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let settings = ProcessSettings {
        run_as: run_as(table, cwd),
        umask: table.read("umask", umask),
        limits: ResourceLimits {
            memory: limits.size("memory", 1 << 20..=1 << 50),
            cpu_time: limits.duration("cpu_time", Duration::from_secs(1)..=MAX_CPU_TIME).map(whole_seconds),
            open_files: limits.integer("open_files", 8..=1 << 20),
        },
    };
    limits.report_unknown_keys();
    settings
}

fn umask(value: &TomlValue<'_>) -> Result<u32, Problem> {
    let text = value.text()?;
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| value.problem(format!("{text:?} is not an octal mask")).hint("e.g. umask = \"027\""))
}

fn run_as(table: &TomlTable<'_>, cwd: &Path) -> Option<RunAs> {
    let (user, group) = (table.read("user", user), table.read("group", group));
    let key = if table.has("user") { "user" } else { "group" };
    if user.is_none() && group.is_none() {
        return None;
    }
    if !Uid::effective().is_root() {
        let message = format!("only root can run a handler as another {key}");
        table.report(key, message, format!("start hookbox as root, or remove `{key}`"));
        return None;
    }
    let gid = group.or(user.as_ref().map(|user| user.gid)).unwrap_or_else(Gid::effective);
    let groups_of = |user: &Account| {
        let name = user.name.as_deref().unwrap_or_default();
        getgrouplist(&CString::new(name).unwrap_or_default(), gid)
    };
    let groups = match user.as_ref().map(groups_of) {
        Some(Ok(groups)) => groups,
        Some(Err(error)) => {
            table.report("user", format!("cannot look up its groups: {error}"), "");
            return None;
        }
        None => vec![gid],
    };
    let uid = user.as_ref().map_or_else(Uid::effective, |user| user.uid).as_raw();
    let (name, home) = user.map(|user| (user.name, user.home)).unwrap_or_default();
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    let run_as = RunAs { name, home, uid, gid: gid.as_raw(), groups };
    if let Some(folder) = run_as.locked_out_of(cwd) {
        let message = format!("has no permission to enter {}, where the handler runs", folder.display());
        table.report(key, message, "grant it, or set `cwd` to another folder");
    }
    Some(run_as)
}

/// A user of the user database, or only a number.
struct Account {
    name: Option<String>,
    home: Option<PathBuf>,
    uid: Uid,
    gid: Gid,
}

fn user(value: &TomlValue<'_>) -> Result<Account, Problem> {
    let found = if value.value.as_integer().is_some() {
        let number = id(value)?;
        let uid = Uid::from_raw(number);
        let Some(user) = User::from_uid(uid).transpose() else {
            return Ok(Account { name: None, home: None, uid, gid: Gid::from_raw(number) });
        };
        known(value, user.map(Some), &format!("user `{number}`"))
    } else {
        let name = value.value.as_str().ok_or_else(|| value.unexpected("a name or a number"))?;
        known(value, User::from_name(name), &format!("user `{name}`"))
    };
    let User { name, dir, uid, gid, .. } = found?;
    Ok(Account { name: Some(name), home: Some(dir).filter(|home| !home.as_os_str().is_empty()), uid, gid })
}

fn group(value: &TomlValue<'_>) -> Result<Gid, Problem> {
    if value.value.as_integer().is_some() {
        return Ok(Gid::from_raw(id(value)?));
    }
    let name = value.value.as_str().ok_or_else(|| value.unexpected("a name or a number"))?;
    known(value, Group::from_name(name), &format!("group `{name}`")).map(|group| group.gid)
}

fn id(value: &TomlValue<'_>) -> Result<u32, Problem> {
    value.integer(&(0..=i64::from(u32::MAX) - 1))
}

fn known<T>(value: &TomlValue<'_>, found: nix::Result<Option<T>>, what: &str) -> Result<T, Problem> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(value.problem(format!("{what} does not exist on this system"))),
        Err(error) => Err(value.problem(format!("{what} cannot be looked up: {error}"))),
    }
}

impl fmt::Display for ProcessSettings {
    /// As `hookbox check` shows it; empty if nothing is configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResourceLimits { memory, cpu_time, open_files } = self.limits;
        let settings = [
            self.run_as.as_ref().map(|run_as| format!("as {run_as}")),
            self.umask.map(|mask| format!("umask {mask:03o}")),
            memory.map(|bytes| format!("memory {}", ByteSize(bytes))),
            cpu_time.map(|seconds| format!("cpu time {}", humantime::format_duration(Duration::from_secs(seconds)))),
            open_files.map(|count| format!("{count} open files")),
        ];
        f.write_str(&settings.into_iter().flatten().collect::<Vec<_>>().join(", "))
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
    /// The first folder on the way to `path` that the user may not enter, by its mode bits; ACLs are ignored.
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
