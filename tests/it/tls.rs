//! HTTPS without a proxy: deliveries over TLS, certificates that are replaced, unusable or expired.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::support::{Event, Hookbox, Running, github, until};

const TLS: &str = "tls = { cert = \"cert.pem\", key = \"key.pem\" }";

/// Writes a new certificate for localhost. Returns a client that trusts only this one.
fn put_certificate(folder: &Path) -> ureq::Agent {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    let trusted = RootCerts::new_with_certs(&[Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(trusted).build();
    let config = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(10))).build().into()
}

/// Writes a certificate that is valid in these years.
fn put_certificate_of(folder: &Path, years: std::ops::Range<i32>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
}

/// Sends a new push over TLS. Fails if the client does not trust the server.
fn deliver(hookbox: &Running, client: &ureq::Agent) -> Result<Event, ureq::Error> {
    let push = github::push();
    let request = push.render();
    let mut post = client.post(format!("https://localhost:{}{}", hookbox.hooks().port(), request.path));
    for (name, value) in &request.headers {
        post = post.header(name, value);
    }
    assert_eq!(post.send(&request.body[..])?.status(), 200);
    Ok(Event { source: push.source.clone(), id: push.id })
}

#[test]
fn deliveries_over_tls_are_accepted_and_plain_ones_are_not() {
    let setup = Hookbox::new().server(TLS);
    let client = put_certificate(setup.folder());
    let hookbox = setup.start();
    let event = deliver(&hookbox, &client).unwrap();
    assert!(hookbox.inbox.state(&event.source, &event.id).is_some());
    let plain = hookbox.try_send(&github::push());
    assert!(!plain.is_ok_and(|reply| reply.status == 200), "nothing is accepted without TLS");
    assert!(hookbox.log().iter().any(|line| line.contains("hooks on https://")));
}

#[test]
fn replaced_certificate_is_served_without_a_restart() {
    let setup = Hookbox::new().server(TLS).allow_warning("certificate changed but not usable");
    let before = put_certificate(setup.folder());
    let hookbox = setup.start();
    deliver(&hookbox, &before).unwrap();
    let after = put_certificate(hookbox.folder());
    assert!(deliver(&hookbox, &before).is_ok(), "open connections are kept");
    until("the new certificate to be served", || deliver(&hookbox, &after).ok());
    until("the log line", || hookbox.log().iter().any(|line| line.contains("cert.pem replaced")).then_some(()));
}

#[test]
fn unusable_certificate_is_a_configuration_error() {
    let setup = Hookbox::new().server(TLS);
    put_certificate(setup.folder());
    fs::write(setup.folder().join("key.pem"), "").unwrap();
    setup.write();
    for verb in ["check", "serve"] {
        let done = setup.run(&[verb]);
        assert_eq!(done.status, Some(2), "{verb}: {done:?}");
        assert!(done.stderr.contains("`server.tls.cert`") && done.stderr.contains("key.pem"), "{done:?}");
    }
}

#[test]
fn switching_tls_off_needs_a_restart_and_new_files_do_not() {
    let setup = Hookbox::new().server(TLS).expect_warning("`server.tls` has changed");
    let before = put_certificate(setup.folder());
    let hookbox = setup.start();
    deliver(&hookbox, &before).unwrap();
    let path = hookbox.folder().join("hookbox.toml");
    let toml = fs::read_to_string(&path).unwrap();
    let other = hookbox.folder().join("other");
    fs::create_dir(&other).unwrap();
    let after = put_certificate(&other);
    fs::write(&path, toml.replace("\"cert.pem\"", "\"other/cert.pem\"").replace("\"key.pem\"", "\"other/key.pem\""))
        .unwrap();
    hookbox.signal(Signal::HUP);
    until("the other certificate to be served", || deliver(&hookbox, &after).ok());
    fs::write(&path, toml.replace(TLS, "")).unwrap();
    hookbox.signal(Signal::HUP);
    until("the log line", || hookbox.log().iter().any(|line| line.contains("`server.tls` has changed")).then_some(()));
    deliver(&hookbox, &after).unwrap();
}

#[test]
fn expired_certificate_is_served_with_a_warning() {
    let setup = Hookbox::new().server(TLS).expect_warning("has expired at 2020-01-01").expect_warning("is not valid");
    put_certificate_of(setup.folder(), 2019..2020);
    setup.write();
    let done = setup.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stdout.contains("warning: the certificate in") && done.stdout.contains("has expired"), "{done:?}");
    let json = setup.run(&["check", "--json"]).stdout;
    assert!(json.contains("\"expires_at\": 1577836800000"), "{json}");

    let hookbox = setup.start();
    let expiry = || {
        let text = hookbox.ask("GET", "/metrics", &[], "").text();
        let line = text.lines().find_map(|line| line.strip_prefix("hookbox_tls_certificate_expiry_seconds "));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(expiry(), 1_577_836_800);
    put_certificate_of(hookbox.folder(), 2990..2991);
    hookbox.ok(&["reload"]);
    until("the gauge to change", || (expiry() == 32_219_683_200).then_some(()));
    put_certificate_of(hookbox.folder(), 2020..2991);
    hookbox.ok(&["reload"]);
    until("the reload", || {
        (hookbox.log().iter().filter(|line| line.contains("configuration reloaded")).count() == 2).then_some(())
    });
    let output = hookbox.ok(&["check"]);
    assert!(output.contains("valid until 2991-01-01") && !output.contains("warning"), "{output}");
}
