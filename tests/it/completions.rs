//! Completions and man pages come from the command line itself: they know every verb.

use std::process::{Command, Stdio};

use crate::support::running::finish;
use crate::support::{BINARY, Hookbox};

fn verbs() -> Vec<String> {
    let help = Hookbox::new().run(&["--help"]).stdout;
    let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let verbs = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    verbs.filter_map(|line| line.split_whitespace().next().map(String::from)).collect()
}

#[test]
fn every_verb_is_completed_in_every_shell() {
    let verbs = verbs();
    assert!(verbs.len() > 19 && verbs.iter().any(|verb| verb == "reverify"), "{verbs:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Hookbox::new().run(&["completions", shell]);
        assert_eq!((script.status, script.stderr.as_str()), (Some(0), ""), "{shell}");
        for verb in &verbs {
            assert!(script.stdout.contains(verb), "{shell}: {verb}");
        }
    }
    let unknown = Hookbox::new().run(&["completions", "csh"]);
    assert_eq!(unknown.status, Some(2), "{unknown:?}");
}

#[test]
fn bash_can_read_its_completions() {
    let done = finish(
        Command::new("bash")
            .args(["-c", "eval \"$(\"$1\" completions bash)\"; complete -p hookbox", "bash", BINARY])
            .stdin(Stdio::null()),
    );
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stdout.contains("_hookbox"), "{done:?}");
}

#[test]
fn every_verb_has_a_man_page() {
    let hookbox = Hookbox::new();
    let done = hookbox.run(&["man", "--folder", "man1"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    for verb in verbs() {
        let page = std::fs::read_to_string(hookbox.folder().join(format!("man1/hookbox-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains(&verb), "{verb}");
    }
    let page = hookbox.run(&["man"]).stdout;
    assert_eq!(page, std::fs::read_to_string(hookbox.folder().join("man1/hookbox.1")).unwrap());
    for section in ["DESCRIPTION", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES"] {
        assert!(page.contains(&format!(".SH {section}")), "{section}");
    }
}
