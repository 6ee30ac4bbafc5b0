//! Routing of events to handlers, and the independence of handlers.

use crate::support::delivery::Delivery;
use crate::support::script::{fails, sh, succeeds, waits_for};
use crate::support::{Hookbox, github, until};

#[test]
fn failing_handler_does_not_repeat_others() {
    let hookbox = Hookbox::new()
        .handler("fine", succeeds())
        .handler("flaky", fails(3).then_succeeds())
        .handler("hopeless", fails(99))
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    until("every job to end", || {
        hookbox
            .inbox
            .jobs("github", &event.id)
            .iter()
            .all(|job| job.state == "succeeded" || job.state == "dead")
            .then_some(())
    });
    assert_eq!(hookbox.starts("fine"), [format!("{} 1", event.id)]);
    assert_eq!(hookbox.starts("flaky").len(), 4);
    assert_eq!(hookbox.starts("hopeless").len(), 5);
    hookbox.wait_for(&event, "dead");
}

#[test]
fn duplicate_runs_nothing() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let push = github::push();
    let event = hookbox.deliver(&push);
    hookbox.wait_for(&event, "dead");
    for _ in 0..3 {
        hookbox.deliver(&push);
    }
    let marker = hookbox.deliver(github::push());
    hookbox.wait_for(&marker, "dead");
    assert_eq!(hookbox.starts("deploy"), [format!("{} 1", event.id), format!("{} 1", marker.id)]);
}

#[test]
fn handlers_take_what_their_globs_say() {
    let types = ["push", "pull_request.opened", "pull_request.closed", "pull_request_review.submitted", "ping", ""];
    let cases: &[(&str, &str, &[&str])] = &[
        ("all", "", &types),
        ("star", r#"events = ["*"]"#, &types),
        ("one", r#"events = ["push"]"#, &["push"]),
        ("prefix", r#"events = ["pull_request"]"#, &["pull_request.opened", "pull_request.closed"]),
        (
            "dots",
            r#"events = ["pull*ed"]"#,
            &["pull_request.opened", "pull_request.closed", "pull_request_review.submitted"],
        ),
        ("two", r#"events = ["push", "ping"]"#, &["push", "ping"]),
        ("but", r#"events = ["pull_request.*", "!*.closed"]"#, &["pull_request.opened"]),
        ("order", r#"events = ["!*.closed", "pull_request.*"]"#, &["pull_request.opened"]),
        ("negative", r#"events = ["!push", "!pull_request"]"#, &["pull_request_review.submitted", "ping", ""]),
        ("choice", r#"events = ["{push,ping}"]"#, &["push", "ping"]),
        ("character", r#"events = ["p[iu]?[gh]"]"#, &["push", "ping"]),
    ];
    let setup =
        cases.iter().fold(Hookbox::new(), |setup, (name, lines, _)| setup.handler_with(name, lines, succeeds()));
    let hookbox = setup.start();
    for event_type in types {
        let event = hookbox.deliver(Delivery::from("own").of_type(event_type));
        let mut expected: Vec<&str> =
            cases.iter().filter(|(_, _, takes)| takes.contains(&event_type)).map(|(name, ..)| *name).collect();
        expected.sort_unstable();
        let jobs = hookbox.inbox.jobs("own", &event.id);
        let takers: Vec<&str> = jobs.iter().map(|job| job.handler.as_str()).collect();
        assert_eq!(takers, expected, "{event_type:?}");
    }
}

#[test]
fn handlers_take_from_the_sources_they_name() {
    let hookbox = Hookbox::new()
        .handler_with("forges", "sources = [\"github\", \"gitlab\"]", succeeds())
        .handler_with("money", "sources = [\"stripe\"]", succeeds())
        .start();
    for (provider, handler) in [("github", "forges"), ("gitlab", "forges"), ("stripe", "money")] {
        let event = hookbox.deliver(Delivery::from(provider));
        assert_eq!(hookbox.job(&event).handler, handler);
    }
    let event = hookbox.deliver(Delivery::from("shopify"));
    hookbox.wait_for(&event, "unmatched");
}

#[test]
fn handlers_take_what_the_body_says() {
    let hookbox = Hookbox::new()
        .handler_with("main", r#"where = { "/ref" = "refs/heads/main" }"#, succeeds())
        .handler_with("either", r#"where = { "/ref" = ["refs/heads/main", "refs/heads/next"] }"#, succeeds())
        .handler_with("both", r#"where = { "/ref" = "refs/heads/main", "/forced" = true, "/n" = 7 }"#, succeeds())
        .start();
    let cases = [
        (r#"{"ref":"refs/heads/main"}"#, &["either", "main"][..]),
        (r#"{"ref":"refs/heads/next"}"#, &["either"]),
        (r#"{"ref":"refs/heads/main","forced":true,"n":7}"#, &["both", "either", "main"]),
        (r#"{"ref":"refs/heads/main","forced":"true","n":7}"#, &["either", "main"]),
        (r#"{"ref":["refs/heads/main"]}"#, &[]),
        ("{}", &[]),
    ];
    for (body, expected) in cases {
        let event = hookbox.deliver(github::push().with_body(body));
        let jobs = hookbox.inbox.jobs("github", &event.id);
        assert_eq!(jobs.iter().map(|job| job.handler.as_str()).collect::<Vec<_>>(), expected, "{body}");
    }
}

#[test]
fn event_without_handler_is_stored_as_unmatched() {
    let hookbox = Hookbox::new().handler_with("deploy", "events = [\"push\"]", succeeds()).start();
    let event = hookbox.deliver(github::push().of_type("ping"));
    hookbox.wait_for(&event, "unmatched");
    assert!(hookbox.inbox.jobs("github", &event.id).is_empty());
}

#[test]
fn event_state_is_the_first_among_its_jobs() {
    let hourly = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;
    let hookbox = Hookbox::new()
        .handler("succeeds", succeeds())
        .handler_with("waits", hourly, fails(9))
        .handler("dies", sh("exit 65"))
        .handler("runs", waits_for("gate").then_succeeds())
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    let ids: Vec<i64> = hookbox.inbox.jobs("github", &event.id).iter().map(|job| job.id).collect();
    until("three handlers to have ended", || {
        let ended =
            ids.iter().filter(|&&id| hookbox.inbox.attempts(id).iter().any(|a| a.finished_at.is_some())).count();
        (ended == 3).then_some(())
    });
    hookbox.wait_for(&event, "running");
    hookbox.open_gate("gate");
    hookbox.wait_for(&event, "dead");
    hookbox.ok(&["skip", &event.id]);
    assert_eq!(hookbox.job_of(&event, "waits").state, "skipped");
}
