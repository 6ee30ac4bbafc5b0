//! handlers/README.md is correct: its variables, its statuses, and its examples by hand and under hookbox.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::delivery::Delivery;
use crate::support::running::finish;
use crate::support::script::{records, succeeds};
use crate::support::{BINARY, Hookbox, github, hookbox};

const PAGE: &str = include_str!("../../handlers/README.md");

#[test]
fn environment_is_what_the_page_lists() {
    let hookbox = Hookbox::new()
        .environment("DATABASE_URL", "sqlite:here")
        .environment("HOME", "/")
        .environment("LANG", "C.UTF-8")
        .environment("TZ", "UTC")
        .environment("TMPDIR", "/tmp")
        .environment("SECRET_OF_HOOKBOX", "not for handlers")
        .handler_with("keep", "env = [\"DATABASE_URL\"]", records().then_succeeds())
        .start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let push = github::push().with_header("traceparent", trace).with_header("tracestate", "vendor=1");
    let event = hookbox.deliver(push);
    hookbox.wait_for(&event, "succeeded");
    let (_, environment) = hookbox.record("keep", &event, 1);
    assert!(environment.contains(&format!("TRACEPARENT={trace}")), "{environment:?}");
    assert!(environment.contains(&"TRACESTATE=vendor=1".to_owned()), "{environment:?}");
    // Added by the shell that runs the script.
    let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    let given: BTreeSet<&str> = environment
        .iter()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .filter(|name| !of_the_shell.contains(name))
        .collect();
    let listed = rows("| variable | holds |").into_iter().flat_map(|row| names_in(row.split('|').nth(1).unwrap()));
    let expected: BTreeSet<&str> = listed.filter(|name| *name != "env").chain(["DATABASE_URL"]).collect();
    assert_eq!(given, expected);
}

#[test]
fn page_lists_the_statuses_of_the_schema() {
    let listed: BTreeSet<&str> =
        rows("| how it ends | ending |").into_iter().flat_map(|row| names_in(row.split('|').nth(2).unwrap())).collect();
    let schema = include_str!("../../schema.sql");
    let check = schema.split("CHECK (status IN (").nth(1).unwrap().split("))").next().unwrap();
    let allowed: BTreeSet<&str> = check.split('\'').skip(1).step_by(2).collect();
    assert_eq!(listed, allowed);
}

#[test]
fn each_example_is_listed_and_runs_as_it_says() {
    let mut seen = 0;
    for file in examples() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(PAGE.contains(&format!("| [{name}]({name}) |")), "{name} is not on the page");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o111, 0o111, "{name}");
        let text = fs::read_to_string(&file).unwrap();
        if text.contains("mode = \"http\"") {
            // It is a server: `http_mode.rs` runs it.
            seen += 1;
            continue;
        }
        let begins = ["hookbox send --print", "echo '{\"id\":1,"];
        let by_hand = text.lines().find_map(|line| begins.iter().find_map(|begin| Some(&line[line.find(begin)?..])));
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(BINARY, bin.join("hookbox")).unwrap();
        std::os::unix::fs::symlink(file.parent().unwrap(), folder.path().join("handlers")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut sh = Command::new("sh");
        sh.args(["-c", by_hand.expect("a comment with the command to run it by hand")]);
        let done = finish(sh.current_dir(&folder).env_clear().env("PATH", path).stdin(Stdio::null()));
        assert_eq!(done.status, Some(0), "{name}: {done:?}");
        assert!(!done.stdout.is_empty(), "{name} printed nothing: {done:?}");
        seen += 1;
    }
    assert!(seen >= 3, "sh, Python and JavaScript");
}

#[test]
fn configuration_on_the_page_runs_the_examples() {
    let handlers = PAGE.rsplit("```toml\n").next().unwrap().split("```").next().unwrap();
    let sources = "[sources.github]\nprovider = \"github\"\nsecret = \"github-secret-of-the-tests\"\n\
                   [sources.stripe]\nprovider = \"stripe\"\nsecret = \"stripe-secret-of-the-tests\"\n";
    let addresses = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let hookbox = Hookbox::new()
        .environment("DEPLOY_COMMAND", "echo \"$BRANCH $COMMIT\" > deployed")
        .configured(&format!("{addresses}{sources}{handlers}"));
    for file in examples() {
        fs::copy(&file, hookbox.folder().join("handlers").join(file.file_name().unwrap())).unwrap();
    }
    let hookbox = hookbox.start();
    let commit = "d6fde92930d4715a2b49857d24b940956b26d2d3";
    let push = github::push().with_body(format!(r#"{{"ref":"refs/heads/main","after":"{commit}"}}"#));
    let body = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1","customer":"cus_1"}}}"#;
    for delivery in [push, Delivery::from("stripe").with_id("evt_1").with_body(body)] {
        let event = hookbox.deliver(&delivery);
        hookbox.wait_for(&event, "succeeded");
        assert!(hookbox.inbox.jobs(&event.source, &event.id).iter().all(|job| job.state == "succeeded"));
    }
    assert_eq!(fs::read_to_string(hookbox.folder().join("deployed")).unwrap().trim(), format!("main {commit}"));
}

#[test]
fn small_configurations_on_the_page_are_accepted() {
    let greet = PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let source = "[sources.github]\nprovider = \"github\"\nsecret = \"s\"\n";
    let hookbox = Hookbox::new().configured(&format!("{source}{greet}"));
    hookbox::install(hookbox.folder(), "greet.sh", &succeeds());
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
}

/// The rows of the table with this heading.
fn rows(heading: &str) -> Vec<&'static str> {
    let table = PAGE.split(heading).nth(1).unwrap_or_else(|| panic!("no table {heading}"));
    table.lines().skip(2).take_while(|line| line.starts_with('|')).collect()
}

/// The texts between backticks.
fn names_in(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.is_file() && !file.ends_with("README.md")).collect()
}
