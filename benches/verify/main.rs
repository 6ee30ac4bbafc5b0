//! Nanoseconds per request for verifying deliveries of GitHub, Stripe and Twilio, compared with a hand-written check of the
//! same scheme. The hand-written check covers signature, tolerance, id, type and the body's digest. hookbox also writes
//! all headers as JSON, so the ratio is shown with and without that.
//!
//! `cargo bench --bench verify`

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot measure exits")]

mod by_hand;

use std::hint::black_box;
use std::time::{Duration, Instant};

use by_hand::{Check, github, stripe, twilio};
use hookbox::internals::{self, Millis, Request, Source, TestEvent, VerifiedRequest, Verifier, sample, sign};

const SECRET: &str = "a secret of the benchmark";
const URL: &str = "https://hooks.example.com/hooks/twilio";
/// The candidates run alternately this often, and the fastest run of each counts.
const ROUNDS: u32 = 300;
const ROUND_LENGTH: Duration = Duration::from_millis(2);
const TARGET_RATIO: f64 = 1.5;

/// A message status (twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks).
const TWILIO: &str = "SmsSid=SM3f1c0e7c8b1f4c0d9a6b2c7d8e9f0a1b&SmsStatus=delivered&MessageStatus=delivered\
    &To=%2B15558675310&From=%2B15005550006&MessageSid=SM3f1c0e7c8b1f4c0d9a6b2c7d8e9f0a1b&ToCountry=US\
    &AccountSid=AC3f1c0e7c8b1f4c0d9a6b2c7d8e9f0a1b&Body=Your+table+is+ready%21&NumSegments=1&ApiVersion=2010-04-01";

struct Scheme {
    name: &'static str,
    event_type: &'static str,
    by_hand: Check,
}

fn main() {
    let schemes = [
        Scheme { name: "github", event_type: "push", by_hand: github(SECRET) },
        Scheme { name: "stripe", event_type: "invoice.paid", by_hand: stripe(SECRET) },
        Scheme { name: "twilio", event_type: "delivered", by_hand: twilio(SECRET, URL) },
    ];
    println!(
        "verify, ns a request     body  hookbox  of it headers  by hand  ratio  without headers  (target {TARGET_RATIO})"
    );
    for scheme in &schemes {
        measure(scheme);
    }
}

fn measure(Scheme { name, event_type, by_hand }: &Scheme) {
    let source = source(name);
    let verifier = Verifier::new(&source);
    let request = request(&source, name, event_type);
    let now = request.received_at;
    let seconds = now.0.div_euclid(1000);
    agree(&verifier, by_hand, &request);
    let mut candidates: [(&dyn Fn(), Duration); 3] = [
        (&|| drop(black_box(verifier.check(black_box(&request), now))), Duration::MAX),
        (&|| drop(black_box(verifier.headers_json(black_box(&request.headers)))), Duration::MAX),
        (&|| drop(black_box(by_hand(black_box(&request), seconds))), Duration::MAX),
    ];
    let iterations = candidates.each_ref().map(|(run, _)| iterations_within(ROUND_LENGTH, run));
    for _ in 0..ROUNDS {
        for ((run, best), iterations) in candidates.iter_mut().zip(iterations) {
            *best = timed(iterations, run).min(*best);
        }
    }
    let mut each = candidates
        .iter()
        .zip(iterations)
        .map(|((_, best), iterations)| best.as_secs_f64() * 1e9 / f64::from(iterations));
    let mut next = || each.next().expect("three candidates");
    let (hookbox, headers, by_hand) = (next(), next(), next());
    println!(
        "{name:<20} {:>6} B {hookbox:>8.0} {headers:>14.0} {by_hand:>8.0} {:>6.2} {:>16.2}",
        request.body.len(),
        hookbox / by_hand,
        (hookbox - headers) / by_hand
    );
}

fn timed(iterations: u32, run: &dyn Fn()) -> Duration {
    let start = Instant::now();
    (0..iterations).for_each(|_| run());
    start.elapsed()
}

fn iterations_within(span: Duration, run: &dyn Fn()) -> u32 {
    let mut iterations = 1;
    while timed(iterations, run) < span {
        iterations *= 2;
    }
    iterations
}

/// Both read the same event, and both reject another body.
fn agree(verifier: &Verifier, by_hand: &Check, request: &Request) {
    let seconds = request.received_at.0.div_euclid(1000);
    let Ok(VerifiedRequest::Delivery(verified)) = verifier.check(request, request.received_at) else {
        panic!("it is genuine")
    };
    let read = by_hand(request, seconds).expect("it is genuine");
    let item = &verified.items()[0];
    assert_eq!((&item.event_id, &item.event_type, item.sha256), (&read.id, &read.event_type, read.sha256));
    let other = Request { body: [&request.body[..], b"&x=y"].concat().into(), ..request.clone() };
    assert!(verifier.check(&other, request.received_at).is_err() && by_hand(&other, seconds).is_none());
}

fn source(name: &str) -> Source {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hookbox.toml");
    let url = if name == "twilio" { format!("url = \"{URL}\"\n") } else { String::new() };
    let text = format!("[sources.{name}]\nprovider = \"{name}\"\nsecret = \"{SECRET}\"\n{url}");
    std::fs::write(&file, text).expect("the configuration is written");
    let source = internals::read_source(&file, &|_| None, name).expect("a configuration").expect("a source");
    Source::clone(&source)
}

/// A delivery of the provider, with the headers that a proxy adds.
fn request(source: &Source, name: &str, event_type: &str) -> Request {
    let is_form = name == "twilio";
    let event = TestEvent {
        event_type: event_type.to_owned(),
        event_id: is_form.then(|| "4f1c0e7c-8b1f-4c0d-9a6b-2c7d8e9f0a1b".to_owned()),
        body: if is_form { TWILIO.into() } else { sample(name, event_type, "evt_1SNdR2eZvKYlo2C") },
        ..TestEvent::default()
    };
    let mut request = sign(source, &event, Millis::now()).expect("it can be signed");
    let length = request.body.len().to_string();
    for (header, value) in [
        ("Host", "hooks.example.com"),
        ("User-Agent", "GitHub-Hookshot/044aadd"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip"),
        ("Content-Length", &length),
        ("X-Forwarded-For", "140.82.115.117"),
        ("X-Forwarded-Host", "hooks.example.com"),
        ("X-Forwarded-Proto", "https"),
        ("Via", "2.0 Caddy"),
    ] {
        request.headers.push(header, value.as_bytes());
    }
    request
}
