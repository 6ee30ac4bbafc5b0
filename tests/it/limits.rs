//! Overload and limits: 408, 413, 431 and 503, each without storing the event, and 200 again afterwards.

use std::time::{Duration, Instant};

use crate::support::delivery::{Delivery, Rendered};
use crate::support::script::waits_for;
use crate::support::wire::{Reply, Wire};
use crate::support::{Hookbox, Running, github, until};

#[test]
fn body_over_the_limit_by_one_byte_gets_413() {
    let hookbox = Hookbox::new().source_with("github", "max_body = \"1KiB\"").start();
    let body = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    hookbox.deliver(github::push().with_body(body(1024)));
    let reply = hookbox.send(&github::push().with_body(body(1025)));
    assert_eq!(reply.status, 413);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 1);
}

#[test]
fn content_length_over_the_limit_gets_413_before_the_body() {
    let hookbox = Hookbox::new().server("max_body = \"1KiB\"").start();
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    wire.write_head("POST", "/hooks/own", &[("Content-Length".to_owned(), "1000000000".to_owned())]).unwrap();
    assert_eq!(wire.reply().unwrap().status, 413);
}

#[test]
fn chunked_body_is_stored_without_the_chunking() {
    let hookbox = Hookbox::new().start();
    let push = github::push().with_body(format!("\"{}\"", "y".repeat(5000)));
    let reply = send_chunked(&hookbox, &push.render(), 700);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(hookbox.inbox.body("github", &push.id), push.body());
}

