//! Access to the admin address: tokens, sessions, host names, and requests from pages of other sites.

use crate::support::wire::{Reply, free_address};
use crate::support::{Hookbox, Running, until};

const TOKEN: &str = "a-token-of-the-tests-0123456789";
const BEARER: (&str, &str) = ("Authorization", "Bearer a-token-of-the-tests-0123456789");
const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml");

fn guarded() -> Hookbox {
    Hookbox::new().admin(&format!("token = \"{TOKEN}\"")).admin("hosts = [\"hooks.example.com\"]")
}

/// The same with a fixed address, which other commands find in the configuration.
fn findable() -> Hookbox {
    guarded().admin(&format!("listen = \"{}\"", free_address()))
}

fn status(hookbox: &Running, target: &str, headers: &[(&str, &str)]) -> u16 {
    hookbox.look(target, headers).status
}

/// The cookie of a new session, as a browser sends it back.
fn log_in(hookbox: &Running) -> String {
    let reply = hookbox.submit("/login", &[], &format!("token={TOKEN}&next=%2Fsomewhere"));
    assert_eq!((reply.status, reply.header("location")), (303, Some("/somewhere")), "{}", reply.text());
    let cookie = reply.header("set-cookie").unwrap().to_owned();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn public_admin_address_requires_a_token() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8081"] {
        let open = Hookbox::new().admin(&format!("listen = \"{listen}\""));
        let done = open.refuse_to_start();
        assert_eq!(done.status, Some(2), "{done:?}");
        assert!(
            done.stderr.contains("`admin.token`: is missing")
                && done.stderr.contains("is reachable from other machines"),
            "{done:?}"
        );
        assert!(done.stderr.contains("hint: add token = "), "{done:?}");
        let check = open.run(&["check"]);
        assert_eq!((check.status, check.stderr.contains("`admin.token`: is missing")), (Some(2), true), "{check:?}");
    }
    let missing = Hookbox::new().admin("listen = \"0.0.0.0:0\"").admin("token = { env = \"NOT_SET\" }");
    let done = missing.refuse_to_start();
    assert_eq!(done.status, Some(2));
    assert!(done.stderr.contains("`admin.token`: environment variable `NOT_SET` is not set"), "{done:?}");
    let hookbox = Hookbox::new()
        .admin("listen = \"0.0.0.0:0\"")
        .admin("token = { env = \"ADMIN_TOKEN\" }")
        .environment("ADMIN_TOKEN", TOKEN)
        .start();
    assert_eq!(hookbox.look("/login", &[("Host", "127.0.0.1")]).status, 200);
    assert_eq!(hookbox.look("/nowhere", &[("Host", "127.0.0.1")]).status, 401);
}

#[test]
fn requests_for_other_host_names_are_rejected() {
    let hookbox = Hookbox::new().admin("hosts = [\"hooks.example.com\"]").start();
    let port = hookbox.admin().port();
    for host in [&format!("localhost:{port}"), "[::1]", "10.0.0.7:9000", "hooks.example.com", "Hooks.Example.com:443"] {
        assert_eq!(status(&hookbox, "/metrics", &[("Host", host)]), 200, "{host}");
    }
    for host in ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example", "", "127.0.0.1@evil"] {
        for target in ["/", "/metrics", "/login", "/api/v1/status", "/assets/hookbox.css"] {
            let reply = hookbox.look(target, &[("Host", host)]);
            assert_eq!(reply.status, 403, "{host} {target}");
            assert!(reply.text().contains("`hosts` in [admin]"), "{}", reply.text());
        }
    }
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(status(&hookbox, probe, &[("Host", "evil.example")]), 200, "probes tell no more than yes or no");
    }
}

#[test]
fn programs_need_the_token() {
    let hookbox = guarded().start();
    for target in ["/nowhere", "/api/v1/nowhere"] {
        for headers in [
            &[][..],
            &[("Authorization", "Basic a-token-of-the-tests-0123456789")],
            &[("Authorization", "Bearer a-token-of-the-tests-012345678")],
            &[("Cookie", "hookbox_session=0000; hookbox=1")],
        ] {
            let reply = hookbox.look(target, headers);
            assert_eq!(reply.status, 401, "{target} {headers:?}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"hookbox\""));
            assert!(reply.text().contains("\"hint\""), "{}", reply.text());
        }
        assert_eq!(status(&hookbox, target, &[BEARER]), 404, "let through");
    }
    for (target, expected) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/assets/x", 404)] {
        assert_eq!(status(&hookbox, target, &[]), expected, "{target} wants no session");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(hookbox.ask(method, "/healthz", &[BEARER], "").status, 405, "{method}");
    }
}

