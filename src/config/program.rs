//! The program of a command: is it there, and may it be executed?
//!
//! What was written goes in; where it is comes out, or what is wrong and what to do. The same rules as `execvp`:
//! with a slash it is a path, without one it is looked up in PATH. Nothing is run.

use std::path::Path;

use rustix::fs::{Access, access};

use super::read::Surroundings;

/// What `execvp` searches when PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why a program cannot be run, and the next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) message: String,
    pub(super) hint: String,
}

/// `written` as it has to be given to the system: absolute where it has a slash. It will run in `cwd`.
pub(super) fn locate(written: &str, around: &Surroundings<'_>, cwd: &Path) -> Result<String, Missing> {
    if !written.contains('/') {
        return search(written, around, cwd).map(|()| written.to_owned());
    }
    let program = around.locate(written);
    let shown = program.display();
    let metadata = program.metadata().map_err(|error| Missing {
        message: format!("cannot run {shown}: {error}"),
        hint: if written.contains(' ') {
            one_argument_each()
        } else {
            "relative paths start at this file's folder".into()
        },
    })?;
    if metadata.is_dir() {
        return Err(Missing { message: format!("{shown} is a folder"), hint: "name the program in it".into() });
    }
    if access(&program, Access::EXEC_OK).is_err() {
        return Err(Missing { message: format!("{shown} is not executable"), hint: format!("chmod +x {shown}") });
    }
    program.into_os_string().into_string().map_err(|_| Missing {
        message: "the path of this file's folder is not UTF-8".into(),
        hint: "write the command with an absolute path".into(),
    })
}

fn search(name: &str, around: &Surroundings<'_>, cwd: &Path) -> Result<(), Missing> {
    let path = (around.environment)("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let runs = |place: &str| {
        let program = cwd.join(place).join(name);
        program.is_file() && access(&program, Access::EXEC_OK).is_ok()
    };
    if path.split(':').any(runs) {
        return Ok(());
    }
    let hint = if name.contains(' ') {
        one_argument_each()
    } else if around.locate(name).is_file() {
        format!("a program in this file's folder is written with a slash: \"./{name}\"")
    } else {
        "install it, or write the whole path".into()
    };
    Err(Missing { message: format!("`{name}` is not in PATH"), hint })
}

fn one_argument_each() -> String {
    "a command is a list with one argument each, not a shell line: [\"program\", \"argument\"]".into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_found_or_the_next_step_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("bin")).unwrap();
        for (name, mode) in [("bin/good", 0o755), ("bin/plain", 0o644), ("local", 0o755)] {
            fs::write(root.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let absolute = root.join("bin/good").display().to_string();
        let path = format!("/nonexistent:{}/bin", root.display());
        let around = Surroundings { folder: root, environment: &|_| Some(path.clone()) };
        for (written, result) in [
            ("good", Ok("good")),
            ("bin/good", Ok(absolute.as_str())),
            (absolute.as_str(), Ok(absolute.as_str())),
            ("plain", Err(("is not in PATH", "whole path"))),
            ("local", Err(("is not in PATH", "\"./local\""))),
            ("good -x", Err(("is not in PATH", "one argument each"))),
            ("bin/good -x", Err(("No such file", "one argument each"))),
            ("bin/none", Err(("No such file", "relative paths"))),
            ("./bin", Err(("is a folder", "program in it"))),
            ("bin/plain", Err(("is not executable", "chmod +x"))),
        ] {
            match (locate(written, &around, root), result) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err((message, hint))) => {
                    assert!(found.message.contains(message), "{found:?}");
                    assert!(found.hint.contains(hint), "{found:?}");
                }
                (found, expected) => panic!("{written}: {found:?}, not {expected:?}"),
            }
        }
        let around = Surroundings { folder: root, environment: &|_| None };
        assert_eq!(locate("sh", &around, root), Ok("sh".to_owned()), "without PATH the system's own is searched");
    }
}
