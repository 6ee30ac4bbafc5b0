//! Packaged files exist, and use only existing verbs and settings.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Hookbox;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn package_assets_exist_or_are_built() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let script = read("scripts/package-deb");
    for asset in deb["assets"].as_array().unwrap() {
        let path = asset[0].as_str().unwrap();
        let stem = path.trim_end_matches('*').trim_end_matches('/');
        let made = path.starts_with("target/");
        assert!(made || root().join(stem).exists(), "{path}");
        assert!(!path.starts_with("target/package/") || script.contains("pages=target/package"), "{path}");
    }
    for unit in deb["systemd-units"].as_array().unwrap() {
        let folder = root().join(unit["unit-scripts"].as_str().unwrap());
        assert!(folder.join(format!("{}.service", unit["unit-name"].as_str().unwrap())).is_file());
    }
    for name in ["postinst", "postrm"] {
        assert!(read(&format!("contrib/debian/{name}")).contains("#DEBHELPER#"), "{name}");
    }
}

#[test]
fn packaged_configuration_is_valid_when_uncommented() {
    let packaged = read("contrib/debian/hookbox.toml").replace("/var/lib/hookbox/", "");
    let setting = |line: &str| line.starts_with("# [") || line.split_once(" = ").is_some_and(|(key, _)| key.len() < 12);
    let whole: Vec<_> =
        packaged.lines().map(|line| if setting(line) { line.trim_start_matches("# ") } else { line }).collect();
    let hookbox = Hookbox::new().environment("GITHUB_WEBHOOK_SECRET", "s").configured(&whole.join("\n"));
    crate::support::hookbox::install(hookbox.folder(), "deploy-on-push.sh", &crate::support::script::succeeds());
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stdout.contains("deploy"), "{done:?}");
}

#[test]
fn systemd_unit_uses_existing_verbs() {
    let unit = read("contrib/systemd/hookbox.service");
    let help = Hookbox::new().run(&["--help"]).stdout;
    let verbs: Vec<_> =
        unit.lines().filter_map(|line| line.split_once("=/usr/bin/hookbox ")).map(|(_, verb)| verb).collect();
    assert_eq!(verbs, ["check", "serve"]);
    assert!(verbs.iter().all(|verb| help.contains(verb)));
    assert!(unit.contains("Type=notify") && unit.contains("WatchdogSec="));
    let socket = read("contrib/systemd/hookbox.socket");
    assert!(socket.contains("FileDescriptorName=hooks"));
}
