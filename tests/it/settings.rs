//! The configuration: all errors together, each with its line; a reload applies all of it or nothing.

use rustix::process::Signal;

use crate::support::delivery::{Delivery, secret_of};
use crate::support::hookbox::{handler_lines, install};
use crate::support::script::{sh, succeeds, waits_for};
use crate::support::wire::free_address;
use crate::support::{Event, Hookbox, Running, github, until};

const WRONG: &str = r#"[server]
listen = "127.0.0.1:0"
max_bodyy = "1MiB"
request_timeout = 10

[sources.github]
provider = "githup"
secret = "s"

[sources.stripe]
provider = "stripe"
secret = { env = "NOT_SET_ANYWHERE" }

[handlers.deploy]
sources = ["gitlab"]
command = ["handlers/no-such-file"]
timeout = "soon"
"#;

#[test]
fn all_configuration_errors_are_reported_with_their_lines() {
    let hookbox = Hookbox::new().configured(WRONG);
    let serve = hookbox.refuse_to_start();
    let check = hookbox.run(&["check"]);
    for done in [&serve, &check] {
        assert_eq!(done.status, Some(2), "{done:?}");
        let output = format!("{}{}", done.stdout, done.stderr);
        let expected = [
            (3, "max_bodyy"),
            (4, "server.request_timeout"),
            (7, "sources.github.provider"),
            (12, "sources.stripe.secret"),
            (15, "handlers.deploy.sources"),
            (16, "handlers.deploy.command"),
            (17, "handlers.deploy.timeout"),
        ];
        for (line, key) in expected {
            let is_reported = output.lines().any(|text| {
                text.starts_with("error: ") && text.contains(&format!("hookbox.toml:{line}:")) && text.contains(key)
            });
            assert!(is_reported, "line {line}, {key}, in:\n{output}");
        }
        assert_eq!(output.lines().filter(|line| line.starts_with("error: ")).count(), expected.len(), "{output}");
        assert!(output.contains("`NOT_SET_ANYWHERE`"), "{output}");
        assert!(output.lines().any(|line| line.starts_with("hint: ") && line.contains("github")), "{output}");
    }
    assert!(!hookbox.folder().join("hookbox.db").exists(), "nothing is created");
}

#[test]
fn missing_or_malformed_file_is_an_error() {
    let broken = Hookbox::new().configured("[server\nlisten = 1\n");
    let done = broken.refuse_to_start();
    assert_eq!(done.status, Some(2), "{done:?}");
    assert!(done.stderr.contains("hookbox.toml:1"), "{done:?}");
    let missing = Hookbox::new().run(&["serve"]);
    assert_eq!(missing.status, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("hookbox.toml") && missing.stderr.contains("hint:"), "{missing:?}");
}

#[test]
fn commands_work_although_the_file_has_a_mistake() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let (admin, port) = (hookbox.admin().to_string(), hookbox.admin().port());
    let (line, exposed) = (format!("listen = \"{admin}\""), format!("listen = \"0.0.0.0:{port}\""));
    hookbox.rewrite(|text| match text.contains(&line) {
        true => text.replace(&line, &exposed),
        false => text.replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\n{exposed}")),
    });
    let check = hookbox.run(&["check"]);
    assert!(check.status == Some(2) && check.stderr.contains("`admin.token`: is missing, and 0.0.0.0"), "{check:?}");
    for verb in [&["events"][..], &["status"], &["retry", "--all"], &["health"], &["explain", "1"]] {
        let done = hookbox.run(verb);
        let expected = if verb[0] == "explain" { 1 } else { 0 };
        assert_eq!(done.status, Some(expected), "{verb:?}: {done:?}");
    }
    hookbox.rewrite(|text| text.replace(&exposed, "listen = \"here\""));
    hookbox.ok(&["status"]);
    assert_eq!(hookbox.run(&["health"]).status, Some(2), "the address is unknown");
    hookbox.rewrite(|text| format!("[server\n{text}"));
    let done = hookbox.run(&["health"]);
    assert!(done.status == Some(2) && done.stderr.contains("hookbox.toml:1"), "{done:?}");
    assert!(done.stderr.contains("hint: `hookbox health --url "), "{done:?}");
    assert_eq!(hookbox.ok(&["health", "--url", &format!("http://{admin}/")]).trim(), "ready");
    assert_eq!(hookbox.run(&["health", "--url", &admin]).status, Some(2));
}

