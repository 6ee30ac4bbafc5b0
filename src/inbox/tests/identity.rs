//! Which deliveries are duplicates, for every provider and every `id_scope`.

use proptest::prelude::*;
use rusqlite::Connection;

use super::database;
use crate::config::Source;
use crate::inbox::insert::Insertion;
use crate::inbox::rejections::HourlyTotals;
use crate::providers::{IdScope, ProviderRow, Scheme, Selector};
use crate::routing::Routes;
use crate::support::time::Millis;
use crate::verify::tests::NOW;
use crate::verify::tests::walk::{private_key, scheme_of, source_of, walked_rows};
use crate::verify::{TestEvent, VerifiedDelivery, VerifiedRequest, Verifier, sign};

/// Stores a delivery; returns how many of its events are new.
fn store(connection: &Connection, delivery: VerifiedDelivery, dedups_bodies: bool) -> u32 {
    let routed = Routes::new(&[]).unwrap().route(delivery);
    let insertion = Insertion { routed, dedups_bodies };
    let was_known = insertion.is_duplicate(connection).unwrap();
    let receipt = insertion.write(connection, &mut HourlyTotals::default()).unwrap().receipt;
    assert!(was_known || receipt.is_accepted() || dedups_bodies);
    assert!(!was_known || !receipt.is_accepted());
    receipt.events() - receipt.duplicates()
}

fn verified(source: &Source, event: &TestEvent) -> VerifiedDelivery {
    let request = sign(source, event, NOW).unwrap_or_else(|error| panic!("{}: {error}", source.provider));
    match Verifier::new(source).check(&request, NOW) {
        Ok(VerifiedRequest::Delivery(verified)) => verified,
        other => panic!("{}: {other:?}", source.provider),
    }
}

/// An event of a provider's row whose body contains a random text. With `id`, the body contains that id where the row
/// looks for it, if it is possible to set one.
fn event(source: &Source, id: Option<&str>, noise: &str) -> VerifiedDelivery {
    let scheme = &source.scheme;
    let body =
        if scheme.is_form() { format!("noise={noise}") } else { serde_json::json!({ "noise": noise }).to_string() };
    let with = |id: Option<&str>| TestEvent {
        event_id: id.map(ToOwned::to_owned),
        body: body.clone().into_bytes(),
        private_key: private_key(scheme),
        ..TestEvent::default()
    };
    let can_be_set = id.is_some() && sign(source, &with(id), NOW).is_ok();
    verified(source, &with(id.filter(|_| can_be_set)))
}

fn rows() -> Vec<Source> {
    let needs_body_of_its_own = |scheme: &Scheme| {
        let mut parts = scheme.event_type.alternatives.iter().chain(&scheme.event_id.alternatives).flatten();
        parts.any(|part| matches!(part, Selector::FormXml(..)))
    };
    let source = |(name, row): (&str, &ProviderRow)| source_of(name, scheme_of(row), &[0]);
    walked_rows().map(source).filter(|source| !needs_body_of_its_own(&source.scheme)).collect()
}

/// Whether a delivery may be a duplicate of one with another body.
fn may_be_duplicate(first: &VerifiedDelivery, second: &VerifiedDelivery) -> bool {
    first.id_scope() == IdScope::Event && first.items()[0].event_id == second.items()[0].event_id
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn different_bodies_are_duplicates_only_under_the_same_event_id(noises in proptest::collection::hash_set("[a-z0-9]{4,40}", 2)) {
        let noises: Vec<_> = noises.into_iter().collect();
        let sources = rows();
        prop_assert!(sources.len() > 200, "{}", sources.len());
        for source in &sources {
            for id in [None, Some("id-0")] {
                let connection = database();
                let [first, second] = [0, 1].map(|index| event(source, id, &noises[index]));
                if first.items()[0].body == second.items()[0].body {
                    continue; // Only the provider can make bodies of this row.
                }
                let is_exempt = may_be_duplicate(&first, &second);
                prop_assert_eq!(store(&connection, first.clone(), false), 1, "{}", &source.provider);
                let is_new = store(&connection, second, false) == 1;
                prop_assert!(is_new || is_exempt, "{} {:?}", &source.provider, id);
                let is_new = store(&connection, first, false) == 1;
                prop_assert!(!is_new, "{}: the same ids are stored twice", &source.provider);
            }
        }
    }
}

fn source(keys: &str) -> Source {
    let row: ProviderRow = toml::from_str(&format!("signature = 'header:X'\nalgorithm = 'token'\n{keys}")).unwrap();
    source_of("custom", Scheme::from_row(&row).unwrap(), &[0])
}

fn delivery(source: &Source, body: &str) -> VerifiedDelivery {
    verified(source, &TestEvent { body: body.as_bytes().to_vec(), ..TestEvent::default() })
}

