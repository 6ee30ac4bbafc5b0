//! The dashboard without JavaScript: reads pages and submits forms as a browser does.

use std::io::{Read as _, Write as _};

use rustix::process::Signal;

use crate::support::script::{fails, sh, succeeds, waits_for};
use crate::support::wire::{Reply, Wire};
use crate::support::{Event, Hookbox, Running, github, until};

const HOURLY: &str = r#"retry = { attempts = 5, initial = "1h", max = "1h", jitter = 0.0 }"#;

fn page(hookbox: &Running, target: &str) -> String {
    let reply = hookbox.look(target, &[("Accept", "text/html")]);
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    reply.text()
}

/// Submits a page's form for `action` with its hidden fields and `more`.
fn send(hookbox: &Running, on: &str, action: &str, more: &str) -> Reply {
    let page = page(hookbox, on);
    let form = page.split("<form").find(|form| form.contains(&format!("action=\"{action}\""))).expect("the form");
    let form = form.split("</form>").next().unwrap();
    let attribute =
        |tag: &str, name: &str| Some(tag.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned());
    let hidden = form.split("<input").filter(|tag| tag.contains("type=\"hidden\""));
    let own = hidden.map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()));
    let own = own.filter(|(name, _)| !more.starts_with(&format!("{name}=")));
    let fields: Vec<_> = own.map(|(name, value)| format!("{name}={value}")).chain([more.to_owned()]).collect();
    hookbox.submit(action, &[], &fields.join("&"))
}

/// The CSRF token in a page.
fn csrf(page: &str) -> &str {
    page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap()
}

/// Where a response redirects to, without the signature of its flash message.
fn redirect(reply: &Reply) -> &str {
    assert_eq!(reply.status, 303, "{}", reply.text());
    reply.header("location").unwrap().split("&seal=").next().unwrap()
}

fn seq_of(hookbox: &Running, event: &Event) -> i64 {
    let shown = hookbox.json(&["events", "show", &event.id]);
    shown[0]["seq"].as_i64().unwrap()
}

#[test]
fn empty_inbox_shows_a_working_command_for_a_first_event() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let first = page(&hookbox, "/");
    let command = first.split("first-command\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let words: Vec<_> = command.split(' ').collect();
    assert_eq!(words[..2], ["hookbox", "send"]);
    assert!(first.contains("No event has arrived yet"));
    let here = format!("http://{}", hookbox.hooks());
    hookbox.ok(&[&words[1..], &["--url", &here]].concat());
    assert!(!page(&hookbox, "/").contains("No event has arrived yet"));
}

#[test]
fn retry_replay_and_skip_work_as_forms() {
    let hookbox = Hookbox::new()
        .handler_with("deploy", HOURLY, fails(1).then_succeeds())
        .handler("sink", sh("cat >/dev/null; exit 65"))
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    until("both to have failed", || {
        let jobs = hookbox.inbox.jobs("github", &event.id);
        jobs.iter().all(|job| job.attempt == 1 && job.state != "running").then_some(())
    });
    let seq = seq_of(&hookbox, &event);
    let on = format!("/events/{seq}");
    let state = |handler: &str| {
        hookbox.inbox.jobs("github", &event.id).into_iter().find(|job| job.handler == handler).unwrap().state
    };
    let ask = |verb: &str, handler: &str| format!("/jobs/{verb}?handler={handler}&event={seq}");
    let shown = page(&hookbox, &on);
    for link in [ask("skip", "sink"), ask("skip", "deploy"), format!("/jobs/skip?event={seq}")] {
        assert!(shown.contains(&format!("href=\"{}\"", link.replace('&', "&amp;"))), "{link}: {shown}");
    }
    assert!(shown.find("\">sink<").unwrap() < shown.find("\">deploy<").unwrap(), "dead jobs come first");
    for verb in ["skip", "replay", "run"] {
        assert_eq!(
            hookbox.submit(&format!("{on}/{verb}"), &[], &format!("csrf={}", csrf(&shown))).status,
            404,
            "{verb}"
        );
    }
    assert!(page(&hookbox, &ask("skip", "sink")).contains("Skip 1 job?"));
    let reply = send(&hookbox, &ask("skip", "sink"), "/jobs/skip", "");
    assert_eq!(redirect(&reply), format!("{on}?did=skip&n=1"));
    assert_eq!(state("sink"), "skipped");
    assert_eq!(state("deploy"), "pending");
    assert!(page(&hookbox, reply.header("location").unwrap()).contains("1 job skipped."));
    assert_eq!(send(&hookbox, &on, &format!("{on}/retry"), "handler=deploy").status, 303);
    until("the retry", || (state("deploy") == "succeeded").then_some(()));
    let reply = send(&hookbox, &format!("/jobs/replay?event={seq}"), "/jobs/replay", "");
    assert_eq!(redirect(&reply), format!("{on}?did=replay&n=1"));
    until("the replay", || {
        let jobs = hookbox.inbox.jobs("github", &event.id);
        jobs.iter().any(|job| job.replays == 1 && job.state == "succeeded").then_some(())
    });
}