#[test]
fn browser_logs_in_returns_to_its_page_and_logs_out() {
    let hookbox = findable().start();
    let sent = hookbox.look("/events?state=dead", &[HTML]);
    assert_eq!((sent.status, sent.header("location")), (303, Some("/login?next=%2Fevents%3Fstate%3Ddead")));
    let page = hookbox.look(sent.header("location").unwrap(), &[HTML]);
    assert!(page.text().contains("name=\"next\" value=\"/events?state=dead\""), "{}", page.text());
    let hostile = hookbox.look("/login?next=%22%3E%3Cscript%3E", &[HTML]).text();
    assert!(!hostile.contains("<script>"), "{hostile}");
    let away = hookbox.submit("/login", &[], &format!("token={TOKEN}&next=%2F%2Fevil.example"));
    assert_eq!(away.header("location"), Some("/"));
    let wrong = hookbox.submit("/login", &[], "token=wrong&next=%2F");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert!(wrong.text().contains("wrong token"), "{}", wrong.text());

    let cookie = log_in(&hookbox);
    assert_eq!(status(&hookbox, "/nowhere", &[("Cookie", &cookie)]), 404, "let through");
    assert_eq!(status(&hookbox, "/nowhere", &[("Cookie", &format!("a=b; {cookie}x; {cookie}"))]), 404);
    assert_eq!(hookbox.submit("/logout", &[("Cookie", &cookie)], "csrf=wrong").status, 403);
    assert_eq!(status(&hookbox, "/nowhere", &[("Cookie", &cookie)]), 404, "a forged form ends no session");
    hookbox.rewrite(|text| text.replace(TOKEN, "another-token-of-the-tests"));
    hookbox.ok(&["reload"]);
    assert_eq!(status(&hookbox, "/nowhere", &[("Cookie", &cookie)]), 401, "another token ends every session");
}

#[test]
fn cookie_is_secure_over_https() {
    let hookbox = guarded().start();
    let headers = [
        ("Host", "hooks.example.com"),
        ("Origin", "https://hooks.example.com"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let reply = hookbox.ask("POST", "/login", &headers, &format!("token={TOKEN}"));
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.starts_with("hookbox_session=") && cookie.ends_with("; Secure"), "{cookie}");
}

#[test]
fn pages_of_other_sites_can_neither_read_nor_change() {
    let open = Hookbox::new().start();
    let guarded = guarded().start();
    let cookie = log_in(&guarded);
    let near = format!("http://localhost:{}", open.admin().port());
    for (hookbox, more) in [(&open, ("X-Nothing", "")), (&guarded, ("Cookie", cookie.as_str()))] {
        for origin in ["http://evil.example", "null", "https://hooks.example.com:8443", near.as_str(), ""] {
            let json = [("Origin", origin), ("Content-Type", "application/json"), more];
            let reply = hookbox.ask("POST", "/api/v1/handlers/x/pause", &json, "{}");
            assert_eq!(reply.status, 403, "{origin}: {}", reply.text());
            let form = [("Origin", origin), ("Content-Type", "application/x-www-form-urlencoded"), more];
            assert_eq!(hookbox.ask("POST", "/logout", &form, "csrf=x").status, 403, "{origin}");
            let login = hookbox.ask("POST", "/login", &form, &format!("token={TOKEN}"));
            assert_eq!((login.status, login.header("set-cookie")), (403, None), "{origin}");
            for target in ["/", "/api/v1/status", "/live", "/metrics"] {
                let reply = hookbox.ask("GET", target, &[("Origin", origin), more], "");
                assert_eq!(reply.status, 403, "{target} from {origin}: {}", reply.text());
            }
            assert_eq!(hookbox.ask("GET", "/healthz", &[("Origin", origin)], "").status, 200, "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            let json = [("Sec-Fetch-Site", site), ("Content-Type", "application/json"), more];
            assert_eq!(hookbox.ask("POST", "/api/v1/handlers/x/pause", &json, "{}").status, 403, "{site}");
            let embedded = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "no-cors"), more];
            assert_eq!(status(hookbox, "/api/v1/status", &embedded), 403, "{site}");
            for dest in ["iframe", "embed", "object", "frame", "fencedframe", ""] {
                let frame = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", dest), more];
                assert_eq!(hookbox.look("/", &frame).status, 403, "{dest}");
            }
            let link = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), more];
            assert_eq!(status(hookbox, "/nowhere", &link), 404, "{site}: a link may lead here");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            let reply = hookbox.ask("POST", "/api/v1/handlers/x/pause", &[("Content-Type", kind), more], "{}");
            assert_eq!(reply.status, 403, "{kind}: what a form can send is not believed");
        }
        assert_eq!(hookbox.submit("/logout", &[more], "csrf=").status, 403);
        assert_eq!(hookbox.submit("/logout", &[more], "").status, 403);
    }
    let json = [("Content-Type", "application/json; charset=utf-8")];
    assert_eq!(open.ask("POST", "/api/v1/handlers/x/pause", &json, "{}").status, 404, "programs of this machine are");
    let with_cookie = [json[0], ("Cookie", &cookie)];
    assert_eq!(
        guarded.ask("POST", "/api/v1/handlers/x/pause", &with_cookie, "{}").status,
        403,
        "a cookie alone is not"
    );
    assert_eq!(guarded.ask("POST", "/api/v1/handlers/x/pause", &[BEARER], "").status, 404, "the token is");
}

