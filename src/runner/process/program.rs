//! Finds the file of a handler's command, and explains why it could not be executed.
//!
//! The explanation is made after the system has refused, so it costs nothing in the ordinary case.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::retry::AttemptExit;

/// Longest interpreter line of a script, as in execve(2).
const MAX_FIRST_LINE: u64 = 256;

/// Finds the file of a program: the path itself if it contains a slash, otherwise the first executable in `search`, the
/// PATH of the handler. Relative paths start at `cwd`.
pub(crate) fn find(program: &str, search: &OsStr, cwd: &Path) -> Result<PathBuf, AttemptExit> {
    if program.is_empty() {
        return Err(AttemptExit::NotExecutable("the command is empty".to_owned()));
    }
    if program.contains('/') {
        return Ok(cwd.join(program));
    }
    let mut candidates = std::env::split_paths(search).map(|folder| cwd.join(folder).join(program));
    let is_executable = |file: &PathBuf| access(file, Access::EXEC_OK).is_ok() && file.is_file();
    candidates.find(is_executable).ok_or_else(|| {
        let mut candidates = std::env::split_paths(search).map(|folder| cwd.join(folder).join(program));
        AttemptExit::NotExecutable(match candidates.find(|file| file.is_file()) {
            Some(file) => not_executable(&file),
            None => format!("`{program}` was not found in the handler's PATH, {}", search.display()),
        })
    })
}

/// Explains why the system did not start a program.
pub(crate) fn explain(error: &io::Error, program: &Path, cwd: &Path) -> AttemptExit {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY | Errno::INTR) => {
            AttemptExit::Starved(error.to_string())
        }
        Some(Errno::TOOBIG) => AttemptExit::NotExecutable(
            "its arguments and environment are longer than the system allows; \
             hint: shorten `command`, or the variables named in `env`"
                .to_owned(),
        ),
        _ => AttemptExit::NotExecutable(
            cwd_problem(cwd).or_else(|| file_problem(program, errno)).unwrap_or_else(|| cannot(program, error)),
        ),
    }
}

fn cwd_problem(cwd: &Path) -> Option<String> {
    let shown = cwd.display();
    match fs::metadata(cwd) {
        Err(error) => Some(cwd_error(cwd, &error)),
        Ok(found) if !found.is_dir() => Some(format!("its directory `{shown}` is not a directory")),
        Ok(_) if access(cwd, Access::EXEC_OK).is_err() => Some(format!("its directory `{shown}` may not be entered")),
        Ok(_) => None,
    }
}

pub(crate) fn cwd_error(cwd: &Path, error: &io::Error) -> String {
    format!("its directory `{}`: {error}", cwd.display())
}

fn file_problem(program: &Path, errno: Option<Errno>) -> Option<String> {
    let shown = program.display();
    match fs::metadata(program) {
        Err(error) => return Some(cannot(program, &error)),
        Ok(found) if found.is_dir() => return Some(format!("`{shown}` is a directory")),
        Ok(found) if !found.is_file() => return Some(format!("`{shown}` is not a regular file")),
        Ok(_) if access(program, Access::EXEC_OK).is_err() => return Some(not_executable(program)),
        Ok(_) => {}
    }
    match (interpreter(program), errno) {
        (Some(interpreter), _) => interpreter_problem(program, &interpreter),
        (None, Some(Errno::NOEXEC)) => {
            Some(format!("`{shown}` is not a program; hint: a script starts with a line such as #!/bin/sh"))
        }
        (None, Some(Errno::NOENT)) => {
            Some(format!("`{shown}` needs a loader that does not exist; hint: it was built for another system"))
        }
        _ => None,
    }
}

fn interpreter_problem(program: &Path, interpreter: &OsStr) -> Option<String> {
    let path = Path::new(interpreter);
    let problem = match fs::metadata(path) {
        _ if interpreter.as_bytes().ends_with(b"\r") => {
            "ends in a carriage return; hint: save the script with Unix line endings".to_owned()
        }
        Err(error) => format!("cannot be used: {error}"),
        Ok(_) if access(path, Access::EXEC_OK).is_err() => "is not executable".to_owned(),
        Ok(_) => return None,
    };
    let shown = interpreter.to_string_lossy();
    Some(format!("the interpreter `{}` in the first line of `{}` {problem}", shown.trim_end(), program.display()))
}

/// The program named after `#!`.
fn interpreter(program: &Path) -> Option<Box<OsStr>> {
    let mut line = Vec::new();
    let file = fs::File::open(program).ok()?;
    BufReader::new(file.take(MAX_FIRST_LINE)).read_until(b'\n', &mut line).ok()?;
    let named = line.strip_suffix(b"\n").unwrap_or(&line).strip_prefix(b"#!")?;
    let mut words = named.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.next().map(|word| OsStr::from_bytes(word).into())
}

fn not_executable(file: &Path) -> String {
    let shown = file.display();
    format!("`{shown}` is not executable; hint: chmod +x {shown}")
}

fn cannot(program: &Path, error: &io::Error) -> String {
    format!("`{}`: {error}", program.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn why(exit: AttemptExit) -> String {
        match exit {
            AttemptExit::NotExecutable(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn name_is_looked_up_in_path_of_the_handler() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        fs::create_dir_all(first.join("folder")).unwrap();
        fs::create_dir(&second).unwrap();
        file(&first, "tool", 0o644);
        let tool = file(&second, "tool", 0o755);
        let here = file(folder.path(), "here", 0o755);
        let search = std::env::join_paths([&first, &second]).unwrap();
        let found = |program: &str, search: &OsStr| find(program, search, folder.path());
        assert_eq!(found("tool", &search), Ok(tool.clone()));
        assert_eq!(found("tool", OsStr::new("first:second")), Ok(tool));
        assert_eq!(found("here", OsStr::new("first:")), Ok(here));
        assert_eq!(found("/a/b", &search), Ok(PathBuf::from("/a/b")));
        assert_eq!(found("bin/b", &search), Ok(folder.path().join("bin/b")));
        let missing = why(found("folder", &search).unwrap_err());
        assert!(missing.starts_with("`folder` was not found in the handler's PATH, "), "{missing}");
        let locked = why(found("tool", first.as_os_str()).unwrap_err());
        assert!(locked.ends_with(&format!("is not executable; hint: chmod +x {}", first.join("tool").display())));
        assert_eq!(why(found("", &search).unwrap_err()), "the command is empty");
    }

    #[test]
    fn only_temporary_errors_are_starved() {
        let explained = |errno: Errno| explain(&errno.into(), Path::new("/bin/sh"), Path::new("/"));
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY] {
            assert!(matches!(explained(errno), AttemptExit::Starved(_)), "{errno:?}");
        }
        for errno in
            [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC, Errno::NOTDIR, Errno::LOOP, Errno::TOOBIG, Errno::PERM]
        {
            assert!(matches!(explained(errno), AttemptExit::NotExecutable(_)), "{errno:?}");
        }
        assert!(why(explained(Errno::TOOBIG)).contains("longer than the system allows"));
    }
}