#[test]
fn bulk_action_is_counted_first_and_keeps_its_filter() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let events: Vec<_> = (0..3).map(|_| hookbox.deliver(github::push())).collect();
    let other = hookbox.deliver(github::push().of_type("issues"));
    events.iter().chain([&other]).for_each(|event| hookbox.wait_for(event, "dead"));
    let list = page(&hookbox, "/jobs?state=dead&type=push");
    assert!(list.contains("href=\"/jobs/skip?state=dead&amp;type=push\""), "{list}");
    let ask = "/jobs/skip?state=dead&type=push";
    assert!(page(&hookbox, ask).contains("Skip 3 jobs?"));
    let reply = send(&hookbox, ask, "/jobs/skip", "");
    assert_eq!(redirect(&reply), "/jobs?state=dead&type=push&did=skip&n=3");
    events.iter().for_each(|event| assert_eq!(hookbox.job(event).state, "skipped"));
    assert_eq!(hookbox.job(&other).state, "dead");
    assert_eq!(hookbox.look("/jobs/skip", &[]).status, 400, "a state is required");
}

#[test]
fn unconfirmed_change_is_not_made() {
    let script = sh("cat >/dev/null; exit 65");
    let hookbox = Hookbox::new().handler("deploy", script.clone()).handler("sink", script).expect_failures().start();
    let dead = |event: &Event| {
        until("both to be dead", || {
            let jobs = hookbox.inbox.jobs("github", &event.id);
            (jobs.len() == 2 && jobs.iter().all(|job| job.state == "dead")).then_some(())
        });
    };
    let first = hookbox.deliver(github::push());
    dead(&first);
    let ask = "/jobs/skip?state=dead";
    let old = page(&hookbox, ask);
    let field = |name: &str| old.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap().split('"').next().unwrap();
    let form = |count: &str| format!("csrf={}&state=dead&newest={}&count={count}", csrf(&old), field("newest"));
    assert_eq!(field("count"), "2");
    let later = hookbox.deliver(github::push());
    dead(&later);
    let unasked = hookbox.submit("/jobs/skip", &[], &format!("csrf={}&state=dead", csrf(&old)));
    assert_eq!(redirect(&unasked), "/jobs/skip?state=dead", "not confirmed");
    let fewer = hookbox.submit("/jobs/skip", &[], &form("1"));
    assert_eq!(redirect(&fewer), "/jobs/skip?state=dead&did=ask&n=2", "more jobs than confirmed");
    assert!(page(&hookbox, fewer.header("location").unwrap()).contains("Not done: "));
    let all = page(&hookbox, &format!("/events/{}", seq_of(&hookbox, &first)));
    let retry =
        hookbox.submit(&format!("/events/{}/retry", seq_of(&hookbox, &first)), &[], &format!("csrf={}", csrf(&all)));
    assert_eq!(
        redirect(&retry),
        format!("/jobs/retry?event={}", seq_of(&hookbox, &first)),
        "several jobs need a confirmation"
    );
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM jobs WHERE state = 'dead' AND attempt = 1"), 4);
    assert_eq!(redirect(&hookbox.submit("/jobs/skip", &[], &form("2"))), "/jobs?state=dead&did=skip&n=2");
    assert!(hookbox.inbox.jobs("github", &first.id).iter().all(|job| job.state == "skipped"));
    assert!(
        hookbox.inbox.jobs("github", &later.id).iter().all(|job| job.state == "dead"),
        "it arrived after the confirmation"
    );
}

