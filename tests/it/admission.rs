//! Admission checks besides the signature: client addresses, rate limits and replay guards.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::support::delivery::Delivery;
use crate::support::{Hookbox, Running, github, until};

const ALLOWED: &str = "allow_ips = [\"192.0.2.0/24\"]";

fn status(hookbox: &Running, headers: &[(&str, &str)]) -> u16 {
    let push = headers.iter().fold(github::push(), |push, (name, value)| push.with_header(name, value));
    hookbox.send(&push).status
}

#[test]
fn unlisted_address_gets_403_despite_forwarded_headers() {
    let hookbox = Hookbox::new().source_with("github", ALLOWED).start();
    let claims = [&[][..], &[("X-Forwarded-For", "192.0.2.1")], &[("Forwarded", "for=192.0.2.1")]];
    for headers in claims {
        assert_eq!(status(&hookbox, headers), 403, "{headers:?}");
    }
    hookbox.deliver(Delivery::from("stripe"));
    let rows = hookbox.rows_of_refusals(3);
    assert!(rows.iter().all(|row| row.status == 403 && row.remote.as_deref() == Some("127.0.0.1")), "{rows:?}");
    assert!(rows.iter().all(|row| row.reason.contains("allow_ips") && row.body.is_empty()), "{rows:?}");
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events WHERE source = 'github'"), 0);
}

