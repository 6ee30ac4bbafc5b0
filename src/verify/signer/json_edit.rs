//! JSON documents in the making: members put where they belong, bodies made into batches.
//!
//! For signing test deliveries. A body and what it shall say go in, the same body saying it comes out; what stands there
//! already stays as it was written.

use serde_json::{Map, Value, json};

use crate::providers::BatchLocation;
use crate::verify::extract::form;

/// A number stays one, as timestamps in a body are.
pub(super) fn json_of(value: &str) -> Value {
    value.parse::<u64>().map_or_else(|_| Value::from(value), Value::from)
}

/// A batch whose one item is the body, unless the body is a batch.
pub(super) fn wrapped(batch: &BatchLocation, body: &[u8]) -> Result<Vec<u8>, String> {
    let text = if body.is_empty() { "{}" } else { std::str::from_utf8(body).map_err(|_| "the body is no text")? };
    if batch.form.is_some() && !text.starts_with(['{', '[']) {
        return Ok(body.to_vec());
    }
    let document: Value =
        serde_json::from_str(text).map_err(|_| "the body is no JSON, and the provider sends batches")?;
    let pointer = batch.steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
    let array = document.pointer(&pointer.collect::<String>());
    let whole = if array.is_some_and(Value::is_array) {
        text.to_owned()
    } else {
        let item = batch
            .inner
            .iter()
            .rev()
            .fold(text.to_owned(), |inner, step| format!("{{{}:{inner}}}", Value::from(&**step)));
        batch
            .steps
            .iter()
            .rev()
            .fold(format!("[{item}]"), |inner, step| format!("{{{}:{inner}}}", Value::from(&**step)))
    };
    Ok(match &batch.form {
        Some(name) => form::replaced(b"", name, &whole).into_bytes(),
        None => whole.into_bytes(),
    })
}

/// A document with a value at a place, which is made where it is missing.
pub(super) fn with_member(document: &[u8], steps: &[String], value: Value) -> Option<String> {
    let text = if document.is_empty() { &b"{}"[..] } else { document };
    let mut whole: Value =
        serde_json::from_slice(text).ok().filter(|whole: &Value| whole.is_object() || whole.is_array())?;
    let mut place = Some(&mut whole);
    for step in steps {
        place = place.and_then(|value| below(value, step));
    }
    *place? = value;
    Some(whole.to_string())
}

/// The member or element that a step leads to, made where it is missing.
fn below<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
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

/// A message that is published, as SNS wraps it; a body that is an SNS message already stays as it is.
pub(super) fn wrapped_message(body: &[u8]) -> Vec<u8> {
    if body.is_empty() {
        return b"{}".to_vec();
    }
    let is_wrapped = serde_json::from_slice::<Value>(body)
        .is_ok_and(|whole| whole.get("Message").is_some() || whole.get("Type").is_some());
    if is_wrapped {
        body.to_vec()
    } else {
        json!({ "Message": String::from_utf8_lossy(body) }).to_string().into_bytes()
    }
}