#[test]
fn jobs_in_the_list_are_changed_selected_or_one_by_one() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let events: Vec<_> = (0..4).map(|_| hookbox.deliver(github::push())).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "dead"));
    let id = |event: &Event| hookbox.job(event).id;
    let list = page(&hookbox, "/jobs?state=dead");
    for event in &events {
        let box_of = format!("<input type=\"checkbox\" form=\"selection\" name=\"job\" value=\"{}\"", id(event));
        assert!(list.contains(&box_of), "{box_of}: {list}");
    }
    let (first, third) = (id(&events[0]), id(&events[2]));
    let selected = hookbox.look(&format!("/jobs/selection?verb=skip&job={first}&job={third}"), &[]);
    let ask = redirect(&selected);
    assert_eq!(ask, format!("/jobs/skip?jobs={first}%2C{third}"));
    assert!(page(&hookbox, ask).contains("Skip 2 jobs?"));
    let retry = "/jobs/retry?state=dead";
    assert!(!page(&hookbox, retry).contains("is paused"));
    hookbox.ok(&["pause", "deploy"]);
    assert!(page(&hookbox, retry).contains("<strong>deploy</strong> is paused: its jobs wait until it is resumed."));
    assert!(!page(&hookbox, "/jobs/retry?state=pending").contains("is paused"), "none of its jobs matches");
    hookbox.ok(&["resume", "deploy"]);
    let reply = send(&hookbox, ask, "/jobs/skip", "");
    assert_eq!(redirect(&reply), format!("/jobs?jobs={first}%2C{third}&did=skip&n=2"));
    let states: Vec<_> = events.iter().map(|event| hookbox.job(event).state).collect();
    assert_eq!(states, ["skipped", "dead", "skipped", "dead"]);
    let these = page(&hookbox, reply.header("location").unwrap());
    assert_eq!(these.matches("name=\"job\"").count(), 2, "only the selected jobs are listed: {these}");
    for (query, status) in [("verb=skip", 400), ("verb=explode&job=1", 404), ("job=1", 400), ("verb=skip&job=x", 303)] {
        assert_eq!(hookbox.look(&format!("/jobs/selection?{query}"), &[]).status, status, "{query}");
    }
    for wrong in ["x".to_owned(), "1,".to_owned(), vec!["1"; 1001].join(",")] {
        assert_eq!(hookbox.look(&format!("/jobs/skip?jobs={wrong}"), &[]).status, 400);
    }
    let one = format!("/events/{}/retry", seq_of(&hookbox, &events[1]));
    assert_eq!(redirect(&send(&hookbox, "/jobs?state=dead", &one, "")), "/jobs?state=dead&did=retry&n=1");
    until("its second attempt", || {
        let job = hookbox.job(&events[1]);
        (job.attempt == 2 && job.state == "dead").then_some(())
    });
    let elsewhere = send(&hookbox, "/jobs?state=dead", &one, "list=//evil.example/jobs");
    assert!(elsewhere.header("location").unwrap().starts_with("/events/"), "{:?}", elsewhere.headers);
}

#[test]
fn refused_body_is_formatted_and_downloadable() {
    let hookbox = Hookbox::new().start();
    let body = "{\"a\":[1.0],\"t\":\"<b>\"}";
    assert_eq!(hookbox.send(&github::push().with_body(body).forged()).status, 401);
    hookbox.rows_of_refusals(1);
    let shown = page(&hookbox, "/refusals/1");
    assert!(shown.contains("json-name") && shown.contains("&lt;b&gt;") && !shown.contains("<b>"), "{shown}");
    assert!(shown.contains("href=\"/refusals/1/body\" download"), "{shown}");
    let reply = hookbox.look("/refusals/1/body", &[]);
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert!(reply.header("content-disposition").unwrap().starts_with("attachment;"));
    assert_eq!(hookbox.look("/refusals/9/body", &[]).status, 404);
}

