//! Every row of the table: deliveries of different events are never the same event, and a retry always is.
//!
//! The data files contain deliveries per provider. Those with the same `event` must have the same identity, which for
//! scope `object` includes the body's digest. `at` is the time of signing, in seconds from [`NOW`].

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::providers::{AuthMethod, BuiltinScheme, IdScope, KeyKind, OneOrMany, all};
use crate::verify::signer::sign_unchanged;

const FILES: &[&str] = &[include_str!("identity_a_k.json")];

#[derive(Deserialize)]
struct Delivery {
    /// One name, or one per item of a batch.
    event: OneOrMany,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: String,
    /// Text, or a JSON document.
    body: Value,
    #[serde(default)]
    at: i64,
}

fn rows() -> BTreeMap<String, Vec<Delivery>> {
    FILES.iter().flat_map(|file| serde_json::from_str::<BTreeMap<_, _>>(file).unwrap()).collect()
}

/// The source and the private key that signs for it.
fn signing_source(name: &str) -> (Source, Option<Secret>) {
    let scheme = walk::scheme_of(find(name).unwrap());
    let builtin_key = match scheme.auth {
        AuthMethod::Builtin(BuiltinScheme::Ebay) => Some(KeyKind::P256),
        AuthMethod::Builtin(_) => Some(KeyKind::Rsa),
        _ => None,
    };
    let private_key = builtin_key.map(walk::private_key_of).or_else(|| walk::private_key(&scheme));
    let mut source = walk::source_of(name, scheme, &[0]);
    if let Some(kind) = builtin_key {
        source.public_keys = vec![walk::public_key_of(kind)];
        source.topics = vec!["arn:aws:sns:us-east-1:123456789012:topic".to_owned()];
    }
    (source, private_key)
}

impl Delivery {
    fn signed(&self, source: &Source, private_key: Option<&Secret>) -> Request {
        let content_type = if self.body.is_string() { "application/octet-stream" } else { "application/json" };
        let mut headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if !self.headers.contains_key("content-type") {
            headers.push(("content-type", content_type));
        }
        let body = self.body.as_str().map_or_else(|| self.body.to_string(), ToOwned::to_owned);
        let unsigned = Request { query: self.query.clone(), ..request(&headers, body) };
        let event = TestEvent { private_key: private_key.cloned(), ..TestEvent::default() };
        let signed_at = Millis(NOW.0 + self.at * 1000);
        sign_unchanged(source, unsigned, &event, signed_at)
            .unwrap_or_else(|error| panic!("{}: {error}", source.provider))
    }
}

#[test]
fn different_events_differ_and_retries_do_not() {
    for (name, deliveries) in rows() {
        let (source, private_key) = signing_source(&name);
        let mut identities: HashMap<String, (String, Option<[u8; 32]>)> = HashMap::new();
        for (number, delivery) in deliveries.iter().enumerate() {
            let request = delivery.signed(&source, private_key.as_ref());
            let verified = match check(&source, &request) {
                Ok(VerifiedRequest::Delivery(verified)) => verified,
                other => panic!("{name} {number}: {other:?}"),
            };
            assert_eq!(verified.items().len(), delivery.event.each().len(), "{name} {number}");
            for (item, event) in verified.items().iter().zip(delivery.event.each()) {
                assert_eq!(item.event_type, delivery.event_type, "{name} {number}");
                let digest = (verified.id_scope() == IdScope::Object).then_some(item.sha256);
                let identity = (item.event_id.clone(), digest);
                let same = identities.iter().find(|(_, known)| **known == identity).map(|(known, _)| known);
                match identities.get(event) {
                    Some(_) => assert_eq!(same, Some(event), "{name} {number}: a retry is a new event"),
                    None => assert_eq!(same, None, "{name} {number}: another event is a duplicate"),
                }
                identities.insert(event.clone(), identity);
            }
        }
    }
}

#[test]
fn every_row_has_two_events_and_a_retry() {
    let rows = rows();
    for (name, row) in all().filter(|(name, row)| row.unsupported.is_none() && *name < "l") {
        let events: Vec<_> = rows[name].iter().flat_map(|delivery| delivery.event.each()).collect();
        let distinct = events.iter().collect::<std::collections::HashSet<_>>().len();
        assert!(distinct >= 2, "{name}");
        // Without an id, a retry cannot be told from another event.
        assert!(events.len() > distinct || row.id_scope.as_deref() == Some("none"), "{name}");
    }
}