#[test]
fn behind_a_trusted_proxy_the_rightmost_untrusted_address_counts_and_never_the_leftmost() {
    let hookbox = Hookbox::new()
        .server("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .source_with("github", ALLOWED)
        .start();
    let (xff, forwarded) = ("X-Forwarded-For", "Forwarded");
    for (headers, expected) in [
        (&[(xff, "192.0.2.7")][..], 200),
        (&[(xff, "203.0.113.1, 192.0.2.7, 10.1.1.1")], 200),
        (&[(forwarded, "for=\"192.0.2.7:4711\";proto=https")], 200),
        (&[(xff, "192.0.2.7, 203.0.113.1")], 403),
        (&[(xff, "192.0.2.7"), (xff, "203.0.113.1")], 403),
        (&[(forwarded, "for=192.0.2.7, for=203.0.113.1")], 403),
        (&[(forwarded, "for=192.0.2.7"), (xff, "203.0.113.1")], 403),
        (&[(xff, "192.0.2.7, unknown")], 403),
        (&[], 403),
    ] {
        assert_eq!(status(&hookbox, headers), expected, "{headers:?}");
    }
    let remotes: Vec<_> = hookbox.rows_of_refusals(6).into_iter().map(|row| row.remote).collect();
    let expected = [Some("203.0.113.1"); 3].into_iter().chain([None, None, Some("127.0.0.1")]);
    assert_eq!(remotes, expected.map(|remote| remote.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn unix_socket_is_a_trusted_proxy_only_if_listed() {
    for (proxies, expected) in [("trusted_proxies = [\"0.0.0.0/0\"]", "403"), ("trusted_proxies = [\"unix:\"]", "200")]
    {
        let hookbox = Hookbox::new().configured(&format!(
            "[server]\nlisten = \"unix:hooks.sock\"\n{proxies}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [inbox]\nmin_free_disk = \"1MiB\"\n[sources.github]\nprovider = \"github\"\nsecret = \"s\"\n{ALLOWED}\n"
        ));
        let hookbox = hookbox.start();
        let request = github::push().with_secret("s").with_header("X-Forwarded-For", "192.0.2.7").render();
        let mut text = format!("POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", request.path);
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
        let mut socket = UnixStream::connect(hookbox.folder().join("hooks.sock")).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        socket.write_all(&request.body).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{proxies}: {answer}");
    }
}

#[test]
fn rate_limited_delivery_gets_429_and_forgeries_do_not_count() {
    let hookbox = Hookbox::new().source_with("github", "rate_limit = \"3/m\"").start();
    for _ in 0..10 {
        assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    }
    for _ in 0..3 {
        hookbox.deliver(github::push());
    }
    let reply = hookbox.send(&github::push());
    assert_eq!(reply.status, 429);
    assert!(reply.retry_after().is_some_and(|seconds| (1..=20).contains(&seconds)), "{:?}", reply.headers);
    assert_eq!(hookbox.send(&github::push().forged()).status, 401, "the signature is looked at first");
    hookbox.deliver(Delivery::from("stripe"));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events WHERE source = 'github'"), 3);
    until("the refusals to be counted", || {
        let counted =
            hookbox.inbox.number("SELECT coalesce(sum(refused), 0) FROM hourly_counts WHERE source = 'github'");
        (counted == 12).then_some(())
    });
}

#[test]
fn known_body_under_another_id_is_a_duplicate_if_configured() {
    let guarded = "replay_guard = \"id+body\"";
    let mut hookbox = Hookbox::new()
        .source_with("github", guarded)
        .source("plain", "provider = \"github\"\nsecret = \"plain\"")
        .expect_warning("replay_guard")
        .expect_warning("has another body")
        .start();
    let first = github::push().with_body("{\"a\":1}");
    hookbox.deliver(&first);
    for restarted in [false, true] {
        if restarted {
            assert!(hookbox.stop().success());
            hookbox.start_again();
        }
        let again = hookbox.send(&github::push().of_type("release").with_body("{\"a\":1}"));
        assert_eq!((again.status, again.text().contains("\"duplicate\"")), (200, true), "{}", again.text());
    }
    hookbox.deliver(&first);
    hookbox.deliver(first.clone().with_body("{\"a\":2}"));
    hookbox.deliver(github::push().with_body("{\"a\":3}"));
    let deliveries = hookbox.inbox.texts("SELECT event_id || ' ' || deliveries FROM events ORDER BY seq");
    assert_eq!(deliveries.len(), 2, "{deliveries:?}");
    assert_eq!(deliveries[0], format!("{} 5", first.id));
    for _ in 0..2 {
        hookbox.deliver(github::push().to("plain").with_secret("plain").with_body("{\"a\":1}"));
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events WHERE source = 'plain'"), 2);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM seen_bodies WHERE source = 'plain'"), 0);
}

#[test]
fn replay_guard_added_later_knows_stored_bodies() {
    let hookbox = Hookbox::new().expect_warning("replay_guard").start();
    hookbox.deliver(github::push().with_body("{\"a\":1}"));
    hookbox.rewrite(|text| text.replace("provider = \"github\"", "provider = \"github\"\nreplay_guard = \"id+body\""));
    hookbox.ok(&["reload"]);
    hookbox.wait_for_log("configuration reloaded");
    hookbox.wait_for_log("configuration reloaded");
    let again = hookbox.send(&github::push().with_body("{\"a\":1}"));
    assert_eq!((again.status, again.text().contains("\"duplicate\"")), (200, true), "{}", again.text());
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 1);
}

#[test]
fn check_says_where_the_id_is_not_signed_and_what_to_do_about_it() {
    let hookbox = Hookbox::new().source("guarded", "provider = \"github\"\nsecret = \"s\"\nreplay_guard = \"id+body\"");
    hookbox.write();
    let told = hookbox.run(&["check"]).stdout;
    let line = |name: &str| told.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap_or_default();
    assert!(
        line("github").contains("header:X-GitHub-Delivery") && line("github").contains("set replay_guard"),
        "{told}"
    );
    assert!(line("guarded").contains("replay_guard treats"), "{told}");
    assert!(line("gitlab").contains("not signed"), "{told}");
    assert_eq!((line("stripe"), line("svix")), ("", ""), "{told}");
    let json: serde_json::Value = serde_json::from_str(&hookbox.run(&["check", "--json"]).stdout).unwrap();
    let github = json["sources"].as_array().unwrap().iter().find(|source| source["source"] == "github").unwrap();
    assert_eq!(github["unsigned_id"], serde_json::json!(["header:X-GitHub-Delivery"]));
    assert_eq!(github["replay_guard"], "id");
}

#[test]
fn reload_does_not_refill_an_unchanged_rate_limit() {
    let hookbox = Hookbox::new().source_with("shopify", "rate_limit = \"1/h\"").start();
    hookbox.deliver(Delivery::from("shopify"));
    assert_eq!(hookbox.send(&Delivery::from("shopify")).status, 429);
    hookbox.ok(&["reload"]);
    assert_eq!(hookbox.send(&Delivery::from("shopify")).status, 429);
    hookbox.rewrite(|text| text.replace("1/h", "2/h"));
    hookbox.ok(&["reload"]);
    until("the new limit", || (hookbox.send(&Delivery::from("shopify")).status == 200).then_some(()));
}

#[test]
fn unsigned_source_takes_its_methods_and_reads_the_query_of_a_get() {
    const SECRET: &str = "/in/Xq9Zt4LmR2vB8nKw";
    let table = format!(
        "provider = \"custom\"\nverify = \"none\"\npath = \"{SECRET}\"\nmethods = [\"POST\", \"PUT\", \"GET\"]\n\
         event_type = \"form:kind\"\nevent_id = [\"form:id\", \"none\"]"
    );
    let hookbox = Hookbox::new().source("monitor", &table).start();
    let form = [("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    let ask = |method: &str, target: &str, body: &[u8]| {
        let mut wire = crate::support::wire::Wire::open(hookbox.hooks()).unwrap();
        wire.exchange(method, target, &form, body).unwrap().status
    };
    assert_eq!(ask("GET", &format!("{SECRET}?kind=down&id=7"), b""), 200);
    assert_eq!(ask("PUT", SECRET, b"kind=up&id=8"), 200);
    assert_eq!(ask("POST", SECRET, b"kind=up"), 200);
    assert_eq!(ask("POST", SECRET, b"kind=up"), 200);
    assert_eq!(ask("DELETE", SECRET, b""), 405);
    let types = hookbox.inbox.texts("SELECT source || ':' || type FROM events ORDER BY seq");
    assert_eq!(types, ["monitor:down", "monitor:up", "monitor:up", "monitor:up"]);
    assert_eq!(hookbox.inbox.texts("SELECT CAST(body AS TEXT) FROM payloads ORDER BY event_seq")[0], "kind=down&id=7");
    assert!(hookbox.ok(&["check"]).contains("monitor: UNSIGNED"));
    assert!(hookbox.ok(&["status"]).contains("unsigned"));
    assert!(!hookbox.log().iter().any(|line| line.contains(SECRET)), "the secret path was logged");
}

#[test]
fn get_is_refused_unless_the_source_allows_it() {
    let hookbox = Hookbox::new().start();
    assert_eq!(hookbox.request("GET", "/hooks/github").status, 405);
}
