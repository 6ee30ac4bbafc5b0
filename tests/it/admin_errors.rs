//! Requests to the admin address that cannot be read or lead nowhere: the response says what is wrong, where, and the next
//! step, as a page for browsers and as JSON for other clients.

use crate::support::script::succeeds;
use crate::support::{Hookbox, Running};

const FORM: &str = "application/x-www-form-urlencoded";

/// A request, the expected status, and a text in the response.
struct Case<'a> {
    method: &'a str,
    target: &'a str,
    kind: &'a str,
    body: &'a str,
    status: u16,
    word: &'a str,
}

fn get<'a>(target: &'a str, status: u16, word: &'a str) -> Case<'a> {
    Case { method: "GET", target, kind: FORM, body: "", status, word }
}

fn post<'a>(target: &'a str, body: &'a str, status: u16, word: &'a str) -> Case<'a> {
    Case { method: "POST", target, kind: FORM, body, status, word }
}

fn ask(hookbox: &Running, case: &Case<'_>, csrf: &str) {
    let Case { method, target, kind, body, status, word } = *case;
    for (accept, expected) in [("*/*", "application/json"), ("text/html", "text/html; charset=utf-8")] {
        let headers = [("Accept", accept), ("Content-Type", kind), ("Hookbox-Csrf", csrf)];
        let reply = hookbox.ask(method, target, &headers, body);
        let text = reply.text();
        assert_eq!((reply.status, reply.header("content-type")), (status, Some(expected)), "{method} {target}: {text}");
        assert!(text.to_lowercase().contains(&word.to_lowercase()), "{method} {target}: {word}: {text}");
        if accept == "*/*" {
            let told: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(told["error"].is_string() && told["hint"].is_string(), "{method} {target}: {text}");
        }
        if status == 405 {
            let allowed = if method == "POST" { "GET, HEAD" } else { "POST" };
            assert_eq!(reply.header("allow"), Some(allowed), "{method} {target}");
        }
    }
}

#[test]
fn unreadable_requests_get_an_error_and_a_hint() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let page = hookbox.look("/handlers", &[]).text();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let long = format!("state={}", "a".repeat(70_000));
    for case in [
        get("/events?state=dead&state=dead", 400, "duplicate field `state`"),
        get("/jobs?before=1&before=2", 400, "duplicate field `before`"),
        get("/refusals?source=a&source=b", 400, "duplicate field `source`"),
        get("/login?next=a&next=b", 400, "duplicate field `next`"),
        get("/live?since=x", 400, "`since` is not a number"),
        get("/live?since=1&since=2", 400, "duplicate field `since`"),
        get("/handlers/deploy/pause", 405, "use POST"),
        get("/logout", 405, "use POST"),
        post("/events", "", 405, "use GET or HEAD"),
        post("/healthz", "", 405, "use GET or HEAD"),
        post("/jobs/retry", "state=dead&state=dead", 400, "duplicate field `state`"),
        post("/jobs/retry", &long, 413, "64 KiB"),
        post("/login", "x=1", 400, "missing field `token`"),
        post("/login", &long, 413, "64 KiB"),
        Case { kind: "application/json", ..post("/jobs/retry", "{}", 415, "x-www-form-urlencoded") },
        Case { kind: "application/json", ..post("/login", "{}", 415, "x-www-form-urlencoded") },
    ] {
        ask(&hookbox, &case, csrf);
    }
    // A form that is too large has no CSRF token.
    let reply = hookbox.submit("/jobs/retry", &[("Accept", "text/html")], &long);
    assert!(reply.status == 413 && reply.text().contains("64 KiB"), "{}", reply.text());
    let reply = hookbox.submit("/handlers/deplyo/resume", &[("Hookbox-Csrf", csrf)], "");
    assert!(reply.status == 404 && reply.text().contains("There is no handler deplyo"), "{}", reply.text());
}
