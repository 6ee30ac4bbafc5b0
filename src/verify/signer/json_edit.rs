//! Edits the JSON of test deliveries: sets members and wraps events.

use serde_json::{Map, Value, json};

use crate::providers::BatchLocation;
use crate::verify::extract::form;

/// The text as a JSON value. A number stays a number, as for timestamps in a body.
pub(super) fn json_of(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

/// Wraps a body as a batch of one event, unless it is a batch already.
pub(super) fn wrap_batch(batch: &BatchLocation, body: &[u8]) -> Result<Vec<u8>, String> {
    let text = if body.is_empty() { "{}" } else { std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")? };
    if batch.form.is_some() && !text.starts_with(['{', '[']) {
        return Ok(body.to_vec());
    }
    let document: Value =
        serde_json::from_str(text).map_err(|_| "the body is not JSON, and this provider sends batches in JSON")?;
    let pointer = batch.steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
    let array = document.pointer(&pointer.collect::<String>());
    let whole = if array.is_some_and(Value::is_array) {
        text.to_owned()
    } else {
        let wrap = |inner: String, step: &String| format!("{{{}:{inner}}}", Value::from(&**step));
        let item = batch.inner.iter().rev().fold(text.to_owned(), wrap);
        batch.steps.iter().rev().fold(format!("[{item}]"), wrap)
    };
    Ok(match &batch.form {
        Some(name) => form::with_field(b"", name, &whole).into_bytes(),
        None => whole.into_bytes(),
    })
}

/// Wraps a published message as SNS does, unless the body is an SNS message already.
pub(super) fn wrap_sns_message(body: &[u8]) -> Vec<u8> {
    if body.is_empty() {
        return b"{}".to_vec();
    }
    let is_message = serde_json::from_slice::<Value>(body)
        .is_ok_and(|whole| whole.get("Message").is_some() || whole.get("Type").is_some());
    if is_message {
        body.to_vec()
    } else {
        json!({ "Message": String::from_utf8_lossy(body) }).to_string().into_bytes()
    }
}

/// Sets a member, adding missing objects and elements on the way; `None` if the document has no such place.
pub(super) fn with_member(document: &[u8], steps: &[String], value: Value) -> Option<String> {
    let text = if document.is_empty() { &b"{}"[..] } else { document };
    let mut whole: Value = serde_json::from_slice(text).ok()?;
    if !whole.is_object() && !whole.is_array() {
        return None;
    }
    let mut place = Some(&mut whole);
    for step in steps {
        place = place.and_then(|value| child(value, step));
    }
    *place? = value;
    Some(whole.to_string())
}

/// The member or element of a step, added if it is missing.
fn child<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
    if value.as_object().is_some_and(Map::is_empty) && step == "0" {
        *value = Value::Array(Vec::new());
    }
    match value {
        Value::Object(members) => Some(members.entry(step).or_insert_with(|| Value::Object(Map::new()))),
        Value::Array(elements) => {
            let index = step.parse::<usize>().ok()?;
            if index == elements.len() {
                elements.push(Value::Object(Map::new()));
            }
            elements.get_mut(index)
        }
        _ => None,
    }
}
