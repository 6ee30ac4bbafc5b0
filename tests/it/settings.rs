//! The configuration: all its errors at once, each with its line; read again on HUP, all of it or none.

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
fn every_error_of_the_configuration_is_told_at_once_with_its_line() {
    let hookbox = Hookbox::new().configured(WRONG);
    let serve = hookbox.refuse_to_start();
    let check = hookbox.run(&["check"]);
    for done in [&serve, &check] {
        assert_eq!(done.status, Some(2), "{done:?}");
        let told = format!("{}{}", done.stdout, done.stderr);
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
            let named = told.lines().any(|text| {
                text.starts_with("error: ") && text.contains(&format!("hookbox.toml:{line}:")) && text.contains(key)
            });
            assert!(named, "line {line}, {key}, in:\n{told}");
        }
        assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), expected.len(), "{told}");
        assert!(told.contains("`NOT_SET_ANYWHERE`"), "{told}");
        assert!(told.lines().any(|line| line.starts_with("hint: ") && line.contains("github")), "{told}");
    }
    assert!(!hookbox.folder().join("hookbox.db").exists(), "nothing is made of a configuration that is wrong");
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_refused() {
    let broken = Hookbox::new().configured("[server\nlisten = 1\n");
    let done = broken.refuse_to_start();
    assert_eq!(done.status, Some(2), "{done:?}");
    assert!(done.stderr.contains("hookbox.toml:1"), "{done:?}");
    let missing = Hookbox::new().run(&["serve"]);
    assert_eq!(missing.status, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("hookbox.toml") && missing.stderr.contains("hint:"), "{missing:?}");
}

#[test]
fn a_mistake_made_since_takes_no_verb_away_from_a_healthy_hookbox() {
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
    assert_eq!(hookbox.run(&["health"]).status, Some(2), "nobody knows where to ask");
    hookbox.rewrite(|text| format!("[server\n{text}"));
    let done = hookbox.run(&["health"]);
    assert!(done.status == Some(2) && done.stderr.contains("hookbox.toml:1"), "{done:?}");
    assert!(done.stderr.contains("hint: `hookbox health --url "), "{done:?}");
    assert_eq!(hookbox.ok(&["health", "--url", &format!("http://{admin}/")]).trim(), "ready");
    assert_eq!(hookbox.run(&["health", "--url", &admin]).status, Some(2));
}

#[test]
fn check_refuses_a_folder_of_the_inbox_that_is_not_there() {
    let hookbox = Hookbox::new().inbox("path = \"nodir/x.db\"");
    hookbox.write();
    for done in [hookbox.run(&["check"]), hookbox.refuse_to_start()] {
        assert_eq!(done.status, Some(2), "{done:?}");
        assert!(done.stderr.contains("`inbox.path`: the inbox's folder, ") && done.stderr.contains("does not exist"));
        assert!(done.stderr.contains("hint: make it"), "{done:?}");
    }
    std::fs::create_dir(hookbox.folder().join("nodir")).unwrap();
    assert_eq!(hookbox.run(&["check"]).status, Some(0));
    assert!(!hookbox.folder().join("nodir/x.db").exists(), "it makes nothing");
}

#[test]
fn check_tells_of_a_secret_that_can_be_guessed() {
    for (secret, is_told) in [("short", true), ("a secret that is long", false)] {
        let hookbox = Hookbox::new().source("own", &format!("provider = \"github\"\nsecret = \"{secret}\""));
        hookbox.write();
        let done = hookbox.run(&["check"]);
        let told = done.stdout.lines().any(|line| line.starts_with("own: ") && line.contains("guessable"));
        assert_eq!((done.status, told), (Some(0), is_told), "{done:?}");
    }
}