#[test]
fn check_reports_a_missing_inbox_folder() {
    let hookbox = Hookbox::new().inbox("path = \"nodir/x.db\"");
    hookbox.write();
    for done in [hookbox.run(&["check"]), hookbox.refuse_to_start()] {
        assert_eq!(done.status, Some(2), "{done:?}");
        assert!(done.stderr.contains("`inbox.path`: the inbox's folder, ") && done.stderr.contains("does not exist"));
        assert!(done.stderr.contains("hint: create it"), "{done:?}");
    }
    std::fs::create_dir(hookbox.folder().join("nodir")).unwrap();
    assert_eq!(hookbox.run(&["check"]).status, Some(0));
    assert!(!hookbox.folder().join("nodir/x.db").exists(), "check creates nothing");
}

#[test]
fn check_warns_of_a_guessable_secret() {
    for (secret, is_warned) in [("short", true), ("a secret that is long", false)] {
        let hookbox = Hookbox::new().source("own", &format!("provider = \"github\"\nsecret = \"{secret}\""));
        hookbox.write();
        let done = hookbox.run(&["check"]);
        let warned = done.stdout.lines().any(|line| line.starts_with("own: ") && line.contains("brute force"));
        assert_eq!((done.status, warned), (Some(0), is_warned), "{done:?}");
    }
}

#[test]
fn check_accepts_what_serve_accepts() {
    let hookbox = Hookbox::new().handler("deploy", succeeds());
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stdout.contains("deploy"), "it lists the handlers: {done:?}");
}

#[test]
fn example_configuration_is_accepted() {
    let text = include_str!("../../hookbox.example.toml");
    let hookbox = Hookbox::new()
        .environment("GITHUB_WEBHOOK_SECRET", "s")
        .environment("APP_WEBHOOK_SECRET", "s")
        .configured(text);
    install(hookbox.folder(), "deploy-on-push.sh", &succeeds());
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
}

#[test]
fn init_writes_a_configuration_that_serve_accepts() {
    let hookbox = Hookbox::new().environment("GITHUB_WEBHOOK_SECRET", "s").environment("STRIPE_WEBHOOK_SECRET", "s");
    let done = hookbox.run(&["init", "github", "stripe"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let check = hookbox.run(&["check"]);
    assert_eq!(check.status, Some(0), "{check:?}");
    let text = std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap();
    assert!(text.contains("env = \"GITHUB_WEBHOOK_SECRET\""), "{text}");
    let again = hookbox.run(&["init", "github"]);
    assert_ne!(again.status, Some(0), "init overwrites nothing");
    assert_eq!(std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap(), text);
}

#[test]
fn hup_and_reload_add_a_handler_and_a_source() {
    for by_verb in [false, true] {
        let hookbox = Hookbox::new().source("stripe", "provider = \"gitlab\"\nsecret = \"t\"").start();
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "unmatched");
        install(hookbox.folder(), "deploy", &succeeds());
        hookbox.rewrite(|text| {
            let source = "[sources.later]\nprovider = \"github\"\nsecret = \"later\"\n";
            format!("{text}\n{source}\n[handlers.deploy]\n{}\n", handler_lines("deploy", ""))
        });
        if by_verb {
            hookbox.ok(&["reload"]);
        } else {
            hookbox.signal(Signal::HUP);
        }
        until("the new source to respond", || {
            let reply = hookbox.send(&github::push().to("later").with_secret("later"));
            (reply.status == 200).then_some(())
        });
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
        assert_eq!(hookbox.job(&event).handler, "deploy");
    }
}

#[test]
fn invalid_reload_changes_nothing_and_logs_why() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).expect_warning("no_such_key").start();
    hookbox.rewrite(|text| {
        format!("{}\n[sources.later]\nno_such_key = 1\n", text.replace("handlers.deploy", "handlers.other"))
    });
    hookbox.signal(Signal::HUP);
    hookbox.wait_for_log("no_such_key");
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.job(&event).handler, "deploy");
}