#[test]
fn event_page_shows_working_commands_to_reproduce_it() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let hostile = "'; touch pwned #";
    let event = hookbox.deliver(github::push().with_id(hostile));
    hookbox.wait_for(&event, "succeeded");
    let shown = page(&hookbox, "/events/1");
    let line = |id: &str| {
        let line = shown.split(&format!("<code id=\"{id}\"")).nth(1).unwrap().split_once('>').unwrap().1;
        line.split('<').next().unwrap().replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
    };
    assert!(line("reproduce-curl").contains("-H 'x-github-event: push'"), "{}", line("reproduce-curl"));
    assert_eq!(line("reproduce-run"), "hookbox run deploy '#1'");
    let send = line("reproduce-send");
    let binary = env!("CARGO_BIN_EXE_hookbox");
    let url = format!("http://{}", hookbox.hooks());
    let send = format!("{} --url {url}", send.replace("hookbox ", &format!("{binary} ")));
    let mut shell = std::process::Command::new("sh");
    let done = crate::support::running::finish(shell.arg("-c").arg(&send).current_dir(hookbox.folder()));
    assert_eq!(done.status, Some(0), "{send}: {}", done.stderr);
    assert!(done.stdout.contains("\"duplicates\":1"), "the id is unchanged: {send}: {}", done.stdout);
    assert!(!hookbox.folder().join("pwned").exists());
}

#[test]
fn unsigned_link_shows_no_flash_message() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let reply = send(&hookbox, "/handlers", "/handlers/deploy/pause", "reason=x");
    let told = |target: &str| page(&hookbox, target).contains("class=\"notice\" role=\"status\"");
    let (path, seal) = reply.header("location").unwrap().split('#').next().unwrap().split_once("&seal=").unwrap();
    assert_eq!(path, "/handlers?did=pause&n=1");
    assert!(told(&format!("{path}&seal={seal}")));
    for forged in [
        "/jobs?did=retry&n=9999999".to_owned(),
        "/jobs?did=retry&n=1&seal=".to_owned(),
        format!("/jobs?did=retry&n=1&seal={seal}"),
        format!("/handlers?did=pause&n=2&seal={seal}"),
    ] {
        assert!(!told(&forged), "{forged}");
    }
}

#[test]
fn head_is_answered_like_get() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let head = format!("HEAD {{}} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", hookbox.admin());
    for path in [
        "/",
        "/events",
        "/events/1",
        "/events/1/body",
        "/jobs",
        "/sources",
        "/handlers",
        "/refusals",
        "/assets/hookbox.css",
    ] {
        let length = hookbox.look(path, &[]).body.len();
        let mut wire = std::net::TcpStream::connect(hookbox.admin()).unwrap();
        wire.write_all(head.replace("{}", path).as_bytes()).unwrap();
        let mut answer = String::new();
        wire.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        let said = answer.to_lowercase();
        let said =
            said.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
        // Ages on a page may have grown by a digit.
        assert!(said.is_some_and(|said: usize| said.abs_diff(length) < 64), "{path}: {answer}");
    }
}