#[test]
fn failed_logins_are_rate_limited() {
    let hookbox = findable().expect_warning("127.0.0.1: 10 failed logins within a minute").start();
    let cookie = log_in(&hookbox);
    for attempt in 0..10 {
        let reply = if attempt % 2 == 0 {
            hookbox.look("/api/v1/status", &[("Authorization", "Bearer wrong")])
        } else {
            hookbox.submit("/login", &[], "token=wrong")
        };
        assert_eq!(reply.status, 401, "{attempt}");
    }
    hookbox.wait_for_log("10 failed logins within a minute");
    let blocked = |reply: Reply| {
        assert_eq!(reply.status, 429, "{}", reply.text());
        assert!(reply.retry_after().is_some_and(|seconds| (1..=60).contains(&seconds)), "{:?}", reply.headers);
    };
    blocked(hookbox.look("/api/v1/status", &[("Authorization", "Bearer wrong")]));
    blocked(hookbox.submit("/login", &[], "token=wrong"));
    assert_eq!(status(&hookbox, "/api/v1/status", &[BEARER]), 200, "others' wrong ones keep nobody out");
    assert_eq!(hookbox.submit("/login", &[], &format!("token={TOKEN}")).status, 303);
    assert_eq!(status(&hookbox, "/nowhere", &[("Cookie", &cookie)]), 404, "who is in stays in");
    hookbox.ok(&["health"]);
}

#[test]
fn failed_logins_count_for_the_forwarded_client() {
    let warned = "198.51.100.1: 10 failed logins within a minute";
    let hookbox = findable().server("trusted_proxies = [\"127.0.0.1\"]").expect_warning(warned).start();
    let wrong = |from: &str| {
        let headers = [("Authorization", "Bearer wrong"), ("X-Forwarded-For", from)];
        let form = hookbox.submit("/login", &headers[1..], "token=wrong").status;
        let api = status(&hookbox, "/api/v1/status", &headers);
        assert_eq!(form, api, "{from}");
        api
    };
    for attempt in 0..5 {
        // The part that the client wrote is not trusted.
        assert_eq!(wrong(&format!("192.0.2.{attempt}, 198.51.100.1")), 401, "{attempt}");
    }
    assert_eq!(wrong("198.51.100.1"), 429);
    assert_eq!(wrong("198.51.100.2"), 401, "another client has tries of its own");
    hookbox.wait_for_log(warned);
}

#[test]
fn responses_forbid_caching_and_framing() {
    let hookbox = guarded().start();
    for (target, headers) in [
        ("/healthz", &[][..]),
        ("/login", &[HTML]),
        ("/nowhere", &[BEARER]),
        ("/nowhere", &[]),
        ("/", &[HTML]),
        ("/", &[("Host", "evil.example")]),
    ] {
        let reply = hookbox.look(target, headers);
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{target}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{target} {name}");
        }
        assert_eq!(reply.header("access-control-allow-origin"), None, "{target}");
    }
}

#[test]
fn health_and_reload_work_with_a_token() {
    let hookbox = findable().expect_warning("configuration not reloaded").start();
    assert_eq!(hookbox.ok(&["health"]), "ready\n");
    assert_eq!(hookbox.ok(&["reload"]), "configuration reloaded\n");
    hookbox.rewrite(|text| text.replace("[server]", "[server]\nmax_body = \"huge\""));
    let done = hookbox.run(&["reload"]);
    assert!(done.status == Some(2) && done.stderr.contains("\"huge\" is not a size"), "{done:?}");
    hookbox.wait_for_log("configuration not reloaded");
    let health = |headers: &[(&str, &str)]| hookbox.look("/healthz", headers).text();
    assert!(health(&[]).contains("\"last_reload\":\"failed\"") && !health(&[]).contains("huge"), "{}", health(&[]));
    assert!(health(&[BEARER]).contains("huge"), "{}", health(&[BEARER]));
    assert!(!health(&[BEARER, ("Host", "evil.example")]).contains("huge"));
    hookbox.rewrite(|text| text.replace("max_body = \"huge\"\n", "").replace(TOKEN, "another-token-of-the-tests"));
    assert_eq!(hookbox.ok(&["reload"]), "configuration reloaded\n");
    until("the new token to hold", || {
        (status(&hookbox, "/nowhere", &[("Authorization", "Bearer another-token-of-the-tests")]) == 404).then_some(())
    });
    assert_eq!(status(&hookbox, "/nowhere", &[BEARER]), 401);
}

#[test]
fn token_is_never_shown() {
    let hookbox = guarded().start();
    hookbox.look("/", &[BEARER]);
    log_in(&hookbox);
    let shown = hookbox.ok(&["check"]) + &hookbox.ok(&["check", "--json"]) + &hookbox.log().join("\n");
    assert!(!shown.contains(TOKEN), "{shown}");
}