#[test]
fn reload_reports_its_result() {
    let address = free_address();
    let hookbox =
        Hookbox::new().admin(&format!("listen = \"{address}\"")).expect_warning("configuration not reloaded").start();
    let original = std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap();
    hookbox.rewrite(|text| format!("no_such_key = 1\n{text}"));
    let refused = hookbox.run(&["reload"]);
    assert!(matches!(refused.status, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("no_such_key"), "{refused:?}");
    hookbox.rewrite(|_| original);
    hookbox.ok(&["reload"]);
}

#[test]
fn reload_rejects_settings_that_need_a_restart() {
    for (old, new, key) in [
        ("[server]\nlisten = \"127.0.0.1:0\"", "[server]\nlisten = \"127.0.0.1:1\"", "server.listen"),
        ("[inbox]\n", "[inbox]\npath = \"other.db\"\n", "inbox.path"),
    ] {
        let hookbox = Hookbox::new().expect_warning("requires a restart").start();
        hookbox.rewrite(|text| {
            assert!(text.contains(old), "{text}");
            text.replace(old, new)
        });
        hookbox.signal(Signal::HUP);
        hookbox.wait_for_log(key);
        hookbox.deliver(github::push());
    }
}

#[test]
fn jobs_of_a_removed_handler_stay_pending_and_are_shown() {
    let hourly = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;
    let mut hookbox = Hookbox::new().handler_with("deploy", hourly, sh("exit 1")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    until("the first attempt to finish", || (hookbox.attempts(&event) == ["exit 1"]).then_some(()));
    assert!(hookbox.stop().success());
    let original = std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap();
    hookbox.rewrite(|text| text.replace("[handlers.deploy]", "[handlers.renamed]"));
    hookbox.start_again();
    hookbox.ok(&["retry", &event.id]);
    let status = hookbox.ok(&["status"]);
    assert!(status.contains("deploy"), "{status}");
    assert_eq!(hookbox.job(&event).state, "pending");
    hookbox.install("deploy", &succeeds());
    hookbox.rewrite(|_| original);
    hookbox.signal(Signal::HUP);
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn running_attempt_keeps_its_settings() {
    let hookbox = Hookbox::new().handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    hookbox.rewrite(|text| format!("{text}timeout = \"1ms\"\n"));
    reload(&hookbox);
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
}

#[test]
fn attempt_of_a_removed_handler_completes_normally() {
    let hookbox = Hookbox::new().handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    hookbox.rewrite(|text| text.split("[handlers.deploy]").next().unwrap().to_owned());
    reload(&hookbox);
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn reload_changes_the_concurrency() {
    let gated = waits_for("$HOOKBOX_EVENT_ID").then_succeeds();
    let hookbox = Hookbox::new().dispatch("workers = 1").handler_with("deploy", "concurrency = 1", gated).start();
    let events: Vec<Event> = (0..4).map(|_| hookbox.deliver(github::push())).collect();
    hookbox.wait_for(&events[0], "running");
    hookbox.rewrite(|text| text.replace("workers = 1", "workers = 3").replace("concurrency = 1", "concurrency = 3"));
    reload(&hookbox);
    events[..3].iter().for_each(|event| hookbox.wait_for(event, "running"));
    events.iter().for_each(|event| hookbox.open_gate(&event.id));
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
}

#[test]
fn reload_invalidates_the_replaced_secret() {
    let hookbox = Hookbox::new().start();
    hookbox.deliver(github::push());
    let old = secret_of("github");
    hookbox.rewrite(|text| text.replace(&old, "the-new-secret"));
    reload(&hookbox);
    assert_eq!(hookbox.send(&github::push()).status, 401);
    hookbox.deliver(github::push().with_secret("the-new-secret"));
}

/// Reloads, and waits until a source that the reload adds responds.
fn reload(hookbox: &Running) {
    hookbox.rewrite(|text| format!("{text}\n[sources.marker]\nprovider = \"gitlab\"\nsecret = \"marker\"\n"));
    hookbox.signal(Signal::HUP);
    until("the reload", || {
        let reply = hookbox.send(&Delivery::from("gitlab").to("marker").with_secret("not the marker"));
        (reply.status == 401).then_some(())
    });
}
