//! `command` and `env`: a program that exists and can be executed, its arguments, and the variables it gets.

use std::path::Path;

use rustix::fs::{Access, access};

use crate::config::problem::{Problem, ReadContext};
use crate::config::reader::{TomlTable, TomlValue};

/// What `execvp` searches if PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
const ONE_ARGUMENT_EACH: &str =
    "a command is a list with one argument each, not a shell line: [\"program\", \"argument\"]";

/// Reads `command`, which will run in `cwd`.
pub fn read_command(table: &TomlTable<'_>, cwd: &Path) -> Option<Vec<String>> {
    let hint = "command = [\"handlers/deploy.sh\"]";
    let value = table.required("command", hint)?;
    let argument = |item: &TomlValue<'_>| match item.text()? {
        text if text.contains('\0') => Err(item.problem("contains a NUL character")),
        text => Ok(text.to_owned()),
    };
    let expected = "a list with one argument each, e.g. [\"handlers/deploy.sh\", \"--fast\"]";
    let mut command = table.list("command", expected, argument)?;
    let first = value.items().unwrap_or_default().into_iter().next();
    let Some((first, program)) = first.zip(command.first_mut()).filter(|(_, program)| !program.is_empty()) else {
        table.report("command", "names no program", hint);
        return None;
    };
    let located = locate(program, table.context, cwd).map_err(|(message, hint)| first.problem(message).hint(hint));
    *program = table.context.problems.ok(located)?;
    Some(command)
}

/// Reads `env`: names of environment variables.
pub fn variable_names(table: &TomlTable<'_>, expected: &str) -> Vec<String> {
    let name = |value: &TomlValue<'_>| -> Result<String, Problem> {
        match value.system_text()? {
            name if name.contains('=') => Err(value
                .problem(format!("{name:?} is not the name of a variable"))
                .hint("`env` lists names; their values come from hookbox's own environment")),
            name => Ok(name.to_owned()),
        }
    };
    table.list("env", expected, name).unwrap_or_default()
}

/// Finds a program as `execvp` does: a path if it has a slash, else a name in PATH. Returns a path as absolute, or what is
/// wrong and a hint.
fn locate(written: &str, context: &ReadContext<'_>, cwd: &Path) -> Result<String, (String, String)> {
    if !written.contains('/') {
        return search(written, context, cwd).map(|()| written.to_owned());
    }
    let program = context.absolute(written);
    let shown = program.display();
    let metadata = program.metadata().map_err(|error| {
        let hint = if written.contains(' ') { ONE_ARGUMENT_EACH } else { "relative paths start at this file's folder" };
        (format!("cannot run {shown}: {error}"), hint.to_owned())
    })?;
    if metadata.is_dir() {
        return Err((format!("{shown} is a folder"), "name the program in it".into()));
    }
    if access(&program, Access::EXEC_OK).is_err() {
        return Err((format!("{shown} is not executable"), format!("chmod +x {shown}")));
    }
    program.into_os_string().into_string().map_err(|_| {
        ("the path of this file's folder is not UTF-8".into(), "write the command with an absolute path".into())
    })
}

fn search(name: &str, context: &ReadContext<'_>, cwd: &Path) -> Result<(), (String, String)> {
    let path = (context.environment)("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let can_run = |folder: &str| {
        let program = cwd.join(folder).join(name);
        program.is_file() && access(&program, Access::EXEC_OK).is_ok()
    };
    if path.split(':').any(can_run) {
        return Ok(());
    }
    let hint = if name.contains(' ') {
        ONE_ARGUMENT_EACH.into()
    } else if context.absolute(name).is_file() {
        format!("a program in this file's folder is written with a slash: \"./{name}\"")
    } else {
        "install it, or write its whole path".into()
    };
    Err((format!("`{name}` is not in PATH"), hint))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::problem::{LineIndex, Problems};

    #[test]
    fn program_is_found_or_the_hint_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("bin")).unwrap();
        for (name, mode) in [("bin/good", 0o755), ("bin/plain", 0o644), ("local", 0o755)] {
            fs::write(root.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let absolute = root.join("bin/good").display().to_string();
        let path = format!("/nonexistent:{}/bin", root.display());
        let locate_with = |written: &str, path: Option<&String>| {
            let environment = |_: &str| path.cloned();
            let (lines, problems) = (LineIndex::new(""), Problems::default());
            locate(written, &ReadContext { lines, problems, folder: root, environment: &environment }, root)
        };
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
            match (locate_with(written, Some(&path)), result) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err((found, found_hint)), Err((message, hint))) => {
                    assert!(found.contains(message) && found_hint.contains(hint), "{found}: {found_hint}");
                }
                (found, expected) => panic!("{written}: {found:?}, not {expected:?}"),
            }
        }
        assert_eq!(locate_with("sh", None), Ok("sh".to_owned()), "without PATH the default one is searched");
    }
}