#[test]
fn browser_gets_a_page_for_an_unknown_address() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let html = ("Accept", "text/html,*/*");
    for path in [
        "/nowhere",
        "/handlers/brk",
        "/events/abc",
        "/events/99999999999999999999",
        "/events/1/x",
        "/refusals/x",
        "/assets/x",
    ] {
        let reply = hookbox.look(path, &[html]);
        let is_asset = path.starts_with("/assets/");
        assert_eq!((reply.status, reply.text().contains("<nav")), (404, !is_asset), "{path}: {}", reply.text());
        let program = hookbox.look(path, &[]);
        assert_eq!((program.status, program.header("content-type")), (404, Some("application/json")), "{path}");
    }
    let reply = hookbox.look("/", &[html, ("Host", "<b>.example")]);
    assert_eq!((reply.status, reply.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert!(reply.text().contains("&lt;b&gt;") && !reply.text().contains("<nav"), "{}", reply.text());
}

#[test]
fn page_size_is_bounded_for_any_body() {
    let hookbox = Hookbox::new().start();
    let nested = format!("{}1{}", "[".repeat(300_000), "]".repeat(300_000));
    let items = format!("[{}{{}}]", "{\"a\":1},".repeat(100_000));
    for (body, seq) in [(nested, 1), (items, 2), (format!("[\"{}\"]", "\\\"".repeat(300_000)), 3)] {
        hookbox.deliver(github::push().with_body(body));
        for (query, most) in [("", 300 << 10), ("?body=all", 2200 << 10)] {
            let shown = page(&hookbox, &format!("/events/{seq}{query}"));
            assert!(shown.len() < most, "{seq}{query}: {}", shown.len());
            assert!(shown.contains(&format!("/events/{seq}/body\" download")), "{seq}{query}");
        }
    }
}

#[test]
fn form_without_csrf_token_changes_nothing() {
    let hookbox = Hookbox::new().handler("deploy", sh("exit 65")).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    for action in ["/events/1/retry", "/jobs/run", "/jobs/skip", "/handlers/deploy/pause", "/refusals/1/reverify"] {
        assert_eq!(hookbox.submit(action, &[], "state=dead&csrf=guessed").status, 403, "{action}");
        assert_eq!(hookbox.submit(action, &[], "state=dead").status, 403, "{action}");
    }
    assert_eq!((hookbox.job(&event).state.as_str(), hookbox.job(&event).attempt), ("dead", 1));
}

#[test]
fn event_page_shows_headers_and_downloads_the_body() {
    let hookbox = Hookbox::new().handler("deploy", sh("echo on its way; echo careful >&2")).start();
    let body = "{\"n\":1.00000000000000000001,\"t\":\"<b>\"}";
    let event = hookbox.deliver(github::push().with_body(body).with_header("Authorization", "Bearer not-for-show"));
    hookbox.wait_for(&event, "succeeded");
    let seq = seq_of(&hookbox, &event);
    let shown = page(&hookbox, &format!("/events/{seq}"));
    for part in ["on its way", "careful", "exit status 0", "1.00000000000000000001", "&lt;b&gt;", "***", "Attempt 1"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("not-for-show"));
    let reply = hookbox.look(&format!("/events/{seq}/body"), &[]);
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(reply.header("content-disposition").unwrap().starts_with("attachment;"));
    assert_eq!(hookbox.look("/events/99", &[]).status, 404);
    assert_eq!(hookbox.look("/events/99/body", &[]).status, 404);
}

#[test]
fn events_are_found_by_filter_id_and_text() {
    let hookbox = Hookbox::new().handler_with("deploy", "events = [\"push\"]", succeeds()).start();
    let first = hookbox.deliver(github::push().with_id("evt-aaa").with_body("{\"who\":\"alice\"}"));
    hookbox.deliver(github::push().with_id("evt-bbb").of_type("issues").with_body("{\"who\":\"bob\"}"));
    hookbox.wait_for(&first, "succeeded");
    let found = |query: &str| {
        let shown = page(&hookbox, &format!("/events?{query}"));
        ["evt-aaa", "evt-bbb"].map(|id| shown.contains(&format!("<code>{id}</code>")))
    };
    for (query, expected) in [
        ("", [true, true]),
        ("state=succeeded", [true, false]),
        ("state=unmatched", [false, true]),
        ("type=issues", [false, true]),
        ("source=stripe", [false, false]),
        ("id=evt-b", [false, true]),
        ("id=%231", [true, false]),
        ("text=alice", [true, false]),
        ("text=%22who%22", [true, true]),
        ("since=1h", [true, true]),
        ("until=1h", [false, false]),
        ("before=2", [true, false]),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    for wrong in ["state=deed", "since=yesterday", "before=x"] {
        assert_eq!(hookbox.look(&format!("/events?{wrong}"), &[]).status, 400, "{wrong}");
    }
}

#[test]
fn handler_is_paused_with_a_reason_and_resumed() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    assert_eq!(send(&hookbox, "/handlers", "/handlers/deploy/pause", "reason=freeze%20%3Cb%3E").status, 303);
    let shown = page(&hookbox, "/handlers");
    assert!(shown.contains("Paused by an operator") && shown.contains("freeze &lt;b&gt;"), "{shown}");
    hookbox.wait_for_log("`deploy`");
    let event = hookbox.deliver(github::push());
    assert_eq!(send(&hookbox, "/handlers", "/handlers/deploy/resume", "").status, 303);
    hookbox.wait_for(&event, "succeeded");
    assert!(!page(&hookbox, "/handlers").contains("Paused by an operator"));
}

#[test]
fn refusal_is_explained_and_accepted_after_a_reload() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    hookbox.send(&github::push().with_secret("another-secret"));
    hookbox.rows_of_refusals(1);
    assert!(page(&hookbox, "/refusals").contains("/refusals/1"));
    assert!(page(&hookbox, "/refusals/1").contains("Verify again"));
    let reply = send(&hookbox, "/refusals/1", "/refusals/1/reverify", "");
    assert_eq!(reply.header("location"), Some("/refusals/1?did=left"));
    assert!(page(&hookbox, "/refusals/1?did=left").contains("Still refused"));
    let secret = crate::support::delivery::secret_of("github");
    hookbox.rewrite(|text| text.replace(&secret, "another-secret"));
    hookbox.ok(&["reload"]);
    hookbox.wait_for_log("configuration reloaded");
    let reply = send(&hookbox, "/refusals/1", "/refusals/1/reverify", "");
    assert_eq!(redirect(&reply), "/refusals/1?did=reverify&n=1");
    assert!(page(&hookbox, "/refusals/1").contains("Accepted as an event"));
}

