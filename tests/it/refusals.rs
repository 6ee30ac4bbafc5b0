//! Stored refusals: what is kept, how it is shown, and how `reverify` accepts them later.

use std::time::Duration;

use crate::support::delivery::{Delivery, secret_of};
use crate::support::script::succeeds;
use crate::support::wire::Wire;
use crate::support::{Event, Hookbox, Running, github, until, until_within};

/// The ids of the refusals that are kept, oldest first, once there are so many.
fn ids(hookbox: &Running, count: usize) -> Vec<String> {
    hookbox.rows_of_refusals(count).into_iter().map(|row| row.id.to_string()).collect()
}

fn event_of(delivery: &Delivery) -> Event {
    Event { source: delivery.source.clone(), id: delivery.id.clone() }
}

#[test]
fn every_refusal_is_stored_with_status_and_reason() {
    let hookbox = Hookbox::new()
        .server("request_timeout = \"300ms\"")
        .source_with("github", "max_body = \"1KiB\"")
        .source_with("shopify", "rate_limit = \"1/h\"")
        .source_with("slack", "allow_ips = [\"192.0.2.1\"]")
        .start();
    hookbox.deliver(Delivery::from("shopify"));
    for (delivery, status) in [
        (github::push().with_id(""), 400),
        (github::push().forged(), 401),
        (Delivery::from("slack"), 403),
        (github::push().with_body(vec![b' '; 1025]), 413),
        (Delivery::from("shopify"), 429),
    ] {
        assert_eq!(hookbox.send(&delivery).status, status);
    }
    let mut slow = Wire::open(hookbox.hooks()).unwrap();
    slow.write_head("POST", "/hooks/own", &[("Content-Length".to_owned(), "7".to_owned())]).unwrap();
    assert_eq!(slow.reply().unwrap().status, 408);

    let rows = hookbox.rows_of_refusals(6);
    let told: Vec<_> = rows.iter().map(|row| (row.status, row.source.as_str(), row.body_bytes)).collect();
    let bodies = [400, 401, 429].map(|status| rows.iter().find(|row| row.status == status).unwrap().body.len() as i64);
    let expected = [
        (400, "github", bodies[0]),
        (401, "github", bodies[1]),
        (403, "slack", rows[2].body_bytes),
        (413, "github", 1025),
        (429, "shopify", bodies[2]),
        (408, "own", 7),
    ];
    assert_eq!(told, expected);
    let reasons = ["no event id", "matches none", "allow_ips", "over the limit of 1024", "rate_limit", "in time"];
    for (row, part) in rows.iter().zip(reasons) {
        assert!(row.reason.contains(part), "{row:?}");
    }
    let listed = hookbox.json(&["refusals"]);
    let statuses: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [408, 429, 413, 403, 401, 400], "newest first");
    assert_eq!(hookbox.json(&["refusals", "--source", "slack"]).as_array().unwrap().len(), 1);
    assert_eq!(hookbox.json(&["refusals", "--limit", "2"]).as_array().unwrap().len(), 2);
    assert_eq!(hookbox.json(&["refusals", "--since", "2999-01-01"]).as_array().unwrap().len(), 0);
    let table = hookbox.ok(&["refusals"]);
    assert!(table.contains("127.0.0.1") && table.contains("matches none of the source's secrets"), "{table}");
}

#[test]
fn one_refusal_is_shown_with_its_headers_and_its_exact_body() {
    let hookbox = Hookbox::new().start();
    let forged = github::push().with_header("X-Odd", "1").with_header("x-odd", "2").forged();
    hookbox.send(&forged);
    let id = &ids(&hookbox, 1)[0];
    let shown = &hookbox.json(&["refusals", "show", id])[0];
    assert_eq!(shown["headers"]["x-odd"], serde_json::json!(["1", "2"]), "{shown}");
    assert_eq!(shown["target"], "/hooks/github");
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), forged.body());
    assert_eq!(hookbox.ok(&["refusals", "body", id]).as_bytes(), forged.body());
    assert!(hookbox.ok(&["refusals", "show", id]).contains("/hooks/github"));
    let missing = hookbox.run(&["refusals", "show", "77"]);
    assert_eq!((missing.status, missing.stderr.contains("no refusal 77")), (Some(1), true), "{missing:?}");
}

#[test]
fn tokens_are_kept_as_stars_and_bodies_to_64_kib() {
    let mut hookbox = Hookbox::new().start();
    let token = "the-token-that-came";
    let body = vec![b'y'; 70_000];
    let wrong = Delivery::from("gitlab")
        .with_secret(token)
        .with_header("Authorization", token)
        .with_header("X-Some-Secret", token)
        .with_body(body);
    hookbox.send(&wrong);
    let row = hookbox.rows_of_refusals(1).remove(0);
    assert_eq!((row.body.len(), row.body_bytes), (65_536, 70_000));
    assert_eq!(row.headers.matches("***").count(), 3, "{}", row.headers);
    assert!(hookbox.stop().success());
    let file = std::fs::read(&hookbox.inbox.file).unwrap();
    assert!(!file.windows(token.len()).any(|window| window == token.as_bytes()), "the token is in the file");
}

