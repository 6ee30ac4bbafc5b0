//! Operator commands while hookbox serves: list, retry, replay, skip. The server notices each within a second.

use crate::support::delivery::Delivery;
use crate::support::running::Done;
use crate::support::script::{fails, records, sh, succeeds, waits_for};
use crate::support::wire::free_address;
use crate::support::{BINARY, Event, Hookbox, github, until};

const HOURLY: &str = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;

#[test]
fn retry_resets_failures_and_continues_attempt_numbers() {
    let hookbox = Hookbox::new().handler("deploy", fails(6).then_succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert_eq!(hookbox.job(&event).failures, 5);
    hookbox.ok(&["retry", &event.id]);
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 1", "exit 1", "exit 1", "exit 1", "exit 1", "exit 1", "exit 0"]);
    assert_eq!(hookbox.job(&event).failures, 1);
}

#[test]
fn waiting_job_is_retried_now() {
    let hookbox = Hookbox::new().handler_with("deploy", HOURLY, fails(1).then_succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    until("the first attempt to end", || (hookbox.attempts(&event) == ["exit 1"]).then_some(()));
    hookbox.ok(&["retry", &event.id]);
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn replay_uses_a_new_idempotency_key() {
    let hookbox = Hookbox::new().handler("keep", records().then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    for replay in 1..=2 {
        hookbox.ok(&["replay", &event.id]);
        until("the replay to end", || (hookbox.attempts(&event) == vec!["exit 0"; replay + 1]).then_some(()));
    }
    let key = |attempt| {
        let (_, environment) = hookbox.record("keep", &event, attempt);
        environment.iter().find_map(|line| line.strip_prefix("HOOKBOX_IDEMPOTENCY_KEY=")).unwrap().to_owned()
    };
    assert_eq!((key(2), key(3)), (format!("{}-r1", key(1)), format!("{}-r2", key(1))));
    assert_eq!(hookbox.job(&event).replays, 2);
}

#[test]
fn retry_skips_succeeded_jobs_and_replay_all_others() {
    let hookbox = Hookbox::new().handler("fine", succeeds()).handler("dies", sh("exit 65")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    until("both to end", || {
        hookbox
            .inbox
            .jobs("github", &event.id)
            .iter()
            .all(|job| job.attempt == 1 && job.state != "running")
            .then_some(())
    });
    hookbox.ok(&["retry", &event.id]);
    until("the second attempt", || (hookbox.starts("dies").len() == 2).then_some(()));
    hookbox.ok(&["replay", &event.id]);
    until("the replay", || (hookbox.starts("fine").len() == 2).then_some(()));
    hookbox.wait_for(&event, "dead");
    assert_eq!((hookbox.starts("dies").len(), hookbox.starts("fine").len()), (2, 2));
}

#[test]
fn replay_creates_jobs_for_a_handler_added_later() {
    let hookbox = Hookbox::new()
        .handler("first", succeeds())
        .handler_with("second", "events = [\"nothing\"]", succeeds())
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    hookbox.ok(&["replay", &event.id, "--handler", "second"]);
    until("the new job to succeed", || {
        let jobs = hookbox.inbox.jobs("github", &event.id);
        jobs.iter().any(|job| job.handler == "second" && job.state == "succeeded").then_some(())
    });
    assert_eq!((hookbox.starts("first").len(), hookbox.starts("second").len()), (1, 1));
}

#[test]
fn skipped_job_does_not_run() {
    let hookbox = Hookbox::new().handler_with("deploy", HOURLY, fails(1).then_succeeds()).expect_failures().start();
    let event = hookbox.deliver(github::push());
    until("the first attempt to end", || (hookbox.attempts(&event) == ["exit 1"]).then_some(()));
    hookbox.ok(&["skip", &event.id]);
    hookbox.wait_for(&event, "skipped");
    assert_eq!(hookbox.attempts(&event), ["exit 1"]);
}

#[test]
fn skip_stops_a_running_attempt() {
    let hookbox = Hookbox::new().handler("deploy", sh("echo $$ > records/process").then(waits_for("never"))).start();
    let event = hookbox.deliver(github::push());
    let process = until("the handler to have started", || {
        std::fs::read_to_string(hookbox.folder().join("records/process")).ok().filter(|text| text.ends_with('\n'))
    });
    hookbox.ok(&["skip", &event.id]);
    until("the handler to be gone", || {
        (!std::path::Path::new(&format!("/proc/{}", process.trim())).exists()).then_some(())
    });
    until("the ledger to say so", || (hookbox.attempts(&event) == ["skipped"]).then_some(()));
    hookbox.wait_for(&event, "skipped");
}

#[test]
fn bulk_commands_require_a_filter_and_have_a_dry_run() {
    let hookbox = Hookbox::new()
        .handler_with("deploy", "retry = { attempts = 1 }", sh("[ -e records/mended ]"))
        .expect_failures()
        .start();
    let events: Vec<Event> = (0..4).map(|_| hookbox.deliver(github::push())).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "dead"));
    assert_eq!(hookbox.run(&["retry"]).status, Some(2), "neither an event nor a filter nor --all");
    let output = hookbox.ok(&["retry", "--all", "--dry-run"]);
    assert!(output.contains('4'), "{output}");
    std::fs::write(hookbox.folder().join("records/mended"), "").unwrap();
    assert!(events.iter().all(|event| hookbox.job(event).state == "dead"), "a dry run changes nothing");
    hookbox.ok(&["retry", "--all"]);
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
}

#[test]
fn event_is_named_by_id_source_and_id_or_number() {
    let hookbox = Hookbox::new().start();
    let [first, second] =
        ["github", "gitlab"].map(|provider| hookbox.deliver(Delivery::from(provider).with_id("same")));
    let ambiguous = hookbox.run(&["events", "show", "same"]);
    assert_eq!(ambiguous.status, Some(2), "{ambiguous:?}");
    assert!(ambiguous.stderr.contains("github") && ambiguous.stderr.contains("gitlab"), "{ambiguous:?}");
    for event in [first, second] {
        let shown = hookbox.json(&["events", "show", &format!("{}/same", event.source)]);
        let one = shown.as_array().map_or(&shown, |list| &list[0]);
        assert_eq!(one["source"], event.source.as_str());
    }
    hookbox.ok(&["events", "show", "#1"]);
    for unknown in ["nobody", "github/nobody", "#99"] {
        assert_ne!(hookbox.run(&["events", "show", unknown]).status, Some(0), "{unknown}");
    }
}

#[test]
fn event_body_is_printed_byte_for_byte() {
    let hookbox = Hookbox::new().start();
    let body: Vec<u8> = (0..=255).collect();
    let event =
        hookbox.deliver(Delivery::from("own").with_body(body.clone()).with_content_type("application/octet-stream"));
    let output = crate::support::running::raw_output(hookbox.command().args(["events", "body", &event.id])).stdout;
    assert_eq!(output, body);
}

#[test]
fn lists_have_filters_and_json() {
    let hookbox = Hookbox::new()
        .handler_with("fine", "sources = [\"github\"]", succeeds())
        .handler_with("dies", "sources = [\"stripe\"]", sh("exit 65"))
        .expect_failures()
        .start();
    for _ in 0..3 {
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
    }
    let dead = hookbox.deliver(Delivery::from("stripe"));
    hookbox.wait_for(&dead, "dead");
    let count = |arguments: &[&str]| hookbox.json(arguments).as_array().expect("one array").len();
    assert_eq!(count(&["events"]), 4);
    assert_eq!(count(&["events", "--source", "github"]), 3);
    assert_eq!(count(&["events", "--state", "dead"]), 1);
    assert_eq!(count(&["events", "--type", "push"]), 3);
    assert_eq!(count(&["events", "--limit", "2"]), 2);
    assert_eq!(count(&["jobs"]), 4);
    assert_eq!(count(&["jobs", "--state", "dead"]), 1);
    let events = hookbox.json(&["events", "--state", "dead"]);
    for (key, value) in [("source", "stripe"), ("event_id", &*dead.id), ("type", "invoice.paid"), ("state", "dead")] {
        assert_eq!(events[0][key], value, "{key} in {events}");
    }
    let shown = hookbox.ok(&["events"]);
    assert!(shown.contains(&dead.id) && shown.contains("dead"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "colours belong on a terminal alone");
    hookbox.json(&["status"]);
    hookbox.ok(&["status"]);
}

#[test]
fn closed_pipe_is_not_an_error() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    for _ in 0..60 {
        hookbox.deliver(github::push().with_id(&format!("{}{}", "x".repeat(200), github::push().id)));
    }
    for verb in ["events", "events --json", "jobs", "providers"] {
        let mut sh = std::process::Command::new("sh");
        sh.args(["-c", &format!("'{BINARY}' {verb} | :")]).env("HOOKBOX_CONFIG", hookbox.folder().join("hookbox.toml"));
        let done = crate::support::running::finish(&mut sh);
        assert_eq!(done.status, Some(0), "{verb}: {done:?}");
        assert!(!done.stderr.contains("error") && !done.stderr.contains("panicked"), "{verb}: {done:?}");
    }
}

#[test]
fn commands_work_on_the_file_without_a_server() {
    let mut hookbox =
        Hookbox::new().handler("deploy", sh("[ -e records/mended ] || exit 65")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    assert!(hookbox.stop().success());
    let shown = hookbox.ok(&["events"]);
    assert!(shown.contains(&event.id), "{shown}");
    hookbox.ok(&["retry", &event.id]);
    assert_eq!(hookbox.inbox.state("github", &event.id).as_deref(), Some("pending"));
    std::fs::write(hookbox.folder().join("records/mended"), "").unwrap();
    hookbox.start_again();
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn health_reports_whether_the_inbox_is_served() {
    let mut hookbox = Hookbox::new().admin(&format!("listen = \"{}\"", free_address())).start();
    hookbox.ok(&["health"]);
    assert!(hookbox.stop().success());
    assert_eq!(hookbox.run(&["health"]).status, Some(1));
}

#[test]
fn wrong_usage_is_status_2() {
    let hookbox = Hookbox::new();
    hookbox.write();
    let wrong: [&[&str]; 5] =
        [&["no-such-verb"], &["serve", "--no-such-option"], &["events", "--state", "asleep"], &["skip"], &["send"]];
    for arguments in wrong {
        let Done { status, stderr, .. } = hookbox.run(arguments);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(!stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn unknown_name_is_an_error() {
    let hookbox = Hookbox::new().start();
    let cases: [(&[&str], &str); 3] = [
        (&["backup", "."], ".: this is a folder"),
        (&["backup", ".", "--force"], ".: this is a folder"),
        (&["tail", "--source", "nope"], "hint: sources: "),
    ];
    for (arguments, expected) in cases {
        let Done { status, stderr, .. } = hookbox.run(arguments);
        assert_eq!((status, stderr.contains(expected)), (Some(2), true), "{arguments:?}: {stderr}");
    }
}

#[test]
fn send_delivers_like_the_provider() {
    let hookbox = Hookbox::new().start();
    let to = |text: String| text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{}\"", hookbox.hooks()), 1);
    hookbox.rewrite(to);
    for source in ["github", "stripe", "standard-webhooks", "svix", "shopify", "slack", "gitlab", "own"] {
        hookbox.ok(&["send", source, "--type", "something", "--id", &format!("sent-to-{source}")]);
        assert_eq!(hookbox.inbox.event_type(source, &format!("sent-to-{source}")), "something", "{source}");
        let forged = hookbox.run(&["send", source, "--type", "something", "--forge"]);
        assert!(forged.stdout.contains("401") || forged.stderr.contains("401"), "{source}: {forged:?}");
    }
    for source in crate::support::delivery::TIMED {
        let stale = hookbox.run(&["send", source, "--type", "something", "--stale"]);
        assert!(stale.stdout.contains("401") || stale.stderr.contains("401"), "{source}: {stale:?}");
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 8);
}