#[test]
fn sources_page_shows_schemes_but_no_secret() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    hookbox.deliver(github::push());
    let shown = page(&hookbox, "/sources");
    assert!(shown.contains("hmac-sha256") && shown.contains("/hooks/github"), "{shown}");
    let own = shown.split("id=\"own\"").nth(1).unwrap();
    assert!(own.contains("Signature") && own.contains("header:X-"), "a custom scheme is shown too: {own}");
    for provider in ["github", "stripe", "own"] {
        assert!(!shown.contains(&crate::support::delivery::secret_of(provider)), "{provider}");
    }
}

#[test]
fn silent_source_is_marked() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let github = || {
        let shown = page(&hookbox, "/sources");
        shown.split("<article").find(|card| card.contains("id=\"github\"")).unwrap().to_owned()
    };
    assert!(!github().contains("silent"), "{}", github());
    let two_days_earlier =
        "UPDATE events SET received_at = received_at - 172800000; UPDATE hourly_counts SET hour = hour - 172800000";
    hookbox.inbox.writer().execute_batch(two_days_earlier).unwrap();
    assert!(github().contains("<strong>silent for 2 d</strong>"), "{}", github());
    assert_eq!(
        page(&hookbox, "/sources").matches("silent for").count(),
        1,
        "a source without deliveries is not silent"
    );
}