#[test]
fn chunked_body_over_the_limit_gets_413_and_is_not_stored() {
    let hookbox = Hookbox::new().server("max_body = \"8KiB\"").start();
    let mut request = crate::support::Delivery::from("own").with_body(vec![b'z'; 100_000]).render();
    request.headers.retain(|(name, _)| name != "Content-Type");
    assert_eq!(send_chunked(&hookbox, &request, 1000).status, 413);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn body_limit_defaults_to_the_providers_own() {
    let hookbox = Hookbox::new().start();
    let push = github::push().with_body(format!("\"{}\"", "x".repeat(9 << 20)));
    hookbox.deliver(&push);
    assert_eq!(hookbox.inbox.number("SELECT body_bytes FROM events"), (9 << 20) + 2);
}

#[test]
fn slow_client_gets_408() {
    let hookbox = Hookbox::new().server("request_timeout = \"300ms\"").start();
    let request = github::push().render();
    let mut slow_body = Wire::begin(hookbox.hooks(), &request, 3).unwrap();
    assert_eq!(slow_body.reply().unwrap().status, 408);

    let mut slow_head = Wire::open(hookbox.hooks()).unwrap();
    slow_head.write(b"POST /hooks/github HTTP/1.1\r\nHost: hookbox.test\r\nX-Slow: ").unwrap();
    assert_eq!(slow_head.reply().unwrap().status, 408);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn dripping_client_does_not_extend_the_time_limit() {
    let hookbox = Hookbox::new().server("request_timeout = \"500ms\"").start();
    let request = github::push().with_body(vec![b' '; 100_000]).render();
    let mut wire = Wire::begin(hookbox.hooks(), &request, 1).unwrap();
    until("the client to be disconnected", || wire.write(b" ").is_err().then_some(()));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn headers_that_are_too_large_get_431() {
    let hookbox = Hookbox::new().start();
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    wire.write(b"POST /hooks/github HTTP/1.1\r\nHost: hookbox.test\r\n").unwrap();
    let line = format!("X-Large: {}\r\n", "x".repeat(4000));
    for _ in 0..100 {
        if wire.write(line.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(wire.reply().unwrap().status, 431);
    hookbox.deliver(github::push());
}

#[test]
fn delivery_waits_for_a_locked_database() {
    let hookbox = Hookbox::new().start();
    let holder = hookbox.inbox.writer();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let push = github::push();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| hookbox.send(&push).status);
        // No response may be sent while the lock is held.
        let started = Instant::now();
        until("half a second to pass", || (started.elapsed() > Duration::from_millis(500)).then_some(()));
        assert!(!waiting.is_finished(), "the response was sent before the event was stored");
        holder.execute_batch("COMMIT").unwrap();
        assert_eq!(waiting.join().unwrap(), 200);
    });
}

#[test]
fn database_locked_for_too_long_gets_503_then_200() {
    let hookbox = Hookbox::new()
        .server("request_timeout = \"500ms\"")
        .expect_warning("deliveries get 503: the inbox takes")
        .start();
    let holder = hookbox.inbox.writer();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let pushes: Vec<_> = (0..8).map(|_| github::push()).collect();
    let statuses: Vec<Reply> = std::thread::scope(|scope| {
        let clients: Vec<_> = pushes.iter().map(|push| scope.spawn(|| hookbox.send(push))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for reply in &statuses {
        assert_unavailable(reply);
    }
    assert_eq!(hookbox.probe("/healthz").status, 200);
    holder.execute_batch("COMMIT").unwrap();
    for push in &pushes {
        until("200 again", || (hookbox.send(push).status == 200).then_some(()));
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 8);
}

#[test]
fn attempt_result_waits_for_a_locked_database() {
    let hookbox = Hookbox::new().handler("deploy", waits_for("gate").then_succeeds()).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "running");
    let holder = hookbox.inbox.writer();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    hookbox.open_gate("gate");
    let started = Instant::now();
    until("a second to pass", || (started.elapsed() > Duration::from_secs(1)).then_some(()));
    assert_eq!(hookbox.attempts(&event), ["running"]);
    holder.execute_batch("COMMIT").unwrap();
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["exit 0"]);
}

#[test]
fn too_many_bytes_in_flight_get_503() {
    let hookbox = Hookbox::new()
        .server("max_in_flight = \"64KiB\"")
        .server("max_body = \"60KiB\"")
        .source_with("github", "max_body = \"60KiB\"")
        .expect_warning("deliveries get 503: too many bytes")
        .start();
    let large = || github::push().with_body(format!("\"{}\"", "x".repeat(50_000)));
    let first = large().render();
    let mut half = begin_and_fill_the_limit(&hookbox, &first, &large);
    half.write(&first.body[40_000..]).unwrap();
    assert_eq!(half.reply().unwrap().status, 200, "the delivery in flight is stored");
    until("200 again", || (hookbox.send(&large()).status == 200).then_some(()));
}

#[test]
fn disconnected_client_frees_its_bytes_in_flight() {
    let hookbox = Hookbox::new()
        .server("max_in_flight = \"64KiB\"")
        .server("max_body = \"60KiB\"")
        .source_with("github", "max_body = \"60KiB\"")
        .expect_warning("deliveries get 503: too many bytes")
        .start();
    let large = || github::push().with_body(format!("\"{}\"", "x".repeat(50_000)));
    let half = begin_and_fill_the_limit(&hookbox, &large().render(), &large);
    half.close();
    until("200 again", || (hookbox.send(&large()).status == 200).then_some(()));
}

#[test]
fn low_disk_gets_503_and_is_alive_but_not_ready() {
    let hookbox = Hookbox::new().inbox("min_free_disk = \"1PiB\"").expect_warning("min_free_disk").start();
    assert_unavailable(&hookbox.send(&github::push()));
    assert_eq!(hookbox.send(&github::push().forged()).status, 401, "forged deliveries do not learn about the disk");
    assert_eq!(hookbox.probe("/healthz").status, 200);
    assert_eq!(hookbox.probe("/readyz").status, 503);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn too_many_pending_jobs_get_503_until_some_are_done() {
    let hookbox = Hookbox::new()
        .inbox("max_pending = 3")
        .handler_with("deploy", "concurrency = 1", waits_for("$HOOKBOX_EVENT_ID").then_succeeds())
        .expect_warning("max_pending")
        .start();
    let mut stored = Vec::new();
    let rejected = until("503", || {
        let push = github::push();
        let reply = hookbox.send(&push);
        if reply.status == 200 {
            stored.push(push);
            assert!(stored.len() < 10_000, "nothing limits the pending jobs");
            return None;
        }
        Some(reply)
    });
    assert_unavailable(&rejected);
    assert_eq!(hookbox.send(&stored[0]).status, 200, "a stored event is still a duplicate");
    stored.iter().for_each(|push| hookbox.open_gate(&push.id));
    until("200 again", || (hookbox.send(&github::push()).status == 200).then_some(()));
}

/// Sends 40,000 bytes of a body and returns once another large body gets 503. Only received bytes count, so the other one
/// may be read first: then it is tried again.
fn begin_and_fill_the_limit(hookbox: &Running, first: &Rendered, other: &dyn Fn() -> Delivery) -> Wire {
    until("the limit to be reached", || {
        let half = Wire::begin(hookbox.hooks(), first, 40_000).unwrap();
        let reply = hookbox.send(&other());
        if reply.status == 200 {
            return None;
        }
        assert_unavailable(&reply);
        Some(half)
    })
}

/// Sends a request in chunks, as far as the server reads them, and returns the response.
fn send_chunked(hookbox: &Running, request: &Rendered, size: usize) -> Reply {
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    let mut headers = request.headers.clone();
    headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    wire.write_head("POST", &request.path, &headers).unwrap();
    let mut written = Ok(());
    for chunk in request.body.chunks(size) {
        let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        written = written.and_then(|()| wire.write(&framed));
    }
    written.and_then(|()| wire.write(b"0\r\n\r\n")).ok();
    wire.reply().unwrap()
}

fn assert_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.retry_after().is_some_and(|seconds| seconds >= 1), "{:?}", reply.headers);
}
