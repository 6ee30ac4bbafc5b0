//! Hostile requests: they are rejected or closed, nothing unsigned is stored, and hookbox keeps running.

use crate::support::delivery::{Delivery, PROVIDERS};
use crate::support::torture::{is_long, report_count};
use crate::support::wire::Wire;
use crate::support::{Hookbox, github};

/// Always the same requests, so that a failure can be seen again.
const SEED: u64 = 0x686f_6f6b;

#[test]
fn requests_changed_at_random_never_get_in() {
    // An id that is not signed may be changed into that of another.
    let hookbox = Hookbox::new().allow_warning("stream error").allow_warning("has another body").start();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut genuine = Vec::new();
    // A hundred thousand in `make torture`.
    let requests = if is_long() { 100_000 } else { 1_500 };
    for round in 0..requests {
        let delivery = Delivery::from(PROVIDERS[round % PROVIDERS.len()]);
        genuine.push(delivery.body());
        let mut bytes = whole(&delivery);
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[place] = random.u8(..),
                1 => bytes.truncate(place.max(1)),
                2 => bytes.insert(place, random.u8(..)),
                _ => bytes[place] ^= 1 << random.u8(..8),
            }
        }
        let mut wire = Wire::open(hookbox.hooks()).unwrap();
        wire.write(&bytes).ok();
        wire.end_of_request();
        if let Ok(reply) = wire.reply() {
            assert!([200, 400, 401, 404, 405, 408, 413, 431].contains(&reply.status), "{}", reply.status);
        }
    }
    let stored = hookbox.inbox.rows("SELECT body FROM payloads", [], |row| row.get::<_, Vec<u8>>(0));
    // GitLab sends a token and signs nothing: whoever has the token may change the body.
    let signed = hookbox.inbox.rows(
        "SELECT body FROM payloads JOIN events ON seq = event_seq WHERE source <> 'gitlab'",
        [],
        |row| row.get::<_, Vec<u8>>(0),
    );
    assert!(stored.len() < requests / 2, "most changes are noticed");
    assert!(signed.iter().all(|body| genuine.contains(body)), "a changed body was stored");
    assert_eq!(hookbox.probe("/readyz").status, 200);
    hookbox.deliver(github::push());
    report_count(18, "a signed request, changed at random", requests, stored.len() + 1);
}

#[test]
fn garbage_gets_no_helpful_response() {
    let hookbox = Hookbox::new().allow_warning("stream error").start();
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..300 {
        let garbage: Vec<u8> = (0..random.usize(1..600)).map(|_| random.u8(..)).collect();
        let mut wire = Wire::open(hookbox.hooks()).unwrap();
        wire.write(&garbage).ok();
        wire.end_of_request();
        if let Ok(reply) = wire.reply() {
            assert!(matches!(reply.status, 400 | 404 | 405 | 408), "{}", reply.status);
        }
    }
    hookbox.deliver(github::push());
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 1);
}

#[test]
fn content_length_with_chunked_encoding_is_rejected() {
    // Two proxies may read such a request differently (RFC 9112, 6.3): it must not be taken for a delivery.
    let hookbox = Hookbox::new().allow_warning("stream error").start();
    let mut request = github::push().render();
    request.headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    if let Ok(reply) = wire.exchange("POST", &request.path, &request.headers, &request.body) {
        assert_ne!(reply.status, 200);
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

/// A delivery as the bytes on the wire.
fn whole(delivery: &Delivery) -> Vec<u8> {
    let request = delivery.render();
    let mut text = format!("POST {} HTTP/1.1\r\nHost: hookbox.test\r\n", request.path);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
    [text.as_bytes(), &request.body].concat()
}