#[test]
fn flood_is_counted_and_ten_per_second_are_stored() {
    let hookbox = Hookbox::new().start();
    let started = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    }
    until("all to be counted", || {
        (hookbox.inbox.number("SELECT coalesce(sum(refused), 0) FROM hourly_counts") == 200).then_some(())
    });
    let windows = started.elapsed().as_secs() as i64 + 2;
    let kept = hookbox.inbox.number("SELECT count(*) FROM refusals");
    assert!((10..=10 * windows).contains(&kept), "{kept} were kept in {windows} s");
}

#[test]
fn flood_costs_few_commits() {
    let hookbox = Hookbox::new().start();
    let watcher = hookbox.inbox.writer();
    let version = || watcher.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let started = std::time::Instant::now();
    let (mut last, mut commits) = (version(), 0);
    while started.elapsed() < Duration::from_millis(1600) {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
        let now = version();
        commits += u32::from(now != last);
        last = now;
    }
    assert!((1..=12).contains(&commits), "{commits} commits in 1.6 s");
    hookbox.deliver(github::push());
}

#[test]
fn reverify_accepts_refusals_after_the_configuration_is_fixed() {
    let mut hookbox = Hookbox::new()
        .source("github", "provider = \"github\"\nsecret = \"not yet\"")
        .source("gitlab", "provider = \"gitlab\"\nsecret = \"not yet\"")
        .handler("deploy", succeeds())
        .start();
    let pushes = [github::push(), github::push(), Delivery::from("gitlab")];
    pushes.iter().for_each(|push| assert_eq!(hookbox.send(push).status, 401));
    let ids = ids(&hookbox, 3);
    let still = hookbox.run(&["reverify", &ids[0]]);
    assert_eq!((still.status, still.stdout.contains("still refused")), (Some(1), true), "{still:?}");

    for provider in ["github", "gitlab"] {
        let wrong = format!("provider = \"{provider}\"\nsecret = \"not yet\"");
        hookbox.rewrite(|text| text.replace(&wrong, &wrong.replace("not yet", &secret_of(provider))));
    }
    let planned = hookbox.ok(&["reverify", "--dry-run", &ids[0]]);
    assert!(planned.contains("would be accepted"), "{planned}");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
    for (push, id) in [(&pushes[0], &ids[0]), (&pushes[2], &ids[2])] {
        let told = hookbox.ok(&["reverify", id]);
        assert!(told.contains(&format!("accepted as {}/{}", push.source, push.id)), "{told}");
        until_within(Duration::from_secs(3), "the job to run", || {
            (hookbox.inbox.state(&push.source, &push.id).as_deref() == Some("succeeded")).then_some(())
        });
    }
    let again = hookbox.ok(&["reverify", &ids[0]]);
    assert!(again.contains("already accepted"), "{again}");
    assert!(hookbox.ok(&["refusals"]).contains("(accepted "));

    hookbox.ok(&["reload"]);
    hookbox.wait_for_log("configuration reloaded");
    hookbox.deliver(&pushes[1]);
    let known = hookbox.ok(&["reverify", &ids[1]]);
    assert!(known.contains("already stored"), "{known}");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 3);
    let arrival = "SELECT count(*) FROM events WHERE received_at IN (SELECT received_at FROM refusals)";
    assert_eq!(hookbox.inbox.number(arrival), 2, "what was taken in has the time of its arrival");
    assert!(hookbox.stop().success());
    hookbox.inbox.assert_sound();
}

#[test]
fn reverify_reports_refusals_that_cannot_be_verified() {
    let hookbox = Hookbox::new().source_with("github", "max_body = \"1MiB\"").start();
    let deliveries = [
        Delivery::from("stripe").aged(3600),
        github::push().with_body(vec![b' '; 70_000]).forged(),
        github::push().with_body(vec![b' '; 2 << 20]),
    ];
    deliveries.iter().for_each(|delivery| assert_ne!(hookbox.send(delivery).status, 200));
    let ids = ids(&hookbox, 3);
    let done = hookbox.run(&["reverify", &ids[0], &ids[1], &ids[2]]);
    assert_eq!(done.status, Some(1), "{done:?}");
    let lines: Vec<_> = done.stdout.lines().collect();
    for (line, part) in lines.iter().zip(["out of the window", "only 65536 of the", "was not read"]) {
        assert!(line.contains("cannot be accepted: ") && line.contains(part), "{line}");
    }
    assert_eq!(lines.len(), 3);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
    assert!(hookbox.inbox.state("stripe", &event_of(&deliveries[0]).id).is_none());
}

