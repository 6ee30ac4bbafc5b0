//! The API behaves as its OpenAPI document says: every path exists, and every response matches its schema.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::delivery::Delivery;
use crate::support::script::{fails, succeeds};
use crate::support::wire::Reply;
use crate::support::{Hookbox, Running, github, until};

const JSON: (&str, &str) = ("Content-Type", "application/json");

pub fn document() -> Value {
    serde_json::from_str(hookbox::internals::openapi_document().unwrap()).unwrap()
}

fn get(hookbox: &Running, path: &str) -> (u16, Value) {
    let reply = hookbox.look(&format!("/api/v1{path}"), &[]);
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn post(hookbox: &Running, path: &str, body: &Value) -> (u16, Value) {
    let reply = hookbox.ask("POST", &format!("/api/v1{path}"), &[JSON], &body.to_string());
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// The first mismatch between a value and a schema, as a path and a word.
fn misfit(document: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).expect("a reference leads somewhere");
        return misfit(document, target, value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let misfits: Vec<_> = choices.iter().map(|choice| misfit(document, choice, value, place)).collect();
        return if misfits.iter().any(Option::is_none) { None } else { misfits.into_iter().next().unwrap() };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        other => panic!("{place}: no type in {schema}: {other}"),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&kind) {
        return Some(format!("{place} is {kind}, not {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Some(format!("{place}: {value} is none of {}", schema["enum"]));
    }
    if let Some(items) = value.as_array() {
        let each = items.iter().enumerate();
        return each
            .into_iter()
            .find_map(|(at, item)| misfit(document, &schema["items"], item, &format!("{place}/{at}")));
    }
    let object = value.as_object()?;
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !object.contains_key(*name)) {
        return Some(format!("{place} has no {missing}"));
    }
    object.iter().find_map(|(name, value)| match (&schema["properties"][name], &schema["additionalProperties"]) {
        (Value::Null, Value::Bool(true)) => None,
        (Value::Null, further @ Value::Object(_)) => misfit(document, further, value, &format!("{place}/{name}")),
        (Value::Null, _) => Some(format!("{place}/{name} is not in the document")),
        (known, _) => misfit(document, known, value, &format!("{place}/{name}")),
    })
}

/// Checks that the document has this response of the operation.
pub fn assert_documented(document: &Value, operation: &Value, reply: &Reply, asked: &str) {
    let mut response = &operation["responses"][reply.status.to_string()];
    assert!(!response.is_null(), "{asked}: {} is not documented: {}", reply.status, reply.text());
    if let Some(name) = response["$ref"].as_str() {
        response = document.pointer(name.trim_start_matches('#')).unwrap();
    }
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"), "{asked}");
        return;
    }
    assert_eq!(reply.header("content-type"), Some("application/json"), "{asked}");
    let value: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(misfit(document, schema, &value, ""), None, "{asked}: {value:#}");
}

/// Every reference in the document.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn document_is_served_and_complete() {
    let hookbox = Hookbox::new().start();
    let document = document();
    assert_eq!(get(&hookbox, "/openapi.json"), (200, document.clone()));
    let items = document["paths"].as_object().unwrap().values();
    let operations: Vec<&Value> = items.flat_map(|item| item.as_object().unwrap().values()).collect();
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert!(operations.len() > 20 && ids.len() == operations.len(), "{ids:?}");
    for operation in operations {
        for text in [&operation["summary"], &operation["responses"]["200"]["description"]] {
            assert!(text.as_str().is_some_and(|text| text.len() > 5), "{operation:#}");
        }
    }
    for reference in references(&document) {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

/// A hookbox with a succeeded job, a dead job and a refusal.
fn inhabited() -> Running {
    let hookbox = Hookbox::new()
        .handler_with("good", "sources = [\"github\"]", succeeds())
        .handler_with("bad", "sources = [\"stripe\"]\nretry = { attempts = 1 }", fails(9))
        .expect_failures()
        .start();
    let good = hookbox.deliver(github::push());
    let bad = hookbox.deliver(Delivery::from("stripe"));
    hookbox.deliver(Delivery::from("gitlab"));
    assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    hookbox.wait_for(&good, "succeeded");
    hookbox.wait_for(&bad, "dead");
    hookbox.rows_of_refusals(1);
    hookbox
}

#[test]
fn every_response_matches_the_document() {
    let hookbox = inhabited();
    let document = document();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            for (fill, expected) in [("1", 200), ("999999999", 404), ("nothing", 404)] {
                // There is no bulk change in this inbox; `bulk` tests those.
                let expected = if template.contains("/changes/") { 404 } else { expected };
                let name = if fill == "1" { "good" } else { fill };
                let path = template.replace("{seq}", fill).replace("{id}", fill).replace("{name}", name);
                if path == *template && expected != 200 {
                    continue;
                }
                let body =
                    if template.contains("/jobs/") && method == "POST" { r#"{"all":true,"dry_run":true}"# } else { "" };
                let asked = format!("{method} {path}");
                let reply = hookbox.ask(&method, &path, &[JSON], body);
                assert_eq!(reply.status, expected, "{asked}: {}", reply.text());
                assert_documented(&document, operation, &reply, &asked);
            }
            let other = if method == "GET" { "POST" } else { "GET" };
            let path = template.replace("{seq}", "1").replace("{id}", "1").replace("{name}", "good");
            if !["/api/v1/jobs/retry", "/api/v1/jobs/replay", "/api/v1/jobs/skip"].contains(&path.as_str()) {
                let reply = hookbox.ask(other, &path, &[JSON], "{}");
                assert_eq!(reply.status, 405, "{other} {path}: {}", reply.text());
                assert_documented(&document, operation, &reply, &path);
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query")
            {
                let name = parameter["name"].as_str().unwrap();
                let good = match name {
                    "state" => "dead,running",
                    "since" | "until" | "finished_before" => "2h",
                    "before" | "limit" | "event" => "1",
                    _ => "x",
                };
                let reply = hookbox.look(&format!("{path}?{name}={good}"), &[]);
                assert_eq!(reply.status, 200, "{path}?{name}={good}: {}", reply.text());
                assert_documented(&document, operation, &reply, &path);
            }
        }
    }
}

#[test]
fn invalid_requests_get_400() {
    let hookbox = Hookbox::new().start();
    for query in [
        "state=deed",
        "since=yesterday",
        "since=",
        "limit=0",
        "limit=1001",
        "before=x",
        "type=LONG",
        "colour=red",
        "limit=1&limit=2",
    ] {
        for list in ["events", "jobs"] {
            let (status, told) = get(&hookbox, &format!("/{list}?{}", query.replace("LONG", &"*a".repeat(600))));
            assert_eq!(status, 400, "{list}?{query}: {told}");
            assert!(told["error"].is_string() && told["hint"].is_string(), "{told}");
        }
    }
    for (query, name) in [("limit=-1", "`limit`"), ("before=1.5", "`before`")] {
        let (status, told) = get(&hookbox, &format!("/jobs?{query}"));
        assert!(status == 400 && told["error"].as_str().unwrap().contains(name), "{told}");
    }
    for body in
        ["{}", "[1]", "1", "{", "{\"state\":\"dead\"}", "{\"state\":[\"deed\"]}", "{\"dry\":true}", "{\"all\":1}"]
    {
        for verb in ["retry", "replay", "skip"] {
            let reply = hookbox.ask("POST", &format!("/api/v1/jobs/{verb}"), &[JSON], body);
            assert_eq!(reply.status, 400, "{verb} {body}: {}", reply.text());
        }
    }
}

#[test]
fn unknown_name_gets_404_and_large_body_413() {
    let hookbox = inhabited();
    let document = document();
    let long = json!({ "events": vec![1_234_567_890; 10_000] });
    let broad = json!({ "type": "*a".repeat(600), "dry_run": true });
    for verb in ["retry", "replay", "skip"] {
        let path = format!("/api/v1/jobs/{verb}");
        for (body, status, word) in [
            (&json!({ "handler": "godo" }), 404, "there is no handler \"godo\""),
            (&json!({ "source": "gitub", "all": true }), 404, "there is no source \"gitub\""),
            (&json!({ "events": [1, 99] }), 404, "there is no event 99"),
            (&long, 413, "64 KiB"),
            (&broad, 400, "`type`"),
        ] {
            let reply = hookbox.ask("POST", &path, &[JSON], &body.to_string());
            assert!(
                reply.status == status && reply.text().contains(&word.replace('"', "\\\"")),
                "{verb}: {}",
                reply.text()
            );
            assert_documented(&document, &document["paths"][&path]["post"], &reply, verb);
        }
    }
    assert_eq!(post(&hookbox, "/jobs/skip", &json!({ "source": "gitlab", "dry_run": true })).0, 200);
}

#[test]
fn rows_have_the_keys_of_the_command_line() {
    let hookbox = inhabited();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for (list, verb) in [("/events", "events"), ("/jobs", "jobs"), ("/refusals", "refusals")] {
        let rows = get(&hookbox, list).1["rows"].clone();
        let printed = hookbox.json(&[verb]);
        assert_eq!(rows, printed, "{list}");
    }
    let (_, event) = get(&hookbox, "/events/1");
    assert_eq!(event, hookbox.json(&["events", "show", "#1"])[0]);
    assert_eq!(get(&hookbox, "/refusals/1").1, hookbox.json(&["refusals", "show", "1"])[0]);
    assert_eq!(get(&hookbox, "/refusals/1/explanation").1, hookbox.json(&["explain", "1"])[0]);
    let (_, paused) = post(&hookbox, "/handlers/good/pause", &json!({}));
    assert_eq!(keys(&paused), keys(&hookbox.json(&["pause", "good"])[0]));
}

#[test]
fn lists_are_paged_by_key() {
    let hookbox = Hookbox::new().start();
    for _ in 0..5 {
        hookbox.deliver(github::push());
    }
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let (_, page) = get(&hookbox, &format!("/events?limit=2{before}"));
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["seq"].as_i64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[test]
fn body_is_downloaded_byte_for_byte() {
    let hookbox = Hookbox::new().start();
    let body = "{\"a\": \"<script>alert(1)</script>\", \"n\": 1.00000000000000000000001}";
    hookbox.deliver(github::push().with_body(body));
    let reply = hookbox.look("/api/v1/events/1/body", &[]);
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert!(reply.header("content-disposition").unwrap().starts_with("attachment"), "{:?}", reply.headers);
}

#[test]
fn jobs_change_by_filter_and_dry_run_counts_them() {
    let hookbox = inhabited();
    let dead = json!({ "state": ["dead"], "handler": "bad", "dry_run": true });
    let (status, told) = post(&hookbox, "/jobs/retry", &dead);
    assert_eq!((status, &told), (200, &json!({ "dry_run": true, "changed": 1, "made": 0, "left": {} })));
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM jobs WHERE state = 'dead'"), 1, "dry run changed a job");
    let (_, told) = post(&hookbox, "/jobs/retry", &json!({ "state": ["dead"], "handler": "bad" }));
    assert_eq!((&told["changed"], &told["dry_run"]), (&json!(1), &json!(false)));
    until("its second attempt", || (hookbox.inbox.number("SELECT max(attempt) FROM jobs") == 2).then_some(()));
    let (_, told) = post(&hookbox, "/jobs/replay", &json!({ "events": [3], "handler": "good" }));
    assert_eq!((&told["made"], &told["changed"]), (&json!(1), &json!(0)), "an event that the handler does not match");
    let (status, told) = post(&hookbox, "/jobs/skip", &json!({ "events": [1.0, 2], "dry_run": true }));
    assert_eq!((status, told["changed"].as_i64()), (200, Some(1)), "a whole number in any notation: {told}");
    let (status, told) = post(&hookbox, "/jobs/skip", &json!({ "events": [1.5], "dry_run": true }));
    assert!(status == 400 && told["error"].as_str().unwrap().contains("1.5"), "{told}");
    let (_, told) = post(&hookbox, "/jobs/skip", &json!({ "all": true, "dry_run": true }));
    assert!(told["left"]["succeeded"].as_i64() >= Some(1), "{told}");
}

#[test]
fn handler_is_paused_and_resumed_unless_unknown() {
    let hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    let (status, row) = post(&hookbox, "/handlers/deploy/pause", &json!({ "reason": "release freeze" }));
    assert_eq!((status, &row["paused_by"], &row["reason"]), (200, &json!("operator"), &json!("release freeze")));
    assert_eq!(get(&hookbox, "/handlers").1[0]["paused"], json!(true));
    let (_, row) = post(&hookbox, "/handlers/deploy/resume", &json!({}));
    assert_eq!((&row["changed"], &row["paused"]), (&json!(true), &json!(false)));
    assert_eq!(post(&hookbox, "/handlers/deplyo/pause", &json!({})).0, 404);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM handlers WHERE name = 'deplyo'"), 0);
}

#[test]
fn schema_check_can_fail() {
    let document = document();
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    let misfit = |value: Value| misfit(&document, &schema, &value, "");
    assert_eq!(misfit(json!({ "error": "a", "hint": "b" })), None);
    assert!(misfit(json!({ "error": "a" })).is_some());
    assert!(misfit(json!({ "error": 1, "hint": "b" })).is_some());
    assert!(misfit(json!({ "error": "a", "hint": "b", "more": 1 })).is_some());
}
