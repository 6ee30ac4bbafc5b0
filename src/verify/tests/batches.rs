//! Deliveries with several events: each gets its own id, type and exact bytes.

use super::*;
use crate::providers::{Pointer, Selector, ValueLocation, all};

/// A JSON document with the given texts at the given places.
fn item(texts: &[(&Selector, String)]) -> serde_json::Value {
    let mut item = serde_json::json!({});
    for (part, text) in texts {
        let Selector::Json(pointer) = part else { continue };
        put(&mut item, pointer, text);
    }
    item
}

fn put(item: &mut serde_json::Value, pointer: &Pointer, text: &str) {
    let mut place = item;
    for step in pointer.steps() {
        if step == "0" && !place.is_array() {
            *place = serde_json::json!([{}]);
        }
        place = if place.is_array() {
            place.get_mut(0).unwrap()
        } else {
            place.as_object_mut().unwrap().entry(step).or_insert_with(|| serde_json::json!({}))
        };
    }
    *place = text.into();
}

/// Every provider that sends batches, with two items that differ in id and type.
#[test]
fn items_of_every_batch_provider_have_own_id_type_and_bytes() {
    let mut seen = 0;
    for (name, row) in all().filter(|(_, row)| row.batch.is_some()) {
        let source = walk::source_of(name, walk::scheme_of(row), &[0]);
        let scheme = Arc::clone(&source.scheme);
        let names = |tries: &[Vec<Selector>], text: &str, n: usize| {
            let parts = tries.first().into_iter().flatten().filter(|part| matches!(part, Selector::Json(_)));
            parts.map(|part| (part.clone(), format!("{text}-{n}"))).collect::<Vec<_>>()
        };
        let bodies: Vec<String> = (0..2)
            .map(|n| {
                let (ids, types) =
                    (names(&scheme.event_id.alternatives, "id", n), names(&scheme.event_type.alternatives, "type", n));
                let texts: Vec<_> = types.iter().chain(&ids).map(|(part, text)| (part, text.clone())).collect();
                let mut item = item(&texts);
                item["number"] = n.into();
                item.to_string()
            })
            .collect();
        let batch = scheme.batch.clone().unwrap();
        let inner = |body: &String| match &batch.inner[..] {
            [step] => format!("{{\"{step}\":{body}}}"),
            _ => body.clone(),
        };
        let array = format!("[ {} , {} ]", inner(&bodies[0]), inner(&bodies[1]));
        let whole = batch.steps.iter().rev().fold(array, |inner, step| format!("{{\"{step}\": {inner}}}"));
        let unsigned =
            TestEvent { body: whole.into_bytes(), private_key: walk::private_key(&scheme), ..TestEvent::default() };
        let request = sign(&source, &unsigned, NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
        let verified = match check(&source, &request) {
            Ok(VerifiedRequest::Delivery(verified)) => verified,
            other => panic!("{name}: {other:?} {:?}", request.body),
        };
        let [first, second] = verified.items() else { panic!("{name}: {verified:?}") };
        assert_ne!(first.event_id, second.event_id, "{name}");
        let has_types = !scheme.event_type.alternatives.is_empty();
        assert_eq!(first.event_type != second.event_type, has_types, "{name}");
        assert!(
            !has_types || second.event_type.contains("type-1") || second.event_type.contains("id-1"),
            "{name} {second:?}"
        );
        let is_signed_inside = matches!(scheme.signature, ValueLocation::Item(_));
        for (item, body) in [first, second].into_iter().zip(&bodies) {
            let read: serde_json::Value = serde_json::from_slice(&item.body).unwrap();
            assert!(is_signed_inside || read == serde_json::from_str::<serde_json::Value>(body).unwrap(), "{name}");
            assert_eq!(item.sha256, <[u8; 32]>::from(Sha256::digest(&item.body)), "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
}

#[test]
fn items_sharing_the_delivery_id_get_their_index_appended() {
    let row = "signature = 'header:X-Sig'\nalgorithm = 'token'\nbatch = '/e'\n
        event_id = ['json:/id', 'header:X-Id', 'body:/whole']\nevent_type = [['body:/kind', 'json:/type']]";
    let source = custom(row, "s");
    let read = |headers: &[(&str, &str)], body: &str| {
        let request = with(&request(headers, body), "X-Sig", "s");
        match check(&source, &request) {
            Ok(VerifiedRequest::Delivery(verified)) => verified
                .items()
                .iter()
                .map(|item| format!("{} {} {}", item.event_id, item.event_type, String::from_utf8_lossy(&item.body)))
                .collect(),
            other => vec![format!("{other:?}")],
        }
    };
    let body = r#"{"kind":"k","whole":"w","e":[{"id":1,"type":"a"},{"type":"b"},[ 1 ]]}"#;
    assert_eq!(
        read(&[("X-Id", "x")], body),
        [r#"1 k.a {"id":1,"type":"a"}"#, r#"x#1 k.b {"type":"b"}"#, "x#2 k [ 1 ]"]
    );
    assert_eq!(read(&[], body)[1..], [r#"w#1 k.b {"type":"b"}"#, "w#2 k [ 1 ]"]);
    assert_eq!(read(&[], r#"{"id":7,"type":"t"}"#), [r#"7 t {"id":7,"type":"t"}"#]);
    let nothing = &read(&[], r#"{"e":[]}"#)[0];
    assert!(nothing.starts_with("Ok(Handshake(ProviderResponse { status: 200"), "{nothing}");
    assert!(read(&[], r#"{"e":[{"id":1},{}]}"#)[0].contains("NoId"));
}

#[test]
fn every_item_must_be_signed_if_items_are_signed() {
    let adyen = known("adyen", &["00112233"]);
    let body = |success: &str| {
        let item = |id: &str| {
            format!(
                "{{\"NotificationRequestItem\":{{\"pspReference\":\"{id}\",\"eventCode\":\"REFUND\",\"success\":\"{success}\"}}}}"
            )
        };
        format!("{{\"live\":\"false\",\"notificationItems\":[{},{}]}}", item("1"), item("2"))
    };
    let unsigned = TestEvent { body: body("true").into_bytes(), ..TestEvent::default() };
    let signed = sign(&adyen, &unsigned, NOW).unwrap();
    assert!(matches!(check(&adyen, &signed), Ok(VerifiedRequest::Delivery(verified)) if verified.items().len() == 2));
    let text = String::from_utf8(signed.body.to_vec()).unwrap();
    let (head, tail) = text.split_at(text.rfind("\"success\":\"true\"").unwrap());
    let one_changed = format!("{head}{}", tail.replacen("true", "false", 1));
    assert!(matches!(
        signature_error(&adyen, &Request { body: one_changed.into(), ..signed.clone() }),
        SignatureError::NoMatch(_)
    ));
    for body in [body("true"), "{\"notificationItems\":[]}".into(), "{}".into(), "[]".into(), String::new()] {
        assert!(matches!(
            signature_error(&adyen, &Request { body: body.into(), ..signed.clone() }),
            SignatureError::Missing(_)
        ));
    }
}