#[test]
fn explain_says_what_to_change_and_reverify_takes_it_in() {
    let hookbox = Hookbox::new()
        .source("github", "provider = \"github\"\nsecret = [\"unrelated\", \"hunter2-for-github\\n\"]")
        .source("shop", "provider = \"shopify\"\nsecret = \"hunter2-for-the-shop\"")
        .start();
    let newline = github::push().with_secret("hunter2-for-github");
    let other = github::push().with_secret("hunter2-for-the-shop");
    let unknown = github::push().forged();
    let stripped = github::push().without_header("X-Hub-Signature-256").with_header("X-Hub-Signature", "sha1=00");
    let misdirected = Delivery::from("shopify").with_secret("hunter2-for-the-shop").to("github");
    let late = Delivery::from("stripe").aged(7200);
    let all = [&newline, &other, &unknown, &stripped, &misdirected, &late];
    all.iter().for_each(|delivery| assert_eq!(hookbox.send(delivery).status, 401));
    let ids = ids(&hookbox, all.len());
    let explained = hookbox.json(&["explain", &ids[0], &ids[1], &ids[2], &ids[3], &ids[4], &ids[5]]);
    let what = |index: usize| explained[index]["findings"][0]["what"].as_str().unwrap_or_default().to_owned();
    assert_eq!(what(0), "It matches secret 2 of `github` without the white space around it.");
    assert_eq!(what(1), "It matches the secret of `shop`.");
    assert_eq!(explained[2]["findings"].as_array().unwrap().len(), 0, "{explained}");
    assert!(explained[2]["tried"].as_array().unwrap().len() > 2, "{explained}");
    assert!(what(3).contains("`X-Hub-Signature-256` is missing, but there is `x-hub-signature`"), "{}", what(3));
    assert_eq!(what(4), "It is a delivery for `shop` (shopify), sent to the path of `github`.");
    assert!(what(5).contains("signed 7200 s before it was received. The limit is 300 s."), "{}", what(5));

    let told = hookbox.ok(&["explain", &ids[0], &ids[2]]);
    assert!(
        told.contains("→ Remove the white space or newline") && told.contains("No change that was tried"),
        "{told}"
    );
    for secret in ["hunter2", &hex::encode(crate::support::delivery::hmac(b"unrelated", &[&unknown.body()]))] {
        assert!(!told.contains(secret) && !explained.to_string().contains(secret), "{secret} is shown");
    }
    hookbox.rewrite(|text| text.replace("hunter2-for-github\\n", "hunter2-for-github"));
    let mended = hookbox.json(&["explain", &ids[0]]);
    assert!(mended[0]["findings"][0]["what"].as_str().unwrap().contains("matches secret 2 of `github`"), "{mended}");
    hookbox.ok(&["reverify", &ids[0]]);
    assert!(hookbox.inbox.state("github", &newline.id).is_some());
}

#[test]
fn reverify_skips_sources_with_unreadable_secrets() {
    let hookbox = Hookbox::new()
        .source("later", "provider = \"github\"\nsecret = { env = \"FOR_THE_SERVICE_ALONE\" }")
        .source("shop", "provider = \"shopify\"\nsecret = \"hunter2-for-the-shop\"")
        .environment("FOR_THE_SERVICE_ALONE", "x")
        .start();
    hookbox.send(&github::push().with_secret("hunter2-for-the-shop"));
    let id = &ids(&hookbox, 1)[0];
    let done =
        crate::support::running::finish(hookbox.command().env_remove("FOR_THE_SERVICE_ALONE").args(["explain", id]));
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stderr.contains("FOR_THE_SERVICE_ALONE") && done.stderr.contains("`later` are not tried"), "{done:?}");
    assert!(done.stdout.contains("It matches the secret of `shop`."), "{done:?}");
}

#[test]
fn wrong_path_leaves_a_trace_with_the_path_that_was_meant() {
    let hookbox = Hookbox::new().source_with("stripe", "path = \"/in/Xq9Zt4LmR2vB8nKw\"").start();
    let source_line = format!("http://{}/hooks/github", hookbox.hooks());
    assert!(hookbox.log().iter().any(|line| line.contains(&source_line)), "{:?}", hookbox.log());
    let headers = [("X-Some-Token".to_owned(), "the-token-that-came".to_owned())];
    for target in ["/hooks/github/?token=the-token-that-came", "/in/Xq9Zt4LmR2vB8nKw/"] {
        let reply = Wire::open(hookbox.hooks()).unwrap().exchange("POST", target, &headers, b"{}").unwrap();
        assert_eq!(reply.status, 404);
    }
    let rows = hookbox.rows_of_refusals(2);
    assert_eq!((rows[0].source.as_str(), rows[0].status, rows[0].body.len()), ("(none)", 404, 0));
    assert!(rows[0].reason.contains("did you mean /hooks/github?"), "{rows:?}");
    assert!(rows[1].reason.contains("did you mean the path of source `stripe`?"), "{rows:?}");
    assert!(hookbox.log().iter().any(|line| line.contains("did you mean /hooks/github?")));
    let status = hookbox.json(&["status"]);
    assert_eq!(status["unknown_paths"][1]["target"], "/hooks/github/?token=***", "{status}");
    assert!(hookbox.ok(&["status"]).contains("did you mean /hooks/github?"));
    assert!(hookbox.ok(&["explain", &rows[0].id.to_string()]).contains("Did you mean /hooks/github?"));
    let reverified = hookbox.run(&["reverify", &rows[0].id.to_string()]);
    assert_eq!((reverified.status, reverified.stdout.contains("no source had its path")), (Some(1), true));
    assert!(!format!("{rows:?}").contains("the-token-that-came"), "{rows:?}");
}
