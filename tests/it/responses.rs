//! Responses to providers: the table of statuses, and that a 200 means the event is stored byte for byte.

use crate::support::delivery::{Delivery, PROVIDERS, TIMED};
use crate::support::torture::report_count;
use crate::support::wire::{Reply, Wire};
use crate::support::{Hookbox, github};

#[test]
fn genuine_event_is_stored_byte_for_byte() {
    let hookbox = Hookbox::new().start();
    let body = b"{\"a\" :\t1.50,\"a\":\"\\u00e9\",\r\n \"n\":12345678901234567890.0}\n\n";
    let push = github::push().with_body(*body).with_header("X-Twice", "one").with_header("X-Twice", "two");
    let reply = hookbox.send(&push);
    assert_eq!((reply.status, reply.text()), (200, r#"{"status":"accepted","events":1,"duplicates":0}"#.to_owned()));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(hookbox.inbox.body("github", &push.id), body);
    let stored = hookbox.inbox.rows(
        "SELECT type, deliveries, body_bytes, hex(body_sha256), content_type, headers ->> '$.\"x-twice\"' \
         FROM events JOIN payloads ON seq = event_seq",
        [],
        |row| {
            let numbers: (i64, i64) = (row.get(1)?, row.get(2)?);
            let texts: (String, String, Option<String>) = (row.get(0)?, row.get(4)?, row.get(5)?);
            Ok((texts, numbers, row.get::<_, String>(3)?))
        },
    );
    let digest = hex::encode_upper(<sha2::Sha256 as sha2::Digest>::digest(body));
    let texts = ("push".to_owned(), "application/json".to_owned(), Some("one, two".to_owned()));
    assert_eq!(stored, [(texts, (1, i64::try_from(body.len()).unwrap()), digest)]);
}

#[test]
fn any_bytes_are_kept_where_no_format_is_claimed() {
    let hookbox = Hookbox::new().start();
    let body: Vec<u8> = (0..=255).chain(std::iter::repeat_n(0, 70_000)).collect();
    let delivery = Delivery::from("own").with_body(body.clone()).with_content_type("application/octet-stream");
    let event = hookbox.deliver(&delivery);
    assert_eq!(hookbox.inbox.body("own", &event.id), body);
}

#[test]
fn duplicate_is_acknowledged_and_stored_once() {
    let hookbox = Hookbox::new().start();
    let push = github::push();
    hookbox.deliver(&push);
    let reply = hookbox.send(&push);
    assert_eq!((reply.status, reply.text()), (200, r#"{"status":"duplicate","events":1,"duplicates":1}"#.to_owned()));
    hookbox.deliver(&push);
    assert_eq!(hookbox.inbox.number("SELECT deliveries FROM events"), 3);
    assert_eq!(hookbox.inbox.rows("SELECT sum(accepted), sum(duplicate) FROM hourly_counts", [], counts), [(1, 2)]);
}

#[test]
fn known_id_with_another_body_is_a_duplicate_with_a_warning() {
    let hookbox = Hookbox::new().expect_warning("another body").start();
    let push = github::push().with_body(r#"{"first":true}"#);
    hookbox.deliver(&push);
    let reply = hookbox.send(&push.clone().with_body(r#"{"second":true}"#));
    assert_eq!(reply.text(), r#"{"status":"duplicate","events":1,"duplicates":1}"#);
    assert_eq!(hookbox.inbox.body("github", &push.id), br#"{"first":true}"#);
}

#[test]
fn same_id_from_two_sources_is_two_events() {
    let hookbox = Hookbox::new().start();
    hookbox.deliver(Delivery::from("github").with_id("one-id"));
    hookbox.deliver(Delivery::from("gitlab").with_id("one-id"));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 2);
}

#[test]
fn every_forgery_gets_the_same_401() {
    let hookbox = Hookbox::new().start();
    let mut answers: Vec<(String, Reply)> = Vec::new();
    for &provider in PROVIDERS {
        let delivery = Delivery::from(provider);
        let signature = signature_header(provider);
        answers.push((format!("{provider}: forged"), hookbox.send(&delivery.clone().forged())));
        let unsigned = delivery.clone().without_header(signature);
        answers.push((format!("{provider}: no signature"), hookbox.send(&unsigned)));
        for garbage in ["", "sha256=", "sha256=zz", "t=,v1=", "v1,", "v1,%%%", "v0=0", "=,=,=", "\u{e9}"] {
            let reply = hookbox.send(&unsigned.clone().with_header(signature, garbage));
            answers.push((format!("{provider}: garbage {garbage:?}"), reply));
        }
        let twice = hookbox.send(&delivery.clone().with_header(signature, "sha256=00"));
        answers.push((format!("{provider}: two signatures that differ"), twice));
    }
    for provider in TIMED {
        answers.push((format!("{provider}: stale"), hookbox.send(&Delivery::from(provider).aged(3600))));
        answers.push((format!("{provider}: from the future"), hookbox.send(&Delivery::from(provider).aged(-3600))));
    }
    let (_, first) = &answers[0];
    for (cause, reply) in &answers {
        assert_eq!((reply.status, reply.text()), (401, first.text()), "{cause}");
        assert_eq!(names(reply), names(first), "{cause}");
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn tampered_body_gets_401() {
    let hookbox = Hookbox::new().start();
    let request = github::push().render();
    let mut body = request.body.clone();
    body.push(b' ');
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    assert_eq!(wire.exchange("POST", &request.path, &request.headers, &body).unwrap().status, 401);
}

#[test]
fn uppercase_hex_signature_is_accepted() {
    let hookbox = Hookbox::new().start();
    let request = github::push().render();
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| match value.strip_prefix("sha256=") {
            Some(digits) => (name.to_uppercase(), format!("sha256={}", digits.to_uppercase())),
            None => (name.to_uppercase(), value.clone()),
        })
        .collect();
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    assert_eq!(wire.exchange("POST", &request.path, &headers, &request.body).unwrap().status, 200);
}

#[test]
fn genuine_delivery_without_a_usable_id_gets_400() {
    let hookbox = Hookbox::new().start();
    let long = "x".repeat(256);
    let refused = [
        ("no id in the header", github::push().without_header("X-GitHub-Delivery")),
        ("an empty id", github::push().with_id("")),
        ("an id that is too long", github::push().with_id(&long)),
        ("no id in the body", Delivery::from("stripe").with_body(r#"{"type":"invoice.paid"}"#)),
        ("an id that is no text", Delivery::from("stripe").with_body(r#"{"id":{"a":1},"type":"invoice.paid"}"#)),
        ("an id with a control character", Delivery::from("stripe").with_body(r#"{"id":"a\u0007b","type":"t"}"#)),
        ("a body that is not the JSON it claims", Delivery::from("stripe").with_body("{\"id\":\"evt_1\",")),
    ];
    for (what, delivery) in refused {
        let reply = hookbox.send(&delivery);
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        assert_is_json(&reply);
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 0);
}

#[test]
fn unusable_type_is_stored_as_empty() {
    let hookbox = Hookbox::new().start();
    hookbox.deliver(github::push().of_type(&"x".repeat(256)));
    hookbox.deliver(Delivery::from("stripe").with_body(r#"{"id":"evt_1","type":"a\nb"}"#));
    assert_eq!(hookbox.inbox.texts("SELECT type FROM events"), ["", ""]);
}

#[test]
fn id_and_type_of_255_bytes_are_stored() {
    let hookbox = Hookbox::new().start();
    let longest = "x".repeat(255);
    let event = hookbox.deliver(github::push().with_id(&longest).of_type(&longest));
    hookbox.wait_for(&event, "unmatched");
}

#[test]
fn numeric_id_is_read_as_text() {
    let hookbox = Hookbox::new().start();
    hookbox.send(&Delivery::from("stripe").with_body(r#"{"id":12345678901234567890,"type":"invoice.paid"}"#));
    assert_eq!(hookbox.inbox.texts("SELECT event_id FROM events"), ["12345678901234567890"]);
}

#[test]
fn another_path_is_404_and_another_method_405() {
    let hookbox = Hookbox::new().start();
    for target in ["/", "/hooks", "/hooks/", "/hooks/unknown", "/hooks/github/more", "/healthz", "/hooks/github%00"] {
        let reply = hookbox.request("POST", target);
        assert_eq!(reply.status, 404, "{target}");
        assert_is_json(&reply);
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let mut wire = Wire::open(hookbox.hooks()).unwrap();
        wire.write_head(method, "/hooks/github", &[]).unwrap();
        let status = wire.status_alone().unwrap();
        assert_eq!(status, 405, "{method}");
    }
    assert_eq!(hookbox.request("GET", "/hooks/github").header("allow"), Some("POST"));
}

#[test]
fn source_with_a_custom_path_is_reached_only_there() {
    let hookbox = Hookbox::new().source_with("github", "path = \"/in/from-github\"").start();
    let request = github::push().render();
    let at = |path: &str| {
        let mut wire = Wire::open(hookbox.hooks()).unwrap();
        wire.exchange("POST", path, &request.headers, &request.body).unwrap().status
    };
    assert_eq!(at("/hooks/github"), 404);
    assert_eq!(at("/in/from-github"), 200);
}

#[test]
fn stale_socket_file_is_replaced() {
    let mut hookbox = Hookbox::new().server("listen = \"unix:hooks.sock\"").start();
    let socket = hookbox.folder().join("hooks.sock");
    for id in ["before", "after"] {
        let request = github::push().with_id(id).render();
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let mut text = format!("POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", request.path);
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
        std::io::Write::write_all(&mut stream, &[text.as_bytes(), &request.body].concat()).unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        hookbox.kill();
        hookbox.start_again();
    }
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 2);
}

#[test]
fn path_is_matched_without_the_query() {
    let hookbox = Hookbox::new().start();
    let request = github::push().render();
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    let reply = wire.exchange("POST", "/hooks/github?tenant=7", &request.headers, &request.body).unwrap();
    assert_eq!(reply.status, 200);
}

#[test]
fn requests_sent_in_one_go_are_answered_in_their_order() {
    let hookbox = Hookbox::new().start();
    let (first, second) = (github::push(), github::push());
    let mut together = Vec::new();
    for request in [&first, &first, &second].map(|push| push.render()) {
        together.extend_from_slice(format!("POST {} HTTP/1.1\r\nHost: x\r\n", request.path).as_bytes());
        for (name, value) in &request.headers {
            together.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        together.extend_from_slice(format!("Content-Length: {}\r\n\r\n", request.body.len()).as_bytes());
        together.extend_from_slice(&request.body);
    }
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    wire.write(&together).unwrap();
    let said = [(); 3].map(|()| wire.reply().unwrap().text());
    assert!(
        said[0].contains("accepted") && said[1].contains("duplicate\"") && said[2].contains("accepted"),
        "{said:?}"
    );
}

#[test]
fn compressed_body_is_stored_as_received() {
    let hookbox = Hookbox::new().start();
    let gzipped = hex::decode("1f8b08000000000000034bcb2f07001e7b7d0c03000000").unwrap();
    let delivery = Delivery::from("own")
        .with_body(gzipped.clone())
        .with_content_type("application/octet-stream")
        .with_header("Content-Encoding", "gzip");
    let event = hookbox.deliver(&delivery);
    assert_eq!(hookbox.inbox.body("own", &event.id), gzipped);
}

#[test]
fn one_connection_carries_many_deliveries() {
    let hookbox = Hookbox::new().start();
    let mut wire = Wire::open(hookbox.hooks()).unwrap();
    for _ in 0..20 {
        let request = github::push().render();
        assert_eq!(wire.exchange("POST", &request.path, &request.headers, &request.body).unwrap().status, 200);
    }
    assert_eq!(wire.unread(), 0);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM events"), 20);
}

#[test]
fn sixty_four_clients_with_one_id_make_one_event_and_one_job() {
    let hookbox = Hookbox::new().handler("deploy", crate::support::script::succeeds()).start();
    let push = github::push();
    let statuses: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64).map(|_| scope.spawn(|| hookbox.send(&push).text())).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let accepted = statuses.iter().filter(|text| text.contains("accepted")).count();
    let duplicate = statuses.iter().filter(|text| text.contains("duplicate\"")).count();
    assert_eq!((accepted, duplicate), (1, 63), "{statuses:?}");
    assert_eq!(hookbox.inbox.number("SELECT deliveries FROM events"), 64);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM jobs"), 1);
    report_count(5, "64 clients send one id at once", 63, 1);
}

#[test]
fn refusals_are_counted() {
    let hookbox = Hookbox::new().start();
    hookbox.send(&github::push().forged());
    hookbox.send(&github::push().without_header("X-GitHub-Delivery"));
    crate::support::until("both to be counted", || {
        let counted =
            hookbox.inbox.rows("SELECT refused, accepted FROM hourly_counts WHERE source = 'github'", [], counts);
        (counted == [(2, 0)]).then_some(())
    });
}

#[test]
fn probes_answer_on_the_admin_address_alone() {
    let hookbox = Hookbox::new().start();
    assert_eq!(hookbox.probe("/healthz").status, 200);
    assert_eq!(hookbox.probe("/readyz").status, 200);
    assert_eq!(hookbox.probe("/hooks/github").status, 404);
    assert_eq!(hookbox.request("GET", "/readyz").status, 404);
}

fn counts(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, i64)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn signature_header(provider: &str) -> &'static str {
    match provider {
        "github" => "X-Hub-Signature-256",
        "stripe" => "Stripe-Signature",
        "standard-webhooks" => "webhook-signature",
        "svix" => "svix-signature",
        "shopify" => "X-Shopify-Hmac-Sha256",
        "slack" => "X-Slack-Signature",
        "gitlab" => "X-Gitlab-Token",
        _ => "X-Signature",
    }
}

/// The names of an answer's headers: a caller learns nothing from those either.
fn names(reply: &Reply) -> Vec<String> {
    reply.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

fn assert_is_json(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{}", reply.text());
    let value: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(value.is_object(), "{value}");
}
