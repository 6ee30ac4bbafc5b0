//! `order_by`, `coalesce` and `rate_limit`: order, parallelism, operators' changes and kills.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::delivery::Delivery;
use crate::support::script::{Script, fails, sh, succeeds, waits_for};
use crate::support::torture::{is_long, report_count, rounds};
use crate::support::{Event, Hookbox, Running, github, until, until_within};

const BY_CUSTOMER: &str = "order_by = \"/data/customer\"";

fn of(customer: &str) -> Delivery {
    github::push().with_body(format!(r#"{{"data":{{"customer":"{customer}"}}}}"#))
}

fn state(hookbox: &Running, event: &Event) -> String {
    hookbox.job(event).state
}

#[test]
fn jobs_of_one_key_run_one_at_a_time_in_order_of_arrival() {
    let hookbox =
        Hookbox::new().handler_with("work", BY_CUSTOMER, waits_for("$HOOKBOX_EVENT_ID").then_succeeds()).start();
    let first: Vec<Event> = (0..4).map(|_| hookbox.deliver(of("a"))).collect();
    let other = hookbox.deliver(of("b"));
    hookbox.wait_for(&other, "running");
    for (at, event) in first.iter().enumerate() {
        hookbox.wait_for(event, "running");
        let running = first.iter().filter(|event| state(&hookbox, event) == "running").count();
        assert_eq!(running, 1, "while number {at} is running");
        hookbox.open_gate(&event.id);
        hookbox.wait_for(event, "succeeded");
    }
    hookbox.open_gate(&other.id);
    hookbox.wait_for(&other, "succeeded");
}

/// Parsed into a document, such a body needs more than twenty times its length.
#[test]
fn routing_by_body_needs_no_more_memory_than_the_body() {
    let lines = format!("{BY_CUSTOMER}\nwhere = {{ \"/kind\" = \"large\" }}");
    let hookbox = Hookbox::new().handler_with("work", &lines, succeeds()).start();
    let many = r#"{"id":1,"name":"n","v":[1,2]},"#.repeat(240_000);
    let body = format!(r#"{{"all":[{many}0],"kind":"large","data":{{"customer":"a"}}}}"#);
    for _ in 0..2 {
        let event = hookbox.deliver(github::push().with_body(body.clone()));
        hookbox.wait_for(&event, "succeeded");
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM jobs WHERE order_key = 'a'"), 2);
    let status = std::fs::read_to_string(format!("/proc/{}/status", hookbox.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak * 1024 < 15 * body.len(), "{peak} KiB for bodies of {} bytes", body.len());
}

#[test]
fn job_waiting_for_retry_blocks_only_its_key() {
    let hookbox = Hookbox::new()
        .handler_with(
            "work",
            "order_by = \"/data/customer\"\nretry = { attempts = 5, initial = \"1h\", max = \"1h\" }",
            sh("grep -q fails && [ \"$HOOKBOX_ATTEMPT\" = 1 ] && exit 1\nexit 0"),
        )
        .expect_failures()
        .start();
    let bad = hookbox.deliver(github::push().with_body(r#"{"data":{"customer":"bad"},"fails":true}"#));
    let after = hookbox.deliver(of("bad"));
    let others: Vec<Event> = (0..10).map(|number| hookbox.deliver(of(&format!("c{}", number % 3)))).collect();
    others.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    assert_eq!(hookbox.attempts(&bad), ["exit 1"]);
    assert!(hookbox.attempts(&after).is_empty());
    // After a manual retry the first runs immediately, then the other.
    hookbox.ok(&["retry", &bad.id]);
    hookbox.wait_for(&after, "succeeded");
    assert!(hookbox.ledger(&bad)[1].finished_at.unwrap() <= hookbox.ledger(&after)[0].started_at);
}

#[test]
fn blocked_job_is_shown_with_the_event_it_waits_for() {
    let hookbox =
        Hookbox::new().handler_with("work", BY_CUSTOMER, waits_for("$HOOKBOX_EVENT_ID").then_succeeds()).start();
    let [first, held] = [(); 2].map(|()| hookbox.deliver(of("a")));
    hookbox.wait_for(&first, "running");
    let retry = hookbox.run(&["retry", &held.id]);
    assert_eq!((retry.status, retry.stdout.as_str()), (Some(0), "retried 0 jobs\n"), "{retry:?}");
    assert!(
        retry.stderr.contains("1 job unchanged: blocked by another job with the same ordering key"),
        "{}",
        retry.stderr
    );
    assert!(retry.stderr.contains("#2 for work waits for #1, which has the same ordering key (a)"), "{}", retry.stderr);
    let show = hookbox.ok(&["events", "show", &held.id]);
    assert!(show.contains("job for work: pending, behind #1, which has the same ordering key (a)"), "{show}");
    assert!(hookbox.ok(&["jobs", "--state", "pending"]).contains("behind #1"));
    let jobs: serde_json::Value = serde_json::from_str(&hookbox.ok(&["jobs", "--json"])).unwrap();
    assert_eq!([&jobs[0]["behind"], &jobs[1]["behind"]], [&serde_json::json!(1), &serde_json::Value::Null]);
    for event in [&first, &held] {
        hookbox.open_gate(&event.id);
        hookbox.wait_for(event, "succeeded");
    }
}

#[test]
fn retried_job_runs_next_for_its_key_and_never_in_parallel() {
    let script = sh("if [ -e records/broken ]; then exit 65; fi").then(waits_for("$HOOKBOX_EVENT_ID")).then_succeeds();
    let hookbox = Hookbox::new().handler_with("work", BY_CUSTOMER, script).expect_failures().start();
    std::fs::write(hookbox.folder().join("records/broken"), "").unwrap();
    let dead = hookbox.deliver(of("a"));
    hookbox.wait_for(&dead, "dead");
    std::fs::remove_file(hookbox.folder().join("records/broken")).unwrap();
    let [running, waiting] = [(); 2].map(|()| hookbox.deliver(of("a")));
    hookbox.wait_for(&running, "running");
    hookbox.ok(&["retry", &dead.id]);
    until("the change to be noticed", || {
        (hookbox.inbox.number("SELECT count(*) FROM jobs WHERE blocked = 1") == 2).then_some(())
    });
    assert_eq!([&dead, &waiting].map(|event| state(&hookbox, event)), ["pending", "pending"]);
    for event in [&running, &dead, &waiting] {
        hookbox.open_gate(&event.id);
        hookbox.wait_for(event, "succeeded");
    }
    let started: Vec<i64> =
        [&running, &dead, &waiting].iter().map(|event| hookbox.ledger(event).last().unwrap().started_at).collect();
    assert!(started.is_sorted(), "{started:?}");
}

#[test]
fn skipped_running_job_unblocks_the_next_when_its_handler_ends() {
    let script = sh("trap 'sleep 0.5; echo over >> records/over; exit 1' TERM").then(waits_for("$HOOKBOX_EVENT_ID"));
    let hookbox = Hookbox::new()
        .handler_with("work", BY_CUSTOMER, script.then(sh("cat records/over > records/seen; exit 0")))
        .start();
    let [first, second] = [(); 2].map(|()| hookbox.deliver(of("a")));
    hookbox.wait_for(&first, "running");
    hookbox.ok(&["skip", &first.id]);
    hookbox.open_gate(&second.id);
    hookbox.wait_for(&second, "succeeded");
    assert!(hookbox.ledger(&first)[0].finished_at.unwrap() <= hookbox.ledger(&second)[0].started_at);
}

#[test]
fn jobs_without_a_key_are_unordered_unless_configured_together() {
    let gated = || waits_for("$HOOKBOX_HANDLER.$HOOKBOX_EVENT_ID").then_succeeds();
    let together = "order_by = { key = \"header:X-Shop\", missing = \"together\" }";
    let hookbox = Hookbox::new()
        .handler_with("alone", "order_by = \"header:X-Shop\"", gated())
        .handler_with("together", together, gated())
        .start();
    let events: Vec<Event> = (0..3).map(|_| hookbox.deliver(of("a"))).collect();
    let runs = |handler: &str| {
        let sql = format!("SELECT count(*) FROM jobs WHERE state = 'running' AND handler = '{handler}'");
        usize::try_from(hookbox.inbox.number(&sql)).unwrap()
    };
    until("all three to run", || (runs("alone") == 3).then_some(()));
    assert_eq!(runs("together"), 1);
    for event in &events {
        hookbox.open_gate(&format!("alone.{}", event.id));
        hookbox.open_gate(&format!("together.{}", event.id));
        hookbox.wait_for(event, "succeeded");
    }
}

#[test]
fn reload_with_order_by_orders_pending_jobs() {
    let script = waits_for("$HOOKBOX_EVENT_ID").then_succeeds();
    let hookbox = Hookbox::new().handler_with("work", "concurrency = 1", script).start();
    let blocker = hookbox.deliver(of("z"));
    hookbox.wait_for(&blocker, "running");
    let events: Vec<Event> = ["a", "a", "b"].map(|customer| hookbox.deliver(of(customer))).to_vec();
    hookbox.rewrite(|text| text.replace("concurrency = 1", "concurrency = 4\norder_by = \"/data/customer\""));
    hookbox.ok(&["reload"]);
    hookbox.wait_for(&events[2], "running");
    hookbox.wait_for(&events[0], "running");
    assert_eq!(state(&hookbox, &events[1]), "pending");
    // Without the setting, no job stays blocked.
    hookbox.rewrite(|text| text.replace("\norder_by = \"/data/customer\"", ""));
    hookbox.ok(&["reload"]);
    hookbox.wait_for(&events[1], "running");
    for event in events.iter().chain([&blocker]) {
        hookbox.open_gate(&event.id);
        hookbox.wait_for(event, "succeeded");
    }
}

#[test]
fn job_created_by_replay_is_ordered() {
    let hookbox =
        Hookbox::new().handler_with("late", &format!("events = [\"none\"]\n{BY_CUSTOMER}"), succeeds()).start();
    let events: Vec<Event> = (0..3).map(|_| hookbox.deliver(of("a"))).collect();
    for event in events.iter().rev() {
        hookbox.ok(&["replay", &event.id, "--handler", "late"]);
    }
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    assert_eq!(hookbox.inbox.texts("SELECT DISTINCT order_key FROM jobs"), ["a"]);
}

#[test]
fn only_the_newest_job_of_a_burst_runs() {
    let settings = "coalesce = { key = \"/data/customer\", quiet = \"300ms\", max = \"20s\" }";
    let hookbox = Hookbox::new().handler_with("work", settings, waits_for("$HOOKBOX_EVENT_ID").then_succeeds()).start();
    let burst: Vec<Event> = (0..5).map(|_| hookbox.deliver(of("a"))).collect();
    let other = hookbox.deliver(of("b"));
    hookbox.wait_for(&burst[4], "running");
    for event in &burst[..4] {
        let job = hookbox.job(event);
        assert_eq!((job.state.as_str(), job.reason.as_deref(), job.attempt), ("skipped", Some("coalesced"), 0));
    }
    let next: Vec<Event> = (0..3).map(|_| hookbox.deliver(of("a"))).collect();
    hookbox.open_gate(&other.id);
    hookbox.wait_for(&other, "succeeded");
    let waiting = "SELECT count(*) FROM jobs WHERE state = 'pending' AND blocked = 1";
    until("the next burst to wait", || (hookbox.inbox.number(waiting) == 3).then_some(()));
    hookbox.open_gate(&burst[4].id);
    hookbox.open_gate(&next[2].id);
    hookbox.wait_for(&next[2], "succeeded");
    assert_eq!([&next[0], &next[1]].map(|event| state(&hookbox, event)), ["skipped", "skipped"]);
    assert_eq!(hookbox.starts("work").len(), 3);
    let quiet =
        hookbox.ledger(&burst[4])[0].started_at - hookbox.inbox.number("SELECT received_at FROM events WHERE seq = 5");
    assert!((290..10_000).contains(&quiet), "it ran {quiet} ms after the last");
}

#[test]
fn endless_burst_runs_after_the_maximum_delay() {
    let settings = "coalesce = { key = \"/data/customer\", quiet = \"1s\", max = \"1500ms\" }";
    let hookbox = Hookbox::new().handler_with("work", settings, succeeds()).start();
    let first = hookbox.deliver(of("a"));
    let mut last = first.clone();
    until("the handler to start", || {
        last = hookbox.deliver(of("a"));
        (!hookbox.starts("work").is_empty()).then_some(())
    });
    let ran = hookbox.inbox.number("SELECT min(started_at) FROM attempts");
    let oldest = hookbox.inbox.number("SELECT min(received_at) FROM events");
    assert!((1_490..15_000).contains(&(ran - oldest)), "{} ms", ran - oldest);
    hookbox.wait_for(&first, "skipped");
    hookbox.wait_for(&last, "succeeded");
}

#[test]
fn newer_event_replaces_a_job_waiting_for_retry() {
    let settings = "coalesce = { key = \"/data/customer\", quiet = \"10ms\", max = \"1s\" }\n\
                    retry = { attempts = 5, initial = \"1h\", max = \"1h\" }";
    let hookbox = Hookbox::new().handler_with("work", settings, sh("[ -e records/mended ]")).expect_failures().start();
    let failed = hookbox.deliver(of("a"));
    until("it to have failed", || (hookbox.job(&failed).failures == 1).then_some(()));
    std::fs::write(hookbox.folder().join("records/mended"), "").unwrap();
    let newer = hookbox.deliver(of("a"));
    hookbox.wait_for(&newer, "succeeded");
    assert_eq!(hookbox.job(&failed).reason.as_deref(), Some("coalesced"));
}

#[test]
fn rate_limit_spaces_attempts() {
    let hookbox = Hookbox::new().handler_with("work", "rate_limit = \"20/s\"\nconcurrency = 16", succeeds()).start();
    let events: Vec<Event> = (0..30).map(|_| hookbox.deliver(of("a"))).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    let span = hookbox.inbox.number("SELECT max(started_at) - min(started_at) FROM attempts");
    assert!(span >= 1_300, "30 attempts within {span} ms");
    let soonest =
        "SELECT min(gap) FROM (SELECT started_at - lag(started_at, 5) OVER (ORDER BY started_at) AS gap FROM attempts)";
    assert!(hookbox.inbox.number(soonest) >= 100, "six within {} ms", hookbox.inbox.number(soonest));
}

#[test]
fn check_prints_ordering_and_rate_limits() {
    let hookbox = Hookbox::new().handler_with("a", BY_CUSTOMER, succeeds()).handler_with(
        "b",
        "coalesce = { key = \"header:X-Shop\", missing = \"together\" }\nrate_limit = \"10/m\"",
        fails(1),
    );
    hookbox.write();
    let told = hookbox.run(&["check"]).stdout;
    for part in [
        "a: events with the same /data/customer run one at a time, in order of arrival; events without it run in any order.",
        "b: of events with the same header:X-Shop, only the newest runs, after 5 s without another and at most 1 min after the first; the same applies to events without it.",
        "b: starts at most 10/m attempts, evenly spaced.",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

/// Ids are KEY-NUMBER. Each start is one line of the ledger; each success one line in `records/done.KEY`.
fn ordered_work() -> Script {
    sh(concat!(
        "key=${HOOKBOX_EVENT_ID%%-*}; number=${HOOKBOX_EVENT_ID##*-}\n",
        "exec 9>\"records/lock.$key\"; flock -n 9 || echo \"$HOOKBOX_EVENT_ID\" >> records/overlaps\n",
        "case $number in *3) [ \"$HOOKBOX_ATTEMPT\" = 1 ] && exit 1;; esac\n",
        "echo \"$HOOKBOX_EVENT_ID\" >> \"records/done.$key\"",
    ))
}

#[test]
fn order_is_kept_through_failures_and_kills() {
    let kills = rounds(2).min(20);
    let (events, keys) = if is_long() { (10_000, 100) } else { (600, 30) };
    let patience = Duration::from_secs(if is_long() { 1_200 } else { 90 });
    let mut hookbox = Hookbox::new()
        .handler_with("work", "order_by = \"/k\"\nconcurrency = 16", ordered_work())
        .expect_failures()
        .allow_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
        .start();
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 0..events {
        let key = format!("k{}", number * 7 % keys);
        let id = format!("{key}-{number}");
        hookbox.deliver(github::push().with_id(&id).with_body(format!(r#"{{"k":"{key}"}}"#)));
        sent.entry(key).or_default().push(id);
        if (number + 1) % (events / (kills + 1)) == 0 {
            hookbox.kill();
            hookbox.start_again();
        }
    }
    until_within(patience, "every job to end", || {
        (hookbox.inbox.number("SELECT count(*) FROM jobs WHERE state <> 'succeeded'") == 0).then_some(())
    });
    assert!(!hookbox.folder().join("records/overlaps").exists(), "two jobs of one key ran at the same time");
    for (key, ids) in &sent {
        let mut done: Vec<String> = Vec::new();
        for id in std::fs::read_to_string(hookbox.folder().join(format!("records/done.{key}"))).unwrap().lines() {
            if !done.iter().any(|other| other == id) {
                done.push(id.to_owned());
            }
        }
        assert_eq!(&done, ids, "{key}");
    }
    hookbox.inbox.assert_sound();
    report_count(10, "kill -9 under load, a tenth failing, keys in order", kills, events);
}