fn lines(connection: &Connection) -> String {
    let sql = "SELECT group_concat(event_id || ' ' || deliveries || ' ' || deviating_deliveries, ', ')
               FROM (SELECT * FROM events ORDER BY seq)";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

const A: &str = r#"{"id":"o","n":1}"#;
const B: &str = r#"{"id":"o","n":2}"#;

fn digest_id(body: &str) -> String {
    use sha2::Digest;
    format!("o#{}", &hex::encode(sha2::Sha256::digest(body))[..16])
}

#[test]
fn duplicate_with_another_body_is_counted_as_deviating() {
    let (connection, source) = (database(), source("event_id = ['json:/id']"));
    let stored: Vec<_> = [A, B, A, B].map(|body| store(&connection, delivery(&source, body), false)).into();
    assert_eq!(stored, [1, 0, 0, 0]);
    assert_eq!(lines(&connection), "o 4 2");
}

#[test]
fn changed_object_is_a_new_event_and_its_retry_a_duplicate() {
    let (connection, source) = (database(), source("event_id = ['json:/id']\nid_scope = 'object'"));
    let stored: Vec<_> = [A, B, A, B].map(|body| store(&connection, delivery(&source, body), false)).into();
    assert_eq!(stored, [1, 1, 0, 0]);
    assert_eq!(lines(&connection), format!("o 2 0, {} 2 0", digest_id(B)));
}

#[test]
fn changed_object_is_a_new_event_after_the_first_was_deleted() {
    let (connection, source) = (database(), source("event_id = ['json:/id']\nid_scope = 'object'"));
    store(&connection, delivery(&source, A), false);
    let delete = "INSERT INTO seen_ids SELECT source, event_id, received_at, deliveries, body_sha256 FROM events;
                  DELETE FROM events";
    connection.execute_batch(delete).unwrap();
    assert_eq!([A, B, B].map(|body| store(&connection, delivery(&source, body), false)), [0, 1, 0]);
    assert_eq!(lines(&connection), format!("{} 2 0", digest_id(B)));
    connection.execute_batch(delete).unwrap();
    assert_eq!([A, B].map(|body| store(&connection, delivery(&source, body), false)), [0, 0]);
}

#[test]
fn guarded_objects_are_distinguished_by_body() {
    let (connection, source) = (database(), source("event_id = ['json:/id']\nid_scope = 'object'"));
    let other_id = A.replace("\"o\"", "\"p\"");
    let stored: Vec<_> = [A, B, A, B, &other_id].map(|body| store(&connection, delivery(&source, body), true)).into();
    assert_eq!(stored, [1, 1, 0, 0, 1]);
    assert_eq!(lines(&connection), format!("o 2 0, {} 2 0, p 1 0", digest_id(B)));
}

#[test]
fn equal_bodies_without_an_id_are_separate_events() {
    let (connection, source) = (database(), source("id_scope = 'none'\nevent_id = ['json:/id']"));
    assert_eq!([A, A].map(|body| store(&connection, delivery(&source, body), false)), [1, 1]);
}

#[test]
fn items_of_a_batch_are_compared_by_their_own_bytes() {
    let (connection, source) = (database(), source("batch = ''\nevent_id = ['json:/id']\nid_scope = 'object'"));
    let stored = |items: &[&str]| store(&connection, delivery(&source, &format!("[{}]", items.join(","))), false);
    assert_eq!((stored(&[A, B]), stored(&[B]), stored(&[A, B, A])), (2, 0, 0));
    assert_eq!(lines(&connection), format!("o 3 0, {} 3 0", digest_id(B)));
}

#[test]
fn long_id_of_a_changed_object_is_cut() {
    let (connection, source) = (database(), source("event_id = ['json:/id']\nid_scope = 'object'"));
    let body = |n: u32| format!(r#"{{"id":"{}","n":{n}}}"#, "é".repeat(127));
    assert_eq!([1, 2, 2].map(|n| store(&connection, delivery(&source, &body(n)), false)), [1, 1, 0]);
}

#[test]
fn digest_covers_type_in_a_header_and_signed_time() {
    let typed = source("event_type = ['header:X-Type']\nevent_id = ['body']");
    let of_type = |event_type: &str| {
        let event =
            TestEvent { body: A.as_bytes().to_vec(), event_type: event_type.to_owned(), ..TestEvent::default() };
        verified(&typed, &event)
    };
    let connection = database();
    assert_eq!(["a", "b", "a"].map(|event_type| store(&connection, of_type(event_type), false)), [1, 1, 0]);

    let row = "signature = 'header:X'\nalgorithm = 'hmac-sha256'\ntimestamp = 'header:T'
               signed_content = '{timestamp}{body}'\nevent_id = ['json:/id']\nid_scope = 'object'
               digest_with = ['timestamp']";
    let timed = source_of("custom", Scheme::from_row(&toml::from_str(row).unwrap()).unwrap(), &[0]);
    let sent_at = |seconds: i64| {
        let event = TestEvent { body: A.as_bytes().to_vec(), ..TestEvent::default() };
        let request = sign(&timed, &event, Millis(NOW.0 + seconds * 1000)).unwrap();
        match Verifier::new(&timed).check(&request, NOW) {
            Ok(VerifiedRequest::Delivery(verified)) => verified,
            other => panic!("{other:?}"),
        }
    };
    let connection = database();
    assert_eq!([0, 1, 0].map(|seconds| store(&connection, sent_at(seconds), false)), [1, 1, 0]);
}
