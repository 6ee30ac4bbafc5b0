//! Overload: more deliveries than a slow disk can store, and thousands of stalled clients.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::clients::Clients;
use crate::support::delivery::Delivery;
use crate::support::strace::{SYNCS, injecting};
use crate::support::torture::{is_long, report};
use crate::support::wire::Wire;
use crate::support::{Hookbox, Running, github, until_within};

/// Allowed memory growth in total and per connection.
const GROWTH: u64 = 32 << 20;
const GROWTH_EACH: u64 = 32 << 10;
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);

/// Sends many more requests than may be in flight; in `make torture`, more than fit into the writer's queue.
#[test]
fn slow_disk_gets_503_and_memory_stays_bounded() {
    let requests = if is_long() { 8_000 } else { 800 };
    let (limit, delay) = if is_long() { ("256MiB", 3_000_000) } else { ("256KiB", 100_000) };
    allow_descriptors();
    let mut hookbox = Hookbox::new()
        .server(&format!("max_in_flight = \"{limit}\""))
        .server("max_body = \"8KiB\"")
        .source_with("github", "max_body = \"8KiB\"")
        .server("request_timeout = \"60s\"")
        .allow_warning("deliveries get 503")
        .start();
    assert!(hookbox.stop().success());
    hookbox.under(&injecting(&hookbox, SYNCS, &["-wal"], &format!("delay_enter={delay}")));
    hookbox.start_again();
    let before = memory(&hookbox);
    let clients = Clients::default();
    let mut waiting: Vec<(Delivery, Wire)> = (0..requests)
        .map(|_| {
            let push = large();
            let mut wire = Wire::open(hookbox.hooks()).unwrap();
            clients.note(&push.id);
            let request = push.render();
            let length = ("Content-Length".to_owned(), request.body.len().to_string());
            wire.write_head("POST", &request.path, &[&request.headers[..], &[length]].concat()).unwrap();
            wire.write(&request.body).unwrap();
            (push, wire)
        })
        .collect();
    let mut turned_away = 0;
    for (push, wire) in &mut waiting {
        let reply = wire.reply().expect("every request gets a response");
        match reply.status {
            200 => clients.acknowledge(&push.id),
            status => {
                assert_eq!(status, 503, "{}", reply.text());
                assert!(reply.retry_after().is_some(), "Retry-After is set");
                turned_away += 1;
            }
        }
    }
    let began = Instant::now();
    until_within(RECOVERED_WITHIN, "200 again", || (clients.send(&hookbox, &large()) == Some(200)).then_some(()));
    assert!(began.elapsed() < RECOVERED_WITHIN);
    assert!(turned_away > 0 && clients.acknowledged().len() > 100, "{turned_away} of {requests} were turned away");
    let grown = memory(&hookbox).saturating_sub(before);
    assert!(grown < GROWTH + GROWTH_EACH * requests, "memory grew by {grown} bytes");
    clients.assert_kept(&hookbox.inbox);
    assert!(hookbox.stop().success());
    report(11, "every sync takes long, more requests than can wait", turned_away, &clients);
}

/// Clients that send half a head, half a body or nothing, while another client delivers.
#[test]
fn thousands_of_stalled_connections_block_nobody_and_are_closed() {
    let each: u64 = if is_long() { 2_000 } else { 350 };
    allow_descriptors();
    let mut hookbox = Hookbox::new().server("request_timeout = \"2s\"").start();
    let clients = Clients::default();
    assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
    let before = memory(&hookbox);
    let mut held: Vec<Wire> = (0..3 * each).map(|number| hold(hookbox.hooks(), number)).collect();
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
    }
    assert!(began.elapsed() < RECOVERED_WITHIN, "other clients waited for {:?}", began.elapsed());
    let grown = memory(&hookbox).saturating_sub(before);
    assert!(grown < GROWTH + GROWTH_EACH * 3 * each, "memory grew by {grown} bytes");
    // Silent connections may stay until the idle timeout.
    for (number, wire) in held.iter_mut().enumerate().filter(|(number, _)| number % 3 != 0) {
        assert_eq!(wire.reply().unwrap().status, 408, "number {number}");
        assert!(wire.read_to_end());
    }
    let held_on = held.len();
    drop(held);
    assert_eq!(clients.send(&hookbox, &github::push()), Some(200));
    clients.assert_kept(&hookbox.inbox);
    assert!(hookbox.stop().success());
    report(11, "clients that send half a request and stall", held_on, &clients);
}

fn large() -> Delivery {
    github::push().with_body(format!("\"{}\"", "x".repeat(1_000)))
}

fn hold(address: SocketAddr, number: u64) -> Wire {
    let mut wire = Wire::open(address).unwrap();
    let request = github::push().render();
    match number % 3 {
        0 => {}
        1 => wire.write(b"POST /hooks/github HTTP/1.1\r\nHost: hookbox.test\r\nX-Slow: ").unwrap(),
        _ => {
            let length = ("Content-Length".to_owned(), request.body.len().to_string());
            wire.write_head("POST", &request.path, &[&request.headers[..], &[length]].concat()).unwrap();
            wire.write(&request.body[..5]).unwrap();
        }
    }
    wire
}

/// Resident set size in bytes.
fn memory(hookbox: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", hookbox.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Raises the limit of open files of this process.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}