#[test]
fn check_accepts_what_serve_accepts() {
    let hookbox = Hookbox::new().handler("deploy", succeeds());
    hookbox.write();
    let done = hookbox.run(&["check"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stdout.contains("deploy"), "it says what runs: {done:?}");
}

#[test]
fn the_example_configuration_is_accepted() {
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
    assert_ne!(again.status, Some(0), "it overwrites nothing");
    assert_eq!(std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap(), text);
}

#[test]
fn hup_and_reload_take_in_a_new_handler_and_a_new_source() {
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
        until("the new source to answer", || {
            let reply = hookbox.send(&github::push().to("later").with_secret("later"));
            (reply.status == 200).then_some(())
        });
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
        assert_eq!(hookbox.job(&event).handler, "deploy");
    }
}

#[test]
fn a_reload_that_is_wrong_changes_nothing_and_says_why() {
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
fn the_verb_reload_says_what_came_of_it() {
    let address = free_address();
    let hookbox = Hookbox::new().admin(&format!("listen = \"{address}\"")).expect_warning("changes nothing").start();
    let kept = std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap();
    hookbox.rewrite(|text| format!("no_such_key = 1\n{text}"));
    let refused = hookbox.run(&["reload"]);
    assert!(matches!(refused.status, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("no_such_key"), "{refused:?}");
    hookbox.rewrite(|_| kept);
    hookbox.ok(&["reload"]);
}

#[test]
fn what_cannot_change_while_serving_is_refused_by_name() {
    for (old, new, key) in [
        ("[server]\nlisten = \"127.0.0.1:0\"", "[server]\nlisten = \"127.0.0.1:1\"", "server.listen"),
        ("[inbox]\n", "[inbox]\npath = \"other.db\"\n", "inbox.path"),
    ] {
        let hookbox = Hookbox::new().expect_warning("takes a restart").start();
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
fn jobs_of_a_handler_that_is_gone_stay_pending_and_are_shown() {
    let hourly = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;
    let mut hookbox = Hookbox::new().handler_with("deploy", hourly, sh("exit 1")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    until("the first attempt to end", || (hookbox.attempts(&event) == ["exit 1"]).then_some(()));
    assert!(hookbox.stop().success());
    let kept = std::fs::read_to_string(hookbox.folder().join("hookbox.toml")).unwrap();
    hookbox.rewrite(|text| text.replace("[handlers.deploy]", "[handlers.renamed]"));
    hookbox.start_again();
    hookbox.ok(&["retry", &event.id]);
    let status = hookbox.ok(&["status"]);
    assert!(status.contains("deploy"), "{status}");
    assert_eq!(hookbox.job(&event).state, "pending");
    hookbox.install("deploy", &succeeds());
    hookbox.rewrite(|_| kept);
    hookbox.signal(Signal::HUP);
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn a_running_attempt_keeps_the_settings_it_started_with() {
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
fn an_attempt_of_a_handler_that_a_reload_removes_ends_as_it_would_have() {
    let hookbox = Hookbox::new().handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    hookbox.rewrite(|text| text.split("[handlers.deploy]").next().unwrap().to_owned());
    reload(&hookbox);
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn a_reload_changes_how_many_attempts_run_at_once() {
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
fn a_secret_that_a_reload_replaces_is_no_longer_believed() {
    let hookbox = Hookbox::new().start();
    hookbox.deliver(github::push());
    let old = secret_of("github");
    hookbox.rewrite(|text| text.replace(&old, "the-new-secret"));
    reload(&hookbox);
    assert_eq!(hookbox.send(&github::push()).status, 401);
    hookbox.deliver(github::push().with_secret("the-new-secret"));
}

/// Reloads, and waits until a source that is new with it answers.
fn reload(hookbox: &Running) {
    hookbox.rewrite(|text| format!("{text}\n[sources.marker]\nprovider = \"gitlab\"\nsecret = \"marker\"\n"));
    hookbox.signal(Signal::HUP);
    until("the reload", || {
        let reply = hookbox.send(&Delivery::from("gitlab").to("marker").with_secret("not the marker"));
        (reply.status == 401).then_some(())
    });
}
