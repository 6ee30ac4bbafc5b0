//! The README is correct: its marked blocks run in order in one folder, and its list of verbs is complete.
//!
//! `<!-- test -->` before a block of sh runs it, `<!-- test: background -->` leaves it running and waits until hookbox is
//! healthy, `<!-- test: config -->` before a block of toml has `check` read it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::running::{Done, finish};
use crate::support::script::succeeds;
use crate::support::wire::free_address;
use crate::support::{BINARY, Hookbox, hookbox};

const README: &str = include_str!("../../README.md");

/// A code block and its marker.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    mark: String,
    text: String,
}

#[test]
fn readme_blocks_run_in_order() {
    let done = run(&blocks(README));
    assert_eq!(done.status, Some(0), "{}\n{}", done.stdout, done.stderr);
    for shown in ["turned away, as it should be", "push", "accepted"] {
        assert!(done.stdout.contains(shown), "{shown:?} is not shown:\n{}\n{}", done.stdout, done.stderr);
    }
}

#[test]
fn failing_block_is_detected() {
    let failing = "<!-- test -->\n```sh\nhookbox providers\nhookbox no-such-verb\necho never\n```\n";
    let done = run(&blocks(failing));
    assert_ne!(done.status, Some(0));
    assert!(!done.stdout.contains("never"));
}

#[test]
fn readme_configuration_is_valid() {
    let configurations: Vec<Block> = blocks(README).into_iter().filter(|block| block.mark == "config").collect();
    assert_eq!(configurations.len(), 1);
    for block in configurations {
        let hookbox = Hookbox::new().environment("GITHUB_WEBHOOK_SECRET", "s").configured(&block.text);
        hookbox::install(hookbox.folder(), "deploy-on-push.sh", &succeeds());
        hookbox.write();
        let done = hookbox.run(&["check"]);
        assert_eq!(done.status, Some(0), "{done:?}");
    }
}

#[test]
fn readme_lists_every_verb() {
    let table = README.split("| verb | does |").nth(1).unwrap().lines().skip(2);
    let rows = table.take_while(|line| line.starts_with("| `"));
    let told: BTreeSet<&str> = rows.map(|line| line.split('`').nth(1).unwrap()).collect();
    let help = Hookbox::new().run(&["--help"]).stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.trim().is_empty());
    let there: BTreeSet<&str> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert_eq!(told, there);
}

#[test]
fn readme_links_exist() {
    let links: Vec<&str> = README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.len() > 3);
    for link in links.into_iter().filter(|link| !link.starts_with("http")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{link}");
    }
}

/// Returns the marked blocks in order.
fn blocks(page: &str) -> Vec<Block> {
    let marked = page.split("<!-- test").skip(1).map(|rest| {
        let (mark, rest) = rest.split_once("-->\n```").expect("a mark is right before its block");
        let body = rest.split_once('\n').expect("a block has lines").1;
        let text = body.split("\n```").next().expect("a block ends").to_owned();
        Block { mark: mark.trim_matches([':', ' ']).to_owned(), text: format!("{text}\n") }
    });
    marked.collect()
}

/// Runs blocks of sh as one script, with hookbox on the PATH and its default ports moved to free ones.
fn run(blocks: &[Block]) -> Done {
    let folder = tempfile::Builder::new().prefix("hookbox-readme-").tempdir().unwrap();
    let (bin, work) = (folder.path().join("bin"), folder.path().join("work"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&work).unwrap();
    write_program(&bin.join("hookbox"), &moved_ports());
    let script = folder.path().join("script");
    write_program(&script, &as_script(blocks));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    finish(Command::new(script).current_dir(&work).env_clear().env("PATH", path).stdin(Stdio::null()))
}

fn as_script(blocks: &[Block]) -> String {
    let mut script = "#!/bin/sh\nset -eu\ntrap 'kill $served 2>/dev/null; wait' EXIT\nserved=\n".to_owned();
    for block in blocks {
        match block.mark.as_str() {
            "" => script.push_str(&block.text),
            "background" => {
                let alive = "kill -0 $served || exit 1";
                let command = block.text.trim();
                script.push_str(&format!(
                    "{command} >&2 &\nserved=$!\nuntil hookbox health >/dev/null 2>&1; do {alive}; done\n"
                ));
            }
            "config" => {}
            other => panic!("unknown block marker {other:?}"),
        }
    }
    script
}

/// A wrapper around hookbox: makes the configuration that `init` writes listen on free ports.
fn moved_ports() -> String {
    let (hooks, admin) = (free_address(), free_address());
    let sections = format!("\\n[server]\\nlisten = \"{hooks}\"\\n[admin]\\nlisten = \"{admin}\"\\n");
    format!(
        "#!/bin/sh\n[ \"$1\" = init ] || exec '{BINARY}' \"$@\"\n'{BINARY}' \"$@\" || exit\n\
         if grep -q '^listen = ' hookbox.toml; then\n\
         sed -i 's/127.0.0.1:8080/{hooks}/; s/127.0.0.1:8081/{admin}/' hookbox.toml\n\
         else\nprintf '{sections}' >> hookbox.toml\nfi\n"
    )
}

fn write_program(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn readme_lists_json_keys_of_check_and_status() {
    let hookbox = Hookbox::new().start();
    let paragraph = README.split("`check --json` prints one object: ").nth(1).expect("the README tells the keys");
    let (check, rest) = paragraph.split_once(';').unwrap();
    let status = rest.split("`status --json` likewise: ").nth(1).unwrap().split('.').next().unwrap();
    for (verb, told) in [("check", check), ("status", status)] {
        let keys: BTreeSet<_> = told.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        let printed = hookbox.json(&[verb]);
        assert_eq!(printed.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), keys, "{verb}");
        for (rows, key) in [("sources", "source"), ("handlers", "handler")] {
            let rows = printed[rows].as_array().unwrap();
            assert!(rows.iter().all(|row| row[key].is_string() && row["name"].is_null()), "{verb}: {rows:?}");
        }
    }
}