#[test]
fn failing_jobs_are_counted_and_link_to_the_last_failure() {
    let hookbox = Hookbox::new()
        .handler_with("deploy", HOURLY, fails(1))
        .handler_with("mail", "retry = { attempts = 1 }", sh("echo no >&2; exit 3"))
        .expect_failures()
        .start();
    assert_eq!(page(&hookbox, "/").matches("data-label=\"Last failure\"><span class=\"zero\">none").count(), 2);
    let event = hookbox.deliver(github::push());
    until("both to have failed", || {
        let jobs = hookbox.inbox.jobs("github", &event.id);
        (jobs.len() == 2 && jobs.iter().all(|job| job.reason.is_some())).then_some(())
    });
    let shown = page(&hookbox, "/").replace("&amp;", "&");
    let row =
        |name: &str| shown.split("<tr").find(|row| row.contains(&format!("/handlers#{name}"))).unwrap().to_owned();
    let cell = |name: &str, label: &str| {
        let row = row(name);
        row.split(&format!("data-label=\"{label}\">")).nth(1).unwrap().split("</td>").next().unwrap().to_owned()
    };
    for (name, reason) in [("deploy", "exit 1"), ("mail", "exit 3")] {
        let last = cell(name, "Last failure");
        assert!(last.contains("href=\"/events/1\"") && last.contains(reason), "{name}: {last}");
    }
    let failing = "/jobs?state=pending&handler=deploy&reason=*";
    assert!(cell("deploy", "Failing").contains(&format!("href=\"{failing}\">1</a>")), "{}", cell("deploy", "Failing"));
    assert!(cell("mail", "Failing").contains(">0<"), "{}", cell("mail", "Failing"));
    assert_eq!(page(&hookbox, failing).matches("name=\"job\"").count(), 1);
    assert!(page(&hookbox, "/handlers").contains("1 of them failing"));
    let api: serde_json::Value = serde_json::from_slice(&hookbox.look("/api/v1/handlers", &[]).body).unwrap();
    let (ours, theirs) = (&api[0], &hookbox.json(&["status"])["handlers"][0]);
    for key in ["handler", "pending", "failing", "blocked", "running", "dead", "oldest_pending_at", "next_run_at"] {
        assert_eq!(ours[key], theirs[key], "{key}: {api}");
    }
    assert_eq!((&ours["failing"], &api[1]["failing"]), (&serde_json::json!(1), &serde_json::json!(0)));
    let table = hookbox.ok(&["status"]);
    let column = table.lines().find(|line| line.starts_with("HANDLER")).unwrap().find("FAILING").unwrap();
    let of = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        row[column..column + "FAILING".len()].trim().to_owned()
    };
    assert_eq!((of("deploy"), of("mail")), ("1".to_owned(), "0".to_owned()), "{table}");
    assert!(table.contains("Failing jobs will be retried"), "{table}");
}

#[test]
fn event_is_run_on_a_handler_that_did_not_match() {
    let hookbox = Hookbox::new().handler_with("deploy", "events = [\"nothing\"]", succeeds()).start();
    let event = hookbox.deliver(github::push());
    let shown = page(&hookbox, "/events/1");
    assert!(shown.contains("method=\"get\" action=\"/jobs/run\""), "{shown}");
    let ask = "/jobs/run?event=1&handler=deploy";
    assert!(page(&hookbox, ask).contains("Run deploy on 1 event?"));
    for (target, status, told) in [
        ("/jobs/run", 400, "Choose an event."),
        ("/jobs/run?event=1", 400, "Choose a handler."),
        ("/jobs/run?event=1&handler=nope", 404, "There is no handler nope."),
        ("/jobs/run?event=5&handler=deploy", 404, "There is no event #5."),
        ("/jobs/selection?job=1", 400, "Choose an action for the selected jobs."),
    ] {
        let reply = hookbox.ask("GET", target, &[], "");
        assert!(reply.status == status && reply.text().contains(told), "{target}: {}", reply.text());
    }
    hookbox.ok(&["pause", "deploy"]);
    assert!(page(&hookbox, ask).contains("<strong>deploy</strong> is paused: its jobs wait until it is resumed."));
    hookbox.ok(&["resume", "deploy"]);
    assert!(!page(&hookbox, ask).contains("is paused"));
    assert!(hookbox.inbox.jobs("github", &event.id).is_empty());
    assert_eq!(redirect(&send(&hookbox, ask, "/jobs/run", "")), "/events/1?did=run&n=1");
    hookbox.wait_for(&event, "succeeded");
}

#[test]
fn live_stream_sends_changes_and_ends_with_hookbox() {
    let mut hookbox = Hookbox::new().handler("deploy", waits_for("deploy")).start();
    let mut wire = Wire::open(hookbox.admin()).unwrap();
    wire.write(format!("GET /live HTTP/1.1\r\nHost: {}\r\n\r\n", hookbox.admin()).as_bytes()).unwrap();
    let answer = wire.reply().unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    hookbox.deliver(github::push());
    until("a word of the change", || wire.read_until("event: changed").then_some(()));
    hookbox.signal(Signal::TERM);
    assert!(wire.read_to_end(), "the stream ends");
    hookbox.wait_for_end();
}
