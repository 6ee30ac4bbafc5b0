//! `providers keygen`: its files and output are enough to serve a source and to send deliveries to it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::running::Done;
use crate::support::{Hookbox, Running};

#[test]
fn key_pair_of_a_provider_verifies_and_signs() {
    for name in ["discord-webhook-events", "telnyx", "sendgrid", "kick", "fal-ai", "aws-sns", "paypal", "ebay", "plaid"]
    {
        keygen_and_send(name, name, true);
    }
}

#[test]
fn secret_of_a_provider_verifies_and_signs() {
    for name in ["netlify", "livekit", "github", "svix"] {
        keygen_and_send(name, name, false);
    }
}

#[test]
fn keys_for_an_algorithm_come_with_a_custom_source() {
    for (algorithm, name) in [("ES256", "es256"), ("EdDSA", "eddsa"), ("ed25519", "ed25519")] {
        keygen_and_send(algorithm, name, true);
    }
    keygen_and_send("hmac-sha512", "hmac-sha512", false);
}

/// Generates keys, adds the printed lines to the configuration, serves and sends.
fn keygen_and_send(of: &str, name: &str, is_pair: bool) {
    let hookbox = Hookbox::new();
    let done = hookbox.run(&["providers", "keygen", of, "--out", "keys"]);
    assert_eq!(done.status, Some(0), "{of}: {}", done.stderr);
    let keys = hookbox.folder().join("keys");
    let mode = |file: &str| fs::metadata(keys.join(file)).unwrap().permissions().mode() & 0o777;
    let (private, key) = match is_pair {
        true => (format!("{name}.private.pem"), vec![format!("keys/{name}.private.pem")]),
        false => (format!("{name}.secret"), Vec::new()),
    };
    assert_eq!(mode(&private), 0o600, "{of}");
    let text = fs::read_to_string(keys.join(&private)).unwrap();
    assert!(
        !done.stdout.contains(text.trim()) && !done.stderr.contains(text.trim()),
        "{of}: the private key was printed"
    );
    let lines = done.stdout.trim_start().strip_prefix(&format!("[sources.{name}]\n")).unwrap();
    assert!(lines.contains(&format!("{{ file = \"keys/{name}.")), "{lines}");
    let hookbox = hookbox.source(name, lines).start();
    let send = |further: &[&str]| {
        let key: Vec<&str> = key.iter().flat_map(|file| ["--key", file.as_str()]).collect();
        send(&hookbox, &[&["send", name, "--type", "test"], &key[..], further].concat())
    };
    let genuine = send(&[]);
    assert_eq!(genuine.status, Some(0), "{of}: {}{}", genuine.stdout, genuine.stderr);
    assert!(["200 ", "204 "].iter().any(|status| genuine.stdout.starts_with(status)), "{of}: {}", genuine.stdout);
    let forged = send(&["--forge"]);
    assert_eq!(forged.status, Some(1), "{of}: {}{}", forged.stdout, forged.stderr);
    assert!(forged.stdout.starts_with("401 "), "{of}: {}", forged.stdout);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 1, "{of}");
}

fn send(hookbox: &Running, arguments: &[&str]) -> Done {
    let url = format!("http://{}", hookbox.hooks());
    hookbox.run(&[arguments, &["--url", &url]].concat())
}

#[test]
fn existing_files_are_never_overwritten() {
    let hookbox = Hookbox::new();
    let keygen = || hookbox.run(&["providers", "keygen", "telnyx"]);
    assert_eq!(keygen().status, Some(0));
    let file = hookbox.folder().join("telnyx.private.pem");
    let before = fs::read(&file).unwrap();
    let again = keygen();
    assert_eq!(again.status, Some(1));
    assert!(again.stderr.contains("already exists; nothing was written"), "{}", again.stderr);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();
    assert_eq!(keygen().status, Some(1), "one file of the pair still exists");
    assert!(!file.exists());
}

#[test]
fn unknown_and_unsupported_names_are_reported() {
    let hookbox = Hookbox::new();
    for (of, expected) in [
        ("sendgird", "did you mean `sendgrid`?"),
        ("contentful", "is not supported yet"),
        ("../x", "there is no provider or algorithm"),
    ] {
        let done = hookbox.run(&["providers", "keygen", of]);
        assert_eq!(done.status, Some(2), "{of}");
        assert!(done.stderr.contains(expected), "{of}: {}", done.stderr);
    }
    let provider = hookbox.run(&["providers", "keygen"]);
    assert!(provider.stdout.starts_with("keygen\n  provider    Keygen"), "{}", provider.stdout);
    assert!(provider.stderr.contains("hookbox providers keygen PROVIDER"), "{}", provider.stderr);
}

#[test]
fn send_reports_a_missing_wrong_or_useless_key() {
    let hookbox = Hookbox::new();
    let done = hookbox.run(&["providers", "keygen", "telnyx"]);
    let lines = done.stdout.split_once("]\n").unwrap().1.to_owned();
    let hookbox = hookbox.source("telnyx", &lines);
    hookbox.write();
    let without = hookbox.run(&["send", "telnyx", "--type", "test"]);
    assert_eq!(without.status, Some(2));
    assert!(without.stderr.contains("hint: `hookbox providers keygen telnyx`"), "{}", without.stderr);
    let public = hookbox.run(&["send", "telnyx", "--type", "test", "--key", "telnyx.public.txt"]);
    assert_eq!(public.status, Some(2));
    assert!(public.stderr.contains("is not PKCS #8 in PEM"), "{}", public.stderr);
    let useless = hookbox.run(&["send", "github", "--type", "push", "--key", "telnyx.private.pem"]);
    assert_eq!(useless.status, Some(2));
    assert!(useless.stderr.contains("--key does not apply"), "{}", useless.stderr);
    assert_eq!(hookbox.run(&["send", "--print", "sendgrid", "--type", "test"]).status, Some(0));
}

#[test]
fn send_reports_a_missing_or_useless_type() {
    let hookbox = Hookbox::new();
    hookbox.write();
    let useless = hookbox.run(&["send", "--print", "messagebird", "--type", "test"]);
    assert_eq!(useless.status, Some(2));
    assert!(useless.stderr.contains("(messagebird) have no type\nhint: remove --type"), "{}", useless.stderr);
    assert_eq!(hookbox.run(&["send", "--print", "messagebird"]).status, Some(0));
    let missing = hookbox.run(&["send", "--print", "stripe"]);
    assert_eq!(missing.status, Some(2));
    assert!(missing.stderr.contains("needs --type"), "{}", missing.stderr);
}
