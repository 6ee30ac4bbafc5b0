//! HTTP mode: the request, the meaning of each answer, and servers that are slow, dead or endless.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::delivery::Delivery;
use crate::support::endpoint::{Asked, Endpoint, answer};
use crate::support::{Event, Hookbox, Running, github, until};

fn hookbox(endpoint: &Endpoint, lines: &str) -> Hookbox {
    Hookbox::new().handler_section("app", &format!("mode = \"http\"\nurl = \"{}\"\n{lines}", endpoint.url()))
}

fn event(kind: &str) -> Delivery {
    Delivery::from("own").of_type(kind)
}

/// Answers with the type of the event: `STATUS` or `STATUS TEXT`, with headers after `|`.
fn answers_event_type() -> Endpoint {
    Endpoint::new(|asked, stream| {
        let kind = asked.header("hookbox-event-type").unwrap();
        let (status, headers) = kind.split_once('|').unwrap_or((kind, ""));
        let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
        let first = asked.header("hookbox-attempt") == Some("1");
        let status = if first { status } else { "200 OK" };
        answer(stream, status, &headers, &format!("\nsaid {status}\nand more"))
    })
}

/// `status`, `http_status`, `note` and `stdout` of each attempt.
fn attempts(hookbox: &Running, event: &Event) -> Vec<(String, Option<i64>, String, Vec<u8>)> {
    let sql = "SELECT status, http_status, coalesce(note, ''), coalesce(stdout, x'') FROM attempts \
               WHERE job_id = ? AND status IS NOT NULL ORDER BY number";
    hookbox.inbox.rows(sql, [hookbox.job(event).id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
}

fn first(hookbox: &Running, event: &Event) -> (String, Option<i64>, String, Vec<u8>) {
    until("an attempt to end", || attempts(hookbox, event).into_iter().next())
}

#[test]
fn application_gets_the_same_bytes_with_a_signature() {
    let endpoint = answers_event_type();
    let secrets =
        [b"a key of twenty-four byte", b"an older key of so many b"].map(|key| format!("whsec_{}", BASE64.encode(key)));
    let lines = format!(
        "secret = [\"{}\", \"{}\"]\nheaders = {{ X-Api-Key = {{ env = \"API_KEY\" }} }}",
        secrets[0], secrets[1]
    );
    let hookbox = hookbox(&endpoint, &lines).environment("API_KEY", "hunter2").start();
    let event = hookbox.deliver(event("200 OK").with_body(b"{\"a\": \xff\x00 1}\n"));
    hookbox.wait_for(&event, "succeeded");
    let asked = endpoint.asked().remove(0);
    assert_eq!(asked.line, "POST /hooks?a=b HTTP/1.1");
    assert_eq!(asked.body, b"{\"a\": \xff\x00 1}\n");
    let id = format!("own/{}/app", event.id);
    for (name, value) in [
        ("Host", endpoint.address.to_string().as_str()),
        ("Content-Type", "application/json"),
        ("Hookbox-Source", "own"),
        ("Hookbox-Event-Id", &event.id),
        ("Hookbox-Event-Type", "200 OK"),
        ("Hookbox-Attempt", "1"),
        ("webhook-id", &id),
        ("X-Api-Key", "hunter2"),
        ("User-Agent", concat!("hookbox/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    assert!(asked.header("x-signature").is_none() && asked.header("authorization").is_none());
    let at: u64 = asked.header("webhook-timestamp").unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(at) < 60);
    let sign = |key: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(&asked.body);
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    };
    let expected = format!("{} {}", sign(b"a key of twenty-four byte"), sign(b"an older key of so many b"));
    assert_eq!(asked.header("webhook-signature"), Some(expected.as_str()));
    let (ending, status, _, stdout) = first(&hookbox, &event);
    assert_eq!((ending.as_str(), status, stdout.as_slice()), ("succeeded", Some(200), &b"\nsaid 200 OK\nand more"[..]));
    assert!(!hookbox.log().iter().any(|line| line.contains("hunter2")));
}

#[test]
fn each_status_decides_as_documented() {
    let endpoint = answers_event_type();
    let hookbox = hookbox(&endpoint, "").expect_failures().start();
    for (kind, ending, note) in [
        ("200 OK", "succeeded", ""),
        ("204 No Content", "succeeded", ""),
        ("400 Bad Request", "failed", "answered 400 Bad Request; said 400 Bad Request"),
        ("404 Not Found", "failed", "answered 404 Not Found"),
        ("410 Gone", "dead", "answered 410 Gone"),
        ("429 Too Many Requests", "failed", "answered 429"),
        ("429 Too Many Requests|Retry-After: 1", "deferred", "answered 429"),
        ("429 Too Many Requests|Retry-After: soon", "failed", "its Retry-After is neither seconds nor a date; ignored"),
        ("500 Internal Server Error", "failed", "answered 500"),
        ("500 Internal Server Error|Retry-After: 1", "failed", "answered 500"),
        ("503 Service Unavailable|Retry-After: 1", "deferred", "answered 503"),
        (
            "302 Found|Location: http://elsewhere.example/",
            "failed",
            "a redirect to http://elsewhere.example/, which is not followed",
        ),
    ] {
        let event = hookbox.deliver(event(kind));
        let (got, status, noted, _) = first(&hookbox, &event);
        assert_eq!((got.as_str(), status), (ending, kind[..3].parse().ok()), "{kind}");
        assert!(noted.contains(note), "{kind}: {noted}");
        hookbox.wait_for(&event, if ending == "dead" { "dead" } else { "succeeded" });
        if ending == "deferred" {
            assert_eq!((hookbox.job(&event).failures, hookbox.job(&event).deferrals), (0, 1));
            let ledger = hookbox.ledger(&event);
            assert!(ledger[1].started_at - ledger[0].finished_at.unwrap() >= 900, "{ledger:?}");
        }
    }
}

#[test]
fn retry_after_date_is_respected() {
    let at = jiff::Timestamp::now().as_second() + 3600;
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&jiff::Timestamp::from_second(at).unwrap())
        .unwrap();
    let endpoint = Endpoint::new(move |_, stream| {
        answer(stream, "503 Service Unavailable", &format!("Retry-After: {date}\r\n"), "")
    });
    let hookbox = hookbox(&endpoint, "").expect_failures().start();
    let event = hookbox.deliver(github::push());
    first(&hookbox, &event);
    until("the job to wait", || (hookbox.job(&event).state == "pending").then_some(()));
    assert!((hookbox.job(&event).run_at / 1000).abs_diff(at) <= 2);
}

#[test]
fn connections_are_reused_and_dead_ones_cost_no_attempt() {
    let endpoint = Endpoint::new(|asked, stream| {
        answer(stream, "200 OK", "", "") && asked.header("hookbox-event-type") == Some("kept")
    });
    let hookbox = hookbox(&endpoint, "concurrency = 1").start();
    for number in 0..9 {
        let kind = if number % 3 == 0 { "kept" } else { "closed" };
        let event = hookbox.deliver(event(kind));
        hookbox.wait_for(&event, "succeeded");
        assert_eq!(attempts(&hookbox, &event).len(), 1);
    }
    let on = |connection| endpoint.asked().iter().filter(|asked| asked.connection == connection).count();
    assert_eq!((on(1), endpoint.asked().len()), (2, 9));
}

#[test]
fn kept_connection_that_dies_during_a_request_is_replaced_once() {
    let endpoint = Endpoint::new(|asked: &Asked, stream| {
        let is_second = asked.header("hookbox-event-type") == Some("second") && asked.connection == 1;
        !is_second && answer(stream, "200 OK", "", "")
    });
    let hookbox = hookbox(&endpoint, "concurrency = 1").start();
    for kind in ["first", "second"] {
        let event = hookbox.deliver(event(kind));
        hookbox.wait_for(&event, "succeeded");
        assert_eq!(attempts(&hookbox, &event).len(), 1);
    }
    assert_eq!((endpoint.connections(), endpoint.asked().len()), (2, 3));
    let keys: Vec<_> = endpoint.asked().iter().map(|asked| asked.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(keys[1], keys[2]);
}

#[test]
fn unreachable_url_is_a_failure_and_never_pauses() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hookbox = Hookbox::new()
        .handler_section("app", &format!("mode = \"http\"\nurl = \"http://{gone}/\""))
        .handler_section("nowhere", "mode = \"http\"\nurl = \"http://no-such-host.invalid/\"\nretry = { attempts = 1 }")
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    until("both to be dead", || {
        ["app", "nowhere"].iter().all(|name| hookbox.job_of(&event, name).state == "dead").then_some(())
    });
    let job = hookbox.job_of(&event, "app");
    assert_eq!(job.failures, 5);
    assert!(job.reason.as_ref().is_some_and(|why| why.contains("Connection refused")), "{job:?}");
    let reason = hookbox.job_of(&event, "nowhere").reason.unwrap();
    assert!(reason.contains("http://no-such-host.invalid/"), "{reason}");
    assert_eq!(hookbox.json(&["status"])["handlers"][0]["paused"], false);
}

#[test]
fn hanging_or_dripping_server_times_out() {
    let endpoint = Endpoint::new(|asked, stream| {
        let kind = asked.header("hookbox-event-type").unwrap();
        if kind == "drips" {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok();
            while stream.write_all(b"1\r\nx\r\n").and_then(|()| stream.flush()).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        std::thread::sleep(Duration::from_secs(600));
        false
    });
    let hookbox = hookbox(&endpoint, "timeout = \"400ms\"\nretry = { attempts = 1 }").expect_failures().start();
    for kind in ["hangs", "drips"] {
        let event = hookbox.deliver(event(kind));
        hookbox.wait_for(&event, "dead");
        assert_eq!(attempts(&hookbox, &event)[0].0, "timeout", "{kind}");
    }
}

#[test]
fn beginning_of_a_gibibyte_answer_is_kept() {
    let endpoint = Endpoint::new(|asked, stream| {
        let head = match asked.header("hookbox-event-type").unwrap() {
            "sized" => "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\n\r\n",
        };
        stream.write_all(head.as_bytes()).ok();
        let part = vec![b'x'; 1 << 16];
        (0..1 << 14).any(|_| stream.write_all(&part).is_err())
    });
    let hookbox = hookbox(&endpoint, "").start();
    for kind in ["sized", "endless"] {
        let event = hookbox.deliver(event(kind));
        hookbox.wait_for(&event, "succeeded");
        let bytes = hookbox
            .inbox
            .number(&format!("SELECT stdout_bytes FROM attempts WHERE job_id = {}", hookbox.job(&event).id));
        let (_, _, note, kept) = attempts(&hookbox, &event).remove(0);
        assert_eq!(kept.len(), 64 * 1024);
        assert!((1 << 20..2 << 20).contains(&bytes), "{kind}: {bytes} bytes were read");
        let length = if kind == "sized" { " (Content-Length 1073741824)" } else { "" };
        assert_eq!(note, format!("its answer was cut after {bytes} bytes{length}"));
    }
}

fn hanging() -> Endpoint {
    Endpoint::new(|_, _| {
        std::thread::sleep(Duration::from_secs(600));
        false
    })
}

#[test]
fn skip_ends_a_running_request() {
    let endpoint = hanging();
    let hookbox = hookbox(&endpoint, "").start();
    let event = hookbox.deliver(github::push());
    endpoint.wait_for(1);
    hookbox.ok(&["skip", &event.id]);
    hookbox.wait_for(&event, "skipped");
    until("the attempt to end", || attempts(&hookbox, &event).first().map(|attempt| assert_eq!(attempt.0, "skipped")));
}

#[test]
fn shutdown_ends_requests_within_the_grace() {
    let endpoint = hanging();
    let mut hookbox = hookbox(&endpoint, "").dispatch("shutdown_grace = \"1s\"").start();
    let event = hookbox.deliver(github::push());
    endpoint.wait_for(1);
    assert!(hookbox.stop().success());
    assert_eq!(attempts(&hookbox, &event)[0].0, "stopped");
    let job = hookbox.job(&event);
    assert_eq!((job.state.as_str(), job.failures), ("pending", 0));
}

#[test]
fn tls_trusts_ca_file_and_no_unknown_authority() {
    let endpoint = Endpoint::with_tls(|_, stream| answer(stream, "200 OK", "", "ok"));
    let url = format!("mode = \"http\"\nurl = \"https://localhost:{}/\"", endpoint.address.port());
    let setup = Hookbox::new()
        .handler_section("trusts", &format!("{url}\nca_file = \"ca.pem\"\nconcurrency = 1"))
        .handler_section("doubts", &format!("{url}\nretry = {{ attempts = 1 }}"))
        .expect_failures();
    std::fs::write(setup.folder().join("ca.pem"), &endpoint.authority).unwrap();
    let hookbox = setup.start();
    for _ in 0..2 {
        let event = hookbox.deliver(github::push());
        until("both to end", || {
            let ended = ["trusts", "doubts"].map(|name| hookbox.job_of(&event, name).state);
            (ended == ["succeeded", "dead"]).then_some(())
        });
        let reason = hookbox.job_of(&event, "doubts").reason.unwrap();
        assert!(reason.contains("certificate") && reason.contains("hint: `ca_file`"), "{reason}");
    }
    let connections: Vec<_> = endpoint.asked().iter().map(|asked| asked.connection).collect();
    assert_eq!((connections.len(), connections[0]), (2, connections[1]), "the connection was reused");
}

#[test]
fn receiver_example_accepts_only_signed_requests() {
    let secret = format!("whsec_{}", BASE64.encode(b"a key of twenty-four byte"));
    let mut receiver = std::process::Command::new("python3")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/handlers/receiver.py"), "0"])
        .env("APP_SIGNING_SECRET", &secret)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(receiver.stdout.take().unwrap()));
    let url = lines.next().unwrap().unwrap();
    let section = format!("mode = \"http\"\nurl = \"{url}\"\nretry = {{ attempts = 1 }}");
    let hookbox = Hookbox::new()
        .handler_section("known", &format!("{section}\nsecret = [\"MDEyMzQ1Njc4OWFiY2RlZg==\", \"{secret}\"]"))
        .handler_section("stranger", &format!("{section}\nsecret = \"MDEyMzQ1Njc4OWFiY2RlZg==\""))
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    until("both to end", || {
        let ended = ["known", "stranger"].map(|name| hookbox.job_of(&event, name).state);
        (ended == ["succeeded", "dead"]).then_some(())
    });
    assert!(lines.next().unwrap().unwrap().starts_with(&format!("push github/{}/known ", event.id)));
    assert!(hookbox.job_of(&event, "stranger").reason.unwrap().contains("answered 401"));
    receiver.kill().unwrap();
    receiver.wait().unwrap();
}
